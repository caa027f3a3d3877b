"""Projection of one unit down to the pixels: the deconvnet, the gradient and guided backpropagation.

Everything above the unit is cut off, every other activation of its layer is set to zero, and the rest goes down through
the layers by the sweep of `network`. But for where they start and for contrast normalization, the three rules differ only
at a ReLU (paper, sec. 2.1).
"""

import math

import numpy as np

from ..errors import NodeError, ShapeError
from ..ops.face import RULES


def project(net, x, layer, unit, rule="deconvnet", tape=None):
    """Project one unit of `layer` to the pixels, separately in each image of x (N, 3, H, W): (N, 3, H, W).

    layer: a node's name; "conv5" is the filter output, "relu5" the same after rectification.
    unit: (channel, row, col), or (channel,) for the map's strongest position in each image; where the layer has
    features instead of maps, (feature,) or an int. Each part may be an array of N, one for each image.
    rule: "deconvnet" starts from the unit's own activation value (the paper) and passes contrast normalization by; from a
    negative value, a filter output that a ReLU would stop, it shows what holds the unit down, inverted;
    "guided" starts from one and passes it by; "gradient" starts from one and goes through it.
    tape: of an earlier net.forward(x), which saves that pass. Raises NodeError for a layer or unit that the network
    does not have, naming what it has.
    """
    if rule not in RULES:
        raise NodeError(f"the rule {rule!r} does not exist; use one of {', '.join(RULES)}")
    net.node(layer)
    if tape is None:
        tape = net.tape_to(layer, x)
    elif tape.values["input"].shape != x.shape:
        raise ShapeError(f"the tape is of a pass over x of shape {tape.values['input'].shape}, got x of shape {x.shape}")
    elif tape.values["input"] is not x and not bool((tape.values["input"] == x).all()):
        raise ShapeError("the tape is of a pass over other images than x; make one with net.forward(x)")
    y = net.value(layer, tape)
    where = unit_index(net, layer, y, unit)
    r = net.ops.xp.zeros_like(y)
    r[where] = y[where] if rule == "deconvnet" else 1
    return net.project(layer, r, tape, rule)


def unit_index(net, layer, y, unit):
    """Return the index into y (N, C, H, W) or (N, D), the outputs of `layer`, that picks `unit` in each image."""
    xp, N, shape = net.ops.xp, y.shape[0], y.shape[1:]
    parts = [np.asarray(part) for part in (unit if isinstance(unit, (tuple, list)) else (unit,))]
    axes = ("channel", "row", "column") if len(shape) == 3 else ("feature",)
    if len(parts) not in ({1, 3} if len(shape) == 3 else {1}):
        form = "(channel,) or (channel, row, col)" if len(shape) == 3 else "(feature,)"
        raise NodeError(f"a unit of {layer} is {form}, got {len(parts)} numbers")
    for part, axis, size in zip(parts, axes, shape):
        if part.dtype.kind not in "iu" or part.shape not in ((), (N,)):
            raise NodeError(f"{layer}: the {axis} must be an int, or {N} ints for {N} images, "
                            f"got {part.dtype} of shape {part.shape}")
        if part.size and (part.min() < 0 or part.max() >= size):
            wrong = int(part.max() if part.max() >= size else part.min())
            raise NodeError(f"{layer} has no {axis} {wrong}: its output is {' × '.join(map(str, shape))}, "
                            f"so {axis}s run from 0 to {size - 1}")
    images = xp.arange(N)
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
