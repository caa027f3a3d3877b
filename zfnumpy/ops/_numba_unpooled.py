"""The weights' gradient of a first convolution below a max pool, straight from the pool's switches.

The unpooled gradient of an output map is zero but at the switches: of ZFNet's conv1, at most one pixel in four. So each
value there adds its multiple of the window it came from, and the map is never made. With few channels, lying last, a row
of the window is one stretch of memory; ROWS rows by SPANS vectors of it are summed in registers over a whole map.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from ._numba_jit import kernel, pointer

LANES = 16                                # numbers of a vector
ROWS, SPANS = 4, 2                        # of a window, summed at once
STRETCH = SPANS * LANES


def _sum_windows_in_python(count, values, places, x, xo, row, total, o):
    for i in range(ROWS):
        sums = np.zeros(STRETCH, total.dtype)
        for k in range(count):
            sums += values[k] * x[xo + places[k] + i * row:][:STRETCH]
        total[o + i * STRETCH:o + (i + 1) * STRETCH] += sums


@intrinsic
def _sum_windows_in_registers(typing, count, values, places, x, xo, row, total, o):
    """total (ROWS, STRETCH) at o += Σ_k values[k] times the ROWS rows of x from xo + places[k], `row` apart."""
    index = types.intp

    def codegen(context, builder, signature, args):
        count, values, places, x, xo, row, total, o = args
        single = signature.args[1].dtype == types.float32
        scalar, i64, i32 = ir.FloatType() if single else ir.DoubleType(), ir.IntType(64), ir.IntType(32)
        vector = ir.VectorType(scalar, LANES)
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3),
                                             f"llvm.fma.v{LANES}f{32 if single else 64}")
        undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * LANES)
        align = scalar.get_abi_alignment(context.target_data)
        values, places, source, target = (
            context.make_array(signature.args[at])(context, builder, array).data
            for at, array in ((1, values), (2, places), (3, x), (6, total)))

        def vector_at(start, *offsets):
            for offset in offsets:
                start = builder.gep(start, [offset])
            return builder.bitcast(start, vector.as_pointer())

        def load(place):
            value = builder.load(place)
            value.align = align
            return value

        rows = [builder.mul(row, ir.Constant(i64, i)) for i in range(ROWS)]
        before, loop, done = builder.block, builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed(">", count, ir.Constant(i64, 0)), loop, done)
        builder.position_at_end(loop)
        k = builder.phi(i64)
        sums = [[builder.phi(vector) for _ in range(SPANS)] for _ in range(ROWS)]
        many = builder.shuffle_vector(
            builder.insert_element(undefined, builder.load(builder.gep(values, [k])), ir.Constant(i32, 0)), undefined,
            ir.Constant(ir.VectorType(i32, LANES), [0] * LANES))
        corner = builder.add(xo, builder.load(builder.gep(places, [k])))
        following = builder.add(k, ir.Constant(i64, 1))
        k.add_incoming(ir.Constant(i64, 0), before)
        k.add_incoming(following, loop)
        spans = [ir.Constant(i64, j * LANES) for j in range(SPANS)]
        totals = [[builder.call(fma, [many, load(vector_at(source, corner, rows[i], spans[j])), sums[i][j]])
                   for j in range(SPANS)] for i in range(ROWS)]
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)
        for i in range(ROWS):
            for j in range(SPANS):
                sums[i][j].add_incoming(zero, before)
                sums[i][j].add_incoming(totals[i][j], loop)
        results = [[builder.phi(vector) for _ in range(SPANS)] for _ in range(ROWS)]
        for i in range(ROWS):
            for j in range(SPANS):
                results[i][j].add_incoming(zero, before)
                results[i][j].add_incoming(totals[i][j], loop)
        for i in range(ROWS):
            for j in range(SPANS):
                place = vector_at(target, o, ir.Constant(i64, (i * SPANS + j) * LANES))
                builder.store(builder.fadd(load(place), results[i][j]), place).align = align
        return context.get_dummy_value()

    return types.void(index, values, places, x, index, index, total, index), codegen


sum_windows = _sum_windows_in_python if config.DISABLE_JIT else _sum_windows_in_registers


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
