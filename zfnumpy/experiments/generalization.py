"""Feature generalization (Zeiler & Fergus, sec. 5.2, tables 4 to 6): features kept as they are, a new softmax on top.

For growing numbers of training pictures a class, and several draws of them: how well a softmax on the features of a trained
network does on new classes, against a network trained from scratch on the very same pictures. Controls: the same with
labels dealt out at random, with the features of random weights, and on pixels.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import transfer
from .features import layer_features
from .jobs import NO_DROPOUT, QUICK, Job, small_recipe, train_all
from .statistics import mean_deviation
from .study import Claim, Study, Table

PAPER = {"Caltech-101": {15: (83.8, 22.8), 30: (86.5, 46.5)},
         "Caltech-256": {15: (65.7, 9.0), 30: (70.6, 22.5), 45: (72.7, 31.2), 60: (74.2, 38.8)}}
COUNTS = (1, 2, 5, 10, 20, 50)
FEATURES, SCRATCH, RANDOM, SHUFFLED = "features", "from scratch", "random weights", "shuffled labels"
LINES = (FEATURES, SCRATCH, RANDOM, transfer.PIXELS, SHUFFLED)
EPOCH, EPOCHS = 1600, 6      # pictures an epoch of a training from scratch, the few repeated, and how many


@dataclass
class Generalization(Study):
    """Accuracy (len(LINES), C, S) on new classes by line, number of training pictures a class (counts (C,)), and split.

    NaN where a line was not run. classes: the names of the new classes. layer: that of the features. Where pictures show
    several classes (PASCAL VOC) the accuracy is the mean average precision, as `measure` says, and there is no line from
    scratch. chance: what no knowledge gives. usable (N,) bool: the training pictures that can be read.
    """

    settings: dict
    layer: str
    classes: list
    counts: np.ndarray
    accuracy: np.ndarray
    tested: int
    chance: float
    measure: str = "right answers"
    usable: np.ndarray = None
    name = "generalization"
    title = "Feature generalization"
    source = "Zeiler & Fergus, sec. 5.2, tables 4 to 6"

    def of(self, line):
        """Return the accuracies (C, S) of a line."""
        return self.accuracy[LINES.index(line)]

    def tables(self):
        rows = []
        for line, each in zip(LINES, self.accuracy):
            known = [values[np.isfinite(values)] for values in each]
            if any(len(values) for values in known):
                rows.append([line, *(mean_deviation(values, 1, percent=True) if len(values) else "" for values in known)])
        rows.append(["chance", *[f"{self.chance:.1%}"] * len(self.counts)])
        return [Table(f"{self.measure.capitalize()} on {self.tested} pictures of {len(self.classes)} new classes, by "
                      "training pictures a class; mean ± deviation over splits", ["", *map(str, self.counts)], rows)]

    def claims(self):
        fixed, scratch = self.of(FEATURES), self.of(SCRATCH)
        both = [c for c in range(len(self.counts)) if np.isfinite(scratch[c]).any()]
        found = []
        if both:
            mean = {c: (fixed[c].mean(), np.nanmean(scratch[c])) for c in both}
            said = "; ".join(f"{self.counts[c]} a class {mean_deviation(fixed[c], 1, percent=True)} against "
                             f"{mean_deviation(scratch[c][np.isfinite(scratch[c])], 1, percent=True)}" for c in both)
            found.append(Claim("Features of a trained network beat training from scratch at every number of pictures.",
                               _paper("Caltech-256"), said, bool(all(a > b for a, b in mean.values()))))
            first, last = both[0], both[-1]
            lead = {c: mean[c][0] - mean[c][1] for c in (first, last)}
            found.append(Claim("From scratch catches up as the pictures become more.", _paper("Caltech-101"),
                               f"features lead by {lead[first]:+.1%} at {self.counts[first]} a class, {lead[last]:+.1%} at "
                               f"{self.counts[last]}", bool(lead[last] < lead[first]) if lead[first] > 0 else None))
            enough = [int(n) for n, each in zip(self.counts, fixed) if each.mean() >= mean[last][1]]
            found.append(Claim("Few pictures a class are enough for what others need many for.",
                               "6 a class of Caltech-256 beat the best earlier method's 60",
                               f"{enough[0]} a class reach what training from scratch reaches with {self.counts[last]}"
                               if enough else f"no number up to {self.counts[-1]} reaches training from scratch with "
                               f"{self.counts[last]}", bool(enough and enough[0] < self.counts[last])))
        found.append(transfer.at_chance(self.measure, self.of(SHUFFLED).mean(axis=0), self.chance, self.tested,
                                        "Control, shuffled labels: what is learned from them is at chance."))
        found.append(transfer.at_chance(self.measure, self.of(RANDOM)[-1], self.chance, self.tested,
                                        "Control, random weights: their features, with "
                                        f"{self.counts[-1]} pictures a class, are at chance."))
        return found


def _paper(name):
    return f"{name}: " + "; ".join(f"{n} a class {a} against {b} %" for n, (a, b) in PAPER[name].items())


def generalization(net, train, test, layer, counts=COUNTS, splits=5, seed=0, settings=None, progress=iter):
    """Measure a softmax on fixed features of new classes: a Generalization, as yet without `from_scratch`.

    train, test: data sets of the same classes, which are new to the network. layer: whose features. splits: how many draws
    of the training pictures. `progress` wraps the list of (count, split).
    """
    counts = np.array(transfer.checked_counts(counts, train.labels))
    networks = {FEATURES: net, RANDOM: transfer.with_random_weights(net, seed)}
    values = {name: [layer_features(each, part, [layer])[layer] for part in (train, test)]
              for name, each in networks.items()}
    values[transfer.PIXELS] = [transfer.pixel_features(part, net.preprocessing) for part in (train, test)]
    values[SHUFFLED] = values[FEATURES]
    usable, tested = transfer.readable(*values[FEATURES])
    present = getattr(test, "present", None)
    found = np.full((len(LINES), len(counts), splits), np.nan)
    for c, split in progress([(c, split) for c in range(len(counts)) for split in range(splits)]):
        rows = split_rows(train.labels, usable, int(counts[c]), split, seed)
        for name, (a, b) in values.items():
            labels = train.labels[rows]
            if name == SHUFFLED:
                labels = np.random.default_rng([seed, 1, split]).permutation(labels)
            found[LINES.index(name), c, split] = transfer.accuracy(
                a[rows], labels, b[tested], test.labels[tested], seed=seed,
                present=None if present is None else present[tested])
    chance = 1 / len(train.classes) if present is None else float((present[tested] > 0).mean())
    return Generalization(settings or {}, layer, list(train.classes), counts, found, int(tested.sum()), chance,
                          "right answers" if present is None else "mean average precision", usable)


def split_rows(labels, usable, count, split, seed):
    """Return the rows of one draw: `count` of each class, of those that are usable; a smaller draw lies inside a larger."""
    rows = np.flatnonzero(usable)
    return rows[transfer.few_of_each(labels[rows], count, np.random.default_rng([seed, 0, split]))]


def from_scratch(study, train, source, folder, ops, splits=3, seed=0, side_by_side=2, say=print):
    """Train small networks from scratch on the pictures of the splits, and enter their accuracies into the study.

    source: the jobs.Source that `train`, its training part, is of; a job is a split of one of the three largest counts. They
    are resumable, `side_by_side` at a time.
    """
    jobs, places = [], []
    usable = np.ones(len(train), bool) if study.usable is None else study.usable
    whole = train if source.classes is None else source_labels(source)
    for c in range(max(0, len(study.counts) - 3), len(study.counts)):
        for split in range(min(splits, study.accuracy.shape[2])):
            rows = split_rows(train.labels, usable, int(study.counts[c]), split, seed)
            rows = np.flatnonzero(np.isin(whole.labels, source.classes))[rows] if source.classes is not None else rows
            rows = np.tile(rows, max(1, EPOCH // len(rows)))
            recipe = small_recipe(EPOCHS, split, NO_DROPOUT, augment_pad=4, **QUICK)
            jobs.append(Job(f"scratch_{study.counts[c]}_{split}", recipe,
                            replace(source, rows=tuple(rows.tolist()))))
            places.append((c, split))
    for place, trained in zip(places, train_all(jobs, folder, ops, side_by_side, say)):
        study.accuracy[(LINES.index(SCRATCH), *place)] = trained.last["val_top1"]
    return study


def source_labels(source):
    """Return the whole training part that a source's rows are counted in."""
    return replace(source, classes=None).open()[0]
