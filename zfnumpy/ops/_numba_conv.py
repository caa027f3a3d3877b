"""Direct convolution, its two gradients, im2col and col2im.

All three products lay windows out as columns only a block at a time, while packing the panels of the matrix product, so
that no column matrix of an image exists. Two tables say where a column's entries lie in the padded image:
`row_offset` (C/groups*KH*KW) for (channel, i, j) and `pixel_offset` (OH*OW) for the output pixel; their sum is the place.
A padded row holds its columns 0, S, 2S, … first, then 1, S + 1, …: what a strided window reads for the pixels of one
output row is one stretch of memory. Arrays come flat and contiguous; `image` is the number of elements of one padded
image, `group` of one group's channels.
"""

import numba
import numpy as np

from ._numba_gemm import KC, MR, PANEL, multiply_block, pack_matrix
from ._numba_jit import NONE, ONE, kernel, pointer


@kernel(parallel=True)
def pad_images(x, planes, H, W, PH, PW, S, out, threads):
    """Copy planes (H, W) into zero frames of PH and PW pixels, each row's columns sorted by their remainder by S."""
    HP, stretch = H + 2 * PH, (W + 2 * PW + S - 1) // S
    for t in numba.prange(threads):
        for p in range(planes * t // threads, planes * (t + 1) // threads):
            pad_plane(x, p * H * W, H, W, PH, PW, S, stretch, out, p * HP * S * stretch)


@kernel()
def pad_plane(x, xo, H, W, PH, PW, S, stretch, out, o):
    """Copy one plane into its frame; `stretch` is the length of a row's part for one remainder."""
    zero = x.dtype.type(0)
    x, out = pointer(x), pointer(out)
    for e in range((H + 2 * PH) * S * stretch):
        out[o + e] = zero
    for i in range(H):
        for phase in range(S):
            first = (phase - PW) % S                       # the first column of x with this remainder in the frame
            at = o + ((i + PH) * S + phase) * stretch + (first + PW) // S
            for j in range((W - first + S - 1) // S):
                out[at + j] = x[xo + i * W + first + j * S]


@kernel()
def stretch_length(pixel_offset, p, most):
    """Return how many output pixels from p on, at most `most`, read places side by side in memory."""
    n = 1
    while n < most and pixel_offset[p + n] == pixel_offset[p] + n:
        n += 1
    return n


@kernel()
def pack_pixels(x, xo, row_offset, k0, kc, pixel_offset, j0, width, out):
    """im2col of rows k0...k0+kc and output pixels j0...j0+width into panels of NR columns, zeros after the last."""
    nr = PANEL // x.itemsize
    zero = x.dtype.type(0)
    x, out = pointer(x), pointer(out)
    for j in range(0, width, nr):
        o, n, c = j * kc, min(nr, width - j), 0
        while c < n:                                       # a stretch of memory at a time: a panel holds one to a few
            first = pixel_offset[j0 + j + c]
            e = c + stretch_length(pixel_offset, j0 + j + c, n - c)
            if e - c == nr:
                for k in range(kc):
                    s = xo + row_offset[k0 + k] + first
                    for q in range(nr):
                        out[o + k * nr + q] = x[s + q]
            else:
                for k in range(kc):
                    s = xo + row_offset[k0 + k] + first
                    for q in range(e - c):
                        out[o + k * nr + c + q] = x[s + q]
            c = e
        for k in range(kc):
            for q in range(n, nr):
                out[o + k * nr + q] = zero


@kernel()
def pack_windows(x, xo, row_offset, r0, width, pixel_offset, p0, kc, out):
    """The transpose of pack_pixels: output pixels p0...p0+kc down, rows r0...r0+width in panels of NR columns."""
    nr = PANEL // x.itemsize
    zero = x.dtype.type(0)
    x, out = pointer(x), pointer(out)
    for j in range(0, width, nr):
        n, k = min(nr, width - j), 0
        while k < kc:
            first = pixel_offset[p0 + k]
            e = k + stretch_length(pixel_offset, p0 + k, kc - k)
            for c in range(n):
                s, o = xo + row_offset[r0 + j + c] + first, j * kc + k * nr + c
                for q in range(e - k):
                    out[o + q * nr] = x[s + q]
            k = e
        for k in range(kc):
            for c in range(n, nr):
                out[j * kc + k * nr + c] = zero


@kernel()
def add_bias(y, yo, ldy, bias, bo, rows, width, relu):
    """Add each row's bias to y[rows, width] and rectify it if `relu`."""
    zero = y.dtype.type(0)
    y = pointer(y)
    for f in range(rows):
        b, o = bias[bo + f], yo + f * ldy
        if relu:
            for j in range(width):
                v = y[o + j] + b
                y[o + j] = zero if v <= 0 else v
        else:
            for j in range(width):
                y[o + j] += b


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
                multiply_block(w, g * F * R + k0, R, ONE, F, columns, kc, width, y, yo, P, k0 > 0,
                               edge, corner)
            add_bias(y, yo, P, bias, g * F, F, width, relu)


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
                    pack_matrix(dy, ((n * G + g) * F + k0) * P + j0, P, ONE, kc, width, panels)
                    multiply_block(wt, (g * R + c0 * KK) * F + k0, F, ONE, channels * KK, panels, kc, width,
                                   cols, NONE, wide, k0 > 0, edge, corner)
                add_columns(cols, wide, channels * KK, j0, width, row_offset, planes, WP, SH, SW, OW)
            for c in range(channels):
                for i in range(H):
                    o, s = ((n * C + g * CG + c0 + c) * H + i) * W, (c * HP + i + PH) * WP + PW
                    dx[o:o + W] = planes[s:s + W]


@kernel()
def add_columns(cols, ldc, rows, j0, width, row_offset, planes, WP, SH, SW, OW):
    """Add columns of pixels j0...j0+width where their windows read: the col2im of conv_input_grad, on a slab's planes."""
    cols, planes = pointer(cols), pointer(planes)
    for r in range(rows):
        base, j = row_offset[r], 0
        while j < width:                                    # a stretch of one output row at a time
            oh, ow = (j0 + j) // OW, (j0 + j) % OW
            stretch = min(OW - ow, width - j)
            o, s = base + oh * SH * WP + ow * SW, r * ldc + j
            if SW == 1:
                for v in range(stretch):
                    planes[o + v] += cols[s + v]
            else:
                for v in range(stretch):
                    planes[o + v * SW] += cols[s + v]
            j += stretch


@kernel(parallel=True)
def conv_weight_grad(dy, x, image, group, sums, N, G, F, R, P, row_offset, pixel_offset, threads):
    """sums (S, G, F, R): dy (F, P) times the transposed columns (P, R), summed over an S-th of all images' pixels each.

    Work is dealt out in blocks of up to 8 panels of columns by these sums. How many sums there are follows from the
    shapes alone, so that none depends on the number of threads.
    """
    nr = PANEL // dy.itemsize
    wide = 8 * nr
    across = (R + wide - 1) // wide
    depths = (P + KC - 1) // KC                            # an image's pixels go KC at a time
    S, work = len(sums), len(sums) * G * across
    for t in numba.prange(threads):
        panels = np.empty(KC * wide, dy.dtype)
        edge, corner = np.empty(MR * KC, dy.dtype), np.empty(MR * nr, dy.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            s, g, r0 = q // (G * across), q // across % G, q % across * wide
            width, begin = min(wide, R - r0), N * depths * s // S
            for d in range(begin, N * depths * (s + 1) // S):
                n, p0 = d // depths, d % depths * KC
                kc = min(KC, P - p0)
                pack_windows(x, n * image + g * group, row_offset, r0, width, pixel_offset, p0, kc, panels)
                multiply_block(dy, (n * G + g) * F * P + p0, P, ONE, F, panels, kc, width,
                               sums[s], g * F * R + r0, R, d > begin, edge, corner)


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
