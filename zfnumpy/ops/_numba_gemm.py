"""Matrix products: a register-tiled micro-kernel, the block product around it, and C = A B in parallel.

The micro-kernel keeps an MR×NR block of C in vector registers and adds one rank-1 update a step: NV vector loads of B,
MR broadcasts of A, MR*NV fused multiply-adds. B comes packed in panels of NR columns, (kc, NR) each, so that its loads
are aligned runs; A is read where it lies, by its strides, since each of its values serves a whole vector row.

Every entry of C is summed in the same order whatever the number of threads: the work is split over blocks of C, never
over the summed index.
"""

import llvmlite.binding as llvm
import numba
import numpy as np

from ._numba_jit import kernel, pointer, prefetch
from ._numba_vectors import vector_code


def _host():
    """Return (bytes in a vector, rows, vectors a row) of the register tile for this processor."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 12, 2                  # 24 of 32 registers accumulate
    if features.get("avx") and features.get("fma"):
        return 32, 6, 2                   # 12 of 16
    return 16, 6, 2                       # NEON, SSE


VECTOR, MR, NV = _host()
PANEL = VECTOR * NV                       # bytes of a panel's row: NR = PANEL // itemsize columns
AHEAD = 4                                 # rows that packing asks for ahead: no processor foresees jumps of a row's length
THICK, THIN = (256, 4), (128, 16)         # a packed block's rows and panels; with few rows of A, long runs of B's rows
FEW_TILES = 4 * MR
KC = 256                                  # depth of a packed panel: KC * PANEL bytes stay in the first-level cache


def _micro_kernel_in_python(kc, a, ao, ars, acs, b, bo, c, co, ldc, add):
    nr = PANEL // c.itemsize
    for i in range(MR):
        for j in range(nr):
            total = c[co + i * ldc + j] if add else c.dtype.type(0)
            for k in range(kc):
                total += a[ao + i * ars + k * acs] * b[bo + k * nr + j]
            c[co + i * ldc + j] = total


def _write_micro_kernel(code, kc, a, ao, ars, acs, b, bo, c, co, ldc, add):
    tile = [(i, j) for i in range(MR) for j in range(NV)]
    # Three rows of A share a pointer, at 0, 1 and 2 strides from it: that many addresses fit the registers.
    triples = [code.place(a, ao, code.times(ars, i)) for i in range(0, MR, 3)]

    def step(k, row, *carried):
        triples, sums = carried[:MR // 3], dict(zip(tile, carried[MR // 3:]))
        panel = [code.load(row, j * code.lanes) for j in range(NV)]
        for i in range(MR):
            value = code.broadcast(triples[i // 3], code.times(ars, i % 3))
            for j in range(NV):
                sums[i, j] = code.fma(value, panel[j], sums[i, j])
        return [code.place(row, NV * code.lanes), *(code.place(triple, acs) for triple in triples), *sums.values()]

    start = [code.place(b, bo), *triples, *[code.constant(0)] * len(tile)]
    sums = dict(zip(tile, code.repeat(kc, start, step)[1 + len(triples):]))
    with code.builder.if_else(code.builder.icmp_signed("!=", add, code.number(0))) as branches:
        for accumulate, branch in zip((True, False), branches):
            with branch:
                for i, j in tile:
                    at = co, code.times(ldc, i), j * code.lanes
                    code.store(code.builder.fadd(code.load(c, *at), sums[i, j]) if accumulate else sums[i, j], c, *at)


# C[MR, NR] (+)= Σ_k A[i, k] B[k, j], with A at ao + i*ars + k*acs, B at bo + k*NR + j, C at co + i*ldc + j
micro_kernel = vector_code("nannnanannn", lambda itemsize: VECTOR // itemsize, _write_micro_kernel, _micro_kernel_in_python,
                           "micro_kernel")


@kernel()
def multiply_block(a, ao, ars, acs, rows, b, kc, width, c, co, ldc, add, edge, corner):
    """C[rows, width] (+)= A[rows, kc] B[kc, width] for one packed block of B.

    Blocks that are not whole go by way of `edge` (MR*KC, A's last rows with zeros below) and `corner` (MR*NR of C), so
    that the micro-kernel never reads or writes past what is there.
    """
    nr = PANEL // c.itemsize
    for i in range(0, rows, MR):
        height, start = min(MR, rows - i), ao + i * ars
        if height < MR:
            take_rows(a, start, ars, acs, height, kc, edge)
        for j in range(0, width, nr):
            if height == MR and j + nr <= width:
                micro_kernel(kc, a, start, ars, acs, b, j * kc, c, co + i * ldc + j, ldc, add)
                continue
            if height == MR:
                micro_kernel(kc, a, start, ars, acs, b, j * kc, corner, 0, nr, 0)
            else:
                micro_kernel(kc, edge, 0, 1, MR, b, j * kc, corner, 0, nr, 0)
            put_corner(corner, height, min(nr, width - j), c, co + i * ldc + j, ldc, add)


@kernel()
def take_rows(a, ao, ars, acs, height, kc, edge):
    """Copy A[height, kc] to edge (kc, MR), zero from `height` on."""
    zero = a.dtype.type(0)
    a, edge = pointer(a), pointer(edge)
    for e in range(kc * MR):
        edge[e] = zero
    for k in range(kc):
        for r in range(height):
            edge[k * MR + r] = a[ao + r * ars + k * acs]


@kernel()
def put_corner(corner, height, width, c, co, ldc, add):
    """C[height, width] (+)= what the micro-kernel left in `corner`."""
    nr = PANEL // c.itemsize
    corner, c = pointer(corner), pointer(c)
    for r in range(height):
        o = co + r * ldc
        if add:
            for q in range(width):
                c[o + q] += corner[r * nr + q]
        else:
            for q in range(width):
                c[o + q] = corner[r * nr + q]


@kernel()
def pack_matrix(b, bo, brs, bcs, kc, width, out):
    """Pack B[kc, width], at bo + k*brs + j*bcs, into panels of NR columns, the last one filled up with zeros."""
    nr = PANEL // b.itemsize
    zero = b.dtype.type(0)
    b, out = pointer(b), pointer(out)
    whole = width // nr * nr if bcs == 1 else 0
    for k in range(kc):                               # whole rows: read in the order of memory
        for j in range(0, whole, nr):
            s, o = bo + k * brs + j, j * kc + k * nr
            prefetch(b, s + AHEAD * brs)
            prefetch(b, s + AHEAD * brs + nr // 2)
            for q in range(nr):
                out[o + q] = b[s + q]
    for j in range(whole, width, nr):
        n = min(nr, width - j)
        for k in range(kc):
            s, o = bo + k * brs + j * bcs, j * kc + k * nr
            for q in range(nr):
                out[o + q] = b[s + q * bcs] if q < n else zero


@kernel(parallel=True)
def gemm(a, ars, acs, b, brs, bcs, M, N, K, c, deep, broad, threads):
    """C (M, N) = A (M, K) B (K, N), A and B by their strides in elements, C contiguous.

    Work is dealt out in blocks of 20 MR rows by `broad` panels: a packed block of B, `deep` rows of them, stays in the
    second-level cache while the rows of A stream past it.
    """
    nr = PANEL // c.itemsize
    high, wide = 20 * MR, broad * nr
    down, across = (M + high - 1) // high, (N + wide - 1) // wide
    for t in numba.prange(threads):
        panels = np.empty(deep * wide, c.dtype)
        edge, corner = np.empty(MR * KC, c.dtype), np.empty(MR * nr, c.dtype)
        for q in range(down * across * t // threads, down * across * (t + 1) // threads):
            j, i = q // down * wide, q % down * high
            rows, width = min(high, M - i), min(wide, N - j)
            for k in range(0, K, deep):
                kc = min(deep, K - k)
                pack_matrix(b, k * brs + j * bcs, brs, bcs, kc, width, panels)
                multiply_block(a, i * ars + k * acs, ars, acs, rows, panels, kc, width, c, i * N + j, N, k > 0, edge,
                               corner)


@kernel(parallel=True)
def few_rows(x, w, y, rows, features, outs, threads):
    """y (rows, outs) = x (rows, features) wᵀ for few rows: each weight is read once, and no panel is worth packing."""
    for t in numba.prange(threads):
        for o in range(outs * t // threads, outs * (t + 1) // threads):
            for n in range(rows):
                y[n * outs + o] = dot(w, o * features, x, n * features, features, y.dtype.type(0))


@kernel()
def dot(a, ao, b, bo, count, total):
    """Return total + a · b, of `count` numbers from ao and bo."""
    a, b = pointer(a), pointer(b)
    for k in range(count):
        total += a[ao + k] * b[bo + k]
    return total
