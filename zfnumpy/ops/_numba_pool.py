"""Max pooling with its switches, unpooling, and average pooling with its adjoint; planes (H, W) in a row."""

import numba
import numpy as np

from ._numba_jit import kernel, pointer

LANES = 16           # rows of outputs are filled up to a multiple of it, which is whole vectors on every processor
BLOCK = 512          # outputs worked on together: with the pixels of their windows they fit the first-level cache


@kernel()
def copy_rows(x, plane, H, W, row, SH, high, lines, PW, width):
    """lines[r % SH, r // SH, PW:] = the plane's row `row` + r, or -inf where there is none; lines is (SH, high, width)."""
    x, lines, padding, n = pointer(x), pointer(lines), -lines.dtype.type(np.inf), min(W, width - PW)
    for r in range(SH * high):
        start, to = plane + (row + r) * W, (r % SH * high + r // SH) * width + PW
        if 0 <= row + r < H:
            for j in range(n):
                lines[to + j] = x[start + j]
        else:
            for j in range(n):
                lines[to + j] = padding


@kernel()
def deal(lines, n, SW, out):
    """out[s*n + j] = lines[j*SW + s] for j < n: the columns by their remainder modulo SW."""
    lines, out = pointer(lines), pointer(out)
    if SW == 2:                                       # whole vectors and shuffles, as the compiler knows the stride
        for j in range(n):
            out[j] = lines[2 * j]
            out[n + j] = lines[2 * j + 1]
    else:
        for s in range(SW):
            for j in range(n):
                out[s * n + j] = lines[j * SW + s]


@kernel()
def beats(new, old):
    """Tell whether `new` is the maximum of the two; the first of equals is, and NaN is greatest."""
    return (not new <= old) & (old == old)


@kernel()
def keep_greatest(values, starts, places, m, n, best, where):
    """Keep the greatest of best and the values from starts[m:m + 3], n of them, and its place; for m = 0 of these alone."""
    a, b, c = starts[m], starts[m + 1], starts[m + 2]
    place_a, place_b, place_c = places[m], places[m + 1], places[m + 2]
    values, best, where = pointer(values), pointer(best), pointer(where)
    for j in range(n):
        most, place = best[j], where[j]
        wins = (m == 0) | beats(values[a + j], most)
        most, place = (values[a + j] if wins else most), (place_a if wins else place)
        wins = beats(values[b + j], most)
        most, place = (values[b + j] if wins else most), (place_b if wins else place)
        wins = beats(values[c + j], most)
        best[j], where[j] = (values[c + j] if wins else most), (place_c if wins else place)


@kernel()
def hand_out(best, where, at, n, row, column, W, SW, y, switches, o):
    """Put n maxima from `at` into y from o, and into switches where they lie; the first window's corner is row, column.

    A window of nothing but -inf has its first real pixel as its switch: it may have met padding before that.
    """
    padding, corner, real = -y.dtype.type(np.inf), row * W + column, (row + max(-row, 0)) * W
    best, where, y, switches, doubt = pointer(best), pointer(where), pointer(y), pointer(switches), False
    for v in range(n):
        y[o + v] = best[at + v]
        switches[o + v] = np.int32(corner + v * SW + where[at + v])
        doubt |= best[at + v] == padding
    if doubt:
        for v in range(n):
            if best[at + v] == padding:
                switches[o + v] = np.int32(real + max(column + v * SW, 0))


@kernel(parallel=True)
def max_pool(x, planes, H, W, KH, KW, SH, SW, PH, PW, OH, OW, y, switches, threads):
    """y and switches (planes, OH, OW): the first maximum of each window, in row-major order; a NaN wins.

    R rows of outputs at a time: the pixels they see are dealt out by their rows modulo SH and columns modulo SW, with
    -inf for padding. Then the pixels at one place of all these windows lie side by side, and the places of a window are
    gone through by whole vectors, three at a time, whatever the stride.
    """
    L = (OW + (KW - 1) // SW + LANES - 1) // LANES * LANES
    R = min(max(BLOCK // L, 1), OH)
    high, blocks = R + (KH - 1) // SH, (OH + R - 1) // R
    for t in numba.prange(threads):
        lines, pixels = np.full(SH * high * SW * L, -np.inf, x.dtype), np.empty(SW * SH * high * L, x.dtype)
        best, where = np.empty(R * L, x.dtype), np.empty(R * L, np.int32)
        starts, places = np.empty(KH * KW + 2, np.intp), np.empty(KH * KW + 2, np.int32)
        for m in range(KH * KW + 2):
            i, j = min(m, KH * KW - 1) // KW, min(m, KH * KW - 1) % KW         # the last place once more makes no change
            starts[m] = ((j % SW * SH + i % SH) * high + i // SH) * L + j // SW
            places[m] = i * W + j
        for q in range(planes * blocks * t // threads, planes * blocks * (t + 1) // threads):
            p, u = q // blocks, q % blocks * R
            rows = min(R, OH - u)
            copy_rows(x, p * H * W, H, W, u * SH - PH, SH, high, lines, PW, SW * L)
            deal(lines, SH * high * L, SW, pixels)
            for m in range(0, KH * KW, 3):
                keep_greatest(pixels, starts, places, m, (rows - 1) * L + OW, best, where)
            for r in range(rows):
                hand_out(best, where, r * L, OW, (u + r) * SH - PH, -PW, W, SW, y, switches, (p * OH + u + r) * OW)


@kernel()
def scatter(y, switches, o, P, x, to, HW):
    """Add P of y from o at their switches to the plane of HW zeros of x at `to`; return whether a switch lies outside."""
    y, switches, x, zero = pointer(y), pointer(switches), pointer(x), x.dtype.type(0)
    for j in range(to, to + HW):
        x[j] = zero
    for j in range(o, o + P):
        if not 0 <= switches[j] < HW:
            return True
        x[to + switches[j]] += y[j]
    return False


@kernel(parallel=True)
def max_unpool(y, switches, planes, HW, P, x, outside, threads):
    """x (planes, HW): zeros, with every y (planes, P) added at its switch.

    A plane is filled and added to while it is in the cache. outside (threads,) tells whether a thread met a switch that
    lies outside its plane; x is then unfinished.
    """
    for t in numba.prange(threads):
        outside[t] = 0
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            outside[t] |= scatter(y, switches, p * P, P, x, p * HW, HW)


@kernel(parallel=True)
def avg_pool(x, planes, H, W, KH, KW, SH, SW, PH, PW, OH, OW, y, threads):
    """y (planes, OH, OW): each window's sum over KH*KW."""
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            for u in range(OH):
                for v in range(OW):
                    total = y.dtype.type(0)
                    for i in range(max(u * SH - PH, 0), min(u * SH - PH + KH, H)):
                        for j in range(max(v * SW - PW, 0), min(v * SW - PW + KW, W)):
                            total += x[(p * H + i) * W + j]
                    y[(p * OH + u) * OW + v] = total / y.dtype.type(KH * KW)


@kernel(parallel=True)
def avg_pool_grad(dy, planes, H, W, KH, KW, SH, SW, PH, PW, OH, OW, dx, threads):
    """dx (planes, H, W): each dy shared out evenly over its window."""
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            dx[p * H * W:(p + 1) * H * W] = 0
            for u in range(OH):
                for v in range(OW):
                    share = dy[(p * OH + u) * OW + v] / dy.dtype.type(KH * KW)
                    for i in range(max(u * SH - PH, 0), min(u * SH - PH + KH, H)):
                        for j in range(max(v * SW - PW, 0), min(v * SW - PW + KW, W)):
                            dx[(p * H + i) * W + j] += share
