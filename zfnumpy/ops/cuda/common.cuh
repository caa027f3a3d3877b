// What every file of kernels begins with. REAL is float or double, given by the compiler's -DREAL=… (and -DREAL_IS_FLOAT or
// -DREAL_IS_DOUBLE). Indices into arrays are 64 bits wide, for a batch of first-layer maps can hold more than 2^31 numbers.

typedef long long index_t;

// The loop of a kernel over `count` things: for (index_t i = first(); i < count; i += step()).
__device__ inline index_t first() { return (index_t)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline index_t step() { return (index_t)gridDim.x * blockDim.x; }

// The sizes of a sliding window (shapes.Window), in this order wherever a kernel takes one.
#define WINDOW int N, int C, int H, int W, int KH, int KW, int SH, int SW, int PH, int PW, int OH, int OW

#define THREADS 256         // of a block where a kernel counts on it, as _cuda.THREADS has it

// i / n of an i that is not negative: in 32 bits where i fits, which is several times as quick.
__device__ inline index_t over(index_t i, int n) {
    return i >> 32 ? i / n : (index_t)((unsigned)i / (unsigned)n);
}

// Where number i of an array (..., H, W) lies: the number of its plane, and its row and column there.
struct Pixel { index_t plane; int row, col; };
__device__ inline Pixel pixel_of(index_t i, int H, int W) {
    index_t line = over(i, W), plane = over(line, H);
    return {plane, (int)(line - plane * H), (int)(i - line * W)};
}

// Which of F maps, in an array (..., F, pixels), holds its number i.
__device__ inline int map_of(index_t i, int F, int pixels) {
    index_t map = over(i, pixels);
    return (int)(map - over(map, F) * F);
}

// max(v, 0), and NaN stays NaN, as NumPy has it.
__device__ inline REAL rectified(REAL v) { return v > 0 || v != v ? v : (REAL)0; }

// The windows along an axis that hold a pixel; `at` counts from the padding's edge.
struct Span { int first, last; };
__device__ inline int strides(int at, int S) { return S == 2 ? at >> 1 : (int)((unsigned)at / (unsigned)S); }
__device__ inline Span windows_over(int at, int K, int S, int O) {
    return {at < K ? 0 : strides(at - K, S) + 1, min(strides(at, S), O - 1)};
}
