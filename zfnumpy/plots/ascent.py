"""Images made by gradient ascent, and pictures changed to fool a network."""

import numpy as np

from .sheets import PAPER, enlarge, heading, label, tile

MOST = 60            # times that a change is magnified at most: one pixel unit is then still no black or white


def ascent_sheet(found, names, notes=None, title=None, columns=None, least=192):
    """Draw a visualize.Ascent: its images with a name over each, in rows; a unit's several starts side by side.

    names (N,): what each image is for; notes (N,): a remark at the right of each. columns (default: the starts of one
    unit, or up to five units). Returns a sheet uint8.
    """
    notes = notes or [""] * len(names)
    starts = int(found.starts.max()) + 1
    columns = columns or (starts if starts > 1 else min(5, len(names)))
    cells = [label(enlarge(picture, least), name, note, height=22, size=14)
             for picture, name, note in zip(found.pictures, names, notes)]
    how = found.settings
    title = title or f"what {found.layer} answers to most: gradient ascent, {how['steps']} steps"
    return heading(tile(np.stack(cells), columns, 14, PAPER), title)


def fooled_sheet(found, classes, titles=None, least=216):
    """Draw a visualize.Fooled: a row a picture: before, the difference magnified about middle grey, after. Uint8.

    classes: the network's names. titles (N,): what to call the pictures (default: nothing). The
    change's root mean square stands over it.
    """
    lines = []
    for i in range(len(found.labels)):
        extreme = float(np.percentile(np.abs(found.difference[i]), 99.8)) or float(found.largest[i])
        times = int(np.clip(100 / extreme, 1, MOST)) if extreme > 0 else 1
        shown = np.clip(np.rint(128 + times * found.difference[i]), 0, 255).astype(np.uint8)
        first, last = found.first[i], found.last[i]
        cells = [(found.original[i], f"{classes[first]} {found.before[i, first]:.0%}", titles[i] if titles else ""),
                 (shown, f"the change, {times} times" if times > 1 else "the change", f"{found.rms[i]:.2g} of 255"),
                 (found.pictures[i], f"{classes[last]} {found.after[i, last]:.0%}",
                  "" if found.fooled[i] else f"not {classes[found.labels[i]]}")]
        lines.append(tile(np.stack([label(enlarge(picture, least), text, note, height=22, size=14)
                                    for picture, text, note in cells]), 3, 12, PAPER))
    count = int(found.fooled.sum())
    title = f"{count} of {len(found.labels)} pictures fool the network: before, the change, after"
    return heading(np.concatenate(lines), title)
