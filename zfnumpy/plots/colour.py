"""Numbers as colours: maps that survive colour blindness and a grey printer, over a picture or alone."""

import numpy as np

MAP = "viridis"          # for what is not negative; perceptually even, told apart by every kind of colour vision
SIGNED = "PuOr_r"        # for signed values: purple below zero, white at it, orange above


def heat(values, low=None, high=None, name=MAP):
    """Map values (..., H, W) to pictures uint8 (..., H, W, 3), from `low` (default: the least) to `high` (the largest).

    A map of one value throughout takes the colour of the lowest; what is not finite is middle grey.
    """
    import matplotlib

    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    known = values[finite] if finite.any() else np.zeros(1)
    low, high = known.min() if low is None else low, known.max() if high is None else high
    unit = np.where(finite, values - low, 0) / (high - low if high > low else 1)
    coloured = matplotlib.colormaps[name](np.clip(unit, 0, 1), bytes=True)[..., :3].copy()
    coloured[~finite] = 128
    return coloured


def overlay(pictures, values, low=None, high=None, name=MAP, alpha=0.6):
    """Lay heat(values (..., H, W)) over the same pictures uint8 (..., H, W, 3) in grey, `alpha` of it: uint8."""
    grey = pictures.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)
    mixed = (1 - alpha) * grey[..., None] + alpha * heat(values, low, high, name)
    return np.rint(mixed).astype(np.uint8)


def brightest(values, percentile=99.5):
    """Return the value (...) up to which maps (..., H, W), not negative, are drawn: a few hot pixels leave the rest visible.

    That percentile, or the maximum of a map with less than that share of positive pixels.
    """
    high = np.percentile(values, percentile, axis=(-2, -1))
    return np.where(high > 0, high, values.max(axis=(-2, -1)))


def grey(values):
    """Map values (..., H, W) to grey pictures uint8 (..., H, W, 3), each map from zero, black, to its own maximum, white."""
    values = np.maximum(np.asarray(values, np.float64), 0)
    highest = values.max(axis=(-2, -1), keepdims=True)
    unit = values / np.where(highest > 0, highest, 1)
    return np.repeat(np.rint(255 * unit).astype(np.uint8)[..., None], 3, axis=-1)
