// Windows of maps (shapes.Windows), for the projection of single units. A window p comes as a row of `places`, whose
// numbers each kernel names; rows and columns may lie outside of the map, where everything counts as zero.

// out (P, C, h, w) from x (., C, H, W). A place is: the image in x, the window's corner in x, and its corner in the map that
// it is a window of, map_H × map_W, which x may be a part of. What lies outside of either is zero.
extern "C" __global__ void cut_windows(long long count, const REAL *x, const int *places, REAL *out, int C, int H, int W,
                                       int h, int w, int map_H, int map_W) {
    for (index_t i = first(); i < count; i += step()) {
        index_t plane = over(i, h * w), p = over(plane, C);
        int pixel = (int)(i - plane * (h * w)), u = pixel / w, v = pixel % w;
        const int *place = places + 5 * p;
        int row = place[1] + u, col = place[2] + v, map_row = place[3] + u, map_col = place[4] + v;
        bool inside = row >= 0 && row < H && col >= 0 && col < W
            && map_row >= 0 && map_row < map_H && map_col >= 0 && map_col < map_W;
        index_t map = (index_t)place[0] * C + (plane - p * C);
        out[i] = inside ? x[map * (H * W) + row * W + col] : (REAL)0;
    }
}

// out (P, C, h, w): r, windows of maps of H × W, with zeros outside of the map, rectified if told. A place is the corner.
extern "C" __global__ void mask_windows(long long count, const REAL *r, const int *places, REAL *out, int C, int H, int W,
                                        int h, int w, int rectify) {
    for (index_t i = first(); i < count; i += step()) {
        index_t plane = over(i, h * w), p = over(plane, C);
        int pixel = (int)(i - plane * (h * w));
        int row = places[2 * p] + pixel / w, col = places[2 * p + 1] + pixel % w;
        REAL value = row >= 0 && row < H && col >= 0 && col < W ? r[i] : (REAL)0;
        out[i] = rectify ? rectified(value) : value;
    }
}

// out (P, C, below_h, below_w), which begins as zeros: r (P, C, h, w), windows of pooled maps of OH × OW, unpooled by the
// switches (., C, OH, OW) into windows of maps of H × W, and rectified if told. A place is: the image, the corner of the
// window in the pooled map, and that of the window below.
//
// Which pixels a switch may name is not told, so a thread for each pixel would have to look at every value of its window.
// There are fewer values than pixels, mostly a quarter: a thread for each value adds all that have its switch, in row-major
// order, if it is the first of them, and else leaves the work to that one.
extern "C" __global__ void unpool_windows(long long count, const REAL *r, const int *switches, const int *places, REAL *out,
                                          int C, int OH, int OW, int h, int w, int H, int W, int below_h, int below_w,
                                          int rectify) {
    for (index_t i = first(); i < count; i += step()) {
        index_t plane = over(i, h * w), p = over(plane, C);
        int pixel = (int)(i - plane * (h * w));
        const int *place = places + 5 * p;
        int top = place[1], left = place[2], row = top + pixel / w, col = left + pixel % w;
        if (row < 0 || row >= OH || col < 0 || col >= OW) continue;
        const int *map = switches + ((index_t)place[0] * C + (plane - p * C)) * (OH * OW);
        int own = map[row * OW + col], u = own / W - place[3], v = own % W - place[4];
        if (own < 0 || own >= H * W || u < 0 || u >= below_h || v < 0 || v >= below_w) continue;
        const REAL *values = r + plane * (h * w);
        bool is_first = true;
        REAL sum = 0;
        for (row = max(top, 0); row < min(top + h, OH) && is_first; row++)
            for (col = max(left, 0); col < min(left + w, OW); col++)
                if (map[row * OW + col] == own) {
                    int at = (row - top) * w + col - left;
                    is_first = at >= pixel;
                    if (!is_first) break;
                    sum += values[at];
                }
        if (is_first) out[plane * (below_h * below_w) + u * below_w + v] = rectify ? rectified(sum) : sum;
    }
}
