#include "common.cuh"

// Windows of maps (shapes.Windows), for the projection of single units. A window p comes as a row of `places`, whose
// numbers each kernel names; rows and columns may lie outside of the map, where everything counts as zero.

// out (P, C, h, w) from x (., C, H, W). A place is: the image in x, the window's corner in x, and its corner in the map that
// it is a window of, map_H × map_W, which x may be a part of. What lies outside of either is zero.
extern "C" __global__ void cut_windows(long long count, const REAL *x, const int *places, REAL *out, int C, int H, int W,
                                       int h, int w, int map_H, int map_W) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel own = pixel_of(i, h, w);
        index_t p = over(own.plane, C);
        const int *place = places + 5 * p;
        int row = place[1] + own.row, col = place[2] + own.col, map_row = place[3] + own.row, map_col = place[4] + own.col;
        bool inside = row >= 0 && row < H && col >= 0 && col < W
            && map_row >= 0 && map_row < map_H && map_col >= 0 && map_col < map_W;
        index_t map = (index_t)place[0] * C + (own.plane - p * C);
        out[i] = inside ? x[map * (H * W) + row * W + col] : (REAL)0;
    }
}

// out (P, C, h, w): r, windows of maps of H × W, with zeros outside of the map, rectified if told. A place is the corner.
extern "C" __global__ void mask_windows(long long count, const REAL *r, const int *places, REAL *out, int C, int H, int W,
                                        int h, int w, int rectify) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel own = pixel_of(i, h, w);
        const int *corner = places + 2 * over(own.plane, C);
        int row = corner[0] + own.row, col = corner[1] + own.col;
        REAL value = row >= 0 && row < H && col >= 0 && col < W ? r[i] : (REAL)0;
        out[i] = rectify ? rectified(value) : value;
    }
}

// out (P, C, below_h, below_w): r (P, C, h, w), windows of pooled maps of OH × OW, unpooled by the switches (., C, OH, OW)
// into windows of maps of H × W, and rectified if told. A place is: the image, the corner of the window in the pooled map,
// and that of the window below. A thread for each pixel adds what the windows over it say, in row-major order.
extern "C" __global__ void unpool_windows(long long count, const REAL *r, const int *switches, const int *places, REAL *out,
                                          int C, int h, int w, int below_h, int below_w, int rectify, int H, int W, int KH,
                                          int KW, int SH, int SW, int PH, int PW, int OH, int OW) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel own = pixel_of(i, below_h, below_w);
        index_t p = over(own.plane, C);
        const int *place = places + 5 * p;
        int top = place[1], left = place[2], row = place[3] + own.row, col = place[4] + own.col;
        REAL sum = 0;
        if (row >= 0 && row < H && col >= 0 && col < W) {
            const int *map = switches + ((index_t)place[0] * C + (own.plane - p * C)) * (OH * OW);
            const REAL *values = r + own.plane * (h * w);
            Span down = windows_over(row + PH, KH, SH, OH), across = windows_over(col + PW, KW, SW, OW);
            for (int u = max(down.first, top); u <= min(down.last, top + h - 1); u++)
                for (int v = max(across.first, left); v <= min(across.last, left + w - 1); v++)
                    if (map[u * OW + v] == row * W + col) sum += values[(u - top) * w + v - left];
        }
        out[i] = rectify ? rectified(sum) : sum;
    }
}

// The same where nobody told the pooling's window; out begins as zeros. A thread for each value looks through all the others,
// adds those that have its switch, in row-major order, if it is the first of them, and else leaves the work to that one.
extern "C" __global__ void unpool_windows_by_value(long long count, const REAL *r, const int *switches, const int *places,
                                                   REAL *out, int C, int OH, int OW, int h, int w, int H, int W,
                                                   int below_h, int below_w, int rectify) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel own = pixel_of(i, h, w);
        index_t p = over(own.plane, C);
        const int *place = places + 5 * p;
        int top = place[1], left = place[2];
        if (top + own.row < 0 || top + own.row >= OH || left + own.col < 0 || left + own.col >= OW) continue;
        const int *map = switches + ((index_t)place[0] * C + (own.plane - p * C)) * (OH * OW);
        int named = map[(top + own.row) * OW + left + own.col], u = named / W - place[3], v = named % W - place[4];
        if (named < 0 || named >= H * W || u < 0 || u >= below_h || v < 0 || v >= below_w) continue;
        index_t values = own.plane * (h * w);                                // where those of this window begin in r
        bool earlier = false;
        REAL sum = 0;
        for (int row = max(-top, 0); row < min(h, OH - top) && !earlier; row++)
            for (int col = max(-left, 0); col < min(w, OW - left) && !earlier; col++)
                if (map[(top + row) * OW + left + col] == named) {
                    earlier = values + row * w + col < i;
                    sum += r[values + row * w + col];
                }
        if (!earlier) out[(own.plane * below_h + u) * below_w + v] = rectify ? rectified(sum) : sum;
    }
}
