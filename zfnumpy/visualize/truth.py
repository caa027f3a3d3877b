"""Is the picture true? Three tests of every way of seeing, a row a method.

Does the map change when the network forgets (sanity)? Does the class fall when what is relevant goes, and rise when it comes
(deletion)? Does the map point at the object (pointing)?
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..paths import save_result, save_rows
from .deletion import STEPS, deletion, insertion
from .pointing import pointing_game
from .relevance import relevance_maps
from .sanity import DRAWS, randomization_test
from .target import class_labels

COLUMNS = {"similarity": "randomized", "ssim": "ssim", "others": "other picture", "deletion": "deletion ↓",
           "insertion": "insertion ↑", "pointing": "pointing ↑", "energy": "energy in mask ↑"}


@dataclass
class TruthTable:
    """Three tests of M methods on N pictures, a row a method.

    values {column: (M, N)} of COLUMNS, one a picture: "similarity" (rank correlation) and "ssim" between the map of the
    trained network and that after full randomization, "others" the rank correlation with another picture's map,
    "deletion" and "insertion" areas under the curve, "pointing" hits and "energy" inside the object's mask; NaN where it
    is not known. labels (N,): the class explained; right: of how many pictures it is the network's answer, a share. chance
    {column: what a map that knows nothing gets}, where that is known beforehand. maps (M, N, H, W): the relevance of the
    trained network. randomization, curves {method: (deletion, insertion)} and pointings {method: Pointing}: where the
    columns are from. notes {method: why the network cannot have it}.
    """

    methods: list
    labels: np.ndarray
    right: float
    values: dict
    maps: np.ndarray
    randomization: object
    curves: dict
    pointings: dict = field(default_factory=dict)
    chance: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    def mean(self, column):
        """Return a column's mean over the pictures (M,), of those where it is known; NaN where there are none."""
        values = self.values[column]
        known = np.isfinite(values)
        return np.where(known.any(axis=1), np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)

    def deviation(self, column):
        """Return a column's standard deviation over the pictures (M,), NaN where it is not known."""
        values, mean = self.values[column], self.mean(column)
        known = np.isfinite(values)
        square = np.where(known, values - np.where(np.isfinite(mean), mean, 0)[:, None], 0) ** 2
        return np.where(known.any(axis=1), np.sqrt(square.sum(axis=1) / np.maximum(known.sum(axis=1), 1)), np.nan)

    def rows(self):
        """Return a dict a method: its name, the sanity check's verdict, and every column's mean and deviation."""
        means, deviations = ({column: each(column) for column in self.values} for each in (self.mean, self.deviation))
        return [{"method": method, "sanity": self.randomization.verdict(method)}
                | {key: float(value) for column in self.values
                   for key, value in ((column, means[column][m]), (f"{column} deviation", deviations[column][m]))}
                for m, method in enumerate(self.methods)]

    def __str__(self):
        """The table as aligned text, and below it what chance gives and what is missing."""
        head = ["method", *(COLUMNS[column] for column in self.values)]
        head.insert(2, "sanity")
        lines = [head]
        for m, method in enumerate(self.methods):
            cells = [_number(self.mean(c)[m], self.deviation(c)[m] if c == "similarity" else None) for c in self.values]
            lines.append([method, cells[0], self.randomization.verdict(method), *cells[1:]])
        cells = [_number(self.chance.get(column, np.nan)) for column in self.values]
        lines.append(["(chance)", cells[0], "", *cells[1:]])
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        text = ["  ".join(cell.ljust(w) if i in (0, 2) else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths)))
                .rstrip() for line in lines]
        return "\n".join([text[0], "-" * len(text[0]), *text[1:], *(f"without {name}: {why}"
                                                                      for name, why in self.notes.items())])

    def save(self, folder):
        """Write truth.npz (every picture's values), .json and .csv (a row a method), and the randomization's files.

        Where the objects' parts are known also truth_parts.csv: how often each method's strongest pixel lies in each.
        """
        folder = Path(folder)
        self.randomization.save(folder)
        arrays = {**self.values, "maps": self.maps, "labels": self.labels}
        for name, place in (("deletion", 0), ("insertion", 1)):
            arrays[f"{name}_curves"] = np.array([self.curves[method][place].probabilities for method in self.methods])
        arrays["shares"] = self.curves[self.methods[0]][0].shares
        parts = {method: [{"class": name, "part": part, "hits": hits, "pictures": pictures}
                          for (name, part), (hits, pictures) in found.parts.items()]
                 for method, found in self.pointings.items()}
        rows = [{key: value if not isinstance(value, float) or np.isfinite(value) else None for key, value in row.items()}
                for row in self.rows()]
        save_result(folder, "truth", arrays, {"rows": rows, "pictures": len(self.labels), "right": self.right,
                                              "chance": self.chance, "left out": self.notes, "parts": parts})
        save_rows(folder / "truth.csv", rows)
        if any(parts.values()):
            save_rows(folder / "truth_parts.csv", [
                {"class": name, "part": part, "pictures": pictures}
                | {method: f"{found.parts[name, part][0] / pictures:.4f}" for method, found in self.pointings.items()}
                for (name, part), (_, pictures) in next(iter(self.pointings.values())).parts.items()])


def truth_table(net, x, methods=None, label=None, masks=None, parts=None, names=None, layers=None, cascading=True, seed=0,
                draws=DRAWS, steps=STEPS, fill="mean", batch=64, shown=0, progress=iter):
    """Put every method to the three tests on x (N, 3, H, W): a TruthTable.

    methods: {name: function(net, x, label, tape)} (default: relevance.METHODS); those that the network cannot have are left
    out and noted. label: None for each picture's strongest class, an int, or N ints. masks (N, H, W) bool: the objects,
    empty where one is not known; parts and names as for pointing_game. layers, cascading, draws, shown: of
    randomization_test; steps, fill, batch: of deletion. `progress` wraps the steps of each test in turn.
    """
    scores = net.scores(x)
    labels = class_labels(net, scores, label)
    maps, notes = relevance_maps(net, x, methods, labels, progress=progress)
    tested = randomization_test(net, x, methods, labels, layers, cascading, seed, draws, shown, progress, (maps, notes))
    curves, pointings, unknown = {}, {}, np.full(len(labels), np.nan)
    values = {column: np.zeros((len(maps), len(labels))) for column in COLUMNS}
    for m, (name, found) in enumerate(progress(list(maps.items()))):
        values["similarity"][m], values["ssim"][m] = (each[m, tested.decisive(name)]
                                                      for each in (tested.correlation, tested.ssim))
        values["others"][m] = tested.others[m]
        curves[name] = (deletion(net, x, found, labels, fill, steps, batch, seed),
                        insertion(net, x, found, labels, "blur", steps, batch, seed))
        values["deletion"][m], values["insertion"][m] = (curve.area() for curve in curves[name])
        if masks is not None:
            pointings[name] = pointing_game(found, masks, parts=parts, names=names)
        points = pointings.get(name)
        values["pointing"][m], values["energy"][m] = (points.hits, points.energy) if points else (unknown, unknown)
    chance = {}
    if pointings:
        covered = next(iter(pointings.values())).covered
        if np.isfinite(covered).any():
            chance = dict.fromkeys(("pointing", "energy"), float(covered[np.isfinite(covered)].mean()))
    right = float((net.ops.to_numpy(scores.argmax(axis=1)) == labels).mean())
    return TruthTable(list(maps), labels, right, values, np.array(list(maps.values())), tested, curves, pointings, chance,
                      notes)


def _number(value, deviation=None):
    if not np.isfinite(value):
        return "–"
    return f"{round(float(value), 3) + 0.0:.3f}" + (f" ± {deviation:.2f}" if deviation is not None else "")
