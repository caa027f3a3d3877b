#include "common.cuh"

// Winograd's minimal filtering: a tile of 4×4 outputs of 3×3 taps by 36 multiplications instead of 144. These kernels take
// tiles and filters to their values at 36 points and back; between them cuBLAS multiplies, a matrix product a point:
//
//     y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A        for a tile d (6, 6), a filter g (3, 3) and the outputs y (4, 4).
//
// Arrays of points are (36, rows, tiles) with room for `room` tiles, so neighbouring threads, which are neighbouring tiles,
// write side by side. A row is a part of the filter and a channel: a filter with more than three taps or a stride is a sum
// of `parts` with at most three taps, each of its own pixels. parts: int[4] with the first row and column that a part sees,
// and whether it has three taps down and three across; with two it has nothing at infinity, which is then left out.

constexpr int NOWHERE = 1 << 29;                               // an image that there is not, even twice

// The points are 0, ±a, ±b and infinity; each map goes by the even and the odd part at ±a and at ±b.
constexpr REAL a = 0.75, b = 1.5, a2 = 0.5625, b2 = 2.25, a3 = 0.421875, b3 = 3.375, a2_b2 = 2.8125, a2b2 = 1.265625;
constexpr REAL to_zero = 1 / 1.265625, to_a = -1 / 1.8984375, to_b = 1 / 7.59375;      // a²b², 2a²(a² - b²) and 2b²(b² - a²)

// Bᵀ: six numbers of the input.
__device__ inline void to_points(const REAL (&d)[6], REAL (&p)[6])
{
    REAL even_a = d[4] - b2 * d[2], odd_a = a * (d[3] - b2 * d[1]);
    REAL even_b = d[4] - a2 * d[2], odd_b = b * (d[3] - a2 * d[1]);
    p[0] = a2b2 * d[0] - a2_b2 * d[2] + d[4];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a;
    p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = a2b2 * d[1] - a2_b2 * d[3] + d[5];
}

// A: four numbers of an output's gradient.
__device__ inline void to_points(const REAL (&y)[4], REAL (&p)[6])
{
    REAL even_a = y[0] + a2 * y[2], odd_a = a * y[1] + a3 * y[3];
    REAL even_b = y[0] + b2 * y[2], odd_b = b * y[1] + b3 * y[3];
    p[0] = y[0];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a;
    p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = y[3];
}

// G: three taps.
__device__ inline void to_points(const REAL (&g)[3], REAL (&p)[6])
{
    REAL even_a = to_a * (g[0] + a2 * g[2]), odd_a = to_a * a * g[1];
    REAL even_b = to_b * (g[0] + b2 * g[2]), odd_b = to_b * b * g[1];
    p[0] = to_zero * g[0];
    p[1] = even_a + odd_a, p[2] = even_a - odd_a;
    p[3] = even_b + odd_b, p[4] = even_b - odd_b;
    p[5] = g[2];
}

// Aᵀ: to four outputs.
__device__ inline void from_points(const REAL (&p)[6], REAL (&y)[4])
{
    REAL even_a = p[1] + p[2], odd_a = p[1] - p[2], even_b = p[3] + p[4], odd_b = p[3] - p[4];
    y[0] = p[0] + even_a + even_b;
    y[1] = a * odd_a + b * odd_b;
    y[2] = a2 * even_a + b2 * even_b;
    y[3] = a3 * odd_a + b3 * odd_b + p[5];
}

// Gᵀ: to the gradient of three taps.
__device__ inline void from_points(const REAL (&p)[6], REAL (&g)[3])
{
    REAL even_a = to_a * (p[1] + p[2]), odd_a = to_a * (p[1] - p[2]);
    REAL even_b = to_b * (p[3] + p[4]), odd_b = to_b * (p[3] - p[4]);
    g[0] = to_zero * p[0] + even_a + even_b;
    g[1] = a * odd_a + b * odd_b;
    g[2] = a2 * even_a + b2 * even_b + p[5];
}

// Which of the 36 matrices holds point (r, s): first those at no infinity, then those at infinity down, across, and both.
__device__ constexpr int place(int r, int s)
{
    return r < 5 ? s < 5 ? 5 * r + s : 30 + r : s < 5 ? 25 + s : 35;
}

// Whether a part has anything at point (r, s).
__device__ inline bool needed(int4 part, int r, int s) { return (r < 5 || part.z) && (s < 5 || part.w); }

// Write values (SIDE, SIDE) at the points that a part needs, `matrix` numbers apart.
template <int SIDE> __device__ inline void put_points(REAL (&values)[SIDE][SIDE], int4 part, REAL *v, index_t matrix)
{
    REAL half[SIDE][6];
#pragma unroll
    for (int i = 0; i < SIDE; i++) to_points(values[i], half[i]);
#pragma unroll
    for (int s = 0; s < 6; s++) {
        REAL column[SIDE], points[6];
#pragma unroll
        for (int i = 0; i < SIDE; i++) column[i] = half[i][s];
        to_points(column, points);
#pragma unroll
        for (int r = 0; r < 6; r++)
            if (needed(part, r, s)) v[place(r, s) * matrix] = points[r];
    }
}

// The way back: read the points that a part has, and make values (SIDE, SIDE) of them.
template <int SIDE> __device__ inline void take_points(const REAL *v, index_t matrix, int4 part, REAL (&values)[SIDE][SIDE])
{
    REAL half[SIDE][6];
#pragma unroll
    for (int s = 0; s < 6; s++) {
        REAL column[SIDE], points[6];
#pragma unroll
        for (int r = 0; r < 6; r++) points[r] = needed(part, r, s) ? v[place(r, s) * matrix] : (REAL)0;
        from_points(points, column);
#pragma unroll
        for (int i = 0; i < SIDE; i++) half[i][s] = column[i];
    }
#pragma unroll
    for (int i = 0; i < SIDE; i++) from_points(half[i], values[i]);
}

// ---- where a tile lies -----------------------------------------------------------------------------------------------

// A cell of tiles (down, across) holds images_down × images_across images, which share the line of zeros between them:
// an image begins `period` lines after the one before. `tiles` tiles of all cells, from `begin` on, are at work. Maps are
// (N, channels, H, W), of which this group's begin at `channel`. Where a part begins at row y0 and column x0, line (i, j)
// of an image is row i·sy + y0 and column j·sx + x0 of its map.
#define PLACES int channels, int channel, int H, int W, int sy, int sx, int N, int begin, int tiles, int room, int down, \
    int across, int images_down, int images_across, int period_down, int period_across
#define PLACES_GIVEN {channels, channel, H, W, sy, sx, N, begin, tiles, room, down, across, images_down, images_across, \
    period_down, period_across}

struct Places {
    int channels, channel, H, W, sy, sx, N, begin, tiles, room, down, across, images_down, images_across, period_down,
        period_across;
};

// The COUNT lines from `start` on along an axis of a cell: the image each belongs to, and the row (column) of its map.
template <int COUNT> struct Lines {
    int image[COUNT], at[COUNT];

    __device__ Lines(int start, int period, int images, int stride, int step, int offset, int size)
    {
        int n = start / period, line = start % period;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            at[i] = line * step + offset;
            image[i] = (unsigned)at[i] < (unsigned)size ? n * stride : NOWHERE;
            if (++line == period && n < images - 1) n++, line = 0;
        }
    }
};

// The pixels (SIDE, SIDE) of a tile of map c that a part sees.
template <int SIDE> struct Pixels {
    Lines<SIDE> rows, columns;
    int n, N, W;                                           // the cell's first image
    index_t start, image;                                  // of the map in an image, and from one image to the next

    __device__ Pixels(const Places &o, int t, int c, int4 part)
        : rows((o.begin + t) / o.across % o.down * 4, o.period_down, o.images_down, o.images_across, o.sy, part.x, o.H),
          columns((o.begin + t) % o.across * 4, o.period_across, o.images_across, 1, o.sx, part.y, o.W)
    {
        n = (o.begin + t) / o.across / o.down * o.images_down * o.images_across;
        N = o.N, W = o.W;
        image = (index_t)o.channels * o.H * o.W, start = (index_t)(o.channel + c) * o.H * o.W;
    }

    __device__ bool inside(int i, int j) const { return n + rows.image[i] + columns.image[j] < N; }
    __device__ index_t at(int i, int j) const
    {
        return start + (n + rows.image[i] + columns.image[j]) * image + rows.at[i] * W + columns.at[j];
    }
};

// Tiles of 6×6 pixels of an input, or 4×4 of an output's gradient, to points. A map's parts are neighbours in time, for
// they read the same memory.
template <int SIDE>
__device__ inline void maps_to_points(index_t count, const REAL *x, REAL *v, const int *parts, int n_parts, int C,
                                      const Places &places)
{
    for (index_t e = first(); e < count; e += step()) {
        int t = (int)e % places.tiles, q = (int)e / places.tiles, p = q % n_parts, c = q / n_parts;
        int4 part = __ldg((const int4 *)parts + p);
        Pixels<SIDE> pixels(places, t, c, part);
        REAL tile[SIDE][SIDE];
#pragma unroll
        for (int i = 0; i < SIDE; i++)
#pragma unroll
            for (int j = 0; j < SIDE; j++)
                tile[i][j] = needed(part, i, j) && pixels.inside(i, j) ? __ldg(x + pixels.at(i, j)) : (REAL)0;
        put_points(tile, part, v + (index_t)(p * C + c) * places.room + t, (index_t)n_parts * C * places.room);
    }
}

extern "C" __global__ void inputs_to_points(long long count, const REAL *__restrict__ x, REAL *__restrict__ v,
                                            const int *__restrict__ parts, int n_parts, int C, PLACES)
{
    maps_to_points<6>(count, x, v, parts, n_parts, C, PLACES_GIVEN);
}

extern "C" __global__ void grads_to_points(long long count, const REAL *__restrict__ dy, REAL *__restrict__ z,
                                           const int *__restrict__ parts, int n_parts, int F, PLACES)
{
    maps_to_points<4>(count, dy, z, parts, n_parts, F, PLACES_GIVEN);
}

// Points to tiles of 4×4 outputs, with bias and ReLU. Each pixel is one part's and one tile's.
extern "C" __global__ void points_to_maps(long long count, const REAL *__restrict__ m, const REAL *__restrict__ bias,
                                          REAL *__restrict__ y, const int *__restrict__ parts, int n_parts, int F,
                                          int biased, int relu, PLACES)
{
    Places places = PLACES_GIVEN;
    for (index_t e = first(); e < count; e += step()) {
        int t = (int)e % tiles, q = (int)e / tiles, p = q % n_parts, f = q / n_parts;
        int4 part = __ldg((const int4 *)parts + p);
        REAL tile[4][4];
        take_points(m + (index_t)(p * F + f) * room + t, (index_t)n_parts * F * room, part, tile);
        REAL more = biased ? bias[channel + f] : (REAL)0;
        Pixels<4> pixels(places, t, f, part);
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                REAL value = tile[i][j] + more;
                if (relu) value = rectified(value);
                if (pixels.inside(i, j)) y[pixels.at(i, j)] = value;
            }
    }
}

// ---- filters ---------------------------------------------------------------------------------------------------------

// u (36, rows, K): a row is a part of the output and a map of it, k a part of the input and a channel of it. taps
// (parts of the output, parts of the input, 9): where in w's filter a tap lies, -1 for none; from one map to the next it is
// row_stride in w, from one channel to the next k_stride.
extern "C" __global__ void filters_to_points(long long count, const REAL *__restrict__ w, REAL *__restrict__ u,
                                             const int *__restrict__ taps, int K, int F, int C, int row_stride, int k_stride)
{
    const int4 whole = {0, 0, 1, 1};
    for (index_t e = first(); e < count; e += step()) {
        int k = (int)e % K, row = (int)e / K;
        const int *tap = taps + (row / F * (K / C) + k / C) * 9;
        const REAL *filter = w + (index_t)(row % F) * row_stride + (index_t)(k % C) * k_stride;
        REAL g[3][3];
#pragma unroll
        for (int i = 0; i < 9; i++) g[i / 3][i % 3] = tap[i] < 0 ? (REAL)0 : __ldg(filter + tap[i]);
        put_points(g, whole, u + e, count);
    }
}

// The way back for the gradient: dw (F, C, area) from du (36, F, K), which has only the points that a part needs.
extern "C" __global__ void points_to_filters(long long count, const REAL *__restrict__ du, REAL *__restrict__ dw,
                                             const int *__restrict__ taps, const int *__restrict__ parts, int K, int C,
                                             int area)
{
    for (index_t e = first(); e < count; e += step()) {
        int k = (int)e % K, f = (int)e / K, p = k / C;
        REAL g[3][3];
        take_points(du + e, count, __ldg((const int4 *)parts + p), g);
        REAL *filter = dw + ((index_t)f * C + k % C) * area;
#pragma unroll
        for (int i = 0; i < 9; i++)
            if (taps[p * 9 + i] >= 0) filter[taps[p * 9 + i]] = g[i / 3][i % 3];
    }
}
