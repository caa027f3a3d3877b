"""What class activation maps find without ever having seen a box (Zhou et al., 1512.04150, sec. 3.2 and 4.1).

Localization: the box around what the map marks against the true one. Recognition: a linear classifier on features of the
whole picture, of what is cut out by the box of the map of the network's first guess, and by the true box.
"""

from dataclasses import dataclass

import numpy as np

from ..data.dataset import Relabelled
from ..errors import DataError
from ..graph import class_names
from ..paths import arrays_of
from ..visualize import class_maps, has_cam, iou, largest_box
from ..visualize import localization as localize
from ..visualize.boxes import RIGHT
from ..visualize.ends import last_hidden
from ..visualize.localize import BASELINE, METHODS, TOP, Localization, rows_with_box
from .crops import Cropped, centred, in_picture, squares
from .features import layer_features
from .linear import fit
from .statistics import mean_deviation, standard_error
from .study import Claim, Study, Table

PAPER_TOP5 = 43.0                                                    # % error of GoogLeNet-GAP, ILSVRC validation
FULL, MIDDLE, FOUND, TRUE = INPUTS = ("full picture", "centred box", "box of the map", "true box")
PAPER_ACCURACY = {FULL: 63.0, FOUND: 67.8, TRUE: 70.5}               # %, GoogLeNet-GAP, CUB-200-2011
POOL = 100                   # training pictures of a class, at most


@dataclass
class Guesses:
    """What a network makes of N pictures by itself: its first guess and the box of that class's map.

    guessed (N,) int64, boxes (N, 4) float64 in the pictures' pixels, sizes (N, 2): H, W. -1 and NaN for a picture that
    cannot be read. A map that marks nothing gives the whole of what the network sees.
    """

    guessed: np.ndarray
    boxes: np.ndarray
    sizes: np.ndarray


@dataclass
class CamStudy(Study):
    """Boxes of several methods and what cutting pictures to them does to recognition.

    found: a visualize.Localization; guess: whether its maps are of the network's first guess, as the data's classes are
    not among the network's (then its errors are of the boxes alone). method: whose boxes the pictures are cut to. accuracy
    (4, R): of INPUTS, R draws of training pictures; accuracy_all (4,): of all training pictures. overlap (4, N): of what was
    cut by each with the true box, of the test pictures.
    """

    settings: dict
    found: Localization
    guess: bool
    method: str
    accuracy: np.ndarray
    accuracy_all: np.ndarray
    overlap: np.ndarray
    name = "localization"
    title = "Localization by class activation maps"
    source = "Zhou et al., 1512.04150, sec. 3.2 and 4.1"

    def arrays(self):
        return arrays_of(self.found) | super().arrays()

    def numbers(self):
        return {"rows": self.found.rows()}

    def tops(self):
        """Return the numbers of likeliest classes that an error is given for: 1 and 5, 1 alone where none can be wrong."""
        return (1,) if self.guess or len(self.found.classes) <= TOP else (1, TOP)

    def error(self, method, top=1):
        """Return the localization error of a method, %, and its standard error over the pictures."""
        return _percent(~self.found.localized(method, top))

    def known_by_size(self, method):
        """Return the share of right boxes, %, the class given, with its standard error: of the third of the pictures with
        the smallest true boxes, of the middle and of the largest."""
        size = (self.found.truth[:, 2:] - self.found.truth[:, :2]).prod(axis=1)
        right = self.found.overlap(method) > RIGHT
        return [_percent(right[rows]) for rows in np.array_split(np.argsort(size, kind="stable"), 3)]

    def best_error(self, method):
        """Return the lowest top-1 error of a method at any threshold on these very pictures, %."""
        return 100 * float(1 - self.found.localized_by_threshold()[self.found.methods.index(method)].max())

    def claims(self):
        ours, others = self.method, [m for m in self.found.methods if m == "saliency" and m != self.method]
        claims = []
        for other in (BASELINE, *others):
            gained = self.found.localized(ours).astype(float) - self.found.localized(other)
            mean, error = _percent(gained)
            baseline = other == BASELINE
            claims.append(Claim(
                f"Boxes of {ours} are right more often than {'the best centred box' if baseline else f'those of {other}'}.",
                f"GoogLeNet-GAP: top-5 error {PAPER_TOP5:.1f} % on ILSVRC validation" if baseline else "",
                f"{'wrong boxes' if self.guess else 'top-1 error'} {_told(self.error(ours))} against "
                f"{_told(self.error(other))}, better by {mean:.1f} ± {error:.1f} points"
                f"{'; maps of the first guess' if self.guess else ''}. At the threshold that is best on "
                f"these pictures, as the centred box is: {self.best_error(ours):.1f} %", bool(mean > 0)))
        if self.accuracy.size:
            mean = dict(zip(INPUTS, self.accuracy.mean(axis=1)))
            gains = [100 * (self.accuracy[INPUTS.index(b)] - self.accuracy[INPUTS.index(a)])
                     for a, b in ((FULL, FOUND), (FOUND, TRUE), (MIDDLE, FOUND))]
            told = ", ".join(f"{name} {mean_deviation(each, 1, True)}" for name, each in zip(INPUTS, self.accuracy))
            claims += [
                Claim("Features of what the map's box cuts out lie between those of the full picture and of the true box.",
                      ", ".join(f"{name} {value} %" for name, value in PAPER_ACCURACY.items()),
                      f"{told}; paired: box of the map - full picture {mean_deviation(gains[0], 1)} points, true box - box "
                      f"of the map {mean_deviation(gains[1], 1)}", bool(mean[FULL] < mean[FOUND] < mean[TRUE])),
                Claim("It is the place that helps: the map's box does better than a centred box of the same mean size.", "",
                      f"box of the map - centred box {mean_deviation(gains[2], 1)} points", bool(gains[2].mean() > 0))]
        return claims

    def tables(self):
        what = "the network's first guess" if self.guess else "the true class"
        tops = () if self.guess else self.tops()
        columns = ["boxes by", "threshold", *(f"top-{top} error, %" for top in tops), "box alone, %", "mean IoU",
                   "best threshold (box alone, %)"]
        rows = []
        for row in self.found.rows():
            threshold = row["threshold"]
            rows.append([row["method"], "–" if threshold is None else f"{threshold:g}",
                         *(_told(self.error(row["method"], top), "") for top in tops), f"{100 * row['known']:.1f}",
                         f"{row['mean_iou']:.3f}",
                         "–" if threshold is None else f"{row['best_threshold']:g} ({100 * row['best_known']:.1f})"])
        tables = [Table(f"Localization of {len(self.found.labels)} pictures; maps of {what}; right above an IoU of {RIGHT}; "
                        "± standard error over pictures", columns, rows)]
        if len(self.found.labels) >= 3:
            tables.append(Table("Right boxes, %, the class given, by the size of the object", [
                "boxes by", "smallest third", "middle third", "largest third"],
                [[method, *(_told(each, "") for each in self.known_by_size(method))]
                 for method in (*self.found.methods, BASELINE)]))
        if self.accuracy.size:
            known = np.isfinite(self.overlap).all(axis=0)
            tables.append(Table(
                f"Linear SVM on features of {self.settings['features']}: test pictures right, %, mean ± deviation over "
                f"{self.accuracy.shape[1]} draws of {self.settings['per class']} training pictures a class",
                ["features of the", "right, %", "with all training pictures", "box right (IoU above 0.5), %"],
                [[name, mean_deviation(each, 1, True), f"{100 * every:.1f}", f"{100 * (overlap[known] > RIGHT).mean():.1f}"]
                 for name, each, every, overlap in zip(INPUTS, self.accuracy, self.accuracy_all, self.overlap)]))
        return tables


def first_guesses(net, dataset, method="cam", threshold=None, batch=32, progress=iter):
    """Ask a network for its first guess in every picture, and for the box of that class's map: Guesses.

    The true classes are not used. method: of visualize.localize.METHODS; threshold: share of the map's maximum (default: the
    method's own). `progress` wraps the list of batches.
    """
    threshold, N = METHODS[method] if threshold is None else threshold, len(dataset)
    found = Guesses(np.full(N, -1), np.full((N, 4), np.nan), np.full((N, 2), np.nan))
    for rows in progress([range(i, min(i + batch, N)) for i in range(0, N, batch)]):
        kept, pictures = [], []
        for i in rows:
            try:
                pictures.append(dataset.image(i))
                kept.append(i)
            except DataError:
                continue
        if not kept:
            continue
        x = net.prepare(pictures)
        scores, tape = net.forward(x)
        found.guessed[kept] = net.ops.to_numpy(scores).argmax(axis=1)
        for i, picture, map in zip(kept, pictures, class_maps(net, x, found.guessed[kept], method, tape)):
            box, (h, w) = largest_box(map, threshold), map.shape
            found.sizes[i] = picture.shape[:2]
            found.boxes[i] = in_picture(box if box.any() else (0, 0, w, h), picture.shape[:2], net.preprocessing)
    return found


def study_localization(net, train, test, labelled=None, layer=None, per_class=20, draws=5, pool=POOL, seed=0, settings=None,
                       progress=lambda text: iter):
    """Localize the objects of `test`, and classify its pictures by what boxes cut out of them: a CamStudy.

    train, test: with `boxes`, under the data's own labels; labelled: `test` under the network's (None: maps are of the
    network's first guess). The classifier trains on `per_class` pictures of each class of `train`, `draws` times, of at most
    `pool` a class; an empty `train` leaves it out. layer: whose features, maps averaged (default: the last hidden layer).
    progress(text) wraps a list of batches. DataError where the data has no boxes, or fewer pictures of a class.
    """
    rows_with_box(test)
    method = "cam" if has_cam(net) else "gradcam"
    guesses = first_guesses(net, test, method, progress=progress("first guesses"))
    guess = labelled is None
    if guess:
        labelled = Relabelled(test, guesses.guessed, class_names(net))
    found = localize(net, labelled, progress=progress("localizing"))
    study = CamStudy(settings or {}, found, guess, method, np.zeros((4, 0)), np.zeros(4), np.zeros((4, 0)))
    if len(train):
        _classify(study, net, train, test, guesses, layer, per_class, draws, pool, seed, progress)
    return study


def _classify(study, net, train, test, guesses, layer, per_class, draws, pool, seed, progress):
    rng = np.random.default_rng(seed)
    layer = last_hidden(net) if layer is None else net.node(layer).name
    train = train.subset(_drawn(rows_with_box(train), train.labels, pool, rng))
    learnt = first_guesses(net, train, study.method, progress=progress("first guesses, training"))
    share = np.nanmean((learnt.boxes[:, 2:] - learnt.boxes[:, :2]) / learnt.sizes[:, ::-1], axis=0)
    x, labels, overlaps = [], [], None
    for part, known in ((train, learnt), (test, guesses)):
        H, W = known.sizes.T
        boxes = {FULL: np.stack([0 * W, 0 * H, W, H], axis=1), MIDDLE: centred(share, known.sizes), FOUND: known.boxes,
                 TRUE: np.asarray(part.boxes, np.float64)}
        overlaps = np.array([iou(each, boxes[TRUE]) for each in boxes.values()])
        shown = [part if name == FULL else Cropped(part, squares(each, known.sizes, net.preprocessing), name)
                 for name, each in boxes.items()]
        features = [layer_features(net, each, [layer], 1, progress=progress(f"features, {name}"))[layer]
                    for name, each in zip(INPUTS, shown)]
        kept = np.all([np.isfinite(each).all(axis=1) for each in features], axis=0)
        x.append([each[kept] for each in features])
        labels.append(np.asarray(part.labels)[kept])
    study.overlap = overlaps
    fewest = np.bincount(labels[0], minlength=len(train.classes)).min()
    if fewest < per_class:
        raise DataError(f"a class has {fewest} training pictures with a box, and {per_class} are asked for with --per-class")

    def right(k, rows):
        return float((fit(x[0][k][rows], labels[0][rows], seed=seed).predict(x[1][k]) == labels[1]).mean())

    drawn = [_drawn(np.arange(len(labels[0])), labels[0], per_class, rng) for _ in range(draws)]
    study.accuracy = np.array([[right(k, rows) for rows in progress(f"SVM, {name}")(drawn)]
                               for k, name in enumerate(INPUTS)])
    study.accuracy_all = np.array([right(k, slice(None)) for k in range(len(INPUTS))])
    study.settings |= {"features": layer, "per class": per_class, "draws": draws, "training pictures": len(labels[0]),
                       "test pictures": len(labels[1]), "share of the centred box": share.tolist()}


def _drawn(rows, labels, most, rng):
    """Draw at most so many of `rows` of every class: sorted rows."""
    mixed = rng.permutation(rows)
    return np.sort(np.concatenate([mixed[np.asarray(labels)[mixed] == k][:most] for k in np.unique(labels)]))


def _percent(values):
    """Return mean and standard error of values (N,), as %."""
    values = 100 * np.asarray(values, np.float64)
    return float(values.mean()), standard_error(values) if len(values) > 1 else 0.0


def _told(pair, unit=" %"):
    return f"{pair[0]:.1f} ± {pair[1]:.1f}{unit}"


def shown_inputs(net, test, study, count=4):
    """Return rows of (text, picture (crop, crop, 3) uint8) pairs: test pictures as each of INPUTS shows them to the network.

    None where nothing was classified. Pictures evenly spaced among those that can be read.
    """
    rows = []
    for i in np.linspace(0, len(test) - 1, min(count, len(test)) if study.accuracy.size else 0).round().astype(int).tolist():
        guesses = first_guesses(net, test.subset([i]), study.method)
        if guesses.guessed[0] < 0:
            continue
        boxes = (None, centred(study.settings["share of the centred box"], guesses.sizes), guesses.boxes, test.boxes[[i]])
        parts = [test.subset([i]) if each is None else
                 Cropped(test.subset([i]), squares(each, guesses.sizes, net.preprocessing), "box") for each in boxes]
        x = net.ops.to_numpy(net.prepare([part.image(0) for part in parts]))
        rows.append(list(zip(INPUTS, net.preprocessing.pixels(x))))
    return rows
