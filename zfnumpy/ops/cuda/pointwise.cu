#include "common.cuh"

// What is done number by number (ReLU, bias, updates, dropout), contrast normalization, and sums over whole arrays.

#define RING 8              // channels that the gradient of contrast normalization keeps at hand; a power of two

extern "C" __global__ void relu(long long count, const REAL *x, REAL *y) {
    for (index_t i = first(); i < count; i += step()) y[i] = rectified(x[i]);
}

// `masked` says that y counts; where y is not above zero, even NaN and infinity are stopped.
extern "C" __global__ void relu_backward(long long count, const REAL *r, const REAL *y, REAL *out, int masked, int rectify) {
    for (index_t i = first(); i < count; i += step()) {
        REAL value = r[i];
        if (rectify) value = rectified(value);
        if (masked && !(y[i] > 0)) value = 0;
        out[i] = value;
    }
}

// In place: y (N, F, pixels) plus bias (F,), where there is one, rectified if told.
extern "C" __global__ void bias_relu(long long count, REAL *y, const REAL *bias, int F, int pixels, int biased, int relu) {
    for (index_t i = first(); i < count; i += step()) {
        REAL value = y[i];
        if (biased) value += bias[map_of(i, F, pixels)];
        y[i] = relu ? rectified(value) : value;
    }
}

// ---- sums -----------------------------------------------------------------------------------------------------------

// The sum of a number from each thread of a block, in an order that never changes; `sums` is shared memory.
__device__ inline REAL block_sum(REAL *sums, REAL mine) {
    sums[threadIdx.x] = mine;
    __syncthreads();
    for (int half = THREADS / 2; half; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    return sums[0];
}

// parts (gridDim.y, F): a block for each filter and each stretch of the `length` numbers that dy (N, F, pixels) has of it.
extern "C" __global__ void bias_grad_parts(const REAL *dy, REAL *parts, int F, int pixels, long long length,
                                           long long stretch) {
    __shared__ REAL sums[THREADS];
    index_t at = blockIdx.y * stretch, end = at + stretch < length ? at + stretch : length;
    at += threadIdx.x;
    index_t n = over(at, pixels);
    int pixel = (int)(at - n * pixels), images = THREADS / pixels, rest = THREADS % pixels;    // of a step to the next
    REAL sum = 0;
    for (; at < end; at += THREADS) {
        sum += dy[(n * F + blockIdx.x) * pixels + pixel];
        n += images;
        pixel += rest;
        if (pixel >= pixels) {
            pixel -= pixels;
            n++;
        }
    }
    sum = block_sum(sums, sum);
    if (threadIdx.x == 0) parts[(index_t)blockIdx.y * F + blockIdx.x] = sum;
}

// db (F,): the sum of each filter's parts (count, F), one after another.
extern "C" __global__ void bias_grad(long long F, const REAL *parts, int count, REAL *db) {
    for (index_t f = first(); f < F; f += step()) {
        REAL sum = 0;
        for (int part = 0; part < count; part++) sum += parts[part * F + f];
        db[f] = sum;
    }
}

// In place: a block for each filter of w (F, size), scaled back to the radius where its root mean square exceeds it.
extern "C" __global__ void renormalize_filters(REAL *w, long long size, REAL radius) {
    __shared__ REAL sums[THREADS];
    REAL *filter = w + blockIdx.x * size, sum = 0;
    for (index_t i = threadIdx.x; i < size; i += THREADS) sum += filter[i] * filter[i];
    REAL rms = sqrt(block_sum(sums, sum) / size);
    if (!(rms > radius)) return;
    for (index_t i = threadIdx.x; i < size; i += THREADS) filter[i] *= radius / rms;
}

// ---- contrast normalization -----------------------------------------------------------------------------------------
//
// A thread walks down a stretch of the channels of one pixel, so that threads side by side read pixels side by side. The
// squares around a channel are summed anew for each, which never drifts; all but one were read just before.

// s = k + share Σ x² over channels c - before ... c + after of a pixel of x; `x` points at it in channel 0.
__device__ inline REAL norm_scale(const REAL *x, int c, int C, int pixels, int before, int after, REAL share, REAL k) {
    REAL sum = 0;
    for (int d = max(c - before, 0); d <= min(c + after, C - 1); d++) {
        REAL value = x[(index_t)d * pixels];
        sum += value * value;
    }
    return k + share * sum;
}

// s^-beta; by square roots for the paper's 0.75.
__device__ inline REAL norm_power(REAL s, REAL beta) {
    if (beta != (REAL)0.75) return pow(s, -beta);
    REAL root = sqrt(s);
    return 1 / (root * sqrt(root));
}

extern "C" __global__ void local_response_norm(long long count, const REAL *__restrict__ x, REAL *__restrict__ y, int C,
                                               int pixels, int stretches, int stretch, int before, int after, REAL share,
                                               REAL beta, REAL k) {
    for (index_t i = first(); i < count; i += step()) {
        index_t rest = over(i, pixels), n = over(rest, stretches);
        index_t at = n * C * pixels + (i - rest * pixels);
        int from = (int)(rest - n * stretches) * stretch;
        for (int c = from; c < min(from + stretch, C); c++) {
            REAL s = norm_scale(x + at, c, C, pixels, before, after, share, k);
            y[at + (index_t)c * pixels] = x[at + (index_t)c * pixels] * norm_power(s, beta);
        }
    }
}

// dx_c = dy_c s_c^-beta - 2 beta share x_c Σ dy x s^(-beta-1), the sum over channels c - after ... c + before, whose windows
// hold c. Each channel's two powers are made once and stay in rings while they are needed: before + after < RING.
extern "C" __global__ void local_response_norm_grad(long long count, const REAL *__restrict__ dy,
                                                    const REAL *__restrict__ x, REAL *__restrict__ dx, int C, int pixels,
                                                    int stretches, int stretch, int before, int after, REAL share,
                                                    REAL beta, REAL k) {
    __shared__ REAL powers[RING][THREADS], terms[RING][THREADS];         // a column for each thread: nobody waits
    int own = threadIdx.x;
    for (index_t i = first(); i < count; i += step()) {
        index_t rest = over(i, pixels), n = over(rest, stretches);
        index_t at = n * C * pixels + (i - rest * pixels);
        int from = (int)(rest - n * stretches) * stretch, ready = max(from - after, 0);
        for (int c = from; c < min(from + stretch, C); c++) {
            int last = min(c + before, C - 1);
            for (; ready <= last; ready++) {
                REAL s = norm_scale(x + at, ready, C, pixels, before, after, share, k), power = norm_power(s, beta);
                index_t place = at + (index_t)ready * pixels;
                powers[ready % RING][own] = power;
                terms[ready % RING][own] = dy[place] * x[place] * (power / s);
            }
            REAL sum = 0;
            for (int d = max(c - after, 0); d <= last; d++) sum += terms[d % RING][own];
            index_t place = at + (index_t)c * pixels;
            dx[place] = dy[place] * powers[c % RING][own] - 2 * beta * share * x[place] * sum;
        }
    }
}

// ---- training -------------------------------------------------------------------------------------------------------

// In place: v = momentum v + grad + decay w; w -= lr v.
extern "C" __global__ void sgd_update(long long count, REAL *w, REAL *v, const REAL *grad, REAL lr, REAL momentum,
                                      REAL decay) {
    for (index_t i = first(); i < count; i += step()) {
        REAL speed = momentum * v[i] + grad[i] + decay * w[i];
        v[i] = speed;
        w[i] -= lr * speed;
    }
}

// Four words of 32 random bits, drawn from a counter and a key: Philox 4x32-10 (Salmon et al., SC 2011). The words of one
// counter depend on no other, so each thread draws its own.
__device__ inline void philox(unsigned words[4], unsigned low_key, unsigned high_key) {
    for (int round = 0; round < 10; round++) {
        unsigned a = words[0], c = words[2];
        words[0] = __umulhi(0xCD9E8D57u, c) ^ words[1] ^ low_key;
        words[1] = 0xCD9E8D57u * c;
        words[2] = __umulhi(0xD2511F53u, a) ^ words[3] ^ high_key;
        words[3] = 0xD2511F53u * a;
        low_key += 0x9E3779B9u;
        high_key += 0xBB67AE85u;
    }
}

// mask (count,): `kept` where a random word reaches the threshold, else zero. A thread makes four numbers from a counter.
extern "C" __global__ void dropout_mask(long long quads, REAL *mask, long long count, unsigned long long key,
                                        unsigned threshold, REAL kept) {
    for (index_t q = first(); q < quads; q += step()) {
        unsigned words[4] = {(unsigned)q, (unsigned)(q >> 32), 0, 0};
        philox(words, (unsigned)key, (unsigned)(key >> 32));
        for (int j = 0; j < 4; j++)
            if (4 * q + j < count) mask[4 * q + j] = words[j] >= threshold ? kept : (REAL)0;
    }
}
