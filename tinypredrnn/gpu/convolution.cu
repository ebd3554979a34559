// Convolution with stride 1 as one matrix product on tensor cores. The matrix of windows is never written down: its tiles are gathered
// from the frames when they are needed ("implicit GEMM"; Chetlur et al. 2014, cuDNN). Three roles, one kernel:
//
//     ROLE                 rows        depth                columns
//     FORWARD              positions   window elements      features    y  = windows(x) w + b
//     INPUT_GRADIENT       positions   elements of dy's     channels    dx = windows(dy) w turned round
//     WEIGHT_GRADIENT      elements    positions            features    dw = windows(x)^T dy, and db as the row of an element that is 1
//
// A position is an output pixel (n, p, q), an element one of the kh kw C numbers of its window (i, j, channel). Frames are (B,H,W,C) in
// one array, or two whose channels lie side by side; weights (kh,kw,C,K). ROLE, COLUMNS (of a tile), VECTOR (numbers copied at once) and
// PRECISION are macros, so that every loop has a length that the compiler knows.

enum { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT };  // ROLE
enum { FP32, TF32, BF16 };                          // PRECISION: of the factors; sums are float32

constexpr int THREADS = 256, STAGES = 4;                                  // of a block; tiles in flight, see `convolve`
constexpr int ROWS = 128, DEPTH = 16;                                     // of a tile
constexpr int WARPS_ACROSS = COLUMNS == 128 ? 4 : 2;                      // the 8 warps share a tile out: 2 x 4, or 4 x 2
constexpr int WARP_ROWS = ROWS * WARPS_ACROSS / 8, WARP_COLUMNS = COLUMNS / WARPS_ACROSS;
constexpr int FRAGMENTS_DOWN = WARP_ROWS / 16, FRAGMENTS_ACROSS = WARP_COLUMNS / 8;  // each 16 x 8

// Tiles lie in shared memory as they come, along the frames' channels: the left factor by rows, or turned for WEIGHT_GRADIENT, the right
// one by depth, or turned for INPUT_GRADIENT. The strides are such that the 32 reads of a warp meet 32 different banks.
constexpr bool LEFT_TURNED = ROLE == WEIGHT_GRADIENT, RIGHT_TURNED = ROLE == INPUT_GRADIENT;
constexpr int LEFT_STRIDE = LEFT_TURNED ? ROWS + 8 : DEPTH + 4, LEFT_SIZE = (LEFT_TURNED ? DEPTH : ROWS) * LEFT_STRIDE;
constexpr int RIGHT_STRIDE = RIGHT_TURNED ? DEPTH + 4 : COLUMNS + 8, RIGHT_SIZE = (RIGHT_TURNED ? COLUMNS : DEPTH) * RIGHT_STRIDE;

// How a tile's lines are shared out: PER_LINE threads copy one line, LINES at a time, in PASSES.
constexpr int LEFT_PER_LINE = (LEFT_TURNED ? ROWS : DEPTH) / VECTOR, LEFT_LINES = THREADS / LEFT_PER_LINE;
constexpr int LEFT_PASSES = (LEFT_TURNED ? DEPTH : ROWS) / LEFT_LINES;
constexpr int RIGHT_PER_LINE = (RIGHT_TURNED ? DEPTH : COLUMNS) / VECTOR, RIGHT_LINES = THREADS / RIGHT_PER_LINE;
constexpr int RIGHT_PASSES = (RIGHT_TURNED ? COLUMNS : DEPTH) / RIGHT_LINES;

struct Problem {
    int rows, columns, depth;                                          // of the product
    int batch, height, width, channels, first;                         // of the frames that windows are cut from; channels in the first array
    int out_height, out_width, kernel_height, kernel_width, top, left; // windows: how many, how large, zeros above and to the left
    int split, add;                                                    // where the outputs divide; 1: add to the first output, 2: to the second
};

struct Position { int image, row, column; };
struct Element { int i, j, channel; };

__device__ const float4 ONE = {1, 0, 0, 0};  // the element whose weight is the bias

__device__ Position position(const Problem &g, int number) {
    int line = number / g.out_width;
    return {line / g.out_height, line % g.out_height, number % g.out_width};
}

__device__ Element element(const Problem &g, int number) {
    int tap = number / g.channels;
    return {tap / g.kernel_width, tap % g.kernel_width, number % g.channels};
}

// Counting on is cheaper than dividing again.
__device__ void advance(const Problem &g, Position &p, int by) {
    for (p.column += by; p.column >= g.out_width; p.column -= g.out_width)
        if (++p.row == g.out_height) p.row = 0, ++p.image;
}

__device__ void advance(const Problem &g, Element &e, int by) {
    for (e.channel += by; e.channel >= g.channels; e.channel -= g.channels)
        if (++e.j == g.kernel_width) e.j = 0, ++e.i;
}

// Copy VECTOR elements of the window at p: zeros where it reaches over the frame, and beyond the last window and element.
__device__ void copy_window(const Problem &g, const float *x, const float *h, Position p, Element e, float *shared) {
    int row = p.row + e.i - g.top, column = p.column + e.j - g.left;
    bool inside = p.image < g.batch && e.i < g.kernel_height && row >= 0 && row < g.height && column >= 0 && column < g.width;
    long long pixel = ((long long)p.image * g.height + row) * g.width + column;
    const float *source = e.channel < g.first ? x + pixel * g.first + e.channel : h + pixel * (g.channels - g.first) + e.channel - g.first;
    if (LEFT_TURNED && e.i == g.kernel_height) source = &ONE.x + e.channel, inside = e.channel < VECTOR;
    copy_async<VECTOR * 4>(shared, inside ? source : x, inside);
}

// Store one number of the product where it belongs.
__device__ void put(const Problem &g, float *y, float *z, const float *bias, int row, int column, float value) {
    if (ROLE == FORWARD) {
        y[(long long)row * g.columns + column] = bias ? value + bias[column] : value;
    } else if (ROLE == INPUT_GRADIENT) {  // y and z: the gradients of x and of h
        if (column < g.split) y[(long long)row * g.split + column] = value;
        else z[(long long)row * (g.columns - g.split) + column - g.split] = value;
    } else {  // y and z: the gradients of w and of b
        float *at = row < g.split ? y + (long long)row * g.columns + column : z + column;
        bool adds = g.add & (row < g.split ? 1 : 2);
        *at = adds ? *at + value : value;
    }
}

// c += left right, for this warp's part of the tile: DEPTH in steps of 8 (TF32) or 16 (bfloat16).
__device__ void multiply(const float *left, const float *right, float (*c)[FRAGMENTS_ACROSS][4]) {
    const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const int row = warp / WARPS_ACROSS * WARP_ROWS + group, column = warp % WARPS_ACROSS * WARP_COLUMNS + group;
    auto a_at = [&](int m, int k) { return LEFT_TURNED ? left[k * LEFT_STRIDE + row + m] : left[(row + m) * LEFT_STRIDE + k]; };
    auto b_at = [&](int k, int n) { return RIGHT_TURNED ? right[(column + n) * RIGHT_STRIDE + k] : right[k * RIGHT_STRIDE + column + n]; };
    constexpr int STEP = PRECISION == BF16 ? 16 : 8;
#pragma unroll
    for (int k = 0; k < DEPTH; k += STEP) {
        unsigned a[FRAGMENTS_DOWN][4], b[FRAGMENTS_ACROSS][2];
        unsigned a_rest[FRAGMENTS_DOWN][4], b_rest[FRAGMENTS_ACROSS][2];  // what rounding to TF32 left, for FP32
#pragma unroll
        for (int f = 0; f < FRAGMENTS_DOWN; f++)
#pragma unroll
            for (int r = 0; r < 4; r++) {
                int m = 16 * f + r % 2 * 8;
                if (PRECISION == BF16) {
                    a[f][r] = bf16(a_at(m, k + 2 * member + r / 2 * 8), a_at(m, k + 2 * member + r / 2 * 8 + 1));
                } else {
                    float whole = a_at(m, k + member + r / 2 * 4);
                    a[f][r] = tf32(whole);
                    a_rest[f][r] = PRECISION == FP32 ? tf32(whole - __uint_as_float(a[f][r])) : 0;
                }
            }
#pragma unroll
        for (int f = 0; f < FRAGMENTS_ACROSS; f++)
#pragma unroll
            for (int r = 0; r < 2; r++) {
                if (PRECISION == BF16) {
                    b[f][r] = bf16(b_at(k + 2 * member + 8 * r, 8 * f), b_at(k + 2 * member + 8 * r + 1, 8 * f));
                } else {
                    float whole = b_at(k + member + 4 * r, 8 * f);
                    b[f][r] = tf32(whole);
                    b_rest[f][r] = PRECISION == FP32 ? tf32(whole - __uint_as_float(b[f][r])) : 0;
                }
            }
#pragma unroll
        for (int m = 0; m < FRAGMENTS_DOWN; m++)
#pragma unroll
            for (int n = 0; n < FRAGMENTS_ACROSS; n++) {
                if (PRECISION == FP32) {  // (a + a') (b + b') without a' b': nearly float32 (Ootomo and Yokota 2022)
                    multiply_tf32(c[m][n], a_rest[m], b[n]);
                    multiply_tf32(c[m][n], a[m], b_rest[n]);
                }
                if (PRECISION == BF16) multiply_bf16(c[m][n], a[m], b[n]);
                else multiply_tf32(c[m][n], a[m], b[n]);
            }
    }
}

// One tile of the product to a block. blockIdx is (column tile, row tile, slice): where tiles are too few for the GPU, the depth is cut
// into gridDim.z slices of `steps` tiles, whose sums go to `slices` (slices,rows,columns) and are added up by `gather`.
//
// While the warps multiply one tile, the next STAGES - 1 are on their way from global memory.
extern "C" __global__ void __launch_bounds__(THREADS) convolve(
    const Problem g, const float *x, const float *h, const float *matrix, const float *bias, float *y, float *z, float *slices, int steps) {
    extern __shared__ float4 shared[];
    float *stages = (float *)shared;
    const int thread = threadIdx.x, first_row = blockIdx.y * ROWS, first_column = blockIdx.x * COLUMNS;
    const int first_depth = blockIdx.z * steps * DEPTH, last = min(steps, (g.depth - first_depth + DEPTH - 1) / DEPTH);

    // The left tile: elements of windows at positions. One of the two is the same for all of a thread's lines.
    const int left_line = thread / LEFT_PER_LINE, left_along = thread % LEFT_PER_LINE * VECTOR;
    Position places[LEFT_PASSES];
#pragma unroll
    for (int pass = 0; pass < LEFT_PASSES; pass++)
        places[pass] = position(g, (LEFT_TURNED ? first_depth : first_row) + left_line + pass * LEFT_LINES);
    Element inner = element(g, (LEFT_TURNED ? first_row : first_depth) + left_along);

    // The right tile: rows of a plain matrix, or the weights turned round, whose element is that of the left tile's window.
    const int right_line = thread / RIGHT_PER_LINE, right_along = thread % RIGHT_PER_LINE * VECTOR;
    int right_depth = first_depth + right_line;

    auto load = [&](int stage) {
        float *left = stages + stage * (LEFT_SIZE + RIGHT_SIZE), *right = left + LEFT_SIZE;
#pragma unroll
        for (int pass = 0; pass < LEFT_PASSES; pass++) {
            copy_window(g, x, h, places[pass], inner, left + (left_line + pass * LEFT_LINES) * LEFT_STRIDE + left_along);
            if (LEFT_TURNED) advance(g, places[pass], DEPTH);
        }
#pragma unroll
        for (int pass = 0; pass < RIGHT_PASSES; pass++) {
            const int line = right_line + pass * RIGHT_LINES;
            const float *source;
            bool inside;
            if (RIGHT_TURNED) {
                int tap = (g.kernel_height - 1 - inner.i) * g.kernel_width + g.kernel_width - 1 - inner.j;
                inside = first_column + line < g.columns && inner.i < g.kernel_height;
                source = matrix + ((long long)tap * g.columns + first_column + line) * g.channels + inner.channel;
            } else {
                int depth = right_depth + pass * RIGHT_LINES;
                inside = depth < g.depth && first_column + right_along < g.columns;
                source = matrix + (long long)depth * g.columns + first_column + right_along;
            }
            copy_async<VECTOR * 4>(right + line * RIGHT_STRIDE + right_along, inside ? source : matrix, inside);
        }
        right_depth += DEPTH;
        if (!LEFT_TURNED) advance(g, inner, DEPTH);
    };

    for (int stage = 0; stage < STAGES - 1; stage++) {
        if (stage < last) load(stage);
        commit();
    }
    float sums[FRAGMENTS_DOWN][FRAGMENTS_ACROSS][4] = {};
    for (int step = 0; step < last; step++) {
        wait<STAGES - 2>();  // this thread's part of the tile has arrived;
        __syncthreads();     // all threads' parts have, and nobody reads any more what is overwritten next
        if (step + STAGES - 1 < last) load((step + STAGES - 1) % STAGES);
        commit();
        const float *left = stages + step % STAGES * (LEFT_SIZE + RIGHT_SIZE);
        multiply(left, left + LEFT_SIZE, sums);
    }

    const int warp = thread / 32, group = thread % 32 / 4, member = thread % 4;
#pragma unroll
    for (int m = 0; m < FRAGMENTS_DOWN; m++)
#pragma unroll
        for (int n = 0; n < FRAGMENTS_ACROSS; n++)
#pragma unroll
            for (int r = 0; r < 4; r++) {
                int row = first_row + warp / WARPS_ACROSS * WARP_ROWS + 16 * m + group + r / 2 * 8;
                int column = first_column + warp % WARPS_ACROSS * WARP_COLUMNS + 8 * n + 2 * member + r % 2;
                if (row >= g.rows || column >= g.columns) continue;
                if (gridDim.z == 1) put(g, y, z, bias, row, column, sums[m][n][r]);
                else slices[((long long)blockIdx.z * g.rows + row) * g.columns + column] = sums[m][n][r];
            }
}

// Add up the slices, always in the same order, so that a run can be repeated to the last bit.
extern "C" __global__ void gather(const Problem g, const float *slices, int count, const float *bias, float *y, float *z) {
    const long long size = (long long)g.rows * g.columns;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < size; at += (long long)gridDim.x * blockDim.x) {
        float sum = 0;
        for (int slice = 0; slice < count; slice++) sum += slices[slice * size + at];
        put(g, y, z, bias, at / g.columns, at % g.columns, sum);
    }
}
