"""Rules side by side: what the class, and a unit of some layers, look like by each way of going back to the pixels."""

import numpy as np

from .. import plots
from ..visualize import by_rules
from ..visualize.rules import SIDE_BY_SIDE, chosen_unit
from ..visualize.target import class_labels, magnitude
from . import sprites
from .settings import class_names, some_layers

COLUMNS = (*SIDE_BY_SIDE, "saliency")


def rules_part(net, book, pictures, progress):
    """Return the rows of every picture: for its class, and for the strongest map of some layers, the rules' pictures."""
    layers = some_layers(net)
    return {"columns": COLUMNS, "layers": layers,
            "pictures": [_one(net, book, number, shown, layers)
                         for number, shown in enumerate(progress(len(pictures), "rules", "img")(pictures))]}


def _one(net, book, number, shown, layers):
    """Return a picture's rows, and enter them as one figure."""
    scores, tape = net.forward(shown.x)
    label = int(class_labels(net, scores)[0])
    targets = [(net.output, label, f"class {class_names(net)[label]}")]
    for layer in reversed(layers):
        index = int(chosen_unit(net, layer, tape)[0][0])
        targets.append((layer, index, f"{layer}, map {index}"))
    rows, arrays = [], {"picture": shown.pixels}
    for layer, index, text in targets:
        found = {rule: net.preprocessing.in_rgb(net.ops.to_numpy(r))[0] for rule, r in
                 by_rules(net, shown.x, layer, (index,), SIDE_BY_SIDE, tape).items()}
        saliency = magnitude(found["gradient"][None])[0]
        cells = {rule: sprites.projected(found[rule], 224) for rule in SIDE_BY_SIDE}
        cells["saliency"] = sprites.shown(plots.faint(saliency), 224, pixelated=len(saliency) < 128)
        rows.append({"text": text, "cells": cells})
        arrays.update({f"{layer}_{index}_{rule}": np.float16(r / (abs(r).max() or 1)) for rule, r in found.items()})
    name = f"rules_{number}"
    data = book.keep(name, arrays, {"picture": shown.name, "targets": [text for *_, text in targets],
                                    "unit": "each divided by its largest magnitude; red, green, blue"})
    book.enter_sheet(name, "rules", f"{shown.name}: rules side by side", data,
                     {"rules": list(COLUMNS), "layers": layers},
                     lambda: plots.projection_sheet([[(f"{text} · {rule}", plots.signed(
                         np.float32(arrays[f"{layer}_{index}_{rule}"]))) for rule in SIDE_BY_SIDE]
                         for layer, index, text in targets], shown.name))
    return {"name": shown.name, "truth": shown.truth, "picture": sprites.shown(shown.pixels, 224), "rows": rows}
