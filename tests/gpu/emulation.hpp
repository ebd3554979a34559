// A GPU's block of threads on an ordinary processor, for the index logic of convolution.cu: instructions.cuh in plain C++.
//
// Threads are fibers that run one after the other, each up to its next barrier, in ascending or descending order: code that lacks a
// barrier gives other results in one of them. Asynchronous copies happen no sooner than they are waited for, only from memory that was
// allowed, and only where they are aligned. The tensor core gets its operands as the PTX ISA distributes them over a warp's threads.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#define __device__ static
#define __global__
#define __shared__
#define __launch_bounds__(threads)
using std::min;

struct float4 { float x, y, z, w; };
struct Dim3 { int x, y, z; } threadIdx, blockIdx, blockDim, gridDim;
float4 shared[6144];  // 96 KiB

static float __uint_as_float(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }
static unsigned bits_of(float x) { unsigned bits; memcpy(&bits, &x, 4); return bits; }

static void fail(const char *what) { fprintf(stderr, "emulation: %s\n", what), abort(); }

// threads

enum State { READY, AT_WARP, AT_BLOCK, DONE };
struct Copy { float *to; const float *from; int bytes; bool valid; };
struct Fiber {
    State state;
    bool started;
    jmp_buf here;
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 16);
    std::vector<std::vector<Copy>> groups;  // of copies, committed and on their way; the last one is open
    int parity;
};

static std::vector<Fiber> fibers;
static jmp_buf scheduler;
static std::function<void()> body;

static Fiber &self() { return fibers[threadIdx.x]; }

static void pause(State state) {
    self().state = state;
    if (!_setjmp(self().here)) _longjmp(scheduler, 1);
}

static void __syncthreads() { pause(AT_BLOCK); }

static void begin() {
    body();
    self().state = DONE;
    _longjmp(scheduler, 1);
}

static void release(State waiting, int first, int last) {
    for (int t = first; t < last; t++)
        if (fibers[t].state != waiting && fibers[t].state != DONE) return;
    for (int t = first; t < last; t++)
        if (fibers[t].state == waiting) fibers[t].state = READY;
}

static void run_block(int threads, bool descending) {
    if ((int)fibers.size() < threads) fibers.resize(threads);
    for (int t = 0; t < threads; t++) fibers[t].state = READY, fibers[t].started = false, fibers[t].parity = 0, fibers[t].groups = {{}};
    memset(shared, 0xff, sizeof shared);  // not a number
    for (;;) {
        volatile bool progress = false;
        for (volatile int k = 0; k < threads; k = k + 1) {
            threadIdx.x = descending ? threads - 1 - k : k;
            if (self().state != READY) continue;
            progress = true;
            if (_setjmp(scheduler)) continue;
            if (self().started) _longjmp(self().here, 1);
            self().started = true;
            getcontext(&self().context);
            self().context.uc_stack.ss_sp = self().stack.data(), self().context.uc_stack.ss_size = self().stack.size();
            makecontext(&self().context, begin, 0);
            setcontext(&self().context);
        }
        if (std::all_of(fibers.begin(), fibers.begin() + threads, [](Fiber &f) { return f.state == DONE; })) return;
        for (int warp = 0; warp < threads; warp += 32) release(AT_WARP, warp, min(warp + 32, threads));
        release(AT_BLOCK, 0, threads);
        if (!progress) fail("threads wait for each other at different barriers");
    }
}

// instructions

static std::vector<std::pair<const char *, size_t>> allowed;  // memory that may be read

template <int BYTES>
static void copy_async(float *to, const float *from, bool valid) {
    if ((uintptr_t)to % BYTES || (uintptr_t)from % BYTES) fail("a copy that is not aligned");
    if ((char *)to < (char *)shared || (char *)to + BYTES > (char *)(shared + 6144)) fail("a copy to beyond shared memory");
    if (valid && std::none_of(allowed.begin(), allowed.end(), [&](auto &a) {
            return a.first <= (char *)from && (char *)from + BYTES <= a.first + a.second; })) fail("a copy from memory of nobody's");
    self().groups.back().push_back({to, from, BYTES, valid});
}

static void commit() { self().groups.push_back({}); }

template <int PENDING>
static void wait() {
    auto &groups = self().groups;
    while ((int)groups.size() - 1 > PENDING) {
        for (auto &c : groups.front()) c.valid ? memcpy(c.to, c.from, c.bytes) : memset(c.to, 0, c.bytes);
        groups.erase(groups.begin());
    }
}

static unsigned tf32(float x) { return (bits_of(x) + 0x1000) & ~0x1fffu; }  // to the nearest, halves away from zero

static unsigned bf16(float x) {
    unsigned bits = bits_of(x);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;  // to the nearest, halves to even
}
static unsigned bf16(float first, float second) { return bf16(first) | bf16(second) << 16; }

struct Operands { unsigned a[4], b[2]; };
static Operands warps[32][2][32];  // of each warp, for two multiplications in turn

static Operands *exchange(const unsigned *a, const unsigned *b) {
    Operands *all = warps[threadIdx.x / 32][self().parity ^= 1];
    memcpy(all[threadIdx.x % 32].a, a, 16), memcpy(all[threadIdx.x % 32].b, b, 8);
    pause(AT_WARP);
    return all;
}

static void multiply_tf32(float *c, const unsigned *a, const unsigned *b) {
    Operands *all = exchange(a, b);
    int group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    for (int r = 0; r < 4; r++)
        for (int k = 0, m = group + r / 2 * 8, n = 2 * member + r % 2; k < 8; k++)
            c[r] += __uint_as_float(all[m % 8 * 4 + k % 4].a[m / 8 + k / 4 * 2]) * __uint_as_float(all[n * 4 + k % 4].b[k / 4]);
}

static void multiply_bf16(float *c, const unsigned *a, const unsigned *b) {
    Operands *all = exchange(a, b);
    auto half = [](unsigned pair, int k) { return __uint_as_float(k % 2 ? pair & 0xffff0000u : pair << 16); };
    int group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    for (int r = 0; r < 4; r++)
        for (int k = 0, m = group + r / 2 * 8, n = 2 * member + r % 2; k < 16; k++)
            c[r] += half(all[m % 8 * 4 + k % 8 / 2].a[m / 8 + k / 8 * 2], k) * half(all[n * 4 + k % 8 / 2].b[k / 8], k);
}

// launches: the kernels' own parameters come after the grid, see LAUNCH below, which is put after the kernels

template <class Kernel, class... Arguments>
static void launch(Kernel kernel, const int *grid, int threads, int descending, Arguments... arguments) {
    body = [=] { kernel(arguments...); };
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {threads, 1, 1};
    for (int z = 0; z < grid[2]; z++)
        for (int y = 0; y < grid[1]; y++)
            for (int x = 0; x < grid[0]; x++) blockIdx = {x, y, z}, run_block(threads, descending);
}

extern "C" void allow(const char *memory, size_t bytes) { allowed.push_back({memory, bytes}); }
