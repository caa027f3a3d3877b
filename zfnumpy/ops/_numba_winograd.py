"""Convolution by Winograd's minimal filtering: tiles to points, 36 matrix products, points to tiles.

A convolution with 3×3 filters and stride 1 works on tiles of 4×4 outputs (see `_numba_tiles`); `winograd` cuts larger
filters and strides into `parts` that are such convolutions, each of its own sub-image, and adds them up: part and channel
together are the rows k of the products. Images that share their padding are tiled together, as one cell of a mosaic.

Arrays of points hold one matrix for each of the 36 points, `point` numbers apart. Tiles are rows and channels or filters
columns, so that the transforms take LANES channels at a time; B matrices lie in panels of NR columns, as the micro-kernel
reads them. No result depends on the number of threads: each is one sum, made by one thread in the order of the tiles.
"""

import numba
import numpy as np

from ._numba_gemm import MR, PANEL, micro_kernel
from ._numba_jit import kernel
from ._numba_tiles import (
    LANES,
    POINTS,
    STEP,
    TAPS,
    add_points_to_input_grad,
    filter_to_points,
    input_to_points,
    output_grad_to_points,
    points_to_filter_grad,
    points_to_output,
    put_pixels,
    take_pixels,
)

DEPTH = 512                               # rows of a panel that one call of the micro-kernel goes down


@kernel()
def gather_rows(x, xo, image, plane, W, lanes, first, N, lines, runs, across, step, width, height, out):
    """Fill out (height, width, LANES) with rows of up to LANES channels of a cell's images, zeros around them.

    lines (height, 2): the image, counted in the cell down its side, and the row in it, -1 for none; runs (across, 3): for
    each of the images side by side its first column here, its first column in the image, and how many, `step` apart.
    """
    for e in range(height * width * LANES):
        out[e] = 0
    for i in range(height):
        for b in range(across):
            n = first + lines[i, 0] * across + b
            if lines[i, 1] < 0 or n >= N:
                continue
            s, o, count = xo + n * image + lines[i, 1] * W + runs[b, 1], (i * width + runs[b, 0]) * LANES, runs[b, 2]
            for j in range(0, count, LANES):
                take_pixels(x, s + j * step, plane, step, lanes, count - j, out, o + j * LANES)


@kernel(parallel=True)
def images_to_points(x, xo, image, H, W, C, N, grad, cell, cells, images, across, down, wide, parts, lines, runs, step,
                     CP, v, point, tile, panel, threads):
    """v[point][tile][k] = Bᵀ d B of every tile of x, or A dy Aᵀ where x is an output's gradient (`grad`).

    cells: from `cell` on, each of `images` images, `across` side by side, and of down × wide tiles; a tile's numbers stand
    `tile` apart, and from one block of NR columns to the next it is `panel`. Work is dealt out in rows of tiles by
    LANES channels.
    """
    nr = PANEL // v.itemsize
    groups = CP // LANES
    height = STEP if grad else POINTS
    width = STEP * wide + (0 if grad else POINTS - STEP)
    work = cells * down * len(parts) * groups
    for t in numba.prange(threads):
        rows = np.empty((height * width + LANES) * LANES, x.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            c, part, i = q % groups * LANES, q // groups % len(parts), q // (groups * len(parts)) % down
            m = q // (groups * len(parts) * down)
            gather_rows(x, xo + c * H * W, image, H * W, W, min(LANES, C - c), (cell + m) * images, N,
                        lines[parts[part, 0], STEP * i:], runs[parts[part, 1]], across, step, width, height, rows)
            k = part * CP + c
            o = (m * down + i) * wide * tile + k // nr * panel + k % nr
            for j in range(wide):
                if grad:
                    output_grad_to_points(rows, j * STEP * LANES, width * LANES, LANES,
                                          v, o + j * tile, POINTS * point, point)
                else:
                    input_to_points(rows, j * STEP * LANES, width * LANES, LANES,
                                    v, o + j * tile, POINTS * point, point)


@kernel(parallel=True)
def filters_to_points(w, lanes, lane_step, rows, row_step, rows_here, taps, u, point, panel, part_step, threads):
    """u[point] = G g Gᵀ of every filter and part, in panels: filters by LANES side by side, and down the rows k, or turned.

    taps (parts, 9): where a part's taps lie in w's filter, -1 where it has none. Rows from `rows` to `rows_here` are zero.
    """
    nr = PANEL // u.itemsize
    groups = (lanes + nr - 1) // nr * nr // LANES
    work = len(taps) * groups * rows_here
    zero = w.dtype.type(0)
    for t in numba.prange(threads):
        g = np.empty(TAPS * TAPS * LANES, w.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            r, lane, part = q % rows_here, q // rows_here % groups * LANES, q // (rows_here * groups)
            for e in range(TAPS * TAPS):
                tap = taps[part, e]
                n = min(LANES, lanes - lane) if tap >= 0 and r < rows else 0
                for j in range(n):
                    g[e * LANES + j] = w[(lane + j) * lane_step + r * row_step + tap]
                for j in range(max(n, 0), LANES):
                    g[e * LANES + j] = zero
            filter_to_points(g, 0, TAPS * LANES, LANES,
                             u, lane // nr * panel + lane % nr + part * part_step + r * nr, POINTS * point, point)


@kernel(parallel=True)
def multiply_points(a, a_point, ars, acs, b, b_point, b_panel, c, c_point, ldc, rows, panels, depths, add, threads):
    """c[point] (+)= a[point] b[point]: a by its strides, b in panels, c in rows of ldc.

    rows, panels, depths (36, 2): from where to where each point's product goes. Work is dealt out in panels in turn, so
    that the threads share a point's a, which stays in the second-level cache; its rows may be read, and c's written, up
    to a whole tile's MR.
    """
    nr = PANEL // c.itemsize
    starts = np.zeros(POINTS * POINTS + 1, np.int64)
    for p in range(POINTS * POINTS):
        starts[p + 1] = starts[p] + panels[p, 1] - panels[p, 0]
    for t in numba.prange(threads):
        p = 0
        for q in range(t, starts[POINTS * POINTS], threads):
            while q >= starts[p + 1]:
                p += 1
            j = panels[p, 0] + q - starts[p]
            for k in range(depths[p, 0], depths[p, 1], DEPTH):
                kc = min(DEPTH, depths[p, 1] - k)
                for i in range(rows[p, 0], rows[p, 1], MR):
                    micro_kernel(kc, a, p * a_point + i * ars + k * acs, ars, acs, b, p * b_point + j * b_panel + k * nr,
                                 c, p * c_point + i * ldc + j * nr, ldc, add or k > depths[p, 0])


@kernel(parallel=True)
def points_to_images(m, point, ldm, bias, relu, y, yo, image, OH, OW, F, N, cell, cells, images, across, down, wide, lines,
                     runs, threads):
    """y = Aᵀ m A of every tile, plus bias, rectified if `relu`; work is dealt out in rows of tiles by LANES filters."""
    groups = (F + LANES - 1) // LANES
    width = STEP * wide
    work = cells * groups * down
    for t in numba.prange(threads):
        rows = np.empty((STEP * width + LANES) * LANES, y.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            i, f, mc = q % down, q // down % groups * LANES, q // (down * groups)
            o = (mc * down + i) * wide * ldm + f
            for j in range(wide):
                points_to_output(m, o + j * ldm, POINTS * point, point, rows, j * STEP * LANES, width * LANES, LANES)
            put_rows(rows, bias, relu, y, yo + f * OH * OW, f, min(LANES, F - f), image, OH * OW, OW, (cell + mc) * images,
                     N, lines[STEP * i:], runs, across, width)


@kernel()
def put_rows(rows, bias, relu, y, yo, f, lanes, image, plane, OW, first, N, lines, runs, across, width):
    """Write STEP rows of up to LANES filters where they belong in y, with bias and ReLU; the way back of gather_rows."""
    for i in range(STEP):
        for b in range(across):
            n = first + lines[i, 0] * across + b
            if lines[i, 1] < 0 or n >= N:
                continue
            o, s, count = yo + n * image + lines[i, 1] * OW + runs[b, 1], (i * width + runs[b, 0]) * LANES, runs[b, 2]
            for j in range(0, count, LANES):
                put_pixels(rows, s + j * LANES, bias, f, relu, y, o + j, plane, lanes, count - j)


@kernel(parallel=True)
def points_to_input_grad(v, point, ldv, parts, offsets, CP, dx, xo, image, H, W, C, N, PH, PW, SH, SW, cell, cells, images,
                         across, period_h, period_w, down, wide, tall, broad, threads):
    """dx = the sum of B dv Bᵀ over tiles and parts, each where its input came from.

    Work is dealt out in cells by LANES channels: a cell's frame (tall, broad), padding included, stays in the cache.
    """
    groups = (C + LANES - 1) // LANES
    for t in numba.prange(threads):
        frame, bias = np.zeros((tall * broad + LANES) * LANES, dx.dtype), np.zeros(LANES, dx.dtype)
        for q in range(cells * groups * t // threads, cells * groups * (t + 1) // threads):
            mc, c = q // groups, q % groups * LANES
            frame[:] = 0
            for part in range(len(parts)):
                corner = offsets[part, 0] * broad + offsets[part, 1]
                for i in range(down):
                    for j in range(wide):
                        add_points_to_input_grad(
                            v, ((mc * down + i) * wide + j) * ldv + part * CP + c, POINTS * point, point,
                            frame, (corner + (i * SH * broad + j * SW) * STEP) * LANES, SH * broad * LANES, SW * LANES)
            for n in range((cell + mc) * images, min((cell + mc + 1) * images, N)):
                a, b = n % images // across, n % images % across
                o, s = xo + n * image + c * H * W, ((a * period_h * SH + PH) * broad + b * period_w * SW + PW) * LANES
                for i in range(H):
                    for j in range(0, W, LANES):
                        put_pixels(frame, s + (i * broad + j) * LANES, bias, 0, False, dx, o + i * W + j, H * W,
                                   min(LANES, C - c), W - j)


@kernel(parallel=True)
def points_to_weight_grad(du, point, ldu, taps, CP, C, F, dw, KK, threads):
    """dw (F, C, KK) = Gᵀ du G of every part and channel, LANES filters at a time."""
    groups = (F + LANES - 1) // LANES
    work = len(taps) * C * groups
    for t in numba.prange(threads):
        g = np.empty(TAPS * TAPS * LANES, dw.dtype)
        for q in range(work * t // threads, work * (t + 1) // threads):
            f, c, part = q % groups * LANES, q // groups % C, q // (groups * C)
            points_to_filter_grad(du, (part * CP + c) * ldu + f, POINTS * point, point, g, 0, TAPS * LANES, LANES)
            for e in range(TAPS * TAPS):
                if taps[part, e] >= 0:
                    for j in range(min(LANES, F - f)):
                        dw[((f + j) * C + c) * KK + taps[part, e]] = g[e * LANES + j]
