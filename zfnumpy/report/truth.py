"""The truth table: which ways of seeing can be trusted on this network."""

import numpy as np

from .. import plots
from ..visualize import pointing, sanity, truth_table

LAYERS = 6               # at which the randomized network's maps are compared
TELL = {
    "similarity": ("after forgetting", "How alike the map stays when all weights are made random: rank correlation, 0 to 1. "
                   "Near 0 is good: a map that does not change does not depend on what was learned."),
    "ssim": ("the same, as pictures", "The same by structural similarity, which compares pictures as the eye does. "
             "Near 0 is good."),
    "deletion": ("deletion", "The class's mean probability while the most relevant pixels are taken away first. "
                 "Lower is better."),
    "insertion": ("insertion", "The class's mean probability while the most relevant pixels are put back first. "
                  "Higher is better."),
    "pointing": ("pointing", "How often the map's strongest pixel lies on the object. Higher is better; chance is a map "
                 "that points anywhere."),
    "energy": ("energy", "The share of the map that lies on the object. Higher is better."),
}
BETTER = {"similarity": "near 0", "ssim": "near 0", "deletion": "low", "insertion": "high", "pointing": "high",
          "energy": "high"}


def truth_part(net, book, settings, pictures, part, progress):
    """Return the rows and columns of the table, from `pictures` with a true class."""
    x = net.ops.xp.concatenate([shown.x for shown in pictures])
    answers = net.ops.to_numpy(net.scores(x).argmax(axis=1))
    labels = np.array([answer if shown.label is None else shown.label for shown, answer in zip(pictures, answers)])
    rows = [shown.index for shown in pictures]
    masks = pointing.true_masks(part, rows, net.preprocessing)
    table = truth_table(net, x, None, labels, masks, layers=sanity.weighted_layers(net, LAYERS), seed=settings.seed,
                        batch=settings.batch, progress=progress(None, "testing the maps", "step"))
    data = book.save(table, "truth", "truth")
    book.enter("truth", "truth", "the truth table", data, {"pictures": len(pictures), "seed": settings.seed},
               lambda path: plots.save_truth_table(path, table))
    book.enter("perturbation", "truth", "deletion and insertion", data, {"pictures": len(pictures)},
               lambda path: plots.save_perturbation(path, table.curves))
    columns = [column for column in table.values if np.isfinite(table.values[column]).any()]
    means, spreads = ({column: each(column) for column in columns} for each in (table.mean, table.deviation))
    return {"pictures": len(pictures), "right": table.right, "notes": table.notes,
            "missing": [TELL[column][0] for column in table.values if column not in columns],
            "columns": [{"key": column, "name": TELL[column][0], "text": TELL[column][1], "better": BETTER[column],
                         "chance": table.chance.get(column)} for column in columns],
            "rows": [{"method": method, "verdict": table.verdict(method),
                      "cells": [{"mean": float(means[c][m]), "spread": float(spreads[c][m])} for c in columns]}
                     for m, method in enumerate(table.methods)]}
