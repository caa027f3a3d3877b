#include "common.cuh"

// Pictures into what a network reads: crop, flip, channel order, mean and scale in one pass over the bytes.

// One pixel of x (N, 3, size, size) a turn, in all three channels, whose bytes lie side by side. The arithmetic is the
// host's, to the bit: the difference in float whatever REAL is, then the product; the two have no fused form.
extern "C" __global__ void prepare(long long count, const unsigned char *squares, const int *corners,
                                   const unsigned char *flips, const float *mean, REAL *x, int R, int size,
                                   int mean_image, int bgr, REAL scale) {
    for (index_t i = first(); i < count; i += step()) {
        Pixel own = pixel_of(i, size, size);
        index_t n = own.plane;
        index_t row = (index_t)corners[2 * n] + own.row;
        index_t column = (index_t)corners[2 * n + 1] + (flips[n] ? size - 1 - own.col : own.col);
        bool inside = row >= 0 && row < R && column >= 0 && column < R;
        for (int c = 0; c < 3; c++) {
            REAL value = 0;
            if (inside) {
                index_t place = row * R + column;
                float colour = squares[(n * R * R + place) * 3 + (bgr ? 2 - c : c)];
                float difference = colour - (mean_image ? mean[c * (index_t)R * R + place] : mean[c]);
                value = (REAL)difference * scale;
            }
            x[((n * 3 + c) * size + own.row) * size + own.col] = value;
        }
    }
}
