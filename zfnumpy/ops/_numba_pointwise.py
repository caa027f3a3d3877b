"""What is not a product or a pooling: ReLU and its rules, contrast normalization, and the two updates of training."""

import math

import numba
import numpy as np

from ._numba_jit import kernel, pointer

BLOCK = 512          # pixels of a block: the channels around it stay in the first-level cache


@kernel(parallel=True)
def relu(x, y, threads):
    """y = max(x, 0), NaN kept."""
    zero = x.dtype.type(0)
    for t in numba.prange(threads):
        a, b = pointer(x), pointer(y)
        for i in range(x.size * t // threads, x.size * (t + 1) // threads):
            b[i] = zero if a[i] <= 0 else a[i]


@kernel(parallel=True)
def relu_backward(r, y, masked, rectify, out, threads):
    """out = r, where y > 0 if `masked` and where r > 0 if `rectify`, else 0."""
    zero = r.dtype.type(0)
    for t in numba.prange(threads):
        a, b, c = pointer(r), pointer(y), pointer(out)
        for i in range(r.size * t // threads, r.size * (t + 1) // threads):
            v = zero if rectify and a[i] <= 0 else a[i]
            c[i] = v if not masked or b[i] > 0 else zero


@kernel()
def inverse_power(s, beta, quick):
    """Return s^-beta; `quick` says that beta is 3/4, which two square roots make without a call of pow."""
    if quick:
        return type(s)(1) / math.sqrt(s * math.sqrt(s))
    return s ** -beta


@kernel()
def fill_scale(x, xo, C, HW, c, n, before, after, share, k, scale):
    """scale[:n] = k + share Σ x² over channels c - before ... c + after, for n pixels from xo."""
    x, scale = pointer(x), pointer(scale)
    first, last = max(c - before, 0), min(c + after, C - 1)
    for d in range(first, last + 1):
        s = xo + d * HW
        for j in range(n):
            scale[j] = (k if d == first else scale[j]) + share * (x[s + j] * x[s + j])


@kernel()
def normalize_row(x, o, n, beta, quick, scale, y):
    """y = x scale^-beta for n pixels of a channel, from o."""
    x, y, scale = pointer(x), pointer(y), pointer(scale)
    for j in range(n):
        y[o + j] = x[o + j] * inverse_power(scale[j], beta, quick)


@kernel(parallel=True)
def normalize(x, y, N, C, HW, before, after, share, beta, k, quick, threads):
    """y = x scale^-beta for x (N, C, HW), a block of pixels at a time; share is alpha over size."""
    blocks = (HW + BLOCK - 1) // BLOCK
    for t in numba.prange(threads):
        scale = np.empty(BLOCK, x.dtype)
        for q in range(N * blocks * t // threads, N * blocks * (t + 1) // threads):
            j = q % blocks * BLOCK
            xo, n = q // blocks * C * HW + j, min(BLOCK, HW - j)
            for c in range(C):
                fill_scale(x, xo, C, HW, c, n, before, after, share, k, scale)
                normalize_row(x, xo + c * HW, n, beta, quick, scale, y)


@kernel()
def grad_of_row(dy, x, o, n, beta, quick, scale, dx, term, to):
    """dx = dy scale^-beta and term = dy x scale^(-beta-1), for n pixels of a channel, from o; term from `to`."""
    dy, x, dx, scale, term = pointer(dy), pointer(x), pointer(dx), pointer(scale), pointer(term)
    for j in range(n):
        direct = dy[o + j] * inverse_power(scale[j], beta, quick)
        dx[o + j] = direct
        term[to + j] = direct * x[o + j] / scale[j]


@kernel()
def grad_of_window(x, o, n, terms, rows, first, last, factor, total, dx):
    """dx -= factor x Σ terms over channels first ... last, whose terms lie in a ring of `rows` rows."""
    x, dx, total, terms = pointer(x), pointer(dx), pointer(total), pointer(terms)
    for d in range(first, last + 1):
        s = d % rows * BLOCK
        for j in range(n):
            total[j] = terms[s + j] if d == first else total[j] + terms[s + j]
    for j in range(n):
        dx[o + j] -= factor * x[o + j] * total[j]


@kernel(parallel=True)
def normalize_grad(dy, x, dx, N, C, HW, before, after, share, beta, k, quick, threads):
    """dx_c = dy_c s_c^-beta - 2 beta share x_c Σ dy x s^(-beta-1), the sum over the channels whose windows hold c.

    These reach up to channel c + before, so channel c is finished `before` channels later than it is begun, while its
    pixels and the terms of its neighbours still lie in the first-level cache.
    """
    blocks, rows, factor = (HW + BLOCK - 1) // BLOCK, before + after + 1, (share + share) * beta
    for t in numba.prange(threads):
        scale, terms = np.empty(BLOCK, x.dtype), np.empty(rows * BLOCK, x.dtype)
        for q in range(N * blocks * t // threads, N * blocks * (t + 1) // threads):
            j = q % blocks * BLOCK
            xo, n = q // blocks * C * HW + j, min(BLOCK, HW - j)
            for c in range(C + before):
                if c < C:
                    fill_scale(x, xo, C, HW, c, n, before, after, share, k, scale)
                    grad_of_row(dy, x, xo + c * HW, n, beta, quick, scale, dx, terms, c % rows * BLOCK)
                done = c - before
                if done >= 0:
                    grad_of_window(x, xo + done * HW, n, terms, rows, max(done - after, 0), min(c, C - 1), factor,
                                   scale, dx)


@kernel()
def sum_of(x, first, last):
    """Return the sum of x[first:last]."""
    x, total = pointer(x), x.dtype.type(0)
    for i in range(first, last):
        total += x[i]
    return total


@kernel(parallel=True)
def bias_grad(dy, N, F, P, db, threads):
    """db (F,) = the sum of dy (N, F, P) over images and pixels, plane by plane: rounding grows with N + P, not N P."""
    for t in numba.prange(threads):
        for f in range(F * t // threads, F * (t + 1) // threads):
            total = db.dtype.type(0)
            for n in range(N):
                total += sum_of(dy, (n * F + f) * P, (n * F + f + 1) * P)
            db[f] = total


@kernel(parallel=True)
def sgd_update(w, velocity, grad, lr, momentum, weight_decay, threads):
    """v ← momentum v + grad + weight_decay w; w ← w - lr v, in place, in one pass over memory."""
    for t in numba.prange(threads):
        a, b, g = pointer(w), pointer(velocity), pointer(grad)
        for i in range(w.size * t // threads, w.size * (t + 1) // threads):
            v = momentum * b[i] + g[i] + weight_decay * a[i]
            b[i] = v
            a[i] -= lr * v


@kernel(parallel=True)
def renormalize_filters(w, F, R, radius, threads):
    """Scale every filter of w (F, R) whose RMS exceeds radius back to it, in place."""
    for t in numba.prange(threads):
        a = pointer(w)
        for f in range(F * t // threads, F * (t + 1) // threads):
            squares = w.dtype.type(0)
            for i in range(f * R, (f + 1) * R):
                squares += a[i] * a[i]
            rms = math.sqrt(squares / w.dtype.type(R))
            if rms > radius:
                shrink = radius / rms
                for i in range(f * R, (f + 1) * R):
                    a[i] *= shrink
