"""Receptive fields: which pixels a unit can see."""

from typing import NamedTuple

from .graph import INPUT
from .layers import Flatten, GlobalAvgPool, Linear


class ReceptiveField(NamedTuple):
    """Where a node's units look: unit (row, col) sees `size` pixels from start + jump × (row, col).

    Each is a pair, vertical and horizontal.
    A start below 0 lies in the padding. jump (0, 0): every unit sees the whole image.
    """

    size: tuple
    jump: tuple
    start: tuple

    def box(self, row=0, col=0):
        """Return (top, left, bottom, right) of a unit's field in pixels, half-open, uncut: it may leave the image."""
        top, left = self.start[0] + self.jump[0] * row, self.start[1] + self.jump[1] * col
        return top, left, top + self.size[0], left + self.size[1]

    def __str__(self):
        return f"{self.size[0]} × {self.size[1]}" + ("" if any(self.jump) else " (all)")


def receptive_fields(nodes, input_shape):
    """Return {name: ReceptiveField} for nodes in order, from the windows of their layers."""
    whole = ReceptiveField(tuple(input_shape[1:]), (0, 0), (0, 0))
    fields = {INPUT: ReceptiveField((1, 1), (1, 1), (0, 0))}
    for node in nodes:
        below = [fields[name] for name in node.inputs]
        if isinstance(node.layer, (Flatten, GlobalAvgPool, Linear)) or whole in below:
            fields[node.name] = whole
        elif node.layer.window():
            fields[node.name] = _through(below[0], *node.layer.window())
        else:
            fields[node.name] = _union(below)
    return fields


def _through(field, size, stride, pad):
    """Return the field of a window over units that see `field`."""
    return ReceptiveField(tuple(f + (k - 1) * j for f, k, j in zip(field.size, size, field.jump)),
                          tuple(j * s for j, s in zip(field.jump, stride)),
                          tuple(a - p * j for a, p, j in zip(field.start, pad, field.jump)))


def _union(fields):
    """Return the smallest field that holds all of these, which joined branches of one stride have at every unit."""
    start = tuple(min(f.start[i] for f in fields) for i in (0, 1))
    end = tuple(max(f.start[i] + f.size[i] for f in fields) for i in (0, 1))
    return ReceptiveField((end[0] - start[0], end[1] - start[1]), fields[0].jump, start)
