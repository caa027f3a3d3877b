"""Windows cut from maps, unpooling and transposed convolution of windows: what a projection of single units consists of.

What reaches a convolution on the way down is mostly zeros: unpooling fills at most a quarter of a map, and the
rectification leaves about half of that. So the values that are not zero are listed place by place, and each place adds
to the result, with its channels last, the sum of its values times their filters: one product of a sparse row with the
filters' matrix, whose columns are the places (KH, KW, C) under a filter. The filters come packed in slabs, a few vectors
of columns each, so that a slab stays in the first- or second-level cache.

A sample is summed by itself, always in the same order: neither the threads nor the other samples change its bits.
"""

import numba
import numpy as np

from ._numba_gemm import VECTOR
from ._numba_jit import NONE, kernel, pointer
from ._numba_vectors import INDEX, vector_code

SLABS = (12, 7, 3, 1)        # vectors a slab's row may have, which are summed in as many registers
FIRST = 40960                # bytes of a slab's filters that stay in the first-level cache
NEAR = 2 ** 19               # bytes of results that leave room in the second-level cache: samples that share a slab


def slab_layout(C, KH, KW, itemsize):
    """Return (row, vectors, slabs): the length of a filter's row (KW, C) in whole vectors, and how slabs hold KH of them."""
    lanes = VECTOR // itemsize
    row = -(-C * KW // lanes) * lanes
    columns = KH * row // lanes
    vectors = min(SLABS, key=lambda n: -(-columns // n) * (n + 2))       # each pass over a list costs about two vectors
    return row, vectors, -(-columns // vectors)


def slab_offsets(row, vectors, slabs, KH, pitch, itemsize):
    """Return where each vector of the slabs' rows belongs in a result whose rows are `pitch` apart (0 for what is over)."""
    column = np.arange(slabs * vectors) * (VECTOR // itemsize)
    return np.where(column < KH * row, column // row * pitch + column % row, 0)


def _sparse_row(vectors):
    """Return the product of a sparse row with a slab of so many vectors, for use in kernels."""

    def in_python(n, values, channels, at, slab, so, result, ro, offsets, oo):
        lanes = VECTOR // result.itemsize
        for j in range(vectors):
            total, to = np.zeros(lanes, result.dtype), ro + offsets[oo + j]
            for k in range(at, at + n):
                o = so + (channels[k] * vectors + j) * lanes
                total += values[k] * slab[o:o + lanes]
            result[to:to + lanes] += total

    def write(code, n, values, channels, at, slab, so, result, ro, offsets, oo):
        """result[ro + offsets[oo + j]:] += Σ_k values[at + k] slab[so + (channels[at + k], j)] for every vector j."""
        def step(k, *totals):
            value = code.broadcast(values, at, k)
            channel = code.builder.sext(code.builder.load(code.place(channels, at, k)), INDEX)
            row = code.place(slab, so, code.times(channel, vectors * code.lanes))
            return [code.fma(value, code.load(row, j * code.lanes), total) for j, total in enumerate(totals)]

        for j, total in enumerate(code.repeat(n, [code.constant(0)] * vectors, step)):
            to = ro, code.builder.load(code.place(offsets, oo, j))
            code.store(code.builder.fadd(code.load(result, *to), total), result, *to)

    return vector_code("nainananin", lambda itemsize: VECTOR // itemsize, write, in_python, f"sparse_row_{vectors}")


sparse_row_12, sparse_row_7, sparse_row_3, sparse_row_1 = (_sparse_row(vectors) for vectors in SLABS)


@kernel(parallel=True)
def pack_filters(weight, G, F, C, KH, KW, row, width, slabs, out, threads):
    """weight (G, F, C, KH, KW) to slabs (G, slabs, F, width): filter f as KH rows of (KW, C), filled up to `row` each."""
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
                    e, c = i * row + j * C, 0
                    while c < C:                             # a stretch of one slab at a time
                        o, n = ((g * slabs + e // width) * F + f) * width + e % width, min(C - c, width - e % width)
                        for d in range(n):
                            out[o + d] = weight[((q * C + c + d) * KH + i) * KW + j]
                        c, e = c + n, e + n


@kernel()
def add_switched(r, ro, switches, so, pool, top, left, first, last, plane):
    """Add a channel's values r, a window at `top`, `left` of the pooled map, to plane[switch - first], up to `last`.

    pool: the window's height and width, then the map's.
    """
    h, w, OH, OW = pool
    r, switches, plane = pointer(r), pointer(switches), pointer(plane)
    for u in range(max(-top, 0), min(h, OH - top)):
        a, b = ro + u * w, so + (top + u) * OW + left
        for v in range(max(-left, 0), min(w, OW - left)):
            place = np.int64(switches[b + v]) - first
            if 0 <= place < last:
                plane[place] += r[a + v]


@kernel()
def take_switched(switches, so, pool, top, left, first, last, rectify, plane, n, places, values):
    """List from n on what add_switched put into the plane, each place once, and clear it."""
    h, w, OH, OW = pool
    switches, plane, places, values = pointer(switches), pointer(plane), pointer(places), pointer(values)
    for u in range(max(-top, 0), min(h, OH - top)):
        b = so + (top + u) * OW + left
        for v in range(max(-left, 0), min(w, OW - left)):
            place = np.int64(switches[b + v]) - first
            if 0 <= place < last:
                value = plane[place]
                plane[place] = 0
                places[n], values[n] = place, value
                n += int(not value <= 0) if rectify else int(value != 0)
    return n


@kernel()
def take_plain(r, ro, area, rectify, n, places, values):
    """List from n on a channel's values r (area) that are not zero."""
    r, places, values = pointer(r), pointer(places), pointer(values)
    for place in range(area):
        value = r[ro + place]
        places[n], values[n] = place, value
        n += int(not value <= 0) if rectify else int(value != 0)
    return n


@kernel()
def sort_by_place(f0, f1, bounds, places, found, span, ends, eo, channels, values, lo):
    """Sort channels f0...f1 of the list of (place, value), channel f's from bounds[f] on, by place.

    The sorted list begins at lo + bounds[f0], and a place's part of it ends `ends[place]` later.
    """
    places, found, channels, values, ends = (pointer(places), pointer(found), pointer(channels), pointer(values),
                                             pointer(ends))
    for place in range(span):
        ends[eo + place] = 0
    for k in range(bounds[f0], bounds[f1]):
        ends[eo + places[k]] += 1
    total = 0
    for place in range(eo, eo + span):
        count = ends[place]
        ends[place] = total
        total += count
    lo += bounds[f0]
    for f in range(f0, f1):
        for k in range(bounds[f], bounds[f + 1]):
            place = eo + places[k]
            at = ends[place]
            channels[lo + at], values[lo + at] = f, found[k]
            ends[place] = at + 1


@kernel()
def write_out(result, ro, C, pitch, top, left, top_row, left_col, bottom_row, right_col, out, oo, rows, cols):
    """out (C, rows, cols): result (…, pitch, C) laid at `top`, `left`, and zero outside of the rows and columns given."""
    result, out = pointer(result), pointer(out)
    left_col = min(left_col, cols)                           # the result may lie to the right of the window altogether
    for y in range(rows):
        s = ro + ((y - top) * pitch - left) * C
        first, last = (left_col, max(left_col, right_col)) if top_row <= y < bottom_row else (cols, cols)
        for c in range(C):
            o = oo + (c * rows + y) * cols
            for x in range(first):
                out[o + x] = 0
            for x in range(first, last):
                out[o + x] = result[s + x * C + c]
            for x in range(last, cols):
                out[o + x] = 0


@kernel(parallel=True)
def transpose_windows(r, counts, conv, above, above_at, below, below_at, packed, offsets, rectify, pooled, images, pool,
                      pool_at, switches, block, together, size, work, out, threads):
    """out (P, G, C, *below): windows r (P, G, F, *above) through the transposed filters, zero outside the map.

    counts: P, G, F, C. conv: KH, KW, SH, SW, PH, PW, vectors and slabs (see pack_filters). above, below, pool: height and
    width of the windows, then of their maps; above_at, below_at, pool_at (P, 2): where they lie. With `pooled`, r
    (P, G, F, *pool) is unpooled by the `switches` of `images` first. Work is dealt out in `together` samples of a group,
    each with `size` numbers of `work` for its result; a slab's filters are taken `block` at a time.
    """
    P, G, F, C = counts
    KH, KW, SH, SW, PH, PW, vectors, slabs = conv
    h, w, H, W = above
    width = vectors * (VECTOR // out.itemsize)
    high, wide = (h - 1) * SH + KH, (w - 1) * SW + KW
    area, pitch = pool[0] * pool[1] if pooled else h * w, W if pooled else w
    most, region = F * area, min(h, H) * W if pooled else h * w
    parts, blocks = (P + together - 1) // together, (F + block - 1) // block
    for t in numba.prange(threads):
        plane, own = np.zeros(region, r.dtype), t * together * size
        places, found = np.empty(most + 1, np.int32), np.empty(most + 1, r.dtype)
        bounds = np.empty((together, F + 1), np.int64)
        channels, values = np.empty(together * most, np.int32), np.empty(together * most, r.dtype)
        ends = np.empty(together * blocks * region, np.int32)
        for q in range(parts * G * t // threads, parts * G * (t + 1) // threads):
            g, p0 = q // parts, q % parts * together
            some = min(together, P - p0)
            work[own:own + some * size] = 0
            for b in range(some):
                p, n = p0 + b, NONE
                first = max(above_at[p, 0], 0) * W
                for f in range(F):
                    ro, so, bounds[b, f] = ((p * G + g) * F + f) * area, ((images[p] * G + g) * F + f) * pool[2] * pool[3], n
                    if pooled:
                        top, left = pool_at[p, 0], pool_at[p, 1]
                        add_switched(r, ro, switches, so, pool, top, left, first, region, plane)
                        n = take_switched(switches, so, pool, top, left, first, region, rectify, plane, n, places, found)
                    else:
                        n = take_plain(r, ro, area, rectify, n, places, found)
                bounds[b, F] = n
                for k in range(blocks):
                    sort_by_place(k * block, min((k + 1) * block, F), bounds[b], places, found, region, ends,
                                  (b * blocks + k) * region, channels, values, b * most)
            for tile in range(slabs * blocks):
                s, k = tile // blocks, tile % blocks
                so, oo = (g * slabs + s) * F * width, s * vectors
                for b in range(some):
                    eo, lo = (b * blocks + k) * region, b * most + bounds[b, k * block]
                    top, left = above_at[p0 + b, 0], above_at[p0 + b, 1]
                    base = (min(top, 0) * W + left) if pooled else 0
                    for i in range(max(-top, 0), min(h, H - top)):
                        for j in range(max(-left, 0), min(w, W - left)):
                            place = base + i * pitch + j
                            begin = ends[eo + place - 1] if place else 0
                            n, at = ends[eo + place] - begin, lo + begin
                            ro = own + b * size + (i * SH * wide + j * SW) * C
                            if n == 0:
                                continue
                            if vectors == 12:
                                sparse_row_12(n, values, channels, at, packed, so, work, ro, offsets, oo)
                            elif vectors == 7:
                                sparse_row_7(n, values, channels, at, packed, so, work, ro, offsets, oo)
                            elif vectors == 3:
                                sparse_row_3(n, values, channels, at, packed, so, work, ro, offsets, oo)
                            else:
                                sparse_row_1(n, values, channels, at, packed, so, work, ro, offsets, oo)
            for b in range(some):
                p = p0 + b
                down, right = below_at[p, 0], below_at[p, 1]
                top, left = above_at[p, 0] * SH - PH - down, above_at[p, 1] * SW - PW - right
                write_out(work, own + b * size, C, wide, top, left, max(top, -down, 0), max(left, -right, 0),
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
                         pool_at[p, 0], pool_at[p, 1], first, plane.size, plane)
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


@kernel()
def copy_span(x, s, out, o, first, last):
    """out[o + first:o + last] = x[s + first:s + last]."""
    x, out = pointer(x), pointer(out)
    for j in range(first, last):
        out[o + j] = x[s + j]


@kernel(parallel=True)
def patch_windows(x, patches, planes, C, images, windows, corners, at, at_corners, outside, out, threads):
    """out (planes, h, w), `planes` = P * C: windows of x (N, C, H, W) with the patches (planes, *at) laid over it.

    windows and at: height and width of the windows and of the patches, then of their maps.
    """
    h, w, H, W = windows
    high, wide = at[0], at[1]
    for t in numba.prange(threads):
        for q in range(planes * t // threads, planes * (t + 1) // threads):
            p = q // C
            top, left, plane = corners[p, 0], corners[p, 1], (images[p] * C + q % C) * H * W
            down, across = top - at_corners[p, 0], left - at_corners[p, 1]
            first, last = min(max(-left, 0), w), max(min(w, W - left), 0)          # the columns inside the map,
            begin = min(max(-across, first), last)                                 # and of these inside the patch
            end = max(min(wide - across, last), begin)
            for i in range(h):
                o = (q * h + i) * w
                if not 0 <= top + i < H:
                    out[o:o + w] = outside
                    continue
                out[o:o + first] = outside
                out[o + last:o + w] = outside
                s = plane + (top + i) * W + left
                if 0 <= down + i < high:
                    copy_span(x, s, out, o, first, begin)
                    copy_span(patches, (q * high + down + i) * wide + across, out, o, begin, end)
                    copy_span(x, s, out, o, end, last)
                else:
                    copy_span(x, s, out, o, first, last)
