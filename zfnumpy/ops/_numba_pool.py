"""Max pooling with its switches, unpooling, and average pooling with its adjoint; a plane (H, W) at a time."""

import numba
import numpy as np

from ._numba_jit import kernel, pointer

BLOCK = 512          # outputs that are reduced together: with the pixels of their windows they fit the first-level cache


@kernel()
def deal(x, plane, H, W, row, SH, rows, PW, SW, L, out, to, pitch):
    """out[to + s*pitch + r*L + j] = the plane's pixel (row + r*SH, j*SW + s - PW), or -inf beyond its edges.

    For s < SW, r < rows and j < L.
    """
    x, out, padding = pointer(x), pointer(out), -out.dtype.type(np.inf)
    first, last = (PW + SW - 1) // SW, min((W + PW) // SW, L)               # between them every column is a pixel
    for o in range(to, to + rows * L, L):
        start = plane + row * W - PW
        a, b = (first, last) if 0 <= row < H and first < last else (0, 0)
        if SW == 2:                       # loads and stores of whole vectors, and a shuffle between
            for j in range(a, b):
                out[o + j] = x[start + 2 * j]
                out[o + pitch + j] = x[start + 2 * j + 1]
        else:
            for s in range(SW):
                for j in range(a, b):
                    out[o + s * pitch + j] = x[start + j * SW + s]
        for s in range(SW):
            for j in range(a):
                at = j * SW + s
                out[o + s * pitch + j] = x[start + at] if at >= PW else padding
            for j in range(b, L):
                at = j * SW + s
                out[o + s * pitch + j] = x[start + at] if PW <= at < W + PW and 0 <= row < H else padding
        row += SH


@kernel()
def keep_greater(values, at, n, place, best, where):
    """Where n values from `at` are greater than best, put them there and their place into where; NaN is greatest."""
    values, best, where, first, place = pointer(values), pointer(best), pointer(where), place == 0, np.int32(place)
    for j in range(n):
        new, old, there = values[at + j], best[j], where[j]
        wins = first | (not new <= old) & (old == old)
        best[j] = new if wins else old
        where[j] = place if wins else there


@kernel()
def hand_out(best, where, at, n, row, column, W, SW, y, switches, o):
    """Put n maxima from `at` into y from o, and into switches where they lie; the first window's corner is row, column.

    A window of nothing but -inf has its first real pixel as its switch: it may have met padding before that.
    """
    best, where, y, switches, padding = pointer(best), pointer(where), pointer(y), pointer(switches), -y.dtype.type(np.inf)
    corner, real = row * W + column, max(-row, 0) * W
    for v in range(n):
        value, place, first = best[at + v], where[at + v], real + max(-column - v * SW, 0)
        y[o + v] = value
        switches[o + v] = np.int32(corner + v * SW + (first if value == padding else place))


@kernel(parallel=True)
def max_pool(x, planes, H, W, KH, KW, SH, SW, PH, PW, OH, OW, y, switches, threads):
    """y and switches (planes, OH, OW): the first maximum of each window, in row-major order; a NaN wins.

    Some rows of outputs at a time: the pixels they see are dealt out by their rows modulo SH and columns modulo SW, with
    -inf for padding. Then the pixels at one place of all these windows lie side by side, and a window is gone through
    in KH*KW comparisons of long rows, whatever the stride.
    """
    L = OW + (KW - 1) // SW
    R = min(max(BLOCK // L, 1), OH)
    high, blocks = R + (KH - 1) // SH, (OH + R - 1) // R
    for t in numba.prange(threads):
        pixels = np.empty(SH * SW * high * L, x.dtype)
        best, where = np.empty(R * L, x.dtype), np.empty(R * L, np.int32)
        for q in range(planes * blocks * t // threads, planes * blocks * (t + 1) // threads):
            p, u = q // blocks, q % blocks * R
            rows = min(R, OH - u)
            n = (rows - 1) * L + OW
            for i in range(SH):
                deal(x, p * H * W, H, W, u * SH - PH + i, SH, rows + (KH - 1) // SH, PW, SW, L, pixels, i * SW * high * L,
                     high * L)
            for i in range(KH):
                for j in range(KW):
                    at = ((i % SH * SW + j % SW) * high + i // SH) * L + j // SW
                    keep_greater(pixels, at, n, i * W + j, best, where)
            for r in range(rows):
                hand_out(best, where, r * L, OW, (u + r) * SH - PH, -PW, W, SW, y, switches, (p * OH + u + r) * OW)


@kernel(parallel=True)
def max_unpool(y, switches, planes, HW, P, x, outside, threads):
    """x (planes, HW): zeros, with every y (planes, P) added at its switch.

    outside (threads,) tells whether a part met a switch that lies outside the plane; such planes are left out.
    """
    for t in numba.prange(threads):
        outside[t] = 0
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            outside[t] |= scatter(y, switches, p * P, P, x, p * HW, HW)


@kernel()
def scatter(y, switches, o, P, x, to, HW):
    """Add P of y from o at their switches to the plane of HW zeros of x at `to`; return whether a switch lies outside."""
    y, switches, x, zero = pointer(y), pointer(switches), pointer(x), x.dtype.type(0)
    least, most = 0, 0
    for j in range(o, o + P):
        least, most = min(least, switches[j]), max(most, switches[j])
    for j in range(to, to + HW):
        x[j] = zero
    if least < 0 or most >= HW:
        return True
    for j in range(o, o + P):
        x[to + switches[j]] += y[j]
    return False


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
