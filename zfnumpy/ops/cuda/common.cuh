// Put before every kernel file. REAL is float or double, given by the compiler's -DREAL=… (and
// -DREAL_IS_FLOAT or -DREAL_IS_DOUBLE); indices into arrays are 64 bits
// wide, for a batch of first-layer maps can hold more than 2^31 numbers.

typedef long long index_t;

// The loop of a kernel over `count` things: for (index_t i = first(); i < count; i += step()).
__device__ inline index_t first() { return (index_t)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline index_t step() { return (index_t)gridDim.x * blockDim.x; }

// The sizes of a sliding window (shapes.Window), in this order wherever a kernel takes one.
#define WINDOW int N, int C, int H, int W, int KH, int KW, int SH, int SW, int PH, int PW, int OH, int OW
