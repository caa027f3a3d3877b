"""Which convolutions go by Winograd's minimal filtering, and how: parts, cells, tiles, and the order of the kernels.

`parts` says what a filter's parts are. A part with two taps has nothing at infinity, so its products there are left out:
ZFNet's conv2 takes 121 of them where it took 400.
"""

import functools

import numpy as np

from . import _numba_winograd as kernels
from ._numba_gemm import MR, PANEL
from ._numba_tiles import LANES, POINTS, STEP, TAPS
from .parts import axis_parts, in_order, possible

MOST_TILES = 1024         # of a chunk; fewer where there are many channels, so that a point's tiles stay in the cache
CACHED = 160_000          # numbers of a point's matrix
SPARE = max(LANES, MR)    # numbers between rows: a tile that reads down them may look there, and lines lie apart in a cache


def _up(n, multiple):
    return -(-n // multiple) * multiple


class Axis:
    """One axis of the tiling: images of a cell, tiles, and where the cell's lines come from in input and output.

    Images whose padding is one pixel share it: two of them make a cell with 13-pixel maps, 7 tiles of 4 for 2 × 13 lines.
    """

    def __init__(self, size, out, K, S, P):
        self.parts = axis_parts(K, S)
        sharing = (1, 2, 3, 4) if S == 1 and K == TAPS and P <= 1 else (1,)
        self.period = out + (1 if P else 2)
        self.images = min(sharing, key=lambda n: (-(-((n - 1) * self.period + out) // STEP) / n, n))
        self.tiles = -(-((self.images - 1) * self.period + out) // STEP)
        lines = np.arange(STEP * self.tiles + POINTS - STEP)
        image = np.minimum(lines // self.period, self.images - 1)
        local = lines - image * self.period
        sources = [local * S + offset - P for offset, _ in self.parts]
        self.input = np.array([np.stack([image, np.where((s >= 0) & (s < size), s, -1)], axis=1) for s in sources])
        image, local = image[:STEP * self.tiles], local[:STEP * self.tiles]
        self.output = np.stack([image, np.where(local < out, local, -1)], axis=1)[None]
        last = (self.images - 1) * self.period * S + P + size
        self.frame = max(last, S * (STEP * self.tiles + POINTS - STEP - 1) + max(o for o, _ in self.parts) + 1)

    def runs(self, lines):
        """Return (parts, images, 3): where each image's run of lines begins here, where there, and how long it is."""
        found = np.zeros((len(lines), self.images, 3), np.int64)
        for part, image in np.ndindex(found.shape[:2]):
            here = np.flatnonzero((lines[part, :, 0] == image) & (lines[part, :, 1] >= 0))
            if here.size:
                found[part, image] = here[0], lines[part, here[0], 1], here.size
        return found


class Tiling:
    """How one convolution's images become tiles: everything that depends on its shapes alone. Shapes as in `face`."""

    def __init__(self, win, C, F, itemsize):
        self.win, self.C, self.F, self.nr = win, C, F, PANEL // itemsize
        self.rows, self.columns = Axis(win.H, win.OH, win.KH, win.SH, win.PH), Axis(win.W, win.OW, win.KW, win.SW, win.PW)
        v, h = self.rows.parts, self.columns.parts
        order = in_order(len(v), len(h))
        self.parts = np.array(order)
        self.offsets = np.array([(v[i][0], h[j][0]) for i, j in order])
        self.taps = np.array([[(v[i][0] + win.SH * a) * win.KW + h[j][0] + win.SW * b if a < v[i][1] and b < h[j][1] else -1
                               for a in range(TAPS) for b in range(TAPS)] for i, j in order])
        self.CP, self.FP = (_up(n, self.nr) for n in (C, F))
        self.K = len(order) * self.CP
        last = POINTS - 1
        self.ks = np.zeros((POINTS * POINTS, 2), np.int64)           # the rows k that each point needs
        for p in range(POINTS * POINTS):
            needed = [n for n, (i, j) in enumerate(order) if (v[i][1] == TAPS or p // POINTS < last)
                      and (h[j][1] == TAPS or p % POINTS < last)]
            self.ks[p] = needed[0] * self.CP, (needed[-1] + 1) * self.CP
        self.images = self.rows.images * self.columns.images
        self.cells = -(-win.N // self.images)
        self.tiles = self.rows.tiles * self.columns.tiles            # of a cell
        self.chunk = max(1, min(self.cells, MOST_TILES // self.tiles, CACHED // (self.K * self.tiles)))
        self.capacity = _up(self.chunk * self.tiles, MR)
        self.input_lines, self.input_runs = self.rows.input, self.columns.runs(self.columns.input)
        self.output_lines, self.output_runs = self.rows.output, self.columns.runs(self.columns.output)
        self.whole = np.array([[0, 0]])

    def pays(self):
        """Say whether fewer multiplications outweigh the transforms: measured, in the time of multiply-adds."""
        win = self.win
        direct = win.N * win.OH * win.OW * self.F * self.C * win.KH * win.KW
        tiles = self.cells * self.tiles
        products = int((self.ks[:, 1] - self.ks[:, 0]).sum()) * self.FP * _up(tiles, MR)
        transforms = POINTS * POINTS * (25 * tiles * (self.K + self.FP) + 80 * self.K * self.FP)
        return products + transforms < direct


@functools.lru_cache(maxsize=256)
def tiling(win, C, F, itemsize):
    """Return the Tiling of a convolution from C to F channels (of one group) if it pays, else None."""
    if not possible(win) or not win.N:
        return None
    found = Tiling(win, C, F, itemsize)
    return found if found.pays() else None


class Winograd:
    """Runs one group of a convolution by a Tiling: `run` starts a kernel, `empty(size, dtype)` gives room to work in."""

    def __init__(self, tiling, run, empty, dtype):
        self.plan, self.run, self.empty, self.dtype = tiling, run, empty, dtype

    def _points(self, rows, columns):
        """Return room for 36 matrices and the step between them: an odd number of cache lines, to spread over the cache."""
        point = _up(rows * columns, LANES) | LANES
        return self.empty(POINTS * POINTS * point, self.dtype), point

    def _chunks(self):
        plan = self.plan
        for cell in range(0, plan.cells, plan.chunk):
            cells = min(plan.chunk, plan.cells - cell)
            yield cell, cells, cells * plan.tiles

    def _grid(self, cell, cells):
        plan = self.plan
        return cell, cells, plan.images, plan.columns.images

    def _fill(self, x, xo, channels, width, out, point, tile, panel, cell, cells, grad):
        """Take the tiles of x, an input or an output's gradient, to points."""
        plan, win = self.plan, self.plan.win
        H, W, step = (win.OH, win.OW, 1) if grad else (win.H, win.W, win.SW)
        lines, runs = (plan.output_lines, plan.output_runs) if grad else (plan.input_lines, plan.input_runs)
        self.run(kernels.images_to_points, x.reshape(-1), xo, x[0].size, H, W, channels, win.N, grad,
                 *self._grid(cell, cells), plan.rows.tiles, plan.columns.tiles, plan.whole if grad else plan.parts, lines,
                 runs, step, width, out, point, tile, panel)

    def _filters(self, w, turned):
        """Take the filters w (F, C, KH, KW) to points: (k, F) in panels of filters, or `turned` (F, k) in panels of k."""
        plan, nr = self.plan, self.plan.nr
        KK = w[0, 0].size
        by_filter, by_channel = (plan.F, plan.C * KK), (plan.C, KK)
        if turned:
            u, point = self._points(plan.F, plan.K)
            steps = (*by_channel, *by_filter, plan.F), plan.F * nr, plan.CP * plan.F
        else:
            u, point = self._points(plan.K, plan.FP)
            steps = (*by_filter, *by_channel, plan.CP), plan.K * nr, plan.CP * nr
        self.run(kernels.filters_to_points, w.reshape(-1), *steps[0], plan.taps, u, point, *steps[1:])
        return u, point

    def _ranges(self, first, last):
        return np.broadcast_to(np.array([first, last]), (POINTS * POINTS, 2)).copy()

    def forward(self, x, xo, w, bias, y, yo, relu):
        """y[:, yo:] = the convolution of x[:, xo:] with w (F, C, KH, KW), plus bias; xo, yo count from an image's start."""
        plan, nr = self.plan, self.plan.nr
        bias = np.concatenate([bias, np.zeros(plan.FP - plan.F, bias.dtype)])
        u, u_point = self._filters(w, False)
        v, v_point = self._points(plan.capacity, plan.K + SPARE)
        m, m_point = self._points(plan.capacity, plan.FP)
        for cell, cells, tiles in self._chunks():
            self._fill(x, xo, plan.C, plan.CP, v, v_point, plan.K + SPARE, nr, cell, cells, False)
            self.run(kernels.multiply_points, v, v_point, plan.K + SPARE, 1, u, u_point, plan.K * nr, m, m_point, plan.FP,
                     self._ranges(0, tiles), self._ranges(0, plan.FP // nr), plan.ks, False)
            self.run(kernels.points_to_images, m, m_point, plan.FP, bias, relu, y.reshape(-1), yo, y[0].size,
                     *y.shape[2:], plan.F, plan.win.N, *self._grid(cell, cells), plan.rows.tiles, plan.columns.tiles,
                     plan.output_lines[0], plan.output_runs[0])

    def input_grad(self, dy, yo, w, dx, xo):
        """dx[:, xo:] = the gradient of the convolution's input for dy[:, yo:]."""
        plan, win, nr = self.plan, self.plan.win, self.plan.nr
        u, u_point = self._filters(w, True)
        z, z_point = self._points(plan.capacity, plan.FP + SPARE)
        v, v_point = self._points(plan.capacity, plan.K)
        for p, (k0, k1) in enumerate(plan.ks):                        # what no product writes is zero
            of_point = v[p * v_point:][:plan.capacity * plan.K].reshape(plan.capacity, plan.K)
            of_point[:, :k0], of_point[:, k1:] = 0, 0
        for cell, cells, tiles in self._chunks():
            self._fill(dy, yo, plan.F, plan.FP, z, z_point, plan.FP + SPARE, nr, cell, cells, True)
            self.run(kernels.multiply_points, z, z_point, plan.FP + SPARE, 1, u, u_point, plan.F * nr, v, v_point, plan.K,
                     self._ranges(0, tiles), plan.ks // nr, self._ranges(0, plan.F), False)
            self.run(kernels.points_to_input_grad, v, v_point, plan.K, plan.parts, plan.offsets, plan.CP, dx.reshape(-1), xo,
                     dx[0].size, win.H, win.W, plan.C, win.N, win.PH, win.PW, win.SH, win.SW, *self._grid(cell, cells),
                     plan.rows.period, plan.columns.period, plan.rows.tiles, plan.columns.tiles, plan.rows.frame,
                     plan.columns.frame)

    def weight_grad(self, dy, yo, x, xo, dw):
        """dw (F, C, KH, KW) = the gradient of the convolution's filters."""
        plan, nr = self.plan, self.plan.nr
        z, z_point = self._points(plan.capacity, plan.FP)
        v, v_point = self._points(plan.capacity, plan.K + SPARE)
        du, du_point = self._points(plan.K + MR, plan.FP)
        for cell, cells, tiles in self._chunks():
            self._fill(dy, yo, plan.F, plan.FP, z, z_point, nr, plan.capacity * nr, cell, cells, True)
            self._fill(x, xo, plan.C, plan.CP, v, v_point, plan.K + SPARE, nr, cell, cells, False)
            self.run(kernels.multiply_points, v, v_point, 1, plan.K + SPARE, z, z_point, plan.capacity * nr, du, du_point,
                     plan.FP, plan.ks, self._ranges(0, plan.FP // nr), self._ranges(0, tiles), cell > 0)
        self.run(kernels.points_to_weight_grad, du, du_point, plan.FP, plan.taps, plan.CP, plan.C, plan.F, dw.reshape(-1),
                 dw[0, 0].size)
