"""Pictures that several commands make: first-layer filters, figure 2, projections beside their images."""

import numpy as np

from .. import data, plots
from ..loss import softmax
from ..visualize import colour_filters, find_strongest, project, project_strongest
from ..visualize.rules import chosen_unit
from .common import bar, class_names, say_skipped

RULES = ("deconvnet", "guided", "gradient")


def draw_filters(net, out):
    """Write filters.png into `out`."""
    plots.save_picture(out / "filters.png", plots.filter_sheet(colour_filters(net)))


def draw_figure2(net, dataset, layers, out, maps=None, top=9, rule="deconvnet", batch=32, per_sheet=48):
    """Write strongest_<layer>.png for every layer (numbered if there are several sheets), and the units as .npz and .json.

    maps: only so many of each layer, those that answer most strongly. Returns the paths of the sheets.
    """
    loader = data.Loader(dataset, batch, net.preprocessing, feeder=net.ops.feeder())
    batches = ((x, indices) for x, _, indices in bar(len(loader), "looking for the strongest")(loader.batches()))
    written, strongest = [], find_strongest(net, batches, layers, top)
    say_skipped(loader.skipped)
    for layer, found in strongest.items():
        found.save(out)
        chosen = np.arange(len(found.images)) if maps is None else np.argsort(-found.values[:, 0], kind="stable")[:maps]
        parts = [np.sort(chosen)[i:i + per_sheet] for i in range(0, len(chosen), per_sheet)]
        for number, part in enumerate(parts, 1):             # a sheet at a time: all projections at once would be large
            progress = bar(-(-len(part) * top // batch), f"projecting {layer}, sheet {number} of {len(parts)}")
            shown = project_strongest(net, found, dataset.image, part, rule, batch, progress)
            written.append(out / f"strongest_{layer}{f'_{number}' if len(parts) > 1 else ''}.png")
            plots.save_picture(written[-1], plots.strongest_sheet(shown))
    return written


def draw_projections(net, pictures, layer, unit, path, rules=RULES):
    """Write one sheet: a row an image (name, uint8 picture), with the unit's projection by each rule.

    unit None takes the map that is strongest in each image. Returns the units shown, as text.
    """
    rows, shown = [], []
    for name, picture in pictures:
        x = net.prepare([picture])
        scores, tape = net.forward(x)
        chosen = chosen_unit(net, layer, tape, unit)
        text = unit_text(net, layer, chosen)
        found = {rule: net.ops.to_numpy(project(net, x, layer, chosen, rule, tape)) for rule in rules}
        rows.append(projection_row(net, x, scores, text, found))
        shown.append(f"{name}: {text}")
    plots.save_picture(path, plots.projection_sheet(rows, f"what {layer} sees: {', '.join(rules)}"))
    return shown


def projection_row(net, x, scores, text, found):
    """Return one row of plots.projection_sheet: an image under its predicted class, and its reconstructions {rule: r}.

    x (1, 3, H, W) and scores (1, K) of one pass; each r (1, 3, H, W) of NumPy, in the network's channels.
    """
    row = [(predicted(net, scores), net.preprocessing.pixels(net.ops.to_numpy(x))[0])]
    return row + [(f"{rule} · {text}" + ("" if r.any() else ": nothing"), plots.signed(net.preprocessing.in_rgb(r))[0])
                  for rule, r in found.items()]


def predicted(net, scores):
    """Return the strongest class of scores (1, K) and its probability, as text."""
    probabilities = net.ops.to_numpy(softmax(scores))[0]
    best = int(probabilities.argmax())
    return f"{class_names(net)[best]} {probabilities[best]:.0%}"


def unit_text(net, layer, unit):
    """Return what to call a unit of one image, as "conv5 map 17"."""
    kind = "map" if len(net.shapes[layer]) == 3 else "feature"
    return f"{layer} {kind} {', '.join(str(int(np.ravel(part)[0])) for part in unit)}"
