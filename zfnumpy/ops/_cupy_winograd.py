"""Convolution on a GPU by Winograd's minimal filtering: kernels (cuda/winograd.cu) make points of tiles, cuBLAS multiplies.

The convolution and its input's gradient are both correlations: tiles of a source, read by parts of a filter, make tiles of
an output. A filter with more than three taps, or a stride, has several parts that read (see `parts`); the gradient under a
stride has several that write: pixels at equal places between strides see equal taps, three at most. All of them share the
points of dy, and each pixel is written by one thread.
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from ._cuda import Launcher
from .parts import TAPS, axis_parts, in_order, possible

POINTS, STEP = 36, 4      # of a tile in two dimensions; its outputs a side
WORK = 256 * 2**20        # bytes of points at a time
UNIT = 32                 # tiles: rows of points are whole numbers of cache lines
BYTE = 20                 # floating-point operations in the time that moving a byte takes: 13 to 80 on various cards


class Axis(NamedTuple):
    """One axis of a correlation: how it goes over the source and the output.

    Line l of an image is line step·l + r of the source for the part that reads from r, and line out_step·l + w of the output
    for the part that writes from w; taps[w][r] are the places of their three taps in the filter, -1 for none.
    """

    size: int             # of the source
    out: int              # of the output
    lines: int            # that an image takes
    shared: bool          # a line of zeros is all the padding between one image and the next
    step: int
    reads: list
    out_step: int
    writes: list
    taps: list

    def reading(self):
        """Return (line, whether any of its taps is a third one) of the parts that read."""
        return [(line, any(parts[r][-1] >= 0 for parts in self.taps)) for r, line in enumerate(self.reads)]

    def writing(self):
        """Return the same of the parts that write."""
        return [(line, any(taps[-1] >= 0 for taps in parts)) for line, parts in zip(self.writes, self.taps)]

    def tiles(self, images):
        """Return how many tiles so many images take, with a line between each and the next."""
        return -(-(images * (self.lines + 1) - 1) // STEP)


def forward_axis(size, out, K, S, P):
    """Return an axis of a convolution: every part of the filter reads."""
    parts = axis_parts(K, S)
    taps = [[offset + S * i if i < count else -1 for i in range(TAPS)] for offset, count in parts]
    return Axis(size, out, out, (K, S, P) == (TAPS, 1, 1), S, [offset - P for offset, _ in parts], 1, [0], [taps])


def gradient_axis(size, out, K, S, P):
    """Return an axis of the gradient of a convolution's input: dy is the source, and the filter is turned round."""
    if S == 1:
        turned = forward_axis(out, size, K, 1, K - 1 - P)
        return turned._replace(taps=[[[K - 1 - tap if tap >= 0 else -1 for tap in part] for part in turned.taps[0]]])
    phases = []
    for a in range(S):                     # pixel a + S t sees tap (a + P) % S + S u in line t + (a + P) // S - u of dy
        taps = list(range((a + P) % S, K, S))[::-1]
        phases.append((taps, (a + P) // S - len(taps) + 1, a))
    phases.sort(key=lambda phase: -len(phase[0]))
    start = min(line for _, line, _ in phases)             # all read from one line on: who needs a later one writes earlier
    lines = max(-(-(size - a) // S) + line - start for _, line, a in phases)
    return Axis(out, size, lines, False, 1, [start], S, [a - S * (line - start) for _, line, a in phases],
                [[taps + [-1] * (TAPS - len(taps))] for taps, _, _ in phases])


class Tiling:
    """How the images of a correlation from C to F maps become tiles, and tiles products: all that its shapes decide."""

    def __init__(self, down, across, KW, N, C, F, itemsize):
        self.axes, self.N, self.C, self.F, self.itemsize = (down, across), N, C, F, itemsize
        read, written = (in_order(*map(len, sides)) for sides in ((down.reads, across.reads), (down.writes, across.writes)))
        self.reads = _pairs(read, down.reading(), across.reading())
        self.writes = _pairs(written, down.writing(), across.writing())
        self.taps = np.array([[[i * KW + j if i >= 0 and j >= 0 else -1 for i in down.taps[a][c] for j in across.taps[b][d]]
                               for c, d in read] for a, b in written], np.int32)
        self.K, self.rows = C * len(read), F * len(written)
        shares = ((1, 2, 3, 4) if axis.shared else (1,) for axis in self.axes)
        self.images = min(itertools.product(*shares), key=self._total)       # that lie below each other and side by side
        self.total = self._total(self.images)
        chunks = -(-self.total * POINTS * itemsize * (self.K + self.rows) // WORK)
        self.room = -(-self.total // (chunks * UNIT)) * UNIT                 # tiles at a time
        self.spans = []                                                      # (points, rows, ks): what the products need
        for (first, last), *infinite in ((0, 25), 0, 0), ((25, 30), 1, 0), ((30, 35), 0, 1), ((35, 36), 1, 1):
            rows, ks = _needed(self.writes, infinite, F), _needed(self.reads, infinite, C)
            if self.spans and self.spans[-1][1:] == (rows, ks):
                first = self.spans.pop()[0].start
            self.spans.append((slice(first, last), rows, ks))

    def _total(self, images):
        cells = -(-self.N // (images[0] * images[1]))
        return cells * self.axes[0].tiles(images[0]) * self.axes[1].tiles(images[1])

    def chunks(self):
        """Yield how many tiles to take at a time, and what tells the kernels which."""
        periods = (axis.lines + 1 for axis in self.axes)
        grid = *(axis.tiles(images) for axis, images in zip(self.axes, self.images)), *self.images, *periods
        for begin in range(0, self.total, self.room):
            tiles = min(self.room, self.total - begin)
            yield tiles, (self.N, begin, tiles, self.room, *grid)

    def source(self, group, groups):
        """Return what tells the kernels where the source's maps lie; `output` where the output's."""
        return self.C * groups, self.C * group, *(axis.size for axis in self.axes), *(axis.step for axis in self.axes)

    def output(self, group, groups):
        return self.F * groups, self.F * group, *(axis.out for axis in self.axes), *(axis.out_step for axis in self.axes)

    def products(self):
        """Return how many multiply-adds the products take."""
        return self.total * sum(_length(points) * _length(rows) * _length(ks) for points, rows, ks in self.spans)

    def pays(self, direct):
        """Say whether it takes less time than `direct` multiply-adds: what the transforms move counts as arithmetic."""
        points = sum(_length(points) * (self.total * (_length(rows) + _length(ks)) + _length(rows) * _length(ks))
                     for points, rows, ks in self.spans)
        down, across = self.axes
        maps = self.N * (self.C * down.size * across.size + self.F * down.out * across.out)
        return 2 * self.products() + BYTE * self.itemsize * (2 * points + maps) < 2 * direct


def _pairs(order, down, across):
    """Return the table of parts that the kernels read: first row and column, and three taps down and across, or not."""
    return np.array([(down[i][0], across[j][0], down[i][1], across[j][1]) for i, j in order], np.int32)


def _needed(parts, infinite, maps):
    """Return the rows of the parts that have something at points at infinity, or not, down and across."""
    found = [n for n, part in enumerate(parts) if all(part[2 + axis] or not infinite[axis] for axis in (0, 1))]
    return slice(found[0] * maps, (found[-1] + 1) * maps)


def _length(span):
    return span.stop - span.start


@functools.lru_cache(maxsize=256)
def tiling(win, C, F, itemsize, backward):
    """Return the Tiling of a convolution from C to F maps (of one group), or of its input's gradient; None where it
    cannot go by tiles or does not pay."""
    if not win.N or not possible(win):
        return None
    make = gradient_axis if backward else forward_axis
    down, across = make(win.H, win.OH, win.KH, win.SH, win.PH), make(win.W, win.OW, win.KW, win.SW, win.PW)
    found = Tiling(down, across, win.KW, win.N, *((F, C) if backward else (C, F)), itemsize)
    return found if found.pays(win.N * win.OH * win.OW * F * C * win.KH * win.KW) else None


class Winograd(Launcher):
    """Convolutions by tiles, where a Tiling says that they pay. `_mode` is Convolutions', `_multiply` Products'."""

    def _winograd_plan(self, win, groups, F, dtype, backward=False):
        """Return a convolution's Tiling or None: never on tensor cores, whose rounding the transforms would amplify."""
        if self._mode(dtype) == "tf32":
            return None
        return tiling(win, win.C // groups, F // groups, dtype.itemsize, backward)

    def _constant(self, table):
        """Return a small table on the device; each is brought there once."""
        key = table.shape, table.tobytes()
        if key not in self._tables:
            self._tables[key] = self.xp.asarray(table)
        return self._tables[key]

    def _winograd(self, plan, source, weight, steps, groups, y, bias=None, relu=False):
        """Fill y (N, groups·F, …) from source (N, groups·C, …). steps: from an output's map to the next one's filter in a
        group's weights, and from a source's map to the next."""
        source, weight, dtype = self._plain(source), self._plain(weight), y.dtype
        biases = weight if bias is None else self._plain(bias)               # where there is no bias any array will do
        reads, writes, taps = (self._constant(table) for table in (plan.reads, plan.writes, plan.taps))
        u = self.xp.empty((POINTS, plan.rows, plan.K), dtype=dtype)
        v, m = (self.xp.empty((POINTS, rows, plan.room), dtype=dtype) for rows in (plan.K, plan.rows))
        filters = weight.shape[0] // groups
        for group in range(groups):
            self._each("winograd", "filters_to_points", plan.rows * plan.K, weight[group * filters:(group + 1) * filters], u,
                       taps, plan.K, plan.F, plan.C, *steps, dtype=dtype)
            for tiles, grid in plan.chunks():
                self._each("winograd", "inputs_to_points", plan.K * tiles, source, v, reads, len(plan.reads), plan.C,
                           *plan.source(group, groups), *grid, dtype=dtype)
                for points, rows, ks in plan.spans:
                    self._multiply(u[points, rows, ks], v[points, ks, :tiles], m[points, rows, :tiles])
                self._each("winograd", "points_to_maps", plan.rows * tiles, m, biases, y, writes, len(plan.writes), plan.F,
                           bias is not None, relu, *plan.output(group, groups), *grid, dtype=dtype)

    def _winograd_weight_grad(self, plan, dy, x, dw, groups):
        """Fill dw (groups·F, C, KH, KW) for a convolution's Tiling: the products turned round, summed over all tiles."""
        dy, x, dtype = self._plain(dy), self._plain(x), x.dtype
        reads, writes, taps = (self._constant(table) for table in (plan.reads, plan.writes, plan.taps))
        z, v = (self.xp.empty((POINTS, rows, plan.room), dtype=dtype) for rows in (plan.F, plan.K))
        du = self.xp.empty((POINTS, plan.F, plan.K), dtype=dtype)
        for group in range(groups):
            for chunk, (tiles, grid) in enumerate(plan.chunks()):
                self._each("winograd", "grads_to_points", plan.F * tiles, dy, z, writes, len(plan.writes), plan.F,
                           *plan.output(group, groups), *grid, dtype=dtype)
                self._each("winograd", "inputs_to_points", plan.K * tiles, x, v, reads, len(plan.reads), plan.C,
                           *plan.source(group, groups), *grid, dtype=dtype)
                for points, rows, ks in plan.spans:
                    self._multiply(z[points, rows, :tiles], v[points, ks, :tiles].transpose(0, 2, 1), du[points, rows, ks],
                                   add=chunk > 0)
            self._each("winograd", "points_to_filters", plan.F * plan.K, du, dw[group * plan.F:(group + 1) * plan.F], taps,
                       reads, plan.K, plan.C, dw[0, 0].size, dtype=dtype)
