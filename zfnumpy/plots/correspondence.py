"""Table 1 as a figure: how differently the features change where the same part is masked, and where random places are."""

from pathlib import Path

import numpy as np

from .figures import BLUE, ORANGE, deviation, figure_of, save_figure, short
from .sheets import PAPER, enlarge, heading, label, save_picture, tile

STYLES = {"the part": (BLUE, "o"), "random places": (ORANGE, "s"), "others' places": ("#2b2b2b", "^"),
          "mixed parts": ("#7a5aa8", "D"), "mixed again": ("#8a8a8a", "v")}


def save_correspondence(folder, study):
    """Draw an experiments.Correspondence into `folder`: table 1 and a group's masks; return [(file, caption)]."""
    folder = Path(folder)
    figure, P = figure_of(13, 1.2 + (0.4 * len(study.parts) + 0.6) * len(study.changes)), len(study.parts)
    grid = figure.subplots(len(study.changes), 2 * len(study.layers), squeeze=False, sharex="col")
    for row, (name, change) in zip(grid, study.changes.items()):
        for c, axes in enumerate(row):
            k, kind = divmod(c, 2)
            values = (change.delta, change.agreement)[kind][:, k]
            for w, (way, each) in enumerate(zip(change.ways, values)):
                colour, marker = STYLES[way]
                axes.errorbar(each.mean(axis=1), np.arange(P) + 0.15 * (w - (len(values) - 1) / 2), xerr=deviation(each, 1),
                              color=colour, fmt=marker, markersize=4.5, capsize=2, linewidth=1, label=way)
            axes.set_yticks(range(P), [short(part.replace("_", " ")) for part in study.parts] if c == 0 else [])
            axes.set_ylim(P - 0.5, -0.5)
            axes.grid(axis="x", alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
            if kind:
                axes.axvline(0, color="0.5", linestyle=":", linewidth=1.2)
            axes.set_title(f"{name}: {study.layers[k]}", fontsize=9.5, loc="left")
    for c, axes in enumerate(grid[-1]):
        axes.set_xlabel(("sign change Δ (lower: tighter)", "agreement beyond chance κ")[c % 2])
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    save_figure(figure, folder / "correspondence.png")
    rows = []
    for part, pair in zip(study.parts, study.masked):                     # (2, n, H, W, 3)
        cells = [label(picture, name, height=18) for name, pictures in zip((part.replace("_", " "), "random"),
                                                                           enlarge(pair, 96)) for picture in pictures]
        rows.append(tile(np.stack(cells), len(cells), 6, PAPER))
    title = "one group: a part masked in each picture, and as large a random place"
    save_picture(folder / "correspondence_masks.png", heading(np.concatenate(rows), title))
    caption = (f"Mean sign change of the features of {' and '.join(study.layers)} over groups of {study.groups.shape[1]} "
               f"pictures (Δ, and κ, the agreement beyond chance): mean ± deviation over {len(study.groups)} groups, where "
               "the same part is masked and where other places of the same size are.")
    return [("correspondence.png", caption),
            ("correspondence_masks.png", "One group: the part masked in each picture, and random places as large.")]
