"""Convolution on a GPU: how its three products are cut into tiles and launched. The kernels are in cuda/conv.cu.

Where Winograd's tiles take less time, `_cupy_winograd` makes them instead.
"""

import math
from typing import NamedTuple

import numpy as np

from ._cuda import THREADS
from ._cupy_winograd import Winograd

TILES = {"full": {"128": (128, 128), "96": (96, 128), "64": (64, 64)},      # rows and columns of the product, by kernel
         "tf32": {"tf32_128": (128, 128), "tf32_96": (96, 128), "tf32_64": (64, 128)}}
WORTH = {"128": 1.0, "96": 0.95, "64": 0.75}      # how much of a full tile's speed, roughly: small ones load more often
STEP = {"full": 8, "tf32": 16}                    # how far a kernel goes along the summed axis at a time
RESIDENT = 2                                      # blocks that a multiprocessor holds at once
LEAST = 8                                         # steps that a block should have, or its sum is not cut up further


class Convolutions(Winograd):
    """The convolution and its adjoints. `tf32` and `multiprocessors` are CupyOps'."""

    def _conv2d(self, x, weight, bias, win, groups, relu):
        M, C, area = weight.shape[0] // groups, win.C // groups, win.KH * win.KW
        y, K = self.xp.empty((win.N, weight.shape[0], win.OH, win.OW), dtype=x.dtype), C * area
        plan = self._winograd_plan(win, groups, weight.shape[0], x.dtype)
        if plan:
            self._winograd(plan, x, weight, (K, area), groups, y, bias, relu)
            return y
        x = self._framed(x, (win.PH, win.PH), (win.PW, win.PW))
        grid = win.N, win.OH, win.OW, win.SH, win.SW, 0, 0, 1, 1, 0, 0
        launches = [(self._taps(_forward_taps, C, win.KH, win.KW, *x.shape[2:]), grid)]
        self._convolve(x, weight, launches, (M, K, M * K), C, groups, y, bias, relu)
        return y

    def _conv2d_input_grad(self, dy, weight, win, groups):
        M, C, area = weight.shape[0] // groups, win.C // groups, win.KH * win.KW
        dx = self.xp.empty(win.x_shape, dtype=dy.dtype)
        plan = self._winograd_plan(win, groups, weight.shape[0], dy.dtype, backward=True)
        if plan:
            self._winograd(plan, dy, weight, (area, C * area), groups, dx)
            return dx
        down = _phases(win.H, win.KH, win.SH, win.PH)
        across = _phases(win.W, win.KW, win.SW, win.PW)
        (top, bottom), (left, right) = _reach(down, win.OH), _reach(across, win.OW)
        dy = self._framed(dy, (top, bottom), (left, right))
        launches = [(self._taps(_phase_taps, M, C, win.KH, win.KW, a.taps, b.taps, *dy.shape[2:]),
                     (win.N, a.count, b.count, 1, 1, a.start + top, b.start + left, win.SH, win.SW, a.pixel, b.pixel))
                    for a in down for b in across]
        self._convolve(dy, weight, launches, (C, area, M * C * area), M, groups, dx, None, False)
        return dx

    def _convolve(self, source, weight, launches, layout, channels, groups, y, bias, relu):
        """Fill y (N, groups·M, H, W) from source (N, groups·channels, …) by launches [((taps, K), grid)], see conv.cu.

        layout: M, and the strides of the weights from one output map to the next and from one group to the next.
        """
        if not y.size:
            return
        weight, dtype, mode = self._plain(weight), y.dtype, self._mode(y.dtype)
        M, *strides = layout
        pixels = sum(math.prod(grid[:3]) for _, grid in launches)
        name, splits = self._tiling(mode, M, pixels, groups, max(K for (_, K), _ in launches))
        TM, TN = TILES[mode][name]
        out = y if splits == 1 else self.xp.empty((splits, *y.shape), dtype=dtype)
        extra = y if bias is None else self._plain(bias)             # where there is no bias any array will do
        MP = _filled(M, TM)
        for (taps, K), grid in launches:
            KP = _filled(K, STEP[mode])
            packed = self.xp.empty((groups, KP, MP), dtype=dtype)
            self._each("conv", f"pack_{mode}", packed.size, weight, packed, taps, KP, MP, K, M, *strides, dtype=dtype)
            blocks = -(-math.prod(grid[:3]) // TN), MP // TM, groups * splits
            once = splits == 1
            self._launch("conv", f"convolve_{name}", blocks, THREADS, source, packed, taps, extra, out,
                         once and bias is not None, once and relu, groups, splits, M, MP, K, KP, channels, *source.shape[2:],
                         *y.shape[2:], *grid, dtype=dtype)
        if splits > 1:
            self._each("conv", "add_parts", y.size, out, extra, y, splits, bias is not None, relu, y.shape[1],
                       y.shape[2] * y.shape[3], dtype=dtype)

    def _conv2d_weight_grad(self, dy, x, win, F, groups):
        M, C, dtype, mode = F // groups, win.C // groups, x.dtype, self._mode(x.dtype)
        dw = self.xp.empty((F, C, win.KH, win.KW), dtype=dtype)
        plan = self._winograd_plan(win, groups, F, dtype)
        if plan:
            self._winograd_weight_grad(plan, dy, x, dw, groups)
            return dw
        K, pixels = C * win.KH * win.KW, win.N * win.OH * win.OW
        name, splits = self._tiling(mode, M, K, groups, pixels)
        TM, TN = TILES[mode][name]
        out = dw if splits == 1 else self.xp.empty((splits, *dw.shape), dtype=dtype)
        x = self._framed(x, (win.PH, win.PH), (win.PW, win.PW))
        taps, _ = self._taps(_forward_taps, C, win.KH, win.KW, *x.shape[2:])
        self._launch("conv", f"correlate_{name}", (-(-K // TN), -(-M // TM), groups * splits), THREADS, self._plain(dy), x,
                     taps, out, groups, splits, M, K, win.N, C, *x.shape[2:], win.SH, win.SW, win.OH, win.OW, dtype=dtype)
        if splits > 1:
            self._each("conv", "add_parts", dw.size, out, dw, dw, splits, False, False, 1, dw.size, dtype=dtype)
        return dw

    def _framed(self, x, down, across):
        """Return maps x (N, C, H, W) in a frame of zeros: `down` = (top, bottom) rows, `across` = (left, right) columns."""
        if not any((*down, *across)):
            return self._plain(x)
        N, C, H, W = x.shape
        framed = self.xp.empty((N, C, H + sum(down), W + sum(across)), dtype=x.dtype)
        self._each("conv", "frame", framed.size, self._plain(x), framed, H, W, *framed.shape[2:], down[0], across[0],
                   dtype=x.dtype)
        return framed

    def _mode(self, dtype):
        return "tf32" if self.tf32 and dtype == np.float32 else "full"

    def _tiling(self, mode, rows, columns, groups, length):
        """Choose the tile for a product of rows × columns that sums `length` terms, and into how many parts to cut the sum.

        Whole tiles should waste little of themselves, and all multiprocessors should have work.
        """
        def blocks(name):
            TM, TN = TILES[mode][name]
            return groups * -(-rows // TM) * -(-columns // TN)

        def cost(name):
            TM, TN = TILES[mode][name]
            return blocks(name) * TM * TN / WORTH[name.removeprefix("tf32_")]

        most = max(1, min(length // (LEAST * STEP[mode]), 65535 // groups))
        name = min(TILES[mode], key=cost)
        if blocks(name) * most < self.multiprocessors:
            name = list(TILES[mode])[-1]
        return name, max(1, min(RESIDENT * self.multiprocessors // blocks(name), most))

    def _taps(self, make, *args):
        """Return a table of taps on the device, and how many there are; each is made once.

        It is filled up to a whole number of any kernel's tiles; what is read there does not count.
        """
        key = make, args
        if key not in self._tables:
            taps = make(*args)
            table = np.zeros((_filled(max(len(taps), 1), 128), 2), np.int32)
            table[:len(taps)] = taps
            self._tables[key] = self.xp.asarray(table), len(taps)
        return self._tables[key]


def _filled(size, step):
    return -(-size // step) * step


def _forward_taps(C, KH, KW, H, W):
    """Return a convolution's taps (K, 2): each channel's and place's offset in the image and in the weights."""
    c, i, j = np.indices((C, KH, KW)).reshape(3, C * KH * KW)
    return np.stack([(c * H + i) * W + j, np.arange(len(c))], axis=1)


class _Phase(NamedTuple):
    """Pixels of an input's gradient, along an axis, that lie a stride apart, from `pixel`; all are reached by the same taps.

    taps: the places i in the window, in order; i = taps[u] sees pixel number t at t + start - u of the output's gradient.
    """

    pixel: int
    count: int
    start: int
    taps: range


def _phases(size, K, S, P):
    return [_Phase(a, -(-(size - a) // S), (a + P) // S, range((a + P) % S, K, S)) for a in range(min(S, size))]


def _reach(phases, out):
    """Return how far the phases read before the first of `out` rows, and beyond the last."""
    return (max([0, *(len(p.taps) - 1 - p.start for p in phases)]),
            max([0, *(p.start + p.count - out for p in phases)]))


def _phase_taps(M, C, KH, KW, rows, columns, H, W):
    """Return a phase's taps (K, 2): each filter's and place's offset in dy (…, M, H, W) and in the weights."""
    f, u, v = np.indices((M, len(rows), len(columns))).reshape(3, M * len(rows) * len(columns))
    i, j = rows.start + rows.step * u, columns.start + columns.step * v
    return np.stack([(f * H - u) * W - v, (f * C * KH + i) * KW + j], axis=1)
