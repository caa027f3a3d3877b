"""Two proofs that a derivative is right: central differences in float64, and the adjoint (dot-product) test."""

from typing import NamedTuple

import numpy as np

from .errors import DTypeError, ShapeError


class Check(NamedTuple):
    """What a check saw: the derivative claimed and the one measured, and how far apart they are."""

    analytic: np.ndarray
    numeric: np.ndarray
    error: float          # max |analytic - numeric| / max(|analytic|, |numeric|) over all entries


def relative_error(a, b):
    """Return max |a - b| over the largest magnitude in either array of one shape (0 where both are all zero)."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ShapeError(f"arrays of shapes {a.shape} and {b.shape} cannot be compared entry by entry")
    if a.size == 0:
        return 0.0
    scale = max(np.abs(a).max(), np.abs(b).max())
    return float(np.abs(a - b).max() / scale) if scale else 0.0


def central_differences(f, x, step=1e-6):
    """Return the derivative of the scalar f() by every entry of the float64 array x, which f reads and is changed in turn.

    (f(x + h) - f(x - h)) / 2h errs by O(h²) from the third derivative and by ~1e-16 |f| / h from rounding; float32
    would leave three digits of it, so x must be float64. x is as it was afterwards. Cost: two calls of f an entry.
    """
    if x.dtype != np.float64:
        raise DTypeError(f"central differences need float64, got {x.dtype}")
    numeric = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        kept = x[i]
        x[i] = kept + step
        above = f()
        x[i] = kept - step
        below = f()
        x[i] = kept
        numeric[i] = (above - below) / (2 * step)
    return numeric


def check_full(f, x, analytic, step=1e-6):
    """Compare `analytic`, the claimed df/dx, with central differences in every entry. For small arrays."""
    numeric = central_differences(f, x, step)
    return Check(analytic, numeric, relative_error(analytic, numeric))


def check_projection(f, x, analytic, rng, directions=5, step=1e-6):
    """Compare derivatives along random directions u: <analytic, u> with (f(x + hu) - f(x - hu)) / 2h.

    Two calls of f a direction however large x is; a wrong entry shows unless u happens to be orthogonal to the error.
    """
    if x.dtype != np.float64:
        raise DTypeError(f"central differences need float64, got {x.dtype}")
    kept, claimed, measured = x.copy(), [], []
    for _ in range(directions):
        u = rng.standard_normal(x.shape)
        u /= np.linalg.norm(u) or 1.0
        x[...] = kept + step * u
        above = f()
        x[...] = kept - step * u
        below = f()
        x[...] = kept
        claimed.append(float(np.sum(analytic * u)))
        measured.append((above - below) / (2 * step))
    claimed, measured = np.array(claimed), np.array(measured)
    return Check(claimed, measured, relative_error(claimed, measured))


def check_adjoint(forward, adjoint, x, y):
    """Compare <A x, y> with <x, Aᵀ y> for a linear map and what claims to be its adjoint.

    The error is relative to |A x| |y| + |x| |Aᵀ y|, which does not vanish when the products happen to.
    """
    Ax, Aty = forward(x), adjoint(y)
    left, right = float(np.vdot(Ax, y)), float(np.vdot(x, Aty))
    norm = np.linalg.norm
    scale = norm(Ax) * norm(y) + norm(x) * norm(Aty)
    return Check(np.array(left), np.array(right), float(abs(left - right) / scale) if scale else 0.0)
