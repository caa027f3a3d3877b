#include "common.cuh"
#include "product.cuh"

// Convolution and its two gradients as matrix products whose operands are laid out while they are loaded (implicit GEMM):
// no matrix of columns ever lies in memory.
//
// What a column of windows is made of stands in a table of taps, one a row k of the columns: the offset of the pixel from
// the window's first one, and that of its weight. Windows never leave the image: where there is padding, the image has
// been copied into a frame of zeros.

// ---- the convolution, and its input's gradient -----------------------------------------------------------------------

// Lay filters out as A: packed[group][k][m], K and M filled up with zeros to whole tiles; rounded where tensor cores are next.
#define PACK long long count, const REAL *__restrict__ weight, REAL *__restrict__ packed, const int *__restrict__ taps, int KP, \
    int MP, int K, int M, int m_stride, int group_stride
#define PACK_BY(rounded)                                                                                       \
    {                                                                                                          \
        for (index_t i = first(); i < count; i += step()) {                                                    \
            Pixel own = pixel_of(i, KP, MP);                                                                   \
            index_t group = own.plane;                                                                         \
            int k = own.row, m = own.col;                                                                      \
            packed[i] = m < M && k < K ? rounded(weight[group * group_stride + m * m_stride + taps[2 * k + 1]]) : (REAL)0; \
        }                                                                                                      \
    }
extern "C" __global__ void pack_full(PACK) PACK_BY()
#ifdef REAL_IS_FLOAT
extern "C" __global__ void pack_tf32(PACK) PACK_BY(round_tf32)
#endif

// Copy maps (H, W) into a frame of zeros (FH, FW), their corner at (top, left).
extern "C" __global__ void frame(long long count, const REAL *__restrict__ x, REAL *__restrict__ framed, int H, int W, int FH,
                                 int FW, int top, int left)
{
    for (index_t i = first(); i < count; i += step()) {
        Pixel own = pixel_of(i, FH, FW);
        int row = own.row - top, column = own.col - left;
        bool inside = (unsigned)row < (unsigned)H && (unsigned)column < (unsigned)W;
        framed[i] = inside ? x[(own.plane * H + row) * W + column] : (REAL)0;
    }
}

// What one launch makes: the pixels (n, t, s) of a grid T × S an image. A window there begins at row t·ty + y0 and column
// s·tx + x0 of the source; its value goes to row t·oy + y1 and column s·ox + x1 of the output. The convolution walks over
// the source by its stride and fills the output; its input's gradient has one launch for each of stride × stride phases:
// it walks over dy and fills every stride-th pixel.
#define GRID int N, int T, int S, int ty, int tx, int y0, int x0, int oy, int ox, int y1, int x1

struct Maps {                                              // where the product goes: y (N, channels, H, W)
    REAL *y;
    const REAL *bias;
    int relu, M, channels, offset, plane, W, T, S, oy, ox, y1, x1;
    index_t start, pixels;                                 // where y begins, of the parts that are added later

    struct Columns {
        index_t at[4];
        __device__ Columns(const Maps &out, int p)
        {
            int s = p % out.S, t = p / out.S % out.T, n = p / out.S / out.T;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                at[j] = p + j < out.pixels ? out.start + ((index_t)n * out.channels + out.offset) * out.plane
                                             + (t * out.oy + out.y1) * out.W + s * out.ox + out.x1 : -1;
                if (++s == out.S) s = 0, t++;
                if (t == out.T) t = 0, n++;
            }
        }
    };

    template <int V> __device__ void put(int m, const Columns &columns, Pack<V> values) const
    {
        if (m >= M) return;
        REAL more = bias ? bias[offset + m] : (REAL)0;
#pragma unroll
        for (int j = 0; j < V; j++) {
            values.v[j] += more;
            if (relu) values.v[j] = rectified(values.v[j]);
        }
        index_t row = (index_t)m * plane, at = columns.at[0] + row;
        if (columns.at[0] >= 0 && columns.at[V - 1] == columns.at[0] + V - 1 && at % V == 0) {
            *(Pack<V> *)(y + at) = values;
            return;
        }
#pragma unroll
        for (int j = 0; j < V; j++)
            if (columns.at[j] >= 0) y[columns.at[j] + row] = values.v[j];
    }
};

template <class Multiply> struct Gather {                  // A from packed filters, B from the source's windows
    static const int TM = Multiply::TM, TN = Multiply::TN, TK = Multiply::TK;
    static const int A = TM * TK / 4, RA = (A + THREADS - 1) / THREADS, RB = TN * TK / THREADS, ROWS = THREADS / TN;
    const REAL *filters, *window;
    const int2 *taps;                                      // at the row k that comes next, as `filters`
    int MP, left;                                          // rows from there to the end
    Pack<4> ra[RA];
    REAL rb[RB];

    __device__ void load()
    {
        int t = threadIdx.x;
#pragma unroll
        for (int r = 0; r < RA; r++) {
            int i = t + r * THREADS;
            if (A % THREADS == 0 || i < A) ra[r] = *(const Pack<4> *)(filters + i / (TM / 4) * MP + i % (TM / 4) * 4);
        }
#pragma unroll
        for (int r = 0; r < RB; r++) {
            int k = t / TN + r * ROWS;
            rb[r] = k < left ? __ldg(window + __ldg(&taps[k].x)) : (REAL)0;
        }
        filters += TK * MP, taps += TK, left -= TK;
    }

    __device__ void store(REAL *a, REAL *b) const
    {
        int t = threadIdx.x;
#pragma unroll
        for (int r = 0; r < RA; r++) {
            int i = t + r * THREADS;
            int k = i / (TM / 4), m = i % (TM / 4) * 4;
            if (A % THREADS == 0 || i < A) *(Pack<4> *)(a + k * Multiply::LDA + Multiply::crossed(k, m)) = ra[r];
        }
#pragma unroll
        for (int r = 0; r < RB; r++) {
            int k = t / TN + r * ROWS;
            b[k * Multiply::LDB + Multiply::crossed(k, t % TN)] = Multiply::rounded(rb[r]);
        }
    }
};

template <class Multiply>
__device__ inline void convolve(const REAL *source, const REAL *filters, const int *taps, const REAL *bias, REAL *y, int biased,
                                int relu, int groups, int splits, int M, int MP, int K, int KP, int channels, int H, int W,
                                int OH, int OW, GRID, REAL *a, REAL *b)
{
    int group = blockIdx.z % groups, split = blockIdx.z / groups;
    int m0 = blockIdx.y * Multiply::TM, p0 = blockIdx.x * Multiply::TN;
    long long pixels = (long long)N * T * S;
    int steps = KP / Multiply::TK, begin = (long long)steps * split / splits, end = (long long)steps * (split + 1) / splits;

    int p = min((long long)p0 + threadIdx.x % Multiply::TN, pixels - 1);       // beyond the last one: read, but not stored
    int s = p % S, t = p / S % T, n = p / S / T;
    Gather<Multiply> loader;
    loader.MP = MP, loader.left = K - begin * Multiply::TK;
    loader.window = source + (((index_t)n * groups + group) * channels * H + t * ty + y0) * W + s * tx + x0;
    loader.filters = filters + ((index_t)group * KP + begin * Multiply::TK) * MP + m0;
    loader.taps = (const int2 *)taps + begin * Multiply::TK;

    Multiply tile;
    product(tile, loader, end - begin, a, b);

    Maps out;
    out.y = y, out.start = (index_t)split * N * groups * M * OH * OW;
    out.bias = biased ? bias : nullptr;
    out.relu = relu, out.M = M, out.channels = groups * M, out.offset = group * M, out.plane = OH * OW, out.W = OW;
    out.T = T, out.S = S, out.oy = oy, out.ox = ox, out.y1 = y1, out.x1 = x1, out.pixels = pixels;
    tile.store(out, m0, p0);
}

// One kernel for each size of tile; the bodies differ in nothing else.
#define SHARED_TILES(...)                                                                                      \
    typedef __VA_ARGS__ Multiply;                                                                              \
    __shared__ __align__(16) REAL a[2 * Multiply::TK * Multiply::LDA];                                         \
    __shared__ __align__(16) REAL b[2 * Multiply::TK * Multiply::LDB];

#define CONVOLVE const REAL *__restrict__ source, const REAL *__restrict__ filters, const int *__restrict__ taps, \
    const REAL *__restrict__ bias, REAL *__restrict__ y, int biased, int relu, int groups, int splits, int M, int MP, \
    int K, int KP, int channels, int H, int W, int OH, int OW, GRID
#define CONVOLVE_BY(...)                                                                                       \
    {                                                                                                          \
        SHARED_TILES(__VA_ARGS__)                                                                              \
        convolve<Multiply>(source, filters, taps, bias, y, biased, relu, groups, splits, M, MP, K, KP, channels, H, W, \
                           OH, OW, N, T, S, ty, tx, y0, x0, oy, ox, y1, x1, a, b);                                 \
    }
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve_128(CONVOLVE) CONVOLVE_BY(Full<128, 128, 4, 4>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve_96(CONVOLVE) CONVOLVE_BY(Full<96, 128, 2, 4>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve_64(CONVOLVE) CONVOLVE_BY(Full<64, 64, 4, 4>)
#ifdef REAL_IS_FLOAT
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve_tf32_128(CONVOLVE) CONVOLVE_BY(Tensor<4, false>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve_tf32_96(CONVOLVE) CONVOLVE_BY(Tensor<3, false>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve_tf32_64(CONVOLVE) CONVOLVE_BY(Tensor<2, false>)
#endif

// ---- the gradient of the filters -------------------------------------------------------------------------------------

// The summed axis are the output's pixels of all images, many times longer than the product is wide or high; so blocks
// share it out, each sums its stretch, and `add_parts` adds the stretches in their order.

struct Filters {                                           // where the product goes: dw (groups, M, K)
    REAL *dw;
    int M, K;

    struct Columns {
        int at;
        __device__ Columns(const Filters &, int k) : at(k) {}
    };

    template <int V> __device__ void put(int m, const Columns &columns, Pack<V> values) const
    {
        if (m >= M) return;
#pragma unroll
        for (int j = 0; j < V; j++)
            if (columns.at + j < K) dw[(index_t)m * K + columns.at + j] = values.v[j];
    }
};

template <class Multiply> struct Walk {                    // A from dy, B from the source's windows, pixel by pixel
    static const int TM = Multiply::TM, TN = Multiply::TN, TK = Multiply::TK, ROWS = THREADS / TK;
    static const int RA = TM / ROWS, RB = TN / ROWS;
    const REAL *dy, *window;                               // at this thread's pixel: of its first filter, and its window
    int taps[RB];
    int oh, ow, OH, OW, plane, SW;
    int row, rest, image;                                  // what a next row, and a next image, adds to dy and to window
    int rows, left;                                        // filters from the first on; pixels to the end of the stretch
    REAL ra[RA], rb[RB];

    __device__ void load()
    {
        bool live = left > 0;
#pragma unroll
        for (int r = 0; r < RA; r++) ra[r] = live && r * ROWS < rows ? __ldg(dy + r * ROWS * plane) : (REAL)0;
#pragma unroll
        for (int r = 0; r < RB; r++) rb[r] = live ? __ldg(window + taps[r]) : (REAL)0;
        left -= TK, dy += TK, window += TK * SW;
        for (ow += TK; ow >= OW; ow -= OW) {
            window += row;
            if (++oh == OH) oh = 0, dy += rest, window += image;
        }
    }

    __device__ void store(REAL *a, REAL *b) const
    {
        int k = threadIdx.x % TK, i = Multiply::crossed(k, threadIdx.x / TK);
#pragma unroll
        for (int r = 0; r < RA; r++) a[k * Multiply::LDA + i + r * ROWS] = Multiply::rounded(ra[r]);
#pragma unroll
        for (int r = 0; r < RB; r++) b[k * Multiply::LDB + i + r * ROWS] = Multiply::rounded(rb[r]);
    }
};

template <class Multiply>
__device__ inline void correlate(const REAL *dy, const REAL *x, const int *taps, REAL *dw, int groups, int splits, int M, int K,
                                 int N, int channels, int H, int W, int SH, int SW, int OH, int OW, REAL *a, REAL *b)
{
    const int TK = Multiply::TK;
    int group = blockIdx.z % groups, split = blockIdx.z / groups;
    int m0 = blockIdx.y * Multiply::TM, k0 = blockIdx.x * Multiply::TN;
    long long pixels = (long long)N * OH * OW, steps = (pixels + TK - 1) / TK;
    long long begin = steps * split / splits * TK, end = min(steps * (split + 1) / splits * TK, pixels);

    Walk<Multiply> loader;
    long long p = begin + threadIdx.x % TK;
    int i = threadIdx.x / TK, n = p / (OH * OW);
    loader.left = (int)(end - p);
    loader.oh = p / OW % OH, loader.ow = p % OW;
    loader.rows = M - m0 - i;
    loader.OH = OH, loader.OW = OW, loader.plane = OH * OW, loader.SW = SW;
    loader.row = SH * W - OW * SW, loader.rest = (groups * M - 1) * OH * OW, loader.image = (groups * channels * H - OH * SH) * W;
    loader.dy = dy + (((index_t)n * groups + group) * M + m0 + i) * OH * OW + loader.oh * OW + loader.ow;
    loader.window = x + (((index_t)n * groups + group) * channels * H + loader.oh * SH) * W + loader.ow * SW;
#pragma unroll
    for (int r = 0; r < Walk<Multiply>::RB; r++) loader.taps[r] = taps[2 * (k0 + i + r * Walk<Multiply>::ROWS)];

    Multiply tile;
    product(tile, loader, (int)((end - begin + TK - 1) / TK), a, b);

    Filters out;
    out.dw = dw + ((index_t)split * groups + group) * M * K;
    out.M = M, out.K = K;
    tile.store(out, m0, k0);
}

#define CORRELATE const REAL *__restrict__ dy, const REAL *__restrict__ x, const int *__restrict__ taps, REAL *__restrict__ dw, \
    int groups, int splits, int M, int K, int N, int channels, int H, int W, int SH, int SW, int OH, int OW
#define CORRELATE_BY(...)                                                                                      \
    {                                                                                                          \
        SHARED_TILES(__VA_ARGS__)                                                                              \
        correlate<Multiply>(dy, x, taps, dw, groups, splits, M, K, N, channels, H, W, SH, SW, OH, OW, a, b);      \
    }
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) correlate_128(CORRELATE) CORRELATE_BY(Full<128, 128, 4, 4>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) correlate_96(CORRELATE) CORRELATE_BY(Full<96, 128, 2, 4>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) correlate_64(CORRELATE) CORRELATE_BY(Full<64, 64, 4, 4>)
#ifdef REAL_IS_FLOAT
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) correlate_tf32_128(CORRELATE) CORRELATE_BY(Tensor<4, true>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) correlate_tf32_96(CORRELATE) CORRELATE_BY(Tensor<3, true>)
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) correlate_tf32_64(CORRELATE) CORRELATE_BY(Tensor<2, true>)
#endif

// Add what several blocks have summed of the same outputs, always in the same order; then the bias, and rectify. parts
// (splits, N, F, plane), y (N, F, plane).
extern "C" __global__ void add_parts(long long count, const REAL *__restrict__ parts, const REAL *__restrict__ bias,
                                     REAL *__restrict__ y, int splits, int biased, int relu, int F, int plane)
{
    for (index_t i = first(); i < count; i += step()) {
        REAL sum = parts[i];
        for (int part = 1; part < splits; part++) sum += parts[part * count + i];
        if (biased) sum += bias[map_of(i, F, plane)];
        y[i] = relu ? rectified(sum) : sum;
    }
}
