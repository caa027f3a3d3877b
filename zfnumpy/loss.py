"""Softmax and cross-entropy, on the arrays of any backend."""

import sys

import numpy as np

from .errors import DataError, ShapeError
from .shapes import check_dims, check_floats


def _module_of(array):
    """Return the array module that `array` belongs to: NumPy, or the package that defines its type."""
    return np if isinstance(array, np.ndarray) else sys.modules[type(array).__module__.partition(".")[0]]


def softmax(scores):
    """Map class scores (N, K) to probabilities (N, K); the largest score is taken off first, so nothing overflows."""
    check_floats("softmax", scores=scores)
    check_dims("softmax", scores, "scores", "N, K")
    e = _module_of(scores).exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_cross_entropy(scores, labels):
    """Return the mean over the batch of -log softmax(scores)[label], and its gradient by the scores.

    scores (N, K), labels (N,) integers below K. The loss is a float; dscores (N, K) = (softmax - one-hot) / N, in the
    scores' dtype. Scores of any size are safe: log Σ exp is taken after subtracting the maximum.
    """
    check_floats("softmax_cross_entropy", scores=scores)
    N, K = check_dims("softmax_cross_entropy", scores, "scores", "N, K")
    xp = _module_of(scores)
    if xp is np or not hasattr(labels, "dtype"):
        labels = np.asarray(labels)
    if tuple(labels.shape) != (N,):
        raise ShapeError(f"softmax_cross_entropy: labels must have shape {(N,)}, got {tuple(labels.shape)}")
    if N == 0:
        raise ShapeError("softmax_cross_entropy: the mean over an empty batch does not exist; pass over empty batches")
    if labels.dtype.kind not in "iu":
        raise DataError(f"softmax_cross_entropy: labels must be integers, got {labels.dtype}")
    if int(labels.min()) < 0 or int(labels.max()) >= K:
        raise DataError(f"softmax_cross_entropy: labels run from {int(labels.min())} to {int(labels.max())}, "
                        f"but there are {K} classes, 0 to {K - 1}")
    labels = xp.asarray(labels)
    shifted = scores - scores.max(axis=1, keepdims=True)
    e = xp.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    rows = xp.arange(N)
    loss = (xp.log(total)[:, 0] - shifted[rows, labels]).mean()
    dscores = e / total
    dscores[rows, labels] -= 1
    dscores /= N
    return float(loss), dscores          # read last: where a device computes, the host waits here, and has asked for both
