"""Projection of one unit down to the pixels: the deconvnet, the gradient and guided backpropagation.

Everything above the unit is cut off, every other activation of its layer is set to zero, and the rest goes down through
the layers by the sweep of `network`. But for where they start and for contrast normalization, the three rules differ only
at a ReLU (paper, sec. 2.1). `project` takes whole maps through the layers, one unit an image; `project_units` only what
each unit can reach, for many at once.
"""

import math

import numpy as np

from ..errors import NodeError, ShapeError
from ..graph import INPUT
from ..layers.boxes import Boxes
from ..ops.face import RULES
from ..shapes import Windows, count


def project(net, x, layer, unit, rule="deconvnet", tape=None, start=None):
    """Project one unit of `layer` to the pixels, separately in each image of x (N, 3, H, W): (N, 3, H, W).

    layer: a node's name; "conv5" is the filter output, "relu5" the same after rectification.
    unit: (channel, row, col), or (channel,) for the map's strongest position in each image; where the layer has
    features instead of maps, (feature,) or an int. Each part may be an array of N, one for each image.
    rule: "deconvnet" starts from the unit's own activation value (the paper) and passes contrast normalization by; from a
    negative value, a filter output that a ReLU would stop, it shows what holds the unit down, inverted;
    "guided" starts from one and passes it by; "gradient" starts from one and goes through it.
    tape: of an earlier net.forward(x), which saves that pass. start: a number, or N, to start from instead. Raises
    NodeError for a layer or unit that the network does not have, naming what it has.
    """
    _check(net, layer, rule)
    tape = checked_tape(net, x, layer, tape)
    y = net.value(layer, tape)
    where = unit_index(net, layer, y, unit)
    r = net.ops.xp.zeros_like(y)
    if start is None:
        start = y[where] if rule == "deconvnet" else 1
    r[where] = start
    return net.project(layer, r, tape, rule)


def checked_tape(net, x, layer, tape=None):
    """Return the tape of a pass over x as far as `layer`, one that is given if it is of x; ShapeError if it is not."""
    if tape is None:
        return net.tape_to(layer, x)
    if tape.values[INPUT].shape != x.shape:
        raise ShapeError(f"the tape is of a pass over x of shape {tape.values[INPUT].shape}, got x of shape {x.shape}")
    if tape.values[INPUT] is not x and not bool((tape.values[INPUT] == x).all()):
        raise ShapeError("the tape is of a pass over other images than x; make one with net.forward(x)")
    return tape


def project_units(net, tape, layer, images, units, rule="deconvnet", batch=144):
    """Project P units of `layer` to the pixels, each in one image of the pass that made `tape`: (P, 3, H, W).

    images: P ints, rows of the tape; the rest as for `project`, each part of a unit an int or P ints. The same as `project`
    of each by itself, within rounding; but each layer computes only the unit's window, `batch` units together, so that
    hundreds of units share one pass forward. Memory above the result is that of one batch. NodeError for an image that
    the tape does not hold, and whatever `project` refuses; ShapeError for a batch below 1.
    """
    (y, where), batch = _units(net, tape, layer, images, units, rule), count(batch, "batch")
    out = net.ops.xp.zeros((len(where[0]), *tape.values[INPUT].shape[1:]), dtype=y.dtype)
    for first in range(0, len(out), batch):
        boxes, corners = _project_boxes(net, tape, layer, y, [part[first:first + batch] for part in where], rule)
        for whole, box, corner in zip(out[first:first + batch], boxes, corners):
            lay(whole, (0, 0), box, corner)
    return out


def project_boxes(net, tape, layer, images, units, rule="deconvnet"):
    """Project P units as project_units does, all together, and return only their windows in the image.

    Returns boxes (P, 3, h, w), which hold everything that is not zero, and corners (P, 2), int64 of NumPy: the pixel where
    each begins. A box may leave the image, and is zero there.
    """
    return _project_boxes(net, tape, layer, *_units(net, tape, layer, images, units, rule), rule)


def lay(out, at, box, corner):
    """Copy into out (C, H, W), a window that begins at `at`, what of it box (C, h, w), beginning at `corner`, holds."""
    spans = []
    for a, b, n, m in zip(at, corner, out.shape[1:], box.shape[1:]):
        first, last = max(a, b), max(min(a + n, b + m), max(a, b))
        spans.append((slice(first - a, last - a), slice(first - b, last - b)))
    (rows, box_rows), (columns, box_columns) = spans
    out[:, rows, columns] = box[:, box_rows, box_columns]


def _check(net, layer, rule):
    """Refuse a rule that does not exist, or a layer that the network does not have."""
    if rule not in RULES:
        raise NodeError(f"the rule {rule!r} does not exist; use one of {', '.join(RULES)}")
    net.node(layer)


def _units(net, tape, layer, images, units, rule):
    """Return the outputs y of `layer` and the index into them of every unit, after checking all arguments."""
    _check(net, layer, rule)
    y, images = net.value(layer, tape), np.asarray(net.ops.to_numpy(images))
    if images.dtype.kind not in "iu" or images.ndim != 1:
        raise NodeError(f"{layer}: images must be a list of ints, got {images.dtype} of shape {images.shape}")
    if images.size and (images.min() < 0 or images.max() >= tape.batch):
        wrong = int(images.max() if images.max() >= tape.batch else images.min())
        raise NodeError(f"{layer}: the tape has no image {wrong}: it is of {tape.batch}, from 0 to {tape.batch - 1}")
    return y, unit_index(net, layer, y, units, images)


def _project_boxes(net, tape, layer, y, where, rule):
    xp, P = net.ops.xp, len(where[0])
    images, _, *place = (net.ops.to_numpy(part).astype(np.int64) for part in where)
    r = xp.zeros((P, *y.shape[1:2], *[1] * len(place)), dtype=y.dtype)
    r[(xp.arange(P), where[1], *[0] * len(place))] = y[tuple(where)] if rule == "deconvnet" else 1
    at = Windows(images, np.stack(place, axis=1), (1, 1), tuple(y.shape[2:])) if place else None
    found = net.project(layer, Boxes(net.ops, r, images, at), tape, rule)
    return found.values(), found.at.corners


def unit_index(net, layer, y, unit, images=None):
    """Return the index into y (N, C, H, W) or (N, D), the outputs of `layer`, that picks `unit` in each image.

    images: which of the N, one for each part of the unit (default: every one).
    """
    xp, shape = net.ops.xp, y.shape[1:]
    images, what = (np.arange(y.shape[0]), "images") if images is None else (images, "units")
    N = len(images)
    parts = [np.asarray(net.ops.to_numpy(part)) for part in (unit if isinstance(unit, (tuple, list)) else (unit,))]
    axes = ("channel", "row", "column") if len(shape) == 3 else ("feature",)
    if len(parts) not in ({1, 3} if len(shape) == 3 else {1}):
        form = "(channel,) or (channel, row, col)" if len(shape) == 3 else "(feature,)"
        raise NodeError(f"a unit of {layer} is {form}, got {len(parts)} numbers")
    for part, axis, size in zip(parts, axes, shape):
        if part.dtype.kind not in "iu" or part.shape not in ((), (N,)):
            raise NodeError(f"{layer}: the {axis} must be an int, or {N} ints for {N} {what}, "
                            f"got {part.dtype} of shape {part.shape}")
        if part.size and (part.min() < 0 or part.max() >= size):
            wrong = int(part.max() if part.max() >= size else part.min())
            raise NodeError(f"{layer} has no {axis} {wrong}: its output is {' × '.join(map(str, shape))}, "
                            f"so {axis}s run from 0 to {size - 1}")
    images = xp.asarray(images)
    parts = [xp.broadcast_to(xp.asarray(part), (N,)) for part in parts]
    if len(parts) < len(shape):
        maps = y[images, parts[0]].reshape(N, shape[1] * shape[2])
        best = maps.argmax(axis=1) if N else xp.zeros(0, dtype=xp.int64)
        parts += [best // shape[2], best % shape[2]]
    return (images, *parts)


def strongest_units(y):
    """Return (values, rows, cols), each (N, C): the strongest activation of every map of y (N, C, H, W), and where.

    Features (N, D) are maps of one unit each. Ties go to the first in row-major order.
    """
    N, C = y.shape[:2]
    W = y.shape[3] if y.ndim == 4 else 1
    maps = y.reshape(N, C, math.prod(y.shape[2:]))
    best = maps.argmax(axis=2)
    values = maps.max(axis=2)
    return values, best // W, best % W
