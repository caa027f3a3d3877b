"""Pictures as points: a layer's features of a whole data set, and which points lie nearest, there and in pixel space.

A network that has learned its classes puts pictures of one class together in its last hidden layer, whatever their colours
and poses; in pixel space the nearest picture is one of a similar background. `neighbours` shows both, and counts.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, NodeError, ShapeError
from ..paths import arrays_of, save_result
from ..shapes import count
from .ends import averaged_above, last_hidden

METRICS = ("euclidean", "cosine")
BLOCK = 1 << 22              # distances, or feature values, that are held at a time


@dataclass
class Features:
    """What a layer makes of N pictures: values (N, D) float32, and which pictures of the data set they are, indices (N,).

    pictures (N, H, W, 3) uint8: their crops as the network saw them, or None where they were not asked for.
    averaged: whether each map of the layer is one value, its average, instead of all its positions.
    """

    layer: str
    values: np.ndarray
    indices: np.ndarray
    averaged: bool = False
    pictures: np.ndarray = None

    def pixels(self):
        """Return the same pictures as points in pixel space: (N, H·W·3) uint8."""
        if self.pictures is None:
            raise DataError("the pictures of these features were not kept: gather(…, pictures=True)")
        return self.pictures.reshape(len(self.pictures), math.prod(self.pictures.shape[1:]))

    def save(self, folder):
        """Write features_<layer>.npz (values, indices) and .json into `folder`."""
        about = {"layer": self.layer, "averaged": self.averaged, "pictures": len(self.values),
                 "features": self.values.shape[1]}
        return save_result(folder, f"features_{self.layer}", {"values": self.values, "indices": self.indices}, about)


def features(net, batches, layer=None, average=None):
    """Return a layer's features of a data set, (N, D) float32, in the order of the batches; see `gather`."""
    return gather(net, batches, layer, average).values


def gather(net, batches, layer=None, average=None, pictures=False):
    """Pass a data set through the network once and keep what `layer` makes of every picture: Features.

    batches: an iterable of (x (n, 3, H, W) prepared inputs, indices (n,)). layer: any node (default: the last hidden one,
    from which the scores are computed). Maps (C, H, W) become D = C·H·W features, or with `average` the C averages over
    their positions; None averages where the network itself averages the maps higher up. pictures: keep the crops too.
    Memory is that of the result and one batch. DataError where there is not one picture.
    """
    layer = last_hidden(net) if layer is None else net.node(layer).name
    maps = len(net.shapes[layer]) == 3
    average = maps and bool(averaged_above(net, layer) if average is None else average)
    values, indices, crops = [], [], []
    for x, which in batches:
        x = net.ops.asarray(x, dtype=net.dtype)
        y = net.activations(x, layer)[layer]
        y = y.mean(axis=(2, 3)) if average else y.reshape(y.shape[0], math.prod(y.shape[1:]))
        values.append(net.ops.to_numpy(y).astype(np.float32))
        indices.append(np.array(which, np.int64))
        if pictures:
            crops.append(net.preprocessing.pixels(net.ops.to_numpy(x)))
    if not sum(map(len, indices)):
        raise DataError("there is no picture to take features of")
    return Features(layer, _joined(values), np.concatenate(indices), average, _joined(crops) if pictures else None)


def _joined(parts):
    """Concatenate along the first axis, letting go of each part once it is copied."""
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise ShapeError(f"features of images of different sizes, {' and '.join(map(str, sorted(shapes)))}, fit no one "
                         "table; average=True makes them as many")
    whole, start = np.empty((sum(map(len, parts)), *shapes.pop()), parts[0].dtype), 0
    for i, part in enumerate(parts):
        whole[start:start + len(part)] = part
        start, parts[i] = start + len(part), None
    return whole


def nearest(features, queries, k, metric="euclidean", progress=iter):
    """Return the k nearest rows of features (N, D) to some of its own rows: indices and distances, each (Q, k).

    queries: Q row numbers. Nearest first; a row is never its own neighbour, so there are at most N - 1 columns. Exact, in
    float64: rows that are equal are at equal distances, and of these the lower index comes first. metric: "euclidean", or
    "cosine", one minus the cosine of the angle (a row of zeros has no direction and is at 1 from all others). Memory does
    not grow with N·Q. `progress` wraps a list of parts of the queries (tqdm, say). DataError for features that are not
    finite, NodeError for a row that is not there.
    """
    features = table(features)
    queries = _rows(features, queries)
    if metric not in METRICS:
        raise DataError(f"there is no metric {metric!r}; use one of {', '.join(METRICS)}")
    N = len(features)
    k = min(count(k, "k"), N - 1)
    found = np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k))
    squares, step = _squares(features), max(1, BLOCK // N)
    for first in progress(range(0, len(queries) if k else 0, step)):
        part = queries[first:first + step]
        rough, bound = _rough(features, squares, part, metric)
        farthest = np.partition(rough, k - 1, axis=1)[:, k - 1]
        for q, row in enumerate(part):          # the products round: all that may be among the k are measured again
            near = np.flatnonzero(rough[q] <= farthest[q] + bound[q])
            exact = _exact(features, row, near, metric)
            best = np.argsort(exact, kind="stable")[:k]
            found[0][first + q], found[1][first + q] = near[best], exact[best]
    return found


def table(features):
    """Return features as an array (N, D), after refusing what is none, or not finite."""
    features = np.asarray(features)
    if features.ndim != 2 or not features.shape[0] or not features.shape[1] or features.dtype.kind not in "fiu":
        raise DataError(f"features are numbers (N, D), a row a picture, got {features.dtype} of shape {features.shape}")
    for rows in blocks(features):
        if not np.isfinite(features[rows]).all():
            wrong = rows.start + int(np.flatnonzero(~np.isfinite(features[rows]).all(axis=1))[0])
            raise DataError(f"the features of row {wrong} are not finite: the network may have diverged in training")
    return features


def blocks(features):
    """Yield slices of the rows of features (N, D), each of at most BLOCK values."""
    step = max(1, BLOCK // features.shape[1])
    for first in range(0, len(features), step):
        yield slice(first, min(first + step, len(features)))


def _rows(features, rows):
    """Return row numbers as int64, after refusing what is not among the rows of features."""
    rows = np.asarray(rows)
    if rows.ndim != 1 or (rows.dtype.kind not in "iu" and rows.size):
        raise NodeError(f"queries are row numbers (Q,), got {rows.dtype} of shape {rows.shape}")
    wrong = rows[(rows < 0) | (rows >= len(features))]
    if wrong.size:
        raise NodeError(f"there is no row {wrong[0]}: there are {len(features)}, 0 to {len(features) - 1}")
    return rows.astype(np.int64)


def _squares(features):
    """Return every row's squared length (N,), float64."""
    found = np.empty(len(features))
    for rows in blocks(features):
        part = features[rows].astype(np.float64)
        found[rows] = (part * part).sum(axis=1)
    return found


def _rough(features, squares, queries, metric):
    """Return distances (Q, N) by matrix products, squared where Euclidean, and how far each row of them may be off (Q,)."""
    own = features[queries].astype(np.float64)
    found = np.empty((len(queries), len(features)))
    for rows in blocks(features):
        found[:, rows] = own @ features[rows].astype(np.float64).T
    slack = 8 * np.finfo(np.float64).eps * (features.shape[1] + 8)
    if metric == "cosine":
        lengths = np.sqrt(squares)
        found /= np.maximum(lengths[queries][:, None] * lengths, np.finfo(np.float64).tiny)
        np.subtract(1, found, out=found)
        bound = np.full(len(queries), slack)
    else:
        found *= -2
        found += squares
        found += squares[queries][:, None]
        bound = slack * (squares[queries] + squares.max())
    found[np.arange(len(queries)), queries] = np.inf
    return found, bound


def _exact(features, query, rows, metric):
    """Return the distances (R,) of some rows from one, each computed by itself, so that equal rows are equally far."""
    own, found = features[query].astype(np.float64), np.empty(len(rows))
    zero = not own.any()
    own = own / np.sqrt(_square(own[None])) if metric == "cosine" and not zero else own
    step = max(1, BLOCK // features.shape[1])
    for first in range(0, len(rows), step):
        part = features[rows[first:first + step]].astype(np.float64)
        at = slice(first, first + len(part))
        if metric == "euclidean":
            found[at] = np.sqrt(_square(part - own))
        else:
            lengths = np.sqrt(_square(part))
            part /= np.where(lengths > 0, lengths, 1)[:, None]
            found[at] = np.where((lengths == 0) | zero, 1, _square(part - own) / 2)          # |a-b|² = 2 - 2 cos
    return found


def _square(rows):
    return (rows * rows).sum(axis=1)


@dataclass
class Neighbours:
    """The k nearest pictures of Q queries in a layer's feature space and in pixel space, all as indices of the data set.

    queries (Q,), found (Q, k), found_pixels (Q, k), with their distances, and the labels of each. share, share_pixels:
    the share of the k nearest that are of the query's class, over every picture (not only these queries); chance: what
    pictures taken at random would have.
    """

    layer: str
    metric: str
    queries: np.ndarray
    labels: np.ndarray
    found: np.ndarray
    found_labels: np.ndarray
    distances: np.ndarray
    found_pixels: np.ndarray
    found_pixels_labels: np.ndarray
    distances_pixels: np.ndarray
    share: float
    share_pixels: float
    chance: float
    counted: int

    def same(self):
        """Return which neighbours are of their query's class, in feature space and in pixel space: two bool (Q, k)."""
        return self.found_labels == self.labels[:, None], self.found_pixels_labels == self.labels[:, None]

    def save(self, folder):
        """Write neighbours_<layer>.npz and .json into `folder`."""
        about = {name: value for name, value in vars(self).items() if not isinstance(value, np.ndarray)}
        about |= {"k": self.found.shape[1], "queries": [
            {"picture": int(q), "same_class": int(a.sum()), "same_class_pixels": int(b.sum())}
            for q, a, b in zip(self.queries, *self.same())]}
        return save_result(folder, f"neighbours_{self.layer}", arrays_of(self), about)


def neighbours(found, labels, queries, k=8, metric="euclidean", limit=2000, progress=iter):
    """Find the k nearest pictures to some, in feature space and in pixel space, and count those of the same class.

    found: Features with their pictures. labels (N,): the classes of its rows. queries: row numbers. Pixels are compared by
    Euclidean distance. The shares are those of all rows, or of `limit` evenly spaced ones where there are more.
    """
    labels, queries = np.asarray(labels), _rows(found.values, queries)
    if labels.shape != (len(found.values),):
        raise ShapeError(f"{len(found.values)} pictures have {len(found.values)} labels, got shape {labels.shape}")
    counted = np.unique(np.linspace(0, len(labels) - 1, min(limit, len(labels))).round().astype(np.int64))
    asked, Q, results, shares = np.concatenate([queries, counted]), len(queries), [], []
    for space, kind in ((found.values, metric), (found.pixels(), "euclidean")):
        rows, distances = nearest(space, asked, k, kind, progress)
        same = labels[rows[Q:]] == labels[counted][:, None]
        shares.append(float(same.mean()) if same.size else 0.0)
        results += [found.indices[rows[:Q]], labels[rows[:Q]], distances[:Q]]
    sizes = np.unique(labels, return_counts=True)[1]
    chance = float((sizes * (sizes - 1)).sum() / max(1, len(labels) * (len(labels) - 1)))
    return Neighbours(found.layer, metric, found.indices[queries], labels[queries], *results, *shares, chance, len(counted))
