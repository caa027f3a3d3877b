"""Occlusion: what becomes of a network's answer as a square slides over the image (paper, sec. 4.2 and figure 7).

A square changes few pixels, and so only a window of every lower layer's maps. `patching` carries just these windows up.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import NodeError, ShapeError
from ..graph import INPUT, last_maps
from ..loss import softmax
from ..paths import arrays_of, save_result
from ..shapes import count, pair
from .patching import carry, filling
from .project import project, strongest_units
from .target import class_labels

SEVENTH = 7               # of the image's side is the square's, unless another is asked for


@dataclass
class Occlusion:
    """What becomes of one image's answer under a square at R × S positions: the data of figure 7.

    tops (R,), lefts (S,): the square's first row and column, which may lie outside of the image (height, width) = image;
    size: its height and width. For every position (R, S): probability of the class `label` (float64), its score, labels,
    the likeliest class, and activity, the sum of the map `map` of `layer`; of the image without a square: probability0,
    score0, label0, activity0. unit (row, col): where the map is strongest in the image (() for a feature); projections
    (1 + M, 3, H, W), RGB: the map's deconvnet projection from there, and from where it is strongest in M other images;
    pictures (1 + M, H, W, 3) uint8: those images, None where the network does not say how they were prepared.
    """

    tops: np.ndarray
    lefts: np.ndarray
    size: tuple
    stride: tuple
    image: tuple
    fill: str
    label: int
    probability: np.ndarray
    score: np.ndarray
    labels: np.ndarray
    probability0: float
    score0: float
    label0: int
    layer: str
    map: int
    unit: tuple
    activity: np.ndarray
    activity0: float
    projections: np.ndarray
    pictures: np.ndarray = None
    classes: list = None

    def name_of(self, label):
        """Return a class by name."""
        return self.classes[label] if self.classes is not None else f"class {label}"

    def worst(self):
        """Return (row, column) of the centre of the square under which the class is least probable; the first of equals."""
        i, j = np.unravel_index(self.probability.argmin(), self.probability.shape)
        return self.tops[i] + self.size[0] / 2, self.lefts[j] + self.size[1] / 2

    def relevance(self, of="probability"):
        """Return how much each pixel matters to the class, (H, W) float64: the mean drop under the squares over it.

        of: "probability", "score" (before the softmax) or "activity" (of the map). A drop below 0 is a rise. Pixels that no
        square covers, as a stride above the size leaves some, are 0.
        """
        if of not in ("probability", "score", "activity"):
            raise NodeError(f"relevance is of probability, score or activity, not {of!r}")
        drop = getattr(self, f"{of}0") - getattr(self, of)
        rows, columns = (_covering(*axis) for axis in zip((self.tops, self.lefts), self.size, self.image))
        return rows.T @ drop @ columns / np.maximum(rows.sum(axis=0)[:, None] * columns.sum(axis=0), 1)

    def save(self, folder, name="occlusion"):
        """Write <name>.npz (arrays) and <name>.json (settings, and what the image without a square gave) into `folder`."""
        arrays = arrays_of(self)
        row, column = self.worst()
        about = {key: value for key, value in vars(self).items() if key not in arrays and key != "classes"}
        about |= {"class": self.name_of(self.label), "worst": {"row": row, "column": column,
                                                              "probability": float(self.probability.min())}}
        return save_result(folder, name, arrays, about)


def occlude(net, x, size=None, stride=None, fill="mean", label=None, layer=None, batch=64, progress=iter, others=None):
    """Slide a square over one image x (1, 3, H, W), prepared inputs, and see what becomes of the answer: an Occlusion.

    size, stride: pixels, ints or (vertical, horizontal) pairs; by default a seventh of the shorter side, and a quarter of
    that. The squares' centres lie in the middles of cells of stride × stride that cover the image, so that every pixel is
    occluded as often; at the border squares are cut.
    fill: what the square holds: "mean", zero after preprocessing, which is the network's mean image or colour (black where
    that has none); "grey", 128 in all colours (the paper's); a grey level, or a colour (red, green, blue), of 0 to 255.
    label: the class asked about (default: the likeliest of the image). layer: whose strongest map is followed, by default
    the last maps (graph.last_maps), a ReLU mostly; strongest is the map with the largest total activity in the image.
    batch: positions computed together; `progress` wraps the iterable of batches. others (M, 3, H, W): prepared inputs of
    other images to project the map in.
    Only what a square changes is computed anew, layer by layer; the same as full forward passes within rounding. ShapeError
    for x of several images or what does not fit it; NodeError for a class or layer that the network does not have.
    """
    if getattr(x, "ndim", 0) != 4 or x.shape[0] != 1:
        raise ShapeError(f"occlude takes one image x (1, 3, H, W), got shape {getattr(x, 'shape', None)}")
    image = tuple(x.shape[2:])
    tops, lefts, size, stride = positions(image, size, stride)
    batch, layer = count(batch, "occlude: batch"), layer or last_maps(net)
    base = {INPUT: x, **dict(net.steps(x, want=(net.node(layer).name,)))}
    scores = base[net.output]
    label = int(class_labels(net, scores, label)[0])
    chosen = strongest_map(base[layer])
    _, row, column = (int(each[0, chosen]) for each in strongest_units(base[layer]))
    unit = (row, column) if base[layer].ndim == 4 else ()
    found, activity = carry(net, base, filling(net, x, fill), tops, lefts, size, layer, chosen, batch, progress)
    probability = softmax(found)
    scores0 = net.ops.to_numpy(scores).astype(np.float64)
    grid = len(tops), len(lefts)
    return Occlusion(
        tops, lefts, size, stride, image, fill if isinstance(fill, str) else str(fill), label,
        probability[:, label].reshape(grid), found[:, label].reshape(grid), found.argmax(axis=1).reshape(grid),
        float(softmax(scores0)[0, label]), float(scores0[0, label]), int(scores0.argmax()), layer, chosen, unit,
        activity.reshape(grid), _total(net, base[layer], chosen), *_projected(net, x, layer, chosen, unit, others),
        list(net.classes) if net.classes is not None else None)


def strongest_map(y):
    """Return the map, or feature, whose activations sum to most in the outputs y (1, C, ...) for one image."""
    return int(y.reshape(y.shape[1], -1).sum(axis=1).argmax())


def positions(image, size=None, stride=None):
    """Return where `occlude` lays squares on an image (H, W): tops (R,), lefts (S,), and size and stride as pairs."""
    size = pair(max(1, round(min(image) / SEVENTH)) if size is None else size, "occlude: size", 1)
    stride = pair(max(1, min(size) // 4) if stride is None else stride, "occlude: stride", 1)
    tops, lefts = (np.arange(-(-n // s)) * s + (n - -(-n // s) * s + s - k) // 2 for n, k, s in zip(image, size, stride))
    return tops, lefts, size, stride


def _covering(first, size, n):
    """Return which squares (rows) cover which of n pixels (columns), as ones and zeros."""
    pixels = np.arange(n)
    return ((pixels >= first[:, None]) & (pixels < first[:, None] + size)).astype(np.float64)


def _total(net, y, chosen):
    return float(net.ops.to_numpy(y[0, chosen]).sum(dtype=np.float64))


def _projected(net, x, layer, chosen, unit, others):
    """Return the projections of a map in x and the other images, in RGB, and the pictures of all these."""
    every = [project(net, x, layer, (chosen, *unit))]
    inputs = [x]
    if others is not None and len(others):
        others = net.ops.asarray(others, dtype=net.dtype)
        if others.shape[1:] != x.shape[1:]:
            raise ShapeError(f"occlude: the other images must be of the size of x, {tuple(x.shape[1:])}, "
                             f"got {tuple(others.shape[1:])}")
        every.append(project(net, others, layer, (chosen,)))
        inputs.append(others)
    r, inputs = (np.concatenate([net.ops.to_numpy(each) for each in parts]) for parts in (every, inputs))
    if net.preprocessing is None:
        return r, None
    return np.ascontiguousarray(net.preprocessing.in_rgb(r)), net.preprocessing.pixels(inputs)
