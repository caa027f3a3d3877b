#include "common.cuh"

// Windows over planes: columns of them, maxima with their switches, averages, and the ways back.
//
// One thread makes one number, threads side by side make pixels side by side. What goes back to the pixels is gathered:
// a pixel's thread adds what the few windows over it say, in a fixed order, so no two threads write to one place.

// cols (N, C*KH*KW, OH*OW): a thread for each number of it.
extern "C" __global__ void im2col(long long count, const REAL *x, REAL *cols, WINDOW) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel out = pixel_of(i, OH, OW), tap = pixel_of(out.plane, KH, KW);
        int row = out.row * SH - PH + tap.row, col = out.col * SW - PW + tap.col;
        bool inside = row >= 0 && row < H && col >= 0 && col < W;
        cols[i] = inside ? x[tap.plane * (H * W) + row * W + col] : (REAL)0;
    }
}

// x (N, C, H, W): a thread for each pixel adds its copies, in the order of their places in the window.
extern "C" __global__ void col2im(long long count, const REAL *cols, REAL *x, WINDOW) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel in = pixel_of(i, H, W);
        Span down = windows_over(in.row + PH, KH, SH, OH), across = windows_over(in.col + PW, KW, SW, OW);
        REAL sum = 0;
        for (int u = down.last; u >= down.first; u--)
            for (int v = across.last; v >= across.first; v--) {
                index_t tap = (in.plane * KH + in.row + PH - u * SH) * KW + in.col + PW - v * SW;
                sum += cols[tap * (OH * OW) + u * OW + v];
            }
        x[i] = sum;
    }
}

// y and switches (N, C, OH, OW): the first of a window's largest pixels, or its first NaN. Padding is never read.
extern "C" __global__ void max_pool(long long count, const REAL *x, REAL *y, int *switches, WINDOW) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel out = pixel_of(i, OH, OW);
        int top = out.row * SH - PH, left = out.col * SW - PW;
        int bottom = min(top + KH, H), right = min(left + KW, W);
        top = max(top, 0), left = max(left, 0);
        const REAL *map = x + out.plane * (H * W);
        int best = top * W + left;
        REAL most = map[best];
        for (int row = top; row < bottom; row++)
            for (int col = left; col < right; col++) {
                REAL value = map[row * W + col];
                if (value > most || (value != value && most == most)) {      // only NaN differs from itself
                    most = value;
                    best = row * W + col;
                }
            }
        y[i] = most;
        switches[i] = best;
    }
}

// Raise the flag if a switch lies outside a plane of so many pixels. Whoever writes it writes the same.
extern "C" __global__ void find_outside(long long count, const int *switches, int pixels, int *flag) {
    for (index_t i = first(); i < count; i += step())
        if (switches[i] < 0 || switches[i] >= pixels) flag[0] = 1;
}

// x (N, C, H, W): a thread adds y where the switch of a window over its pixel names it, windows in row-major order. It does so
// for `run` pixels one below the other, which share the windows across and what it takes to find them.
extern "C" __global__ void max_unpool(long long count, const REAL *__restrict__ y, const int *__restrict__ switches,
                                      REAL *__restrict__ x, int run, WINDOW) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel at = pixel_of(i, (H + run - 1) / run, W);
        const REAL *values = y + at.plane * (OH * OW);
        const int *map = switches + at.plane * (OH * OW);
        REAL *pixels = x + at.plane * (H * W);
        Span across = windows_over(at.col + PW, KW, SW, OW);
        for (int row = at.row * run; row < min((at.row + 1) * run, H); row++) {
            Span down = windows_over(row + PH, KH, SH, OH);
            int pixel = row * W + at.col;
            REAL sum = 0;
#pragma unroll 1
            for (int u = down.first; u <= down.last; u++) {
                const int *named = map + u * OW;
                const REAL *value = values + u * OW;
#pragma unroll 1
                for (int v = across.first; v <= across.last; v += 2) {       // two at a time, mostly all that there are
                    if (named[v] == pixel) sum += value[v];
                    if (v < across.last && named[v + 1] == pixel) sum += value[v + 1];
                }
            }
            pixels[pixel] = sum;
        }
    }
}

// The same where nobody told the window: a thread for each plane goes over its switches one by one. x begins as zeros.
extern "C" __global__ void max_unpool_planes(long long planes, const REAL *y, const int *switches, REAL *x, int pixels,
                                             int pooled) {
    for (index_t plane = first(); plane < planes; plane += step())
        for (index_t at = plane * pooled; at < (plane + 1) * pooled; at++)
            x[plane * pixels + switches[at]] += y[at];
}

// y (N, C, OH, OW): the sum of each window's pixels over KH*KW, so that padding counts as zeros.
extern "C" __global__ void avg_pool(long long count, const REAL *x, REAL *y, WINDOW) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel out = pixel_of(i, OH, OW);
        int top = out.row * SH - PH, left = out.col * SW - PW;
        const REAL *map = x + out.plane * (H * W);
        REAL sum = 0;
        for (int row = max(top, 0); row < min(top + KH, H); row++)
            for (int col = max(left, 0); col < min(left + KW, W); col++)
                sum += map[row * W + col];
        y[i] = sum / (KH * KW);
    }
}

// dx (N, C, H, W): a thread for each pixel adds its share of the windows over it.
extern "C" __global__ void avg_pool_grad(long long count, const REAL *dy, REAL *dx, WINDOW) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel in = pixel_of(i, H, W);
        Span down = windows_over(in.row + PH, KH, SH, OH), across = windows_over(in.col + PW, KW, SW, OW);
        REAL sum = 0;
        for (int u = down.first; u <= down.last; u++)
            for (int v = across.first; v <= across.last; v++)
                sum += dy[in.plane * (OH * OW) + u * OW + v];
        dx[i] = sum / (KH * KW);
    }
}
