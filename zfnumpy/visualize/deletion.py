"""Delete pixels in order of relevance, or bring them back, and watch the class's probability.

Petsiuk et al. (RISE, 1806.07421, sec. 4.3). Where a map is right about the network, deleting what it calls relevant makes
the class fall soon (a small area under the curve), and inserting it makes the class rise soon (a large one).
"""

from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError
from ..shapes import count
from .patching import filling
from .similarity import smooth
from .target import class_labels

STEPS = 32
BLUR = 1 / 12                    # of the shorter side: the Gaussian after which little can be recognised
FILLS = ("mean", "grey", "blur")


@dataclass
class PerturbationCurve:
    """The probability of a class while pixels are exchanged, most relevant first.

    kind "deletion": the picture's pixels for the fill's; "insertion": the fill's for the picture's. shares (S + 1,): of
    pixels exchanged, 0 to 1; probabilities (N, S + 1); labels (N,); fill: what stands for a pixel that is not there.
    """

    kind: str
    shares: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    fill: str

    def area(self):
        """Return the area under each picture's curve (N,), by trapezia: 0 to 1, the mean probability on the way."""
        p = self.probabilities
        return ((p[:, 1:] + p[:, :-1]) / 2 * np.diff(self.shares)).sum(axis=1)


def deletion(net, x, relevance, label=None, fill="mean", steps=STEPS, batch=64, seed=0, progress=iter):
    """Delete the pixels of x (N, 3, H, W) by relevance (N, H, W), the largest first: a PerturbationCurve of S = steps.

    fill: what a deleted pixel becomes, "mean", "grey" or a colour as for `occlude`; or "blur", that of the picture blurred
    by a twelfth of its side. Equal relevances are deleted in an order drawn with `seed`, so a constant map is deleted at
    random. label: None for the strongest class, an int, or N ints. `batch` pictures are passed forward at once;
    `progress` wraps the batches.
    """
    return _curve("deletion", net, x, relevance, label, fill, steps, batch, seed, progress)


def insertion(net, x, relevance, label=None, fill="blur", steps=STEPS, batch=64, seed=0, progress=iter):
    """Bring the pixels of x (N, 3, H, W) back onto the blurred pictures by relevance (N, H, W); the rest as `deletion`."""
    return _curve("insertion", net, x, relevance, label, fill, steps, batch, seed, progress)


def filled(net, x, fill):
    """Return what stands for the pixels of x (N, 3, H, W) that are not there, shaped like x (see `deletion`)."""
    if isinstance(fill, str) and fill == "blur":
        return smooth(net.ops.xp, x, max(1.0, BLUR * min(x.shape[2:])))
    return net.ops.xp.broadcast_to(filling(net, x, fill), x.shape)


def places(relevance, seed=0):
    """Return each pixel's place, from 0, in the order of falling relevance (N, H, W); ties are drawn. int64, same shape."""
    relevance, rng = np.asarray(relevance), np.random.default_rng(seed)
    if not np.isfinite(relevance).all():
        raise ShapeError("pixels cannot be ordered by a relevance that is not finite")
    tied = rng.random(relevance[:1].size)                # one draw for all: a picture's order depends on its map alone
    found = np.empty((len(relevance), tied.size), np.int64)
    for row, values in zip(found, relevance.reshape(len(relevance), tied.size)):
        row[np.lexsort((tied, -values))] = np.arange(tied.size)
    return found.reshape(relevance.shape)


def _curve(kind, net, x, relevance, label, fill, steps, batch, seed, progress):
    N, _, H, W = x.shape
    if np.shape(relevance) != (N, H, W):
        raise ShapeError(f"{N} pictures of {H} × {W} pixels need relevances {(N, H, W)}, got {np.shape(relevance)}")
    steps, batch, ops = count(steps, "steps"), count(batch, "batch"), net.ops
    labels, other = class_labels(net, net.scores(x), label), filled(net, x, fill)
    order = places(relevance, seed)
    exchanged = np.rint(np.linspace(0, H * W, steps + 1)).astype(np.int64)
    found = np.zeros(N * (steps + 1))
    for first in progress(range(0, len(found), batch)):
        images, step = np.divmod(np.arange(first, min(first + batch, len(found))), steps + 1)
        gone = ops.asarray((order[images] < exchanged[step][:, None, None])[:, None])
        images_there = ops.asarray(images)
        before, after = (x, other) if kind == "deletion" else (other, x)
        frames = ops.xp.where(gone, after[images_there], before[images_there])
        p = ops.to_numpy(net.probabilities(frames))
        found[first:first + len(images)] = p[np.arange(len(images)), labels[images]]
    return PerturbationCurve(kind, exchanged / (H * W), found.reshape(N, steps + 1), labels, str(fill))
