"""Localization without boxes to learn from: how often the box around what a map marks is the true one.

Zhou et al., 1512.04150, sec. 3.2: the map of the class, cut at a share of its maximum; the box around the largest part that
is left; right where the intersection over union with the true box is above 0.5.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DataError, NodeError
from ..paths import arrays_of, save_result, save_rows
from .ascent import apart, gaussian
from .boxes import RIGHT, best_centred_box, iou, largest_box
from .cam import cam, gradcam, has_cam
from .saliency import saliency

# Each with the share of the maximum at which it is cut: CAM's of its paper, Grad-CAM's of its own (sec. 4.1); the saliency
# map marks edges and so is cut where that did best on the training pictures of two sets.
METHODS = {"cam": 0.2, "gradcam": 0.15, "saliency": 0.2}
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
BASELINE = "centred box"
TOP = 5                      # likeliest classes, each with a box of its own, of which the true one may be any
SPREAD = 1 / 32              # of the picture's side: the standard deviation that a saliency map is smoothed by


@dataclass
class Localization:
    """What boxes several methods drew in N pictures, in pixels of the centre crop.

    overlaps (M, T, N): intersection over union with the true box, of M methods at T thresholds. boxes (M, N, 4): those at
    a method's own threshold, `chosen` (M,). truth (N, 4), cut to the crop; labels, predicted, indices (N,): true class,
    the network's, and the picture's place in the data set; ranks (N,): how many classes the network finds likelier than the
    true one. Maps are those of the true class. centred (4,): the middle box that is right most often. size: (H, W) of the
    crop. without_box counts pictures that have none, or none in the crop.
    """

    methods: tuple
    thresholds: np.ndarray
    chosen: np.ndarray
    overlaps: np.ndarray
    boxes: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    ranks: np.ndarray
    indices: np.ndarray
    centred: np.ndarray
    size: tuple
    classes: list
    without_box: int = 0
    skipped: list = field(default_factory=list)

    def overlap(self, method):
        """Return the intersection over union (N,) of a method's boxes, "centred box" for that of the baseline."""
        if method == BASELINE:
            return iou(self.centred, self.truth)
        m = self.methods.index(method)
        return self.overlaps[m, self.thresholds.tolist().index(self.chosen[m])]

    def localized(self, method, top=1):
        """Tell of each picture (N,) whether its class is among the `top` likeliest and the box of that class is right."""
        return (self.ranks < top) & (self.overlap(method) > RIGHT)

    def rows(self):
        """Return a dict a method, the centred box last.

        localized: the share of pictures whose class is right and whose box is; localized_top5: whose true class is among the
        five likeliest and whose box, that of the true class among theirs, is right; known: whose box is right, the class
        being given; error, error_top5: 1 - localized, 1 - localized_top5, the figures of the paper's table 2; mean_iou;
        best_threshold: the one with the most right boxes on these very pictures, and best_known that share. None where a
        method has no threshold.
        """
        rows = []
        for method in (*self.methods, BASELINE):
            overlap, row = self.overlap(method), {"method": method, "threshold": None}
            localized, top5 = (float(self.localized(method, top).mean()) for top in (1, TOP))
            row |= {"localized": localized, "localized_top5": top5, "known": float((overlap > RIGHT).mean()),
                    "error": 1 - localized, "error_top5": 1 - top5, "mean_iou": float(overlap.mean()),
                    "best_threshold": None, "best_known": None}
            if method in self.methods:
                m = self.methods.index(method)
                known = self.known_by_threshold()[m]
                row |= {"threshold": float(self.chosen[m]), "best_threshold": self.best_thresholds()[method],
                        "best_known": float(known.max())}
            rows.append(row)
        return rows

    def known_by_threshold(self):
        """Return the share of right boxes (M, T), the class being given."""
        return (self.overlaps > RIGHT).mean(axis=2)

    def localized_by_threshold(self, top=1):
        """Return the share of pictures with the right class, among the `top` likeliest, and the right box (M, T).

        One minus it is the paper's error.
        """
        return ((self.overlaps > RIGHT) & (self.ranks < top)).mean(axis=2)

    def best_thresholds(self):
        """Return {method: the threshold with the most right boxes}, to measure other pictures with."""
        return {method: float(self.thresholds[known.argmax()])
                for method, known in zip(self.methods, self.known_by_threshold())}

    def save(self, folder):
        """Write localization.npz (all arrays), .json (tables) and .csv (the rows) into `folder`."""
        by_threshold = {method: {"known": known.tolist(), "error": (1 - localized).tolist()} for method, known, localized
                        in zip(self.methods, self.known_by_threshold(), self.localized_by_threshold())}
        about = {"images": len(self.labels), "without_box": self.without_box, "skipped": self.skipped,
                 "top1": float((self.predicted == self.labels).mean()), "size": list(self.size), "centred_box": self.centred,
                 "rows": self.rows(), "thresholds": self.thresholds, "by_threshold": by_threshold}
        save_result(folder, "localization", arrays_of(self), about)
        save_rows(Path(folder, "localization.csv"), self.rows())


def localization(net, dataset, methods=None, thresholds=None, batch=32, progress=iter):
    """Draw a box into every picture of a data set that has true ones, by several methods, and compare: a Localization.

    dataset: data.TinyImageNet, data.sketches, or any with `boxes` (N, 4), NaN for none, and the network's classes.
    methods: of METHODS (default: all that the network allows). thresholds: {method: its own}, others than those of
    METHODS. `progress` wraps the list of batches. DataError where no picture has a box, NodeError for another method.
    """
    methods = tuple(m for m in METHODS if m != "cam" or has_cam(net)) if methods is None else tuple(methods)
    unknown = [m for m in (*methods, *(thresholds or ())) if m not in METHODS]
    if unknown or not methods:
        raise NodeError(f"there is no way to localize named {unknown[0] if unknown else 'nothing'!r}; there are "
                        f"{', '.join(METHODS)}")
    chosen = np.array([(thresholds or {}).get(m, METHODS[m]) for m in methods], np.float64)
    tried = np.unique(np.concatenate([THRESHOLDS, chosen]))
    if len(dataset.classes) != net.shapes[net.output][0]:
        raise DataError(f"the network tells {net.shapes[net.output][0]} classes apart, the data set has "
                        f"{len(dataset.classes)}")
    with_box, parts, skipped = rows_with_box(dataset), [], []
    for rows in progress([with_box[i:i + batch] for i in range(0, len(with_box), batch)]):
        kept, pictures, truth = _usable(net.preprocessing, dataset, rows, skipped)
        if kept:
            parts.append((kept, truth, *_batch(net, pictures, dataset.labels[kept], methods, tried)))
    if not parts:
        raise DataError(f"none of {len(with_box)} pictures with a box could be used"
                        + (f"; the first: {skipped[0][1]}" if skipped else ": all boxes lie outside the crop"))
    indices, truth, predicted, ranks = (np.concatenate([part[k] for part in parts]) for k in range(4))
    drawn = np.concatenate([part[4] for part in parts], axis=2)                          # (M, T, N, 4)
    own, size = [tried.tolist().index(c) for c in chosen], (net.preprocessing.crop,) * 2
    return Localization(methods, tried, chosen, iou(drawn, truth), drawn[np.arange(len(methods)), own], truth,
                        np.asarray(dataset.labels)[indices], predicted, ranks, indices, best_centred_box(truth, size), size,
                        list(dataset.classes), len(dataset) - len(skipped) - len(indices), skipped)


def true_box(dataset, i, preprocessing, size):
    """Return the true box (4,) of a data set's picture i, of `size` (H, W), cut to its crop, empty where it lies outside.

    None where the data set, or this picture, has no box.
    """
    boxes = getattr(dataset, "boxes", None)
    if boxes is None or np.isnan(boxes[i]).any():
        return None
    return preprocessing.to_crop(boxes[i], size).clip(0, preprocessing.crop)


def class_maps(net, x, labels, method, tape=None):
    """Return the maps (N, H, W), NumPy, that a method of METHODS draws its boxes by.

    Saliency is smoothed by a Gaussian of a 32nd of the picture's side: it marks edges, which are to become one part.
    """
    if method == "saliency":
        maps = saliency(net, x, labels, tape)
        return apart([gaussian(n, SPREAD * max(x.shape[2:])).astype(maps.dtype) for n in maps.shape[1:]], maps)
    return {"cam": cam, "gradcam": gradcam}[method](net, x, labels, tape=tape).upsampled()


def _batch(net, pictures, labels, methods, thresholds):
    """Return the classes predicted (n,), the true ones' ranks (n,) and the boxes (M, T, n, 4) of some pictures."""
    x = net.prepare(pictures)
    scores, tape = net.forward(x)
    values = net.ops.to_numpy(scores)
    ranks = (np.argsort(-values, axis=1, kind="stable") == np.asarray(labels)[:, None]).argmax(axis=1)
    maps = [class_maps(net, x, labels, method, tape) for method in methods]
    boxes = np.array([[[largest_box(map, t) for map in each] for t in thresholds] for each in maps])
    return values.argmax(axis=1), ranks, boxes


def rows_with_box(dataset):
    boxes = getattr(dataset, "boxes", None)
    rows = [] if boxes is None else (~np.isnan(boxes).any(axis=1)).nonzero()[0]
    if not len(rows):
        raise DataError("the data set has no true boxes to compare with; Tiny-ImageNet's layout, "
                        "CUB-200-2011's and the sketches have")
    return rows


def _usable(preprocessing, dataset, rows, skipped):
    """Return (indices, pictures, boxes cut to the crop) of those that can be read and whose box is in the crop."""
    found = []
    for i in rows.tolist():
        try:
            picture = dataset.image(i)
        except DataError as error:
            skipped.append((dataset.name(i), str(error)))
            continue
        box = true_box(dataset, i, preprocessing, picture.shape[:2])
        if (box[2:] > box[:2]).all():
            found.append((i, picture, box))
    return [list(each) for each in zip(*found)] or ([], [], [])
