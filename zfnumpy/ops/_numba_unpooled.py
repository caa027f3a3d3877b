"""The weights' gradient of a first convolution below a max pool, straight from the pool's switches.

The unpooled gradient of an output map is zero but at the switches: of ZFNet's conv1, at most one pixel in four. So each
value there adds its multiple of the window it came from, and the map is never made. With few channels, lying last, a row
of the window is one stretch of memory; ROWS rows by SPANS vectors of it are summed in registers over a whole map.
"""

import numba
import numpy as np

from ._numba_jit import kernel, pointer
from ._numba_vectors import vector_code

LANES = 16                                # numbers of a vector
ROWS, SPANS = 4, 2                        # of a window, summed at once
STRETCH = SPANS * LANES


def _sum_windows_in_python(count, values, places, x, xo, row, total, o):
    for i in range(ROWS):
        sums = np.zeros(STRETCH, total.dtype)
        for k in range(count):
            sums += values[k] * x[xo + places[k] + i * row:][:STRETCH]
        total[o + i * STRETCH:o + (i + 1) * STRETCH] += sums


def _write_sum_windows(code, count, values, places, x, xo, row, total, o):
    parts = [(i, j) for i in range(ROWS) for j in range(SPANS)]

    def step(k, *sums):
        value, corner = code.broadcast(values, k), code.builder.load(code.place(places, k))
        return [code.fma(value, code.load(x, xo, corner, code.times(row, i), j * LANES), total)
                for (i, j), total in zip(parts, sums)]

    for (i, j), found in zip(parts, code.repeat(count, [code.constant(0)] * len(parts), step)):
        at = o, (i * SPANS + j) * LANES
        code.store(code.builder.fadd(code.load(total, *at), found), total, *at)


# total (ROWS, STRETCH) at o += Σ_k values[k] times the ROWS rows of x from xo + places[k], `row` apart
sum_windows = vector_code("naiannan", lambda itemsize: LANES, _write_sum_windows, _sum_windows_in_python, "sum_windows")


@kernel(parallel=True)
def channels_last(x, N, C, H, W, PH, PW, high, row, out, threads):
    """Copy x (N, C, H, W) into zero frames (N, high, row): a row's pixels one after another, each with all its channels."""
    for t in numba.prange(threads):
        for n in range(N * t // threads, N * (t + 1) // threads):
            source, target, zero = pointer(x), pointer(out), out.dtype.type(0)
            for e in range(n * high * row, (n + 1) * high * row):
                target[e] = zero
            for i in range(H):
                for c in range(C):
                    o, s = (n * high + i + PH) * row + PW * C + c, ((n * C + c) * H + i) * W
                    for j in range(W):
                        target[o + j * C] = source[s + j]


@kernel()
def list_values(dy, switches, first, P, corners, values, places):
    """List dy's P values from `first` that are not zero and where their windows begin; -1 if a switch lies outside."""
    pixels, count = len(corners), 0
    dy, switches, corners = pointer(dy), pointer(switches), pointer(corners)
    values, places = pointer(values), pointer(places)
    for p in range(first, first + P):
        if not 0 <= switches[p] < pixels:
            return -1
        values[count], places[count] = dy[p], corners[switches[p]]
        count += dy[p] != 0
    return count


@kernel(parallel=True)
def unpooled_weight_grad(dy, switches, x, high, row, sums, N, F, P, corners, blocks, spans, outside, threads):
    """sums (S, F, spans, blocks, ROWS, STRETCH): the gradient of F filters, over an S-th of the images each.

    dy and switches (N, F, P); x as channels_last leaves it, and corners (OH*OW) where each output pixel's window begins in
    its frame. A filter is blocks × ROWS rows by spans × STRETCH numbers. Work is dealt out in 16 filters by these sums, so
    that an image stays in the cache. outside (threads,) tells whether a thread met a switch outside its plane; sums are
    then unfinished.
    """
    S, groups, size = len(sums), (F + 15) // 16, spans * blocks * ROWS * STRETCH
    for t in numba.prange(threads):
        outside[t] = 0
        values, places = np.empty(P + 1, dy.dtype), np.empty(P + 1, np.int64)
        for q in range(S * groups * t // threads, S * groups * (t + 1) // threads):
            s, f0 = q // groups, q % groups * 16
            sums[s, f0 * size:min(f0 + 16, F) * size] = 0
            for n in range(N * s // S, N * (s + 1) // S):
                for f in range(f0, min(f0 + 16, F)):
                    count = list_values(dy, switches, (n * F + f) * P, P, corners, values, places)
                    outside[t] |= count < 0
                    for e in range(spans * blocks):
                        sum_windows(count, values, places, x, (n * high + e % blocks * ROWS) * row + e // blocks * STRETCH,
                                    row, sums[s], f * size + e * ROWS * STRETCH)
