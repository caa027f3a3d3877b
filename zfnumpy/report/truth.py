"""The truth table: which ways of seeing can be trusted on this network."""

import numpy as np

from .. import plots
from ..visualize import pointing, sanity, truth_table

LAYERS = 6               # at which the randomized network's maps are compared
# What each column is called on the page, what is better, and what it says.
TELL = {
    "similarity": ("after forgetting", "near 0",
                   "How alike the map stays when all weights are made random: rank correlation, −1 to 1. A map that does "
                   "not change does not depend on what was learned."),
    "ssim": ("the same, as pictures", "near 0",
             "The same by structural similarity, which compares pictures as the eye does."),
    "others": ("another picture's", "",
               "How alike the maps of two different pictures are: as much is due to the way of seeing alone."),
    "deletion": ("deletion", "low", "The class's mean probability while the most relevant pixels are taken away first."),
    "insertion": ("insertion", "high", "The class's mean probability while the most relevant pixels are put back first."),
    "pointing": ("pointing", "high",
                 "How often the map's strongest pixel lies on the object; chance is a map that points anywhere."),
    "energy": ("energy", "high", "The share of the map that lies on the object."),
}


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
            "passes": sanity.PASSES_BELOW, "fails": sanity.FAILS_FROM,
            "missing": [TELL[column][0] for column in table.values if column not in columns],
            "columns": [{"name": TELL[column][0], "better": TELL[column][1], "text": TELL[column][2],
                         "chance": table.chance.get(column)} for column in columns],
            "rows": [{"method": method, "verdict": row["sanity"],
                      "cells": [{"mean": float(means[c][m]), "spread": float(spreads[c][m])} for c in columns]}
                     for m, (method, row) in enumerate(zip(table.methods, table.rows()))]}
