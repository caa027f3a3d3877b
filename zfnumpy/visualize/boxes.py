"""Boxes: around what a map marks (Zhou et al., 1512.04150, sec. 3.2), and how well two of them agree.

Boxes are (x0, y0, x1, y1) in pixels, half-open: x0 <= x < x1, so that x1 - x0 is the width.
"""

import numpy as np

from ..errors import ShapeError

RIGHT = 0.5          # intersection over union above which a box counts as right


def largest_box(map, threshold=0.2):
    """Return the box (4,) int64 around the largest connected part of map (H, W) above `threshold` of its maximum.

    Parts are 8-connected (see `components`); of equally large ones the first in row-major order counts. Where nothing is
    above zero there is no box: (0, 0, 0, 0). ShapeError for a threshold outside [0, 1).
    """
    map = np.asarray(map)
    if map.ndim != 2 or not map.size:
        raise ShapeError(f"a box is drawn around part of one map (H, W), got shape {map.shape}")
    if not 0 <= threshold < 1:
        raise ShapeError(f"the threshold is a share of the map's maximum, 0 or more and below 1, got {threshold}")
    highest = map.max()
    if not highest > 0:                                              # NaN neither
        return np.zeros(4, np.int64)
    return box_around(largest_part((map > threshold * highest) | (map == highest)))


def box_around(mask):
    """Return the box (4,) int64 around what is true in mask (H, W), four zeros where nothing is."""
    rows, columns = (np.flatnonzero(np.any(mask, axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros(4, np.int64)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def largest_part(mask):
    """Return the largest connected part of mask (H, W), bool; of equally large ones the first, see `components`."""
    labels = components(mask)
    sizes = np.bincount(labels.ravel(), minlength=2)[1:]
    return labels == 1 + sizes.argmax()


def components(mask):
    """Number the connected parts of mask (H, W) bool: (H, W) int64, 0 outside, from 1 in row-major order of first pixels.

    Pixels that touch at a side or at a corner are connected. Works on runs, the unbroken stretches of each row: a run joins
    all that it touches in the row above.
    """
    edges = np.diff(np.pad(np.asarray(mask, bool), ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = (edges == 1).nonzero()
    ends = (edges == -1).nonzero()[1]
    parent = list(range(len(rows)))

    def root(run):
        while parent[run] != run:
            parent[run] = run = parent[parent[run]]                  # halves the way for the next time
        return run

    above = 0                                                        # the first run that may touch this one
    for run, (row, start, end) in enumerate(zip(rows.tolist(), starts.tolist(), ends.tolist())):
        while rows[above] < row - 1 or (rows[above] == row - 1 and ends[above] < start):
            above += 1
        other = above
        while rows[other] == row - 1 and starts[other] <= end:
            a, b = sorted((root(run), root(other)))
            parent[b] = a
            other += 1
    roots = np.array([root(run) for run in range(len(rows))], np.int64)
    numbers = np.unique(roots, return_inverse=True)[1] + 1           # a root is its part's first run
    labels = np.zeros(np.shape(mask), np.int64)
    for row, start, end, number in zip(rows, starts, ends, numbers):
        labels[row, start:end] = number
    return labels


def iou(a, b):
    """Return the intersection over union of boxes a (..., 4) and b (..., 4), which broadcast: (...) float64.

    0 where both are empty, NaN where a box is NaN.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    inside = size.prod(axis=-1)
    union = _area(a) + _area(b) - inside
    return inside / np.where(union == 0, 1, union)


def best_centred_box(boxes, size):
    """Return the one box (4,) float64 in the middle of a picture that is right for most of `boxes` (N, 4): the baseline.

    size: (H, W) of the pictures. Widths and heights are tried in whole pixels, or in 128ths of longer sides; right is an
    intersection over union above 0.5, and of equally many the larger mean decides. Boxes of NaN are left out; ShapeError
    where none is left.
    """
    boxes, (H, W) = np.asarray(boxes, np.float64).reshape(-1, 4), size
    boxes = boxes[~np.isnan(boxes).any(axis=1)]
    if not len(boxes):
        raise ShapeError("there is no box to find the best centred one for")
    widths, heights = (np.linspace(1, n, min(n, 128)) for n in (W, H))
    best, found = (-1, -1), None
    for width in widths:
        tried = np.stack([(W - width) / 2 + 0 * heights, (H - heights) / 2, (W + width) / 2 + 0 * heights,
                          (H + heights) / 2], axis=1)
        each = iou(tried[:, None], boxes)
        rank = np.stack([(each > RIGHT).sum(axis=1), each.mean(axis=1)], axis=1)
        top = max(range(len(tried)), key=lambda k: tuple(rank[k]))
        if tuple(rank[top]) > best:
            best, found = tuple(rank[top]), tried[top]
    return found


def _area(boxes):
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1)
