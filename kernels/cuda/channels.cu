// channels.cu: what concerns a map's channels as wholes: their sums over the places, their gates
// (squeeze-and-excitation), and the class-activation map.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int WARPS = 8, THREADS = WARPS * WARP;

__device__ inline float4 add(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// A block sums one group of rows for 128 channels: its warps every eighth row each, then one warp their sums.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    sum_rows_kernel(const matrix in, int rows, int group, float factor, const matrix out)
{
    __shared__ __align__(16) float4 sums[WARPS][WARP];
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    int groups = divide_up(rows, group), image = (int)blockIdx.x / groups;
    int first = (int)blockIdx.x % groups * group, end = first + group < rows ? first + group : rows;
    int column = ((int)blockIdx.y * WARP + lane) * 4;
    float4 sum = make_float4(0, 0, 0, 0);
    if (column < in.columns)
        for (int row = first + warp; row < end; row += WARPS)
            sum = add(sum, load_four(static_cast<const T *>(in.data) +
                                     ((int64_t)image * rows + row) * in.stride + column));
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= in.columns)
        return;
    for (int i = 1; i < WARPS; i++)
        sum = add(sum, sums[i][lane]);
    store_four(static_cast<float *>(out.data) + blockIdx.x * out.stride + column,
               make_float4(sum.x * factor, sum.y * factor, sum.z * factor, sum.w * factor));
}

// One thread makes four values.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    scale_kernel(const matrix in, int rows, const matrix gate, const matrix out)
{
    int quads = in.columns / 4;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (int64_t)in.rows * quads)
        return;
    int row = (int)(index / quads), column = (int)(index % quads) * 4;
    float4 x = load_four(static_cast<const T *>(in.data) + row * in.stride + column);
    float4 g = load_four(static_cast<const float *>(gate.data) + row / rows * gate.stride + column);
    store_four(static_cast<T *>(out.data) + row * out.stride + column,
               make_float4(x.x * g.x, x.y * g.y, x.z * g.z, x.w * g.w));
}

// One warp a place. The first of equal logits counts.
template <typename T> __global__ void __launch_bounds__(THREADS) class_map_kernel(const class_map_call call)
{
    int row = (int)blockIdx.x * WARPS + (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    if (row >= call.features.rows)
        return;
    const float *logits = call.logits + (int64_t)(row / call.places) * call.classes;
    int greatest = 0;
    for (int i = 1; i < call.classes; i++)
        if (logits[i] > logits[greatest])
            greatest = i;
    const T *features = static_cast<const T *>(call.features.data) + row * call.features.stride;
    const float *weight = call.weight + (int64_t)greatest * call.features.columns;
    float sum = 0;
    for (int column = lane; column < call.features.columns; column += WARP)
        sum = fmaf(to_float(features[column]), weight[column], sum);
    sum = warp_sum(sum);
    if (lane == 0)
        call.map[row] = sum;
}

} // namespace

void cuda_sum_rows(device_stream stream, matrix in, int rows, int group, float factor, matrix out)
{
    dim3 grid((unsigned)out.rows, (unsigned)divide_up(in.columns, 4 * WARP));
    with_type(in.storage, [&](auto type) {
        auto kernel = sum_rows_kernel<decltype(type)>;
        LAUNCH(kernel, grid, THREADS, 0, stream, in, rows, group, factor, out);
    });
}

void cuda_scale(device_stream stream, matrix in, int rows, matrix gate, matrix out)
{
    unsigned blocks = (unsigned)(((int64_t)in.rows * (in.columns / 4) + THREADS - 1) / THREADS);
    with_type(in.storage, [&](auto type) {
        auto kernel = scale_kernel<decltype(type)>;
        LAUNCH(kernel, blocks, THREADS, 0, stream, in, rows, gate, out);
    });
}

void cuda_class_map(device_stream stream, const class_map_call *call)
{
    unsigned blocks = (unsigned)divide_up(call->features.rows, WARPS);
    with_type(call->features.storage, [&](auto type) {
        auto kernel = class_map_kernel<decltype(type)>;
        LAUNCH(kernel, blocks, THREADS, 0, stream, *call);
    });
}
