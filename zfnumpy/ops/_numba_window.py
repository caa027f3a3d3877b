"""Windows cut from maps, unpooling and transposed convolution of windows: what a projection of single units consists of.

What reaches a convolution on the way down is mostly zeros: unpooling fills at most a quarter of a map, and the
rectification leaves about half of that. So the values that are not zero are listed place by place, and each place adds
to the result, with its channels last, the sum of its values times their filters: one product of a sparse row with the
filters' matrix, whose columns are the places (KH, KW, C) under a filter. The filters come packed in slabs of SLAB vectors
of columns, so that a slab stays in the second-level cache.

A sample is summed by itself, always in the same order: neither the threads nor the other samples change its bits.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from ._numba_gemm import VECTOR
from ._numba_jit import kernel, pointer

SLAB = 12                    # vectors of a slab's row, which are summed in as many registers
SLAB_BYTES = SLAB * VECTOR
HALF = VECTOR // 2           # bytes to which each row (KW, C) of a filter is filled up with zeros
FILTERS_KEPT = 2 ** 19       # bytes of filters that stay in the second-level cache beside a sample's result


def row_lengths(values, itemsize):
    """Return the length of a filter's row of `values` (KW, C) filled up with zeros, and that of a slab's row."""
    step = HALF // itemsize
    return -(-values // step) * step, SLAB_BYTES // itemsize


def result_size(h, w, C, KH, KW, SH, SW, width):
    """Return the length of a window's result (…, …, C) with room after it, a multiple of a slab's row."""
    return -(-((h - 1) * SH + KH) * ((w - 1) * SW + KW) * C // width) * width + width


def _sparse_row_in_python(n, values, channels, at, slab, so, sums):
    width = SLAB_BYTES // sums.itemsize
    sums[:width] = 0
    for k in range(at, at + n):
        sums[:width] += values[k] * slab[so + channels[k] * width:so + (channels[k] + 1) * width]


@intrinsic
def _sparse_row_in_registers(typing, n, values, channels, at, slab, so, sums):
    """sums[:width] = Σ_k values[at + k] * slab[so + channels[at + k] * width:][:width] for k < n, n at least 1."""
    index, arrays = types.intp, (values, slab, sums)
    signature = types.void(index, values, channels, index, slab, index, sums)

    def codegen(context, builder, _, args):
        n, values, channels, at, slab, so, sums = args
        single = arrays[2].dtype == types.float32
        scalar, lanes = (ir.FloatType(), VECTOR // 4) if single else (ir.DoubleType(), VECTOR // 8)
        i64, i32, vector = ir.IntType(64), ir.IntType(32), ir.VectorType(scalar, lanes)

        def number(value):
            return ir.Constant(i64, value)

        def start(kind, value, offset):
            return builder.gep(context.make_array(kind)(context, builder, value).data, [offset])

        def vector_at(place, offset):
            return builder.bitcast(builder.gep(place, [number(offset)]), vector.as_pointer())

        def unaligned(instruction):
            instruction.align = scalar.get_abi_alignment(context.target_data)
            return instruction

        value_at, slab_at, sums_at = (start(*each) for each in zip(arrays, (values, slab, sums), (at, so, number(0))))
        channel_at = start(signature.args[2], channels, at)
        name = f"llvm.fma.v{lanes}f{32 if single else 64}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        undefined, zero = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * lanes)
        first_lane = ir.Constant(ir.VectorType(i32, lanes), [0] * lanes)

        before, loop, done = builder.block, builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        k, totals = builder.phi(i64), [builder.phi(vector) for _ in range(SLAB)]
        channel = builder.sext(builder.load(builder.gep(channel_at, [k])), i64)
        row = builder.gep(slab_at, [builder.mul(channel, number(SLAB * lanes))])
        value = builder.insert_element(undefined, builder.load(builder.gep(value_at, [k])), ir.Constant(i32, 0))
        value = builder.shuffle_vector(value, undefined, first_lane)
        new = [builder.call(fma, [value, unaligned(builder.load(vector_at(row, j * lanes))), total])
               for j, total in enumerate(totals)]
        following = builder.add(k, number(1))
        for phi, first, later in zip((k, *totals), (number(0), *[zero] * SLAB), (following, *new)):
            phi.add_incoming(first, before)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, n), loop, done)
        builder.position_at_end(done)
        for j, total in enumerate(new):
            unaligned(builder.store(total, vector_at(sums_at, j * lanes)))
        return context.get_dummy_value()

    return signature, codegen


sparse_row = _sparse_row_in_python if config.DISABLE_JIT else _sparse_row_in_registers


@kernel(parallel=True)
def pack_filters(weight, G, F, C, KH, KW, row, slabs, out, threads):
    """weight (G, F, C, KH, KW) to slabs (G, slabs, F, width): filter f as KH rows of (KW, C), filled up to `row` each."""
    width = SLAB_BYTES // out.itemsize
    weight, out = pointer(weight), pointer(out)
    for t in numba.prange(threads):
        for q in range(G * F * t // threads, G * F * (t + 1) // threads):
            g, f = q // F, q % F
            for s in range(slabs):
                o = ((g * slabs + s) * F + f) * width
                for e in range(width):
                    out[o + e] = 0
            for i in range(KH):
                for j in range(KW):
                    for c in range(C):
                        e = i * row + j * C + c
                        out[((g * slabs + e // width) * F + f) * width + e % width] = weight[((q * C + c) * KH + i) * KW + j]


@kernel()
def add_switched(r, ro, switches, so, pool, top, left, first, plane):
    """Add a channel's values r, a window at `top`, `left` of the pooled map, to plane[switch - first].

    pool: the window's height and width, then the map's.
    """
    h, w, OH, OW = pool
    last = plane.size
    for u in range(max(-top, 0), min(h, OH - top)):
        a, b = ro + u * w, so + (top + u) * OW + left
        for v in range(max(-left, 0), min(w, OW - left)):
            place = switches[b + v] - first
            if 0 <= place < last:
                plane[place] += r[a + v]


@kernel()
def take_switched(switches, so, pool, top, left, first, rectify, plane, n, places, values, ends, eo):
    """List from n on what add_switched put into the plane, each place once, clear it, and count places in `ends`."""
    h, w, OH, OW = pool
    last = plane.size
    for u in range(max(-top, 0), min(h, OH - top)):
        b = so + (top + u) * OW + left
        for v in range(max(-left, 0), min(w, OW - left)):
            place = switches[b + v] - first
            if 0 <= place < last:
                value = plane[place]
                plane[place] = 0
                places[n], values[n] = place, value
                kept = int(not value <= 0) if rectify else int(value != 0)
                ends[eo + place] += kept
                n += kept
    return n


@kernel()
def take_plain(r, ro, area, rectify, n, places, values, ends, eo):
    """List from n on a channel's values r (area) that are not zero, and count their places in `ends`."""
    for place in range(area):
        value = r[ro + place]
        places[n], values[n] = place, value
        kept = int(not value <= 0) if rectify else int(value != 0)
        ends[eo + place] += kept
        n += kept
    return n


@kernel()
def sort_by_place(F, bounds, places, found, span, ends, eo, channels, values, lo):
    """Sort the list of (place, value), channel f's from bounds[f] on, by place; `ends`, counts before, are then ends."""
    total = 0
    for place in range(eo, eo + span):
        count = ends[place]
        ends[place] = total
        total += count
    for f in range(F):
        for k in range(bounds[f], bounds[f + 1]):
            place = eo + places[k]
            at = ends[place]
            channels[lo + at], values[lo + at] = f, found[k]
            ends[place] = at + 1


@kernel()
def add_rows(sums, first, last, row, acc, ao, pitch):
    """Add columns first ... last of (KH, row) from sums to the rows of acc, `pitch` apart, that lie under a filter."""
    step = HALF // sums.itemsize
    i, x = first // row, first % row
    sums, acc, e = pointer(sums), pointer(acc), 0
    while e < last - first:
        n, o = min(row - x, last - first - e), ao + i * pitch + x
        for q in range(0, n, step):
            for lane in range(step):
                acc[o + q + lane] += sums[e + q + lane]
        e, i, x = e + n, i + 1, 0


@kernel()
def write_out(acc, ao, C, pitch, top, left, top_row, left_col, bottom_row, right_col, out, oo, rows, cols):
    """out (C, rows, cols): acc (…, pitch, C) laid at `top`, `left`, and zero outside of the rows and columns given."""
    acc, out = pointer(acc), pointer(out)
    for c in range(C):
        for y in range(rows):
            o, s = oo + (c * rows + y) * cols, ao + ((y - top) * pitch - left) * C + c
            if y < top_row or y >= bottom_row or right_col <= left_col:
                for x in range(cols):
                    out[o + x] = 0
                continue
            for x in range(left_col):
                out[o + x] = 0
            for x in range(left_col, right_col):
                out[o + x] = acc[s + x * C]
            for x in range(right_col, cols):
                out[o + x] = 0


@kernel(parallel=True)
def transpose_windows(r, counts, conv, above, above_at, below, below_at, packed, rectify, pooled, images, pool, pool_at,
                      switches, together, size, work, out, threads):
    """out (P, G, C, *below): windows r (P, G, F, *above) through the transposed filters, zero outside the map.

    counts: P, G, F, C. conv: KH, KW, SH, SW, PH, PW, row, slabs. above, below, pool: height and width of the windows,
    then of their maps; above_at, below_at, pool_at (P, 2): where they lie. `packed`: see pack_filters. With `pooled`, r
    (P, G, F, *pool) is unpooled by the `switches` of `images` first. Work is dealt out in `together` samples of a group.
    """
    P, G, F, C = counts
    KH, KW, SH, SW, PH, PW, row, slabs = conv
    h, w, H, W = above
    width = SLAB_BYTES // out.itemsize
    high, wide = (h - 1) * SH + KH, (w - 1) * SW + KW
    area, pitch = pool[0] * pool[1] if pooled else h * w, W if pooled else w
    most, region = F * area, min(h, H) * W if pooled else h * w
    parts = (P + together - 1) // together
    for t in numba.prange(threads):
        plane, own = np.zeros(region, r.dtype), t * (width + together * size)
        sums, acc = work[own:own + width], work[own + width:own + width + together * size]
        places, found, bounds = np.empty(most + 1, np.int32), np.empty(most + 1, r.dtype), np.empty(F + 1, np.int32)
        channels, values = np.empty(together * most, np.int32), np.empty(together * most, r.dtype)
        ends = np.empty(together * region, np.int32)
        for q in range(parts * G * t // threads, parts * G * (t + 1) // threads):
            g, p0 = q // parts, q % parts * together
            some = min(together, P - p0)
            ends[:some * region], acc[:some * size] = 0, 0
            for b in range(some):
                p, n = p0 + b, 0
                first = max(above_at[p, 0], 0) * W
                for f in range(F):
                    ro, so, bounds[f] = ((p * G + g) * F + f) * area, ((images[p] * G + g) * F + f) * pool[2] * pool[3], n
                    if pooled:
                        add_switched(r, ro, switches, so, pool, pool_at[p, 0], pool_at[p, 1], first, plane)
                        n = take_switched(switches, so, pool, pool_at[p, 0], pool_at[p, 1], first, rectify, plane,
                                          n, places, found, ends, b * region)
                    else:
                        n = take_plain(r, ro, area, rectify, n, places, found, ends, b * region)
                bounds[F] = n
                sort_by_place(F, bounds, places, found, region, ends, b * region, channels, values, b * most)
            for s in range(slabs):
                e0, e1 = s * width, min((s + 1) * width, KH * row)
                for b in range(some):
                    top, left = above_at[p0 + b, 0], above_at[p0 + b, 1]
                    base = (min(top, 0) * W + left) if pooled else 0
                    for i in range(max(-top, 0), min(h, H - top)):
                        for j in range(max(-left, 0), min(w, W - left)):
                            place = base + i * pitch + j
                            begin = ends[b * region + place - 1] if place else 0
                            n = ends[b * region + place] - begin
                            if n:
                                sparse_row(n, values, channels, b * most + begin, packed, (g * slabs + s) * F * width, sums)
                                add_rows(sums, e0, e1, row, acc, b * size + (i * SH * wide + j * SW) * C, wide * C)
            for b in range(some):
                p = p0 + b
                down, right = below_at[p, 0], below_at[p, 1]
                top, left = above_at[p, 0] * SH - PH - down, above_at[p, 1] * SW - PW - right
                write_out(acc, b * size, C, wide, top, left, max(top, -down, 0), max(left, -right, 0),
                          min(top + high, below[2] - down, below[0]), min(left + wide, below[3] - right, below[1]),
                          out, (p * G + g) * C * below[0] * below[1], below[0], below[1])


@kernel(parallel=True)
def unpool_windows(r, planes, C, images, pool, pool_at, switches, below, below_at, out, threads):
    """out (planes, *below): windows r (planes, *pool), `planes` = P * C, each value added at its switch."""
    H, W = below[2:]
    for t in numba.prange(threads):
        plane = np.zeros(min(below[0], H) * W, r.dtype)
        for q in range(planes * t // threads, planes * (t + 1) // threads):
            p, c = q // C, q % C
            top, left, o = below_at[p, 0], below_at[p, 1], q * below[0] * below[1]
            first = max(top, 0) * W
            add_switched(r, q * pool[0] * pool[1], switches, (images[p] * C + c) * pool[2] * pool[3], pool,
                         pool_at[p, 0], pool_at[p, 1], first, plane)
            for i in range(below[0]):
                for j in range(below[1]):
                    inside = 0 <= top + i < H and 0 <= left + j < W
                    out[o + i * below[1] + j] = plane[(top + i) * W - first + left + j] if inside else 0
            plane[:] = 0


@kernel(parallel=True)
def cut_windows(x, planes, C, images, windows, at, out, threads):
    """out (planes, h, w), `planes` = P * C: windows of x (N, C, H, W), zero where they leave the map."""
    h, w, H, W = windows
    for t in numba.prange(threads):
        for q in range(planes * t // threads, planes * (t + 1) // threads):
            top, left, plane = at[q // C, 0], at[q // C, 1], (images[q // C] * C + q % C) * H * W
            for i in range(h):
                o, s = (q * h + i) * w, plane + (top + i) * W + left
                first, last = (max(-left, 0), min(w, W - left)) if 0 <= top + i < H else (0, 0)
                for j in range(w):
                    out[o + j] = 0
                for j in range(first, last):
                    out[o + j] = x[s + j]
