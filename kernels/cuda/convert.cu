// convert.cu: rows from one storage to another, and weights to signed bytes. One warp a row.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int WARPS = 4;

template <typename From, typename To>
__global__ void __launch_bounds__(WARPS *WARP) convert_kernel(const matrix in, const matrix out)
{
    int index = (int)blockIdx.x * WARPS + (int)threadIdx.x / WARP;
    if (index >= in.rows)
        return;
    const From *from = static_cast<const From *>(in.data) + index * in.stride;
    To *to = static_cast<To *>(out.data) + index * out.stride;
    for (int column = (int)threadIdx.x % WARP; column < in.columns; column += WARP)
        to[column] = from_float<To>(to_float(from[column]));
}

// The row is read twice, the second time from the cache.
template <typename From>
__global__ void __launch_bounds__(WARPS *WARP) quantise_kernel(const matrix in, const matrix out)
{
    int index = (int)blockIdx.x * WARPS + (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    if (index >= in.rows)
        return;
    const From *from = static_cast<const From *>(in.data) + index * in.stride;
    value_range range;
    for (int column = 4 * lane; column < in.columns; column += 4 * WARP)
        range.add(load_four(from + column));
    quantised_row scale = range.scale();
    uint8_t *to = static_cast<uint8_t *>(out.data) + index * out.stride;
    for (int column = 4 * lane; column < in.columns; column += 4 * WARP)
        *reinterpret_cast<uint32_t *>(to + column) =
            quantise_four(load_four(from + column), 1.0f / scale.scale, (float)scale.zero);
    if (lane == 0)
        out.scales[(int64_t)index * out.scale_stride] = scale;
}

__global__ void __launch_bounds__(WARPS *WARP)
    weights_kernel(const float *in, int n, int k, int8_t *out, float *scales, int32_t *sums)
{
    int index = (int)blockIdx.x * WARPS + (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP;
    if (index >= n)
        return;
    const float *from = in + (int64_t)index * k;
    float largest = 0;
    for (int column = lane; column < k; column += WARP)
        largest = fmaxf(largest, fabsf(from[column]));
    largest = warp_max(largest);
    float scale = largest > 0 ? largest / 127.0f : 1.0f, inverse = 1.0f / scale;
    int32_t sum = 0;
    for (int column = lane; column < k; column += WARP) {
        int8_t value = (int8_t)rintf(fminf(fmaxf(from[column] * inverse, -127.0f), 127.0f));
        out[(int64_t)index * k + column] = value;
        sum += value;
    }
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        sum += __shfl_xor_sync(EVERY_LANE, sum, distance);
    if (lane == 0) {
        scales[index] = scale;
        sums[index] = sum;
    }
}

} // namespace

void cuda_convert(device_stream stream, matrix in, matrix out)
{
    unsigned blocks = (unsigned)divide_up(in.rows, WARPS);
    with_type(in.storage, [&](auto from) {
        if (out.storage == STORE_UINT8) {
            auto kernel = quantise_kernel<decltype(from)>;
            LAUNCH(kernel, blocks, WARPS * WARP, 0, stream, in, out);
            return;
        }
        with_type(out.storage, [&](auto to) {
            auto kernel = convert_kernel<decltype(from), decltype(to)>;
            LAUNCH(kernel, blocks, WARPS * WARP, 0, stream, in, out);
        });
    });
}

void cuda_quantise_weights(device_stream stream, const float *in, int n, int k, int8_t *out, float *scale,
                           int32_t *sum)
{
    LAUNCH(weights_kernel, (unsigned)divide_up(n, WARPS), WARPS * WARP, 0, stream, in, n, k, out, scale, sum);
}
