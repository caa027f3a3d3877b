"""Max pooling with its switches, unpooling, and average pooling with its adjoint; a plane (H, W) at a time."""

import numba

from ._numba_jit import kernel


@kernel(parallel=True)
def max_pool(x, planes, H, W, KH, KW, SH, SW, PH, PW, OH, OW, y, switches, threads):
    """y and switches (planes, OH, OW): the first maximum of each window, in row-major order; a NaN wins."""
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            plane, o = p * H * W, p * OH * OW
            for u in range(OH):
                top, bottom = max(u * SH - PH, 0), min(u * SH - PH + KH, H)
                for v in range(OW):
                    left, right = max(v * SW - PW, 0), min(v * SW - PW + KW, W)
                    where = top * W + left
                    best = x[plane + where]
                    for i in range(top, bottom):
                        for j in range(left, right):
                            value = x[plane + i * W + j]
                            if value > best or (value != value and best == best):
                                best, where = value, i * W + j
                    y[o], switches[o] = best, where
                    o += 1


@kernel(parallel=True)
def max_unpool(y, switches, planes, HW, P, x, threads):
    """x (planes, HW): zeros, with every y (planes, P) added at its switch."""
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            x[p * HW:(p + 1) * HW] = 0
            for o in range(p * P, (p + 1) * P):
                x[p * HW + switches[o]] += y[o]


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
