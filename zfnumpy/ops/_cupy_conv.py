"""Convolution on a GPU: how its three products are cut into tiles and launched. The kernels are in cuda/conv.cu.

Where Winograd's tiles take less time, `_cupy_winograd` makes them instead.
"""

import math

import numpy as np

from ._cuda import THREADS
from ._cupy_winograd import Winograd

TILES = {"full": {"128": (128, 128), "96": (96, 128), "64": (64, 64)},      # rows and columns of the product, by kernel
         "tf32": {"tf32_128": (128, 128), "tf32_96": (96, 128), "tf32_64": (64, 128)}}
WORTH = {"128": 1.0, "96": 0.95, "64": 0.75}      # how much of a full tile's speed, roughly: small ones load more often
STEP = {"full": 8, "tf32": 16}                    # how far a kernel goes along the summed axis at a time
RESIDENT = 2                                      # blocks that a multiprocessor holds at once
LEAST = 8                                         # steps that a block should have, or its sum is not cut up further
NOWHERE = 1 << 28                                 # the row of a tap that fills up a table: in no image, it reads zero


class Convolutions(Winograd):
    """The convolution and its adjoints. `tf32` and `multiprocessors` are CupyOps'."""

    def _conv2d(self, x, weight, bias, win, groups, relu):
        M, C, area = weight.shape[0] // groups, win.C // groups, win.KH * win.KW
        y, K = self.xp.empty((win.N, weight.shape[0], win.OH, win.OW), dtype=x.dtype), C * area
        plan = self._winograd_plan(win, groups, weight.shape[0], x.dtype)
        if plan:
            self._winograd(plan, x, weight, (K, area), groups, y, bias, relu)
            return y
        grid = win.N, win.OH, win.OW, win.SH, win.SW, -win.PH, -win.PW, 1, 1, 0, 0
        self._convolve(x, weight, [(self._taps(_forward_taps, win, C), grid)], (M, K, M * K), C, groups, y, bias, relu)
        return y

    def _conv2d_input_grad(self, dy, weight, win, groups):
        M, C, area = weight.shape[0] // groups, win.C // groups, win.KH * win.KW
        dx = self.xp.empty(win.x_shape, dtype=dy.dtype)
        plan = self._winograd_plan(win, groups, weight.shape[0], dy.dtype, backward=True)
        if plan:
            self._winograd(plan, dy, weight, (area, C * area), groups, dx)
            return dx
        phases = []                                        # pixels at equal places between strides are read by equal taps
        for a in range(min(win.SH, win.H)):
            for b in range(min(win.SW, win.W)):
                grid = (win.N, -(-(win.H - a) // win.SH), -(-(win.W - b) // win.SW), 1, 1, (a + win.PH) // win.SH,
                        (b + win.PW) // win.SW, win.SH, win.SW, a, b)
                phases.append((self._taps(_phase_taps, win, M, C, a, b), grid))
        self._convolve(dy, weight, phases, (C, area, M * C * area), M, groups, dx, None, False)
        return dx

    def _convolve(self, source, weight, launches, layout, channels, groups, y, bias, relu):
        """Fill y (N, groups·M, H, W) from source (N, groups·channels, …) by launches [((taps, K), grid)], see conv.cu.

        layout: M, and the strides of the weights from one output map to the next and from one group to the next.
        """
        if not y.size:
            return
        source, weight = self._plain(source), self._plain(weight)
        dtype, mode = y.dtype, self._mode(y.dtype)
        (M, *strides), H, W = layout, *source.shape[2:]
        pixels = sum(math.prod(grid[:3]) for _, grid in launches)
        name, splits = self._cut(mode, M, pixels, groups, max(K for (_, K), _ in launches))
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
                         once and bias is not None, once and relu, groups, splits, M, MP, KP, channels, H, W,
                         *y.shape[2:], *grid, dtype=dtype)
        if splits > 1:
            self._each("conv", "add_parts", y.size, out, extra, y, splits, bias is not None, relu, y.shape[1],
                       y.shape[2] * y.shape[3], dtype=dtype)

    def _conv2d_weight_grad(self, dy, x, win, F, groups):
        M, C, dtype, mode = F // groups, win.C // groups, x.dtype, self._mode(x.dtype)
        dw = self.xp.zeros((F, C, win.KH, win.KW), dtype=dtype)
        plan = self._winograd_plan(win, groups, F, dtype)
        if plan:
            self._winograd_weight_grad(plan, dy, x, dw, groups)
            return dw
        pixels = win.N * win.OH * win.OW
        if not pixels or not F:
            return dw
        taps, K = self._taps(_forward_taps, win, C)
        name, splits = self._cut(mode, M, K, groups, pixels)
        TM, TN = TILES[mode][name]
        out = dw if splits == 1 else self.xp.empty((splits, *dw.shape), dtype=dtype)
        self._launch("conv", f"correlate_{name}", (-(-K // TN), -(-M // TM), groups * splits), THREADS, self._plain(dy),
                     self._plain(x), taps, out, groups, splits, M, K, *win, dtype=dtype)
        if splits > 1:
            self._each("conv", "add_parts", dw.size, out, dw, dw, splits, False, False, 1, dw.size, dtype=dtype)
        return dw

    def _mode(self, dtype):
        return "tf32" if self.tf32 and dtype == np.float32 else "full"

    def _cut(self, mode, rows, columns, groups, length):
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

    def _taps(self, make, win, *args):
        """Return a table of taps on the device, and how many there are; each is made once."""
        key = make, win._replace(N=0), args
        if key not in self._tables:
            taps = make(win, *args)
            table = np.zeros((_filled(max(len(taps), 1), 128), 4), np.int32)      # a whole number of any kernel's tiles
            table[len(taps):, 1] = NOWHERE
            table[:len(taps)] = taps
            self._tables[key] = self.xp.asarray(table), len(taps)
        return self._tables[key]


def _filled(size, step):
    return -(-size // step) * step


def _forward_taps(win, C):
    """Return the convolution's taps (K, 4): for every channel and place in the window the offset in the image, row, column
    and the offset in the weights."""
    c, i, j = np.indices((C, win.KH, win.KW)).reshape(3, C * win.KH * win.KW)
    return np.stack([(c * win.H + i) * win.W + j, i, j, np.arange(len(c))], axis=1)


def _phase_taps(win, M, C, a, b):
    """Return the taps by which the pixels (a + SH t, b + SW s) of an input's gradient read dy (…, M, OH, OW).

    Only every stride-th row and column of the window meets such a pixel: i = i0 + SH u sees row t + (a + PH) // SH - u.
    """
    rows, columns = range((a + win.PH) % win.SH, win.KH, win.SH), range((b + win.PW) % win.SW, win.KW, win.SW)
    f, u, v = np.indices((M, len(rows), len(columns))).reshape(3, M * len(rows) * len(columns))
    i, j = rows.start + win.SH * u, columns.start + win.SW * v
    return np.stack([(f * win.OH - u) * win.OW - v, -u, -v, (f * C * win.KH + i) * win.KW + j], axis=1)
