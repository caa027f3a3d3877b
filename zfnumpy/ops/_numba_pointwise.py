"""What is not a product or a pooling: ReLU and its rules, contrast normalization, and the two updates of training."""

import math

import numba
import numpy as np

from ._numba_jit import kernel

BLOCK = 512          # pixels of a block: the channels around it stay in the first-level cache


@kernel(parallel=True)
def relu(x, y, threads):
    """y = max(x, 0), NaN kept."""
    for t in numba.prange(threads):
        for i in range(x.size * t // threads, x.size * (t + 1) // threads):
            y[i] = x.dtype.type(0) if x[i] <= 0 else x[i]


@kernel(parallel=True)
def relu_backward(r, y, masked, rectify, out, threads):
    """out = r, where y > 0 if `masked` and where r > 0 if `rectify`, else 0."""
    zero = r.dtype.type(0)
    for t in numba.prange(threads):
        for i in range(r.size * t // threads, r.size * (t + 1) // threads):
            v = r[i]
            if rectify and v <= 0:
                v = zero
            if masked and not y[i] > 0:
                v = zero
            out[i] = v


@kernel()
def inverse_power(s, beta, quick):
    """Return s^-beta; `quick` says that beta is 3/4, which two square roots make without a call of pow."""
    if quick:
        return type(s)(1) / math.sqrt(s * math.sqrt(s))
    return s ** -beta


@kernel()
def fill_scale(x, xo, C, HW, c, n, before, after, share, k, squares, scale):
    """scale[:n] = k + share Σ x² over channels c - before ... c + after, for n pixels from xo."""
    for j in range(n):
        squares[j] = 0
    for d in range(max(c - before, 0), min(c + after, C - 1) + 1):
        s = xo + d * HW
        for j in range(n):
            squares[j] += x[s + j] * x[s + j]
    for j in range(n):
        scale[j] = k + share * squares[j]


@kernel(parallel=True)
def normalize(x, y, N, C, HW, before, after, share, beta, k, quick, threads):
    """y = x scale^-beta for x (N, C, HW), a block of pixels at a time; share is alpha over size."""
    blocks = (HW + BLOCK - 1) // BLOCK
    for t in numba.prange(threads):
        squares, scale = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
        for q in range(N * blocks * t // threads, N * blocks * (t + 1) // threads):
            j0 = q % blocks * BLOCK
            xo, n = q // blocks * C * HW + j0, min(BLOCK, HW - j0)
            for c in range(C):
                fill_scale(x, xo, C, HW, c, n, before, after, share, k, squares, scale)
                for j in range(n):
                    y[xo + c * HW + j] = x[xo + c * HW + j] * inverse_power(scale[j], beta, quick)


@kernel(parallel=True)
def normalize_grad(dy, x, dx, N, C, HW, before, after, share, beta, k, quick, threads):
    """dx_c = dy_c s_c^-beta - 2 beta share x_c Σ dy x s^(-beta-1), the sum over the channels whose windows hold c."""
    blocks = (HW + BLOCK - 1) // BLOCK
    for t in numba.prange(threads):
        squares, scale = np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
        terms = np.empty((C, BLOCK), x.dtype)
        for q in range(N * blocks * t // threads, N * blocks * (t + 1) // threads):
            j0 = q % blocks * BLOCK
            xo, n = q // blocks * C * HW + j0, min(BLOCK, HW - j0)
            for c in range(C):
                fill_scale(x, xo, C, HW, c, n, before, after, share, k, squares, scale)
                o = xo + c * HW
                for j in range(n):
                    direct = dy[o + j] * inverse_power(scale[j], beta, quick)
                    dx[o + j] = direct
                    terms[c, j] = direct * x[o + j] / scale[j]
            for c in range(C):
                for j in range(n):
                    squares[j] = 0
                for d in range(max(c - after, 0), min(c + before, C - 1) + 1):
                    for j in range(n):
                        squares[j] += terms[d, j]
                o = xo + c * HW
                for j in range(n):
                    dx[o + j] -= (share + share) * beta * x[o + j] * squares[j]


@kernel(parallel=True)
def bias_grad(dy, N, F, P, db, threads):
    """db (F,) = the sum of dy (N, F, P) over images and pixels."""
    for t in numba.prange(threads):
        for f in range(F * t // threads, F * (t + 1) // threads):
            total = db.dtype.type(0)
            for n in range(N):
                part = db.dtype.type(0)                 # a sum a plane: rounding grows with the plane, not the batch
                for j in range((n * F + f) * P, (n * F + f + 1) * P):
                    part += dy[j]
                total += part
            db[f] = total


@kernel(parallel=True)
def sgd_update(w, velocity, grad, lr, momentum, weight_decay, threads):
    """v ← momentum v + grad + weight_decay w; w ← w - lr v, in place, in one pass over memory."""
    for t in numba.prange(threads):
        for i in range(w.size * t // threads, w.size * (t + 1) // threads):
            v = momentum * velocity[i] + grad[i] + weight_decay * w[i]
            velocity[i] = v
            w[i] -= lr * v


@kernel(parallel=True)
def renormalize_filters(w, F, R, radius, threads):
    """Scale every filter of w (F, R) whose RMS exceeds radius back to it, in place."""
    for t in numba.prange(threads):
        for f in range(F * t // threads, F * (t + 1) // threads):
            squares = w.dtype.type(0)
            for i in range(f * R, (f + 1) * R):
                squares += w[i] * w[i]
            rms = math.sqrt(squares / w.dtype.type(R))
            if rms > radius:
                shrink = radius / rms
                for i in range(f * R, (f + 1) * R):
                    w[i] *= shrink
