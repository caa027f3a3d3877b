"""How alike two maps are: the rank correlation of their pixels, and the structural similarity of their patches."""

import numpy as np

from ..errors import ShapeError

SIGMA, REACH = 1.5, 5            # Wang's window: a Gaussian of 1.5 pixels over 11 × 11
K1, K2 = 0.01, 0.03              # and the constants that keep its quotients from 0/0


def ranks(values):
    """Return each value's place in ascending order, from 1, shaped like `values`; equal values share their mean place."""
    _, inverse, counts = np.unique(np.asarray(values).ravel(), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse].reshape(np.shape(values))


def rank_correlation(a, b):
    """Return Spearman's rank correlation of two maps of one shape, -1 to 1: the correlation of their ranks.

    A constant map has no order. Two of them are alike, 1; one beside a map that has an order shares nothing with it, 0.
    """
    if np.shape(a) != np.shape(b):
        raise ShapeError(f"maps are compared pixel by pixel, got shapes {np.shape(a)} and {np.shape(b)}")
    return correlation_of_ranks(ranks(a), ranks(b))


def correlation_of_ranks(a, b):
    """Return the rank correlation of two maps whose `ranks` are known."""
    if np.array_equal(a, b):                             # exactly 1, whatever the order of the sums below
        return 1.0
    a, b = (each.ravel() - each.mean() for each in (a, b))
    both = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / both) if both else 0.0


def ssim(a, b):
    """Return the structural similarity of maps a and b (..., H, W), 0 or more: (...), 1 where they are the same.

    Wang et al. 2004 (doi 10.1109/TIP.2003.819861): luminance, contrast and structure within a Gaussian window around every
    pixel, averaged over the map. Each map is divided by its largest value first, so that only its form counts; one
    of zeros stays so. At the borders the window is cut and its weights sum to one again, so that maps of any size do.
    """
    if np.shape(a) != np.shape(b):
        raise ShapeError(f"maps are compared pixel by pixel, got shapes {np.shape(a)} and {np.shape(b)}")
    a, b = (_up_to_one(np.asarray(each, np.float64)) for each in (a, b))

    def mean(values):
        return smooth(np, values, SIGMA, REACH)

    ma, mb = mean(a), mean(b)
    va, vb, covariance = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = K1 ** 2, K2 ** 2
    return ((2 * (ma * mb) + c1) * (2 * covariance + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean(axis=(-2, -1))


def _up_to_one(maps):
    """Divide each map by its largest value; one of zeros stays so."""
    most = maps.max(axis=(-2, -1), keepdims=True)
    return maps / np.where(most > 0, most, 1)


def smooth(xp, values, sigma, reach=None):
    """Blur values (..., H, W), an array of the module xp, by a Gaussian of `sigma` pixels.

    It is cut after `reach` pixels (default: 3 sigma). At the borders the window's weights sum to one
    again: a constant stays what it is. Shape and dtype are kept.
    """
    reach = int(np.ceil(3 * sigma)) if reach is None else reach
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    for axis in (values.ndim - 2, values.ndim - 1):
        size = values.shape[axis]
        total, share = xp.zeros_like(values), np.zeros(size)
        for shift, weight in zip(range(-reach, reach + 1), weights.tolist()):
            to, of = _overlap(axis, size, shift)
            if abs(shift) < size:
                total[to] += weight * values[of]
                share[to[axis]] += weight
        shape = [1] * values.ndim
        shape[axis] = size
        values = total / xp.asarray(share.reshape(shape), dtype=values.dtype)
    return values


def _overlap(axis, size, shift):
    """Return the indices of what lies `shift` further on along an axis: where it goes, and where it is."""
    before = (slice(None),) * axis
    return ((*before, slice(max(0, -shift), min(size, size - shift))),
            (*before, slice(max(0, shift), min(size, size + shift))))
