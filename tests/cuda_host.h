// Runs CUDA kernels on the processor: what a kernel takes for granted, and a scheduler for the threads of a block.
//
// Every CUDA thread of a block is a fiber (a stack of its own, switched to by hand). A fiber runs until it waits at a
// barrier or ends; which one goes next is drawn by a seed, so that code that forgot a barrier goes wrong here too. Threads
// that end without having waited leave their stack to the next, so those of a kernel without barriers share one.
// Shared memory lies in a section of its own and is poisoned before every block.
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __shared__ static __attribute__((section("cuda_shared")))
#define __align__(n) __attribute__((aligned(n)))
#define CUDA_ON_HOST 1

struct dim3 { unsigned x = 1, y = 1, z = 1; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };

template <class T> inline T __ldg(const T *p) { return *p; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
inline unsigned __float_as_uint(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
inline float __uint_as_float(unsigned u) { float f; memcpy(&f, &u, 4); return f; }

extern "C" char __start_cuda_shared[] __attribute__((weak)), __stop_cuda_shared[] __attribute__((weak));

namespace host {

constexpr size_t STACK = (128 << 10) + 17 * 64;   // no power of two: the stacks' ends would share a few lines of the cache
enum State { RUNNABLE, AT_BLOCK, AT_WARP, ENDED };

struct Fiber { void *sp = nullptr; State state = ENDED; dim3 idx; unsigned products = 0; };

static std::vector<Fiber> fibers;
static std::vector<char *> stacks;
static std::vector<int> order;                  // who takes a turn in this round
static size_t turns;                            // and how many have
static bool starting;                           // in the first round nobody has begun
static void *scheduler_sp;
static int current;
static std::string trouble;
static unsigned long long seed = 1;

inline unsigned draw(unsigned below) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)((seed >> 32) * below >> 32);
}

#if defined(__x86_64__)
extern "C" void host_switch(void **save, void *to);
asm(R"(
.text
host_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
inline void *fresh(char *stack, void (*entry)()) {
    void **top = (void **)(((uintptr_t)stack + STACK) & ~(uintptr_t)15);
    *--top = nullptr;                       // where a return address would lie, so that the stack is aligned as after a call
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = nullptr;
    return top;
}
#elif defined(__aarch64__)
extern "C" void host_switch(void **save, void *to);
asm(R"(
.text
host_switch:
    sub sp, sp, #176
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #176
    ret
)");
inline void *fresh(char *stack, void (*entry)()) {
    char *top = (char *)(((uintptr_t)stack + STACK) & ~(uintptr_t)15) - 176;
    memset(top, 0, 176);
    *(void **)(top + 88) = (void *)entry;
    return top;
}
#else
#error "tests/cuda_host.h switches stacks by hand on x86-64 and ARM64 only"
#endif

inline void wait(State state) {
    fibers[current].state = state;
    host_switch(&fibers[current].sp, scheduler_sp);
}

static void (*body)(void **);
static void **body_args;

inline bool next_turn() {
    if (turns == order.size()) return false;
    current = order[turns++];
    threadIdx = fibers[current].idx;
    return true;
}

inline void entry() {
    do {
        body(body_args);
        fibers[current].state = ENDED;
    } while (starting && next_turn());
    wait(ENDED);
    abort();
}

// Let the waiting fibers of [from, to) go on if every one that has not ended has come to its barrier; true if so.
inline bool release(int from, int to, State state) {
    bool any = false;
    for (int i = from; i < to; i++) {
        if (fibers[i].state == RUNNABLE) return false;
        if (state == AT_WARP && fibers[i].state == AT_BLOCK) return false;
        if (state == AT_BLOCK && fibers[i].state == AT_WARP) return false;
        any |= fibers[i].state == state;
    }
    for (int i = from; any && i < to; i++)
        if (fibers[i].state == state) fibers[i].state = RUNNABLE;
    return any;
}

inline void run_block(int threads) {
    if (__start_cuda_shared) memset(__start_cuda_shared, 0xFF, __stop_cuda_shared - __start_cuda_shared);
    for (int i = 0; i < threads; i++) fibers[i].state = RUNNABLE, fibers[i].products = 0;
    size_t taken = 0;
    for (starting = true;; starting = false) {
        order.clear(), turns = 0;
        for (int i = 0; i < threads; i++)
            if (fibers[i].state == RUNNABLE) order.push_back(i);
        for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[draw(i)]);
        while (next_turn()) {
            if (starting && taken == stacks.size()) stacks.push_back((char *)malloc(STACK));
            host_switch(&scheduler_sp, starting ? fresh(stacks[taken++], entry) : fibers[current].sp);
        }
        bool waiting = false, released = false;
        for (int i = 0; i < threads; i++) waiting |= fibers[i].state != ENDED;
        if (!waiting) return;
        for (int i = 0; i < threads; i += 32) released |= release(i, i + 32 < threads ? i + 32 : threads, AT_WARP);
        if (!released && !release(0, threads, AT_BLOCK)) {
            trouble = "some threads wait at a barrier that others never reach";
            return;
        }
    }
}

template <class... A, size_t... I>
inline void call(void (*kernel)(A...), void **args, std::index_sequence<I...>) {
    kernel(*(typename std::remove_reference<A>::type *)args[I]...);
}

template <class... A>
inline const char *launch(void (*kernel)(A...), const unsigned *grid, const unsigned *block, void **args,
                          void (*unpack)(void **), unsigned long long order) {
    trouble.clear();
    seed = order;
    gridDim.x = grid[0], gridDim.y = grid[1], gridDim.z = grid[2];
    blockDim.x = block[0], blockDim.y = block[1], blockDim.z = block[2];
    unsigned threads = block[0] * block[1] * block[2];
    unsigned long long blocks = (unsigned long long)grid[0] * grid[1] * grid[2];
    if (fibers.size() < threads) fibers.resize(threads);
    for (unsigned i = 0; i < threads; i++) {
        fibers[i].idx.x = i % block[0], fibers[i].idx.y = i / block[0] % block[1], fibers[i].idx.z = i / block[0] / block[1];
    }
    body = unpack, body_args = args;
    for (unsigned long long n = 0; n < blocks && trouble.empty(); n++) {
        unsigned long long b = order & 1 ? n : blocks - 1 - n;          // blocks in no certain order either
        blockIdx.x = b % grid[0], blockIdx.y = b / grid[0] % grid[1], blockIdx.z = b / grid[0] / grid[1];
        run_block(threads);
    }
    return trouble.c_str();
}

}  // namespace host

inline void __syncthreads() { host::wait(host::AT_BLOCK); }
inline void __syncwarp(unsigned = 0xFFFFFFFFu) { host::wait(host::AT_WARP); }
inline int host_lane() { return host::current % 32; }
inline int host_warp() { return host::current / 32; }

// TF32 as tensor cores have it: operands rounded to 10 bits after the point, halves away from zero; sums in float32.
inline float round_tf32(float x) {
    return std::isfinite(x) ? __uint_as_float((__float_as_uint(x) + 0x1000u) & ~0x1FFFu) : x;
}
inline void multiply_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    static unsigned held[2][32][32][6];                         // what every lane of every warp brings, by turns in one half
    int lane = host_lane(), row = lane / 4, column = lane % 4 * 2;
    auto &lanes = held[host::fibers[host::current].products++ % 2][host_warp()];     // the other may still be read
    memcpy(lanes[lane], a, sizeof a);
    memcpy(lanes[lane] + 4, b, sizeof b);
    __syncwarp();
    for (int e = 0; e < 4; e++)
        for (int k = 0; k < 8; k++) {
            unsigned x = lanes[row % 8 * 4 + k % 4][e / 2 + k / 4 * 2], y = lanes[(column + e % 2) * 4 + k % 4][4 + k / 4];
            c[e] += __uint_as_float(x & ~0x1FFFu) * __uint_as_float(y & ~0x1FFFu);
        }
}

// Makes the function by which Python launches a kernel.
#define HOST_KERNEL(name)                                                                                              \
    template <class... A> static void unpack_##name(void (*)(A...), void **args) {                                    \
        host::call((void (*)(A...))name, args, std::index_sequence_for<A...>{});                                      \
    }                                                                                                                 \
    static void body_##name(void **args) { unpack_##name(name, args); }                                               \
    extern "C" const char *host_##name(const unsigned *grid, const unsigned *block, void **args, unsigned long long order) { \
        return host::launch(name, grid, block, args, body_##name, order);                                             \
    }
