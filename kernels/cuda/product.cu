// product.cu: the backend's own matrix products: half precision and bytes on the tensor cores, float on the
// ordinary ones. The library's products (library.c) are there for speed on large devices; these have what it
// has not: an exact GELU and the arithmetic of bytes in the epilogue, and sums in one order whatever the
// tile.
//
// A block makes one tile of out, its warps one part each. 64 bytes of k at a time go through shared memory:
// on Ampere by copies that run two tiles ahead, on Turing through registers, one tile ahead.
//
// A convolution is the same product: the rows of a are windows of maps, gathered while they are copied; the
// channels of a place are whole steps.
#include "kernels/cuda/tensor_core.cuh"

namespace
{

constexpr int STEP = 64;  // bytes of k in a tile
constexpr int CHUNK = 16; // bytes that one thread copies
constexpr int CHUNKS = STEP / CHUNK;
static_assert(STEP == WINDOW_ROW_BYTES, "ops.h asks for whole steps");

template <typename T> struct sum_of {
    using type = float;
};
template <> struct sum_of<uint8_t> {
    using type = int;
};

// rows x columns of out for a block, warp_rows x warp_columns for a warp.
template <int rows_, int columns_, int warp_rows_, int warp_columns_> struct tile_shape {
    static constexpr int rows = rows_, columns = columns_, warp_rows = warp_rows_,
                         warp_columns = warp_columns_;
    static constexpr int warps_across = columns / warp_columns;
    static constexpr int threads = rows / warp_rows * warps_across * WARP;
    static constexpr int bytes = (rows + columns) * STEP; // of shared memory, one step
    static constexpr int copies = (rows + columns) * CHUNKS / threads;
    static constexpr int high = warp_rows / 16, wide = warp_columns / 8; // fragments of a warp
};
using large_tile = tile_shape<128, 128, 64, 32>;
using small_tile = tile_shape<64, 64, 32, 32>;

// Where a chunk of a row lies in a tile: moved so that eight rows' chunks lie in different banks.
__device__ inline int place(int row, int chunk)
{
    return row * STEP + ((chunk ^ (row >> 1 & (CHUNKS - 1))) * CHUNK);
}

// A window of the maps: its first place, and where that begins, counted in places from the first of all maps.
// Either may lie in the padding.
struct corner {
    int y, x, place;
    __device__ corner(const window &window, int row)
    {
        int windows = window.out_height * window.out_width;
        y = row % windows / window.out_width * window.stride - window.padding;
        x = row % window.out_width * window.stride - window.padding;
        place = (row / windows * window.height + y) * window.width + x;
    }
};

// What a thread copies in each step, steps in ascending order: its chunks of the tile of a, then of the tile
// of the weights. Rows beyond the last are read as the last: what is made of them is not written.
template <typename T, typename Shape, bool windowed> struct loader {
    static constexpr int copies_of_a = Shape::rows * CHUNKS / Shape::threads;
    const char *bases[2]; // of a, of the weights
    uint32_t offsets[Shape::copies];
    int k_bytes;
    // windowed: of each row's window y in the high half and x in the low one; the step's place and its bytes
    // from there, the same for all threads
    const window &over;
    int row_bytes, corners[windowed ? copies_of_a : 1], y, x, channel;

    __device__ loader(const product_call &call, int first_row, int first_column)
        : over(call.window), row_bytes((int)call.a.stride * (int)sizeof(T)), y(0), x(0), channel(0)
    {
        bases[0] = static_cast<const char *>(call.a.data);
        bases[1] = static_cast<const char *>(call.weight);
        k_bytes = call.a.columns * (int)sizeof(T);
        if constexpr (windowed)
            k_bytes *= over.kernel * over.kernel;
#pragma unroll
        for (int i = 0; i < Shape::copies; i++) {
            bool of_a = tile_row(i) < Shape::rows;
            int row = of_a ? first_row + tile_row(i) : first_column + tile_row(i) - Shape::rows;
            int last = (of_a ? call.out.rows : call.out.columns) - 1;
            uint32_t stride = of_a ? (uint32_t)row_bytes : (uint32_t)k_bytes;
            row = row < last ? row : last;
            if (windowed && of_a) {
                const corner corner(over, row);
                corners[i % copies_of_a] = (int)((uint32_t)corner.y << 16 | (uint32_t)(corner.x & 0xffff));
                row = corner.place;
            }
            offsets[i] = (uint32_t)row * stride + (uint32_t)offset();
        }
    }
    // NULL: zeros, of the padding or beyond the end of k.
    __device__ const char *from(int i, int step) const
    {
        bool of_a = i < copies_of_a;
        if constexpr (windowed) {
            int at_y = (corners[i % copies_of_a] >> 16) + y, at_x = (int16_t)corners[i % copies_of_a] + x;
            if (of_a && ((unsigned)at_y >= (unsigned)over.height || (unsigned)at_x >= (unsigned)over.width))
                return nullptr;
            if (of_a)
                return bases[0] +
                       (uint32_t)(offsets[i] + (uint32_t)((y * over.width + x) * row_bytes + channel));
        } else if (step * STEP + offset() >= k_bytes) {
            return nullptr;
        }
        return bases[!of_a] + (offsets[i] + (uint32_t)(step * STEP));
    }
    __device__ void advance()
    {
        if constexpr (windowed) {
            channel += STEP;
            x += channel == row_bytes;
            channel = channel == row_bytes ? 0 : channel;
            y += x == over.kernel;
            x = x == over.kernel ? 0 : x;
        }
    }
    __device__ static int tile_row(int i)
    {
        return (i * Shape::threads + (int)threadIdx.x) / CHUNKS;
    }
    __device__ static int offset()
    {
        return (int)threadIdx.x % CHUNKS * CHUNK;
    }
    // Eight rows further a chunk's place in a row is the same again.
    __device__ static int target(int i)
    {
        return place((int)threadIdx.x / CHUNKS, (int)threadIdx.x % CHUNKS) +
               i * Shape::threads / CHUNKS * STEP;
    }
    __device__ void copy(unsigned char *tile, int step)
    {
#pragma unroll
        for (int i = 0; i < Shape::copies; i++) {
            const char *source = from(i, step);
            copy_aside(tile + target(i), source ? source : bases[0], source != nullptr);
        }
        advance();
    }
    __device__ void fetch(uint4 held[Shape::copies], int step)
    {
#pragma unroll
        for (int i = 0; i < Shape::copies; i++) {
            const char *source = from(i, step);
            held[i] = source ? *reinterpret_cast<const uint4 *>(source) : make_uint4(0, 0, 0, 0);
        }
        advance();
    }
    __device__ static void put(unsigned char *tile, const uint4 held[Shape::copies])
    {
#pragma unroll
        for (int i = 0; i < Shape::copies; i++)
            *reinterpret_cast<uint4 *>(tile + target(i)) = held[i];
    }
};

// A warp's part of the tile's sums.
template <typename T, typename Shape> struct accumulator {
    using sum = typename sum_of<T>::type;
    sum sums[Shape::high][Shape::wide][4];
    int row, column; // of the warp's part in the tile

    __device__ accumulator()
    {
        int warp = (int)threadIdx.x / WARP;
        row = warp / Shape::warps_across * Shape::warp_rows;
        column = warp % Shape::warps_across * Shape::warp_columns;
        for (int i = 0; i < Shape::high; i++)
            for (int j = 0; j < Shape::wide; j++)
                for (int value = 0; value < 4; value++)
                    sums[i][j][value] = 0;
    }
    __device__ void add(const unsigned char *tile)
    {
        int lane = (int)threadIdx.x % WARP;
        int at_a = row * STEP + place(lane % 16, lane / 16);
        int at_b = (Shape::rows + column) * STEP + place(lane % 8 + lane / 16 * 8, lane / 8 % 2);
#pragma unroll
        for (int part = 0; part < CHUNKS; part += 2) { // two chunks further is one bit of the place
            uint32_t b[Shape::wide / 2][4]; // the fewer of the two fragments are kept: registers are scarce
            const unsigned char *from_a = tile + (at_a ^ part * CHUNK),
                                *from_b = tile + (at_b ^ part * CHUNK);
#pragma unroll
            for (int j = 0; j < Shape::wide / 2; j++)
                load_fragments(b[j], from_b + 16 * j * STEP);
#pragma unroll
            for (int i = 0; i < Shape::high; i++) {
                uint32_t a[4];
                load_fragments(a, from_a + 16 * i * STEP);
#pragma unroll
                for (int j = 0; j < Shape::wide; j++)
                    multiply_add(sums[i][j], a, &b[j / 2][j % 2 * 2], T());
            }
        }
    }
};

__device__ inline float scaled(const product_call &, float sum, int, int)
{
    return sum;
}
__device__ inline float scaled(const product_call &call, int sum, int row, int column)
{
    quantised_row scale = call.a.scales[(int64_t)row * call.a.scale_stride];
    return (float)(sum - scale.zero * call.column_sum[column]) * (scale.scale * call.column_scale[column]);
}

// Half: what out holds when it is not float.
template <typename Half, typename Sum>
__device__ inline float finished(const product_call &call, Sum sum, int row, int column)
{
    float value = scaled(call, sum, row, column);
    if (call.bias)
        value += call.bias[column];
    if (call.finish == FINISH_GELU)
        value = gelu_of(value);
    int64_t at = row * call.residual_stride + column;
    if (call.residual && call.out.storage == STORE_FP32)
        value += static_cast<const float *>(call.residual)[at];
    else if (call.residual)
        value += to_float(static_cast<const Half *>(call.residual)[at]);
    if (call.finish == FINISH_RELU || call.finish == FINISH_RELU6)
        value = relu_of(value, call.finish);
    else if (call.finish >= FINISH_SILU)
        value = (call.finish == FINISH_SILU ? value : 1.0f) * sigmoid_of(value);
    return value;
}

template <typename Half>
__device__ inline void write_two(const product_call &call, int row, int column, float first, float second)
{
    int64_t at = row * call.out.stride + column;
    bool pair = column + 1 < call.out.columns && call.out.stride % 2 == 0;
    if (call.out.storage == STORE_FP32) {
        float *to = static_cast<float *>(call.out.data) + at;
        if (pair)
            *reinterpret_cast<float2 *>(to) = make_float2(first, second);
        else
            to[0] = first;
        if (!pair && column + 1 < call.out.columns)
            to[1] = second;
    } else {
        Half *to = static_cast<Half *>(call.out.data) + at;
        if (pair)
            *reinterpret_cast<uint32_t *>(to) = pack<Half>(first, second);
        else
            to[0] = from_float<Half>(first);
        if (!pair && column + 1 < call.out.columns)
            to[1] = from_float<Half>(second);
    }
}

template <typename Half, typename T, typename Shape>
__device__ inline void write_tile(const product_call &call, const accumulator<T, Shape> &sums, int first_row,
                                  int first_column)
{
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < Shape::high; i++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = first_row + sums.row + 16 * i + lane / 4 + 8 * half;
            if (row >= call.out.rows)
                continue;
#pragma unroll
            for (int j = 0; j < Shape::wide; j++) {
                int column = first_column + sums.column + 8 * j + lane % 4 * 2;
                const auto *pair = &sums.sums[i][j][2 * half];
                if (column >= call.out.columns)
                    continue;
                float first = finished<Half>(call, pair[0], row, column), second = 0;
                if (column + 1 < call.out.columns)
                    second = finished<Half>(call, pair[1], row, column + 1);
                write_two<Half>(call, row, column, first, second);
            }
        }
    }
}

template <bool aside> constexpr int stages_of = aside ? 3 : 2;

template <typename T, typename Shape, bool windowed>
__device__ inline void sum_aside(accumulator<T, Shape> &sums, loader<T, Shape, windowed> &from,
                                 unsigned char *shared)
{
    constexpr int stages = stages_of<true>;
    int steps = divide_up(from.k_bytes, STEP);
    for (int step = 0; step < stages - 1; step++) {
        if (step < steps)
            from.copy(shared + step * Shape::bytes, step);
        copy_aside_commit();
    }
    for (int step = 0; step < steps; step++) {
        copy_aside_wait<stages - 2>();
        __syncthreads(); // the step is there for all, and all have read the one that is overwritten next
        int ahead = step + stages - 1;
        if (ahead < steps)
            from.copy(shared + ahead % stages * Shape::bytes, ahead);
        copy_aside_commit();
        sums.add(shared + step % stages * Shape::bytes);
    }
}

template <typename T, typename Shape, bool windowed>
__device__ inline void sum_through_registers(accumulator<T, Shape> &sums, loader<T, Shape, windowed> &from,
                                             unsigned char *shared)
{
    uint4 held[Shape::copies];
    int steps = divide_up(from.k_bytes, STEP);
    from.fetch(held, 0);
    from.put(shared, held);
    __syncthreads();
    // 128 registers are just enough: for one step at a time, and for plain rows with the last step apart.
    constexpr bool apart = !windowed;
#pragma unroll 1
    for (int step = 0; step < steps - apart; step++) {
        if (apart || step + 1 < steps)
            from.fetch(held, step + 1);
        sums.add(shared + step % 2 * Shape::bytes);
        if (apart || step + 1 < steps)
            from.put(shared + (step + 1) % 2 * Shape::bytes, held);
        __syncthreads();
    }
    if (apart)
        sums.add(shared + (steps - 1) % 2 * Shape::bytes);
}

template <typename T, typename Half, typename Shape, bool aside, bool windowed>
__global__ void __launch_bounds__(Shape::threads, 512 / Shape::threads)
    product_kernel(const product_call call)
{
    if constexpr (COMPILES_FOR(aside)) {
        DYNAMIC_SHARED(shared);
        int first_row = (int)blockIdx.y * Shape::rows, first_column = (int)blockIdx.x * Shape::columns;
        loader<T, Shape, windowed> from(call, first_row, first_column);
        accumulator<T, Shape> sums;
        if constexpr (aside)
            sum_aside(sums, from, shared);
        else
            sum_through_registers(sums, from, shared);
        write_tile<Half>(call, sums, first_row, first_column);
    }
}

template <typename T, typename Half, typename Shape, bool aside, bool windowed>
void launch(device_stream stream, const product_call &call)
{
    dim3 grid((unsigned)divide_up(call.out.columns, Shape::columns),
              (unsigned)divide_up(call.out.rows, Shape::rows));
    auto kernel = product_kernel<T, Half, Shape, aside, windowed>;
    LAUNCH_LARGE(kernel, grid, Shape::threads, stages_of<aside> * Shape::bytes, stream, call);
}

// The larger tile reads less, the smaller keeps more of the device busy.
template <typename T, typename Half, bool aside, bool windowed>
void launch_best(device_stream stream, const product_call &call)
{
    int tiles = divide_up(call.out.columns, large_tile::columns) * divide_up(call.out.rows, large_tile::rows);
    if (2 * tiles > 3 * call.multiprocessors)
        launch<T, Half, large_tile, aside, windowed>(stream, call);
    else
        launch<T, Half, small_tile, aside, windowed>(stream, call);
}

template <typename T, bool aside> void launch_half(device_stream stream, const product_call &call)
{
    if (call.window.kernel > 0)
        launch_best<T, T, aside, true>(stream, call);
    else
        launch_best<T, T, aside, false>(stream, call);
}

// ---- float ----

constexpr int FLOAT_TILE = 64, FLOAT_STEP = 16, FLOAT_PITCH = FLOAT_TILE + 4, FLOAT_THREADS = 256;

// Columns of a row-major matrix into a tile of shared memory, transposed.
__device__ inline void load_float_tile(float tile[FLOAT_STEP][FLOAT_PITCH], const float *from, int64_t stride,
                                       int first, int rows, int step, int k)
{
    int row = (int)threadIdx.x / 4, column = (int)threadIdx.x % 4 * 4;
    for (int i = 0; i < 4; i++) {
        bool inside = first + row < rows && step + column + i < k;
        tile[column + i][row] = inside ? from[(first + row) * stride + step + column + i] : 0.0f;
    }
}
// The same of windows.
__device__ inline void load_float_windows(float tile[FLOAT_STEP][FLOAT_PITCH], const product_call &call,
                                          int first, int step)
{
    int row = first + (int)threadIdx.x / 4, column = (int)threadIdx.x % 4 * 4;
    int place = step / call.a.columns, channel = step % call.a.columns + column;
    const window &window = call.window;
    const corner corner(window, row);
    int y = place / window.kernel, x = place % window.kernel;
    bool inside = row < call.out.rows && (unsigned)(corner.y + y) < (unsigned)window.height &&
                  (unsigned)(corner.x + x) < (unsigned)window.width;
    float4 values = make_float4(0, 0, 0, 0);
    if (inside)
        values = load_four(static_cast<const float *>(call.a.data) +
                           (int64_t)(corner.place + y * window.width + x) * call.a.stride + channel);
    tile[column][row - first] = values.x;
    tile[column + 1][row - first] = values.y;
    tile[column + 2][row - first] = values.z;
    tile[column + 3][row - first] = values.w;
}

// 16 x 16 threads of 4 x 4 values each.
template <bool windowed>
__global__ void __launch_bounds__(FLOAT_THREADS, 4) float_kernel(const product_call call)
{
    __shared__ __align__(16) float a[FLOAT_STEP][FLOAT_PITCH], b[FLOAT_STEP][FLOAT_PITCH];
    int first_row = (int)blockIdx.y * FLOAT_TILE, first_column = (int)blockIdx.x * FLOAT_TILE;
    int row = (int)threadIdx.x / 16 * 4, column = (int)threadIdx.x % 16 * 4, k = call.a.columns;
    if constexpr (windowed)
        k *= call.window.kernel * call.window.kernel;
    float sums[4][4] = {};
    for (int step = 0; step < k; step += FLOAT_STEP) {
        if constexpr (windowed)
            load_float_windows(a, call, first_row, step);
        else
            load_float_tile(a, static_cast<const float *>(call.a.data), call.a.stride, first_row, call.a.rows,
                            step, k);
        load_float_tile(b, static_cast<const float *>(call.weight), k, first_column, call.out.columns, step,
                        k);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < FLOAT_STEP; i++) {
            float4 left = load_four(&a[i][row]), right = load_four(&b[i][column]);
            const float lefts[4] = {left.x, left.y, left.z, left.w};
            const float rights[4] = {right.x, right.y, right.z, right.w};
            for (int y = 0; y < 4; y++)
                for (int x = 0; x < 4; x++)
                    sums[y][x] = fmaf(lefts[y], rights[x], sums[y][x]);
        }
        __syncthreads();
    }
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 4; x++)
            if (first_row + row + y < call.out.rows && first_column + column + x < call.out.columns)
                static_cast<float *>(
                    call.out.data)[(first_row + row + y) * call.out.stride + first_column + column + x] =
                    finished<float>(call, sums[y][x], first_row + row + y, first_column + column + x);
}

// A few columns only, as the head's: one warp a value. Which kernel is taken depends on the columns alone.
constexpr int NARROW = 32, NARROW_WARPS = 4;

__global__ void __launch_bounds__(NARROW_WARPS *WARP) narrow_kernel(const product_call call)
{
    int column = (int)blockIdx.y * NARROW_WARPS + (int)threadIdx.x / WARP, row = (int)blockIdx.x;
    int lane = (int)threadIdx.x % WARP;
    if (column >= call.out.columns)
        return;
    const float *a = static_cast<const float *>(call.a.data) + row * call.a.stride;
    const float *b = static_cast<const float *>(call.weight) + (int64_t)column * call.a.columns;
    float sum = 0;
    for (int i = lane; i < call.a.columns; i += WARP)
        sum = fmaf(a[i], b[i], sum);
    sum = warp_sum(sum);
    if (lane == 0)
        static_cast<float *>(call.out.data)[row * call.out.stride + column] =
            finished<float>(call, sum, row, column);
}

void launch_float(device_stream stream, const product_call &call)
{
    if (call.out.columns <= NARROW && call.window.kernel == 0) {
        dim3 grid((unsigned)call.out.rows, (unsigned)divide_up(call.out.columns, NARROW_WARPS));
        LAUNCH(narrow_kernel, grid, NARROW_WARPS * WARP, 0, stream, call);
        return;
    }
    dim3 grid((unsigned)divide_up(call.out.columns, FLOAT_TILE),
              (unsigned)divide_up(call.out.rows, FLOAT_TILE));
    auto kernel = call.window.kernel > 0 ? float_kernel<true> : float_kernel<false>;
    LAUNCH(kernel, grid, FLOAT_THREADS, 0, stream, call);
}

} // namespace

void cuda_product(device_stream stream, const product_call *call)
{
    bool aside = call->compute_capability >= 80;
    if (call->a.storage == STORE_FP32)
        launch_float(stream, *call);
    else if (call->a.storage == STORE_UINT8 && aside)
        launch_best<uint8_t, __half, true, false>(stream, *call);
    else if (call->a.storage == STORE_UINT8)
        launch_best<uint8_t, __half, false, false>(stream, *call);
    else if (call->a.storage == STORE_FP16 && aside)
        launch_half<__half, true>(stream, *call);
    else if (call->a.storage == STORE_FP16)
        launch_half<__half, false>(stream, *call);
    else if (aside)
        launch_half<__nv_bfloat16, true>(stream, *call);
}
