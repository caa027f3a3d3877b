"""Convolution, its two gradients, im2col and col2im.

All three products lay windows out as columns only a block at a time, while packing the panels of the matrix product, so
that no column matrix of an image exists. Two tables say where a column's entries lie in the padded image:
`row_offset` (C/groups*KH*KW) for (channel, i, j) and `pixel_offset` (OH*OW) for the output pixel; their sum is the place.
Arrays come flat and contiguous; `image` is the number of elements of one padded image, `group` of one group's channels.
"""

import numba
import numpy as np

from ._numba_gemm import KC, MR, PANEL, multiply_block, pack_matrix
from ._numba_jit import kernel


@kernel(parallel=True)
def pad_images(x, planes, H, W, PH, PW, out, threads):
    """Copy planes (H, W) into zero frames of PH and PW pixels."""
    HP, WP = H + 2 * PH, W + 2 * PW
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            out[p * HP * WP:(p + 1) * HP * WP] = 0
            for i in range(H):
                o, s = (p * HP + i + PH) * WP + PW, (p * H + i) * W
                for j in range(W):
                    out[o + j] = x[s + j]


@kernel()
def pack_pixels(x, xo, row_offset, k0, kc, pixel_offset, j0, width, out):
    """im2col of rows k0...k0+kc and output pixels j0...j0+width into panels of NR columns, zeros after the last."""
    nr = PANEL // x.itemsize
    for j in range(0, width, nr):
        o, n = j * kc, min(nr, width - j)
        first = xo + pixel_offset[j0 + j]
        run = n == nr and pixel_offset[j0 + j + nr - 1] - pixel_offset[j0 + j] == nr - 1      # one stretch of memory
        for k in range(kc):
            s, q = row_offset[k0 + k], o + k * nr
            if run:
                for c in range(nr):
                    out[q + c] = x[s + first + c]
            else:
                for c in range(n):
                    out[q + c] = x[s + xo + pixel_offset[j0 + j + c]]
                for c in range(n, nr):
                    out[q + c] = 0


@kernel(parallel=True)
def conv_forward(x, image, group, w, bias, y, N, G, F, R, P, row_offset, pixel_offset, relu, threads):
    """y (N, G, F, P) = w (G, F, R) times the columns of each image and group, plus bias, rectified if `relu`.

    Work is dealt out in tiles of up to 4 panels of output pixels: KC rows of a tile stay in the second-level cache
    while the filters stream past. F and R are one group's.
    """
    nr = PANEL // y.itemsize
    panels = (P + nr - 1) // nr
    tiles = (panels + 3) // 4
    wide = (panels + tiles - 1) // max(tiles, 1) * nr
    work = N * G * tiles
    for t in numba.prange(threads):
        columns = np.empty(KC * wide, y.dtype)
        edge, corner = np.empty(MR * KC, y.dtype), np.empty(MR * nr, y.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            n, g, j0 = q // (G * tiles), q // tiles % G, q % tiles * wide
            width = min(wide, P - j0)
            yo = (n * G + g) * F * P + j0
            for k0 in range(0, R, KC):
                kc = min(KC, R - k0)
                pack_pixels(x, n * image + g * group, row_offset, k0, kc, pixel_offset, j0, width, columns)
                multiply_block(w, g * F * R + k0, R, 1, F, columns, kc, width, y, yo, P, k0, edge, corner)
            for f in range(F):
                b, o = bias[g * F + f], yo + f * P
                for j in range(width):
                    v = y[o + j] + b
                    y[o + j] = y.dtype.type(0) if relu and v <= 0 else v


@kernel(parallel=True)
def conv_input_grad(dy, wt, dx, N, C, H, W, PH, PW, SH, SW, G, F, R, OH, OW, row_offset, slab, threads):
    """dx (N, C, H, W) from dy (N, G, F, OH*OW) and the transposed filters wt (G, R, F).

    Work is dealt out in slabs of `slab` channels of a group: the slab's columns are multiplied out a tile of pixels at
    a time and added at once into its padded planes, which are cut to size at the end.
    """
    HP, WP, P, CG = H + 2 * PH, W + 2 * PW, OH * OW, C // G
    KK = R // CG
    nr = PANEL // dy.itemsize
    wide = 4 * nr
    slabs = (CG + slab - 1) // slab
    work = N * G * slabs
    for t in numba.prange(threads):
        panels, cols = np.empty(F * wide, dy.dtype), np.empty(slab * KK * wide, dy.dtype)
        planes = np.empty(slab * HP * WP, dy.dtype)
        edge, corner = np.empty(MR * KC, dy.dtype), np.empty(MR * nr, dy.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            n, g, c0 = q // (G * slabs), q // slabs % G, q % slabs * slab
            channels = min(slab, CG - c0)
            planes[:channels * HP * WP] = 0
            for j0 in range(0, P, wide):
                width = min(wide, P - j0)
                for k0 in range(0, F, KC):
                    kc = min(KC, F - k0)
                    pack_matrix(dy, ((n * G + g) * F + k0) * P + j0, P, 1, kc, width, panels)
                    multiply_block(wt, (g * R + c0 * KK) * F + k0, F, 1, channels * KK, panels, kc, width,
                                   cols, 0, wide, k0, edge, corner)
                for r in range(channels * KK):
                    base = row_offset[r]
                    j = 0
                    while j < width:                        # a stretch of one output row at a time
                        oh, ow = (j0 + j) // OW, (j0 + j) % OW
                        stretch = min(OW - ow, width - j)
                        o, s = base + oh * SH * WP + ow * SW, r * wide + j
                        for v in range(stretch):
                            planes[o + v * SW] += cols[s + v]
                        j += stretch
            for c in range(channels):
                for i in range(H):
                    o, s = ((n * C + g * CG + c0 + c) * H + i) * W, (c * HP + i + PH) * WP + PW
                    for j in range(W):
                        dx[o + j] = planes[s + j]


@kernel(parallel=True)
def conv_weight_grad(dy, x, image, group, dw, N, G, F, R, P, row_offset, pixel_offset, threads):
    """dw (G, F, R) = Σ over images of dy (F, P) times the transposed columns (P, R).

    Work is dealt out in blocks of dw of up to 4 panels of columns, by all filters where that makes work enough for
    every thread (each block packs the columns anew); each block sums all images itself, so no sum depends on the split.
    """
    nr = PANEL // dy.itemsize
    wide = 4 * nr
    across = (R + wide - 1) // wide
    parts = 1 if G * across >= 4 * threads else 2
    high = (F + parts * MR - 1) // (parts * MR) * MR
    down = (F + high - 1) // high
    work = G * across * down
    for t in numba.prange(threads):
        panels = np.empty(KC * wide, dy.dtype)
        edge, corner = np.empty(MR * KC, dy.dtype), np.empty(MR * nr, dy.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            g, r0, f0 = q // (across * down), q // down % across * wide, q % down * high
            width, rows = min(wide, R - r0), min(high, F - f0)
            for n in range(N):
                xo = n * image + g * group
                for p0 in range(0, P, KC):
                    kc = min(KC, P - p0)
                    for j in range(0, width, nr):
                        o, full = j * kc, min(nr, width - j)
                        for k in range(kc):
                            s = xo + pixel_offset[p0 + k]
                            for c in range(full):
                                panels[o + k * nr + c] = x[s + row_offset[r0 + j + c]]
                            for c in range(full, nr):
                                panels[o + k * nr + c] = 0
                    multiply_block(dy, ((n * G + g) * F + f0) * P + p0, P, 1, rows, panels, kc, width,
                                   dw, (g * F + f0) * R + r0, R, n + p0, edge, corner)


@kernel(parallel=True)
def im2col(x, planes, H, W, KH, KW, SH, SW, PH, PW, OH, OW, cols, threads):
    """cols (planes, KH, KW, OH, OW) of x (planes, H, W), zero outside the image."""
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            o = p * KH * KW * OH * OW
            for i in range(KH):
                for j in range(KW):
                    for u in range(OH):
                        row = u * SH + i - PH
                        for v in range(OW):
                            column = v * SW + j - PW
                            inside = 0 <= row < H and 0 <= column < W
                            cols[o] = x[(p * H + row) * W + column] if inside else 0
                            o += 1


@kernel(parallel=True)
def col2im(cols, planes, H, W, KH, KW, SH, SW, PH, PW, OH, OW, x, threads):
    """x (planes, H, W): every entry of cols (planes, KH, KW, OH, OW) added where im2col read it."""
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            x[p * H * W:(p + 1) * H * W] = 0
            s = p * KH * KW * OH * OW
            for i in range(KH):
                for j in range(KW):
                    for u in range(OH):
                        row = u * SH + i - PH
                        for v in range(OW):
                            column = v * SW + j - PW
                            if 0 <= row < H and 0 <= column < W:
                                x[(p * H + row) * W + column] += cols[s]
                            s += 1
