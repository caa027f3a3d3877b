// The product of two matrices by tiles, whatever brings its operands: in full precision, or on tensor cores.
//
// A block of 256 threads makes a tile of TM × TN of the product, going through the summed axis K in steps of TK. In each
// step it brings TK × TM numbers of A and TK × TN of B from global memory to registers, multiplies what the step before
// put into shared memory, and then puts them there too: two buffers, so that loading hides behind multiplying and one
// barrier a step is enough.

#ifdef REAL_IS_DOUBLE
#define BLOCKS 1             // at once on a multiprocessor: what its registers are shared out among
#else
#define BLOCKS 2
#endif

// V numbers that are loaded and stored together.
template <int V> struct alignas(V * sizeof(REAL) < 16 ? V * sizeof(REAL) : 16) Pack { REAL v[V]; };

// ---- multiplying two tiles that lie in shared memory -----------------------------------------------------------------

// In full precision: each thread makes (RM groups of VM rows) × (RN groups of VN columns) of the tile in registers.
// Eight lanes of a warp lie side by side and four above each other, which reads shared memory without conflicts.
template <int TM_, int TN_, int VM, int VN> struct Full {
    static const int TM = TM_, TN = TN_, TK = 8, LDA = TM + 4, LDB = TN + 4;
    static const int RM = TM / (16 * VM), RN = TN / (16 * VN);
    REAL c[RM * VM][RN * VN];
    int row, column;

    __device__ Full()
    {
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        row = (warp / 2 * 4 + lane / 8) * VM;
        column = (warp % 2 * 8 + lane % 8) * VN;
#pragma unroll
        for (int i = 0; i < RM * VM; i++)
#pragma unroll
            for (int j = 0; j < RN * VN; j++) c[i][j] = 0;
    }

    __device__ static REAL rounded(REAL x) { return x; }
    __device__ static int crossed(int, int column) { return column; }

    __device__ void add(const REAL *a, const REAL *b)
    {
#pragma unroll
        for (int k = 0; k < TK; k++) {
            Pack<VM> x[RM];
            Pack<VN> y[RN];
#pragma unroll
            for (int r = 0; r < RM; r++) x[r] = *(const Pack<VM> *)(a + k * LDA + r * 16 * VM + row);
#pragma unroll
            for (int r = 0; r < RN; r++) y[r] = *(const Pack<VN> *)(b + k * LDB + r * 16 * VN + column);
#pragma unroll
            for (int i = 0; i < RM * VM; i++)
#pragma unroll
                for (int j = 0; j < RN * VN; j++) c[i][j] += x[i / VM].v[i % VM] * y[j / VN].v[j % VN];
        }
    }

    template <class Out> __device__ void store(const Out &out, int m0, int n0) const
    {
#pragma unroll
        for (int g = 0; g < RN; g++) {
            typename Out::Columns columns(out, n0 + g * 16 * VN + column);
#pragma unroll
            for (int i = 0; i < RM * VM; i++) {
                Pack<VN> values;
#pragma unroll
                for (int j = 0; j < VN; j++) values.v[j] = c[i][g * VN + j];
                out.put(m0 + i / VM * 16 * VM + row + i % VM, columns, values);
            }
        }
    }
};

#ifdef REAL_IS_FLOAT
// On tensor cores, which round their operands to TF32 (10 bits after the point) and add in float32: eight warps, each
// makes MT × 4 tiles of 16 × 8 by the instruction m16n8k8. Rows that end 8 banks further on are read without conflicts.
// CROSSED, every other four of them have each four columns exchanged with the next four, so that neighbouring threads can
// also store neighbouring k and seldom meet in one bank.
#ifndef CUDA_ON_HOST
__device__ inline float round_tf32(float x)
{
#if __CUDA_ARCH__ >= 800
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
#else
    return x;
#endif
}

// c += a b for the tiles that the 32 lanes of a warp hold together.
__device__ inline void multiply_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
#endif

template <int MT, bool CROSSED> struct Tensor {
    static const int TM = 32 * MT, TN = 128, TK = 16, LDA = TM + 8, LDB = TN + 8;
    float c[MT][4][4];
    int row, column, group, place;                         // of the warp's tiles; of the lane in them

    __device__ Tensor()
    {
        int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        row = warp / 4 * 16 * MT, column = warp % 4 * 32;
        group = lane / 4, place = lane % 4;
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) c[i][j][e] = 0;
    }

    __device__ static float rounded(float x) { return round_tf32(x); }
    __device__ static int crossed(int k, int column) { return CROSSED ? column ^ (k & 4) : column; }

    __device__ void add(const float *a, const float *b)
    {
#pragma unroll
        for (int k = 0; k < TK; k += 8) {
            unsigned x[MT][4], y[4][2];
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    x[i][e] = __float_as_uint(a[(k + place + e / 2 * 4) * LDA + row + i * 16 + e % 2 * 8
                                                + crossed(e / 2 * 4, group)]);
#pragma unroll
            for (int j = 0; j < 4; j++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    y[j][e] = __float_as_uint(b[(k + place + e * 4) * LDB + column + j * 8 + crossed(e * 4, group)]);
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) multiply_tf32(c[i][j], x[i], y[j]);
        }
    }

    template <class Out> __device__ void store(const Out &out, int m0, int n0) const
    {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            typename Out::Columns columns(out, n0 + column + j * 8 + place * 2);
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    Pack<2> values;
                    values.v[0] = c[i][j][half * 2], values.v[1] = c[i][j][half * 2 + 1];
                    out.put(m0 + row + i * 16 + half * 8 + group, columns, values);
                }
        }
    }
};
#endif

// The loop over K that both kernels share. A loader has `load()`, the next step's to registers, and
// `store(a, b)`, to shared memory: number (k, column) of A at k * LDA + crossed(k, column), of B alike.
template <class Multiply, class Loader> __device__ inline void product(Multiply &tile, Loader &loader, int steps, REAL *a, REAL *b)
{
    const int A = Multiply::TK * Multiply::LDA, B = Multiply::TK * Multiply::LDB;
    if (steps > 0) {
        loader.load();
        loader.store(a, b);
    }
    __syncthreads();
    for (int step = 0; step < steps; step++) {
        int now = step % 2, next = 1 - now;
        if (step + 1 < steps) loader.load();
        tile.add(a + now * A, b + now * B);
        if (step + 1 < steps) loader.store(a + next * A, b + next * B);
        __syncthreads();
    }
}
