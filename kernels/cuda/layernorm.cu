// layernorm.cu: each row to mean 0 and variance 1, times weight plus bias, written as the next product reads
// it: float, half, or bytes with a scale for the row. One warp a row, which it holds in registers: one read,
// one write.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int WARPS = 4, QUADS = LAYERNORM_MAX_COLUMNS / (4 * WARP); // of a lane

// Lane l holds the values 4 l .. 4 l + 3 of each 128; those beyond the row are zero and are never written.
struct held_row {
    float4 quads[QUADS];
};

__device__ inline int column_of(int quad)
{
    return 4 * (quad * WARP + (int)threadIdx.x % WARP);
}

template <typename Value> __device__ inline void each_quad(int columns, const Value &value)
{
#pragma unroll
    for (int quad = 0; quad < QUADS; quad++)
        if (column_of(quad) < columns)
            value(quad, column_of(quad));
}

__device__ inline float sum_of(float4 quad)
{
    return quad.x + quad.y + (quad.z + quad.w);
}

__device__ inline float4 less(float4 quad, float value)
{
    return make_float4(quad.x - value, quad.y - value, quad.z - value, quad.w - value);
}

__device__ inline void normalise(held_row &row, int columns, const float *weight, const float *bias,
                                 float epsilon)
{
    float sum = 0, squares = 0;
    each_quad(columns, [&](int quad, int) { sum += sum_of(row.quads[quad]); });
    float mean = warp_sum(sum) / (float)columns;
    each_quad(columns, [&](int quad, int) {
        float4 x = row.quads[quad] = less(row.quads[quad], mean);
        squares += sum_of(make_float4(x.x * x.x, x.y * x.y, x.z * x.z, x.w * x.w));
    });
    float scale = 1.0f / sqrtf(warp_sum(squares) / (float)columns + epsilon);
    each_quad(columns, [&](int quad, int column) {
        float4 x = row.quads[quad], w = load_four(weight + column), b = load_four(bias + column);
        row.quads[quad] = make_float4(fmaf(x.x * scale, w.x, b.x), fmaf(x.y * scale, w.y, b.y),
                                      fmaf(x.z * scale, w.z, b.z), fmaf(x.w * scale, w.w, b.w));
    });
}

__device__ inline void write_row(const held_row &row, const matrix &out, int index, uint8_t)
{
    value_range range;
    each_quad(out.columns, [&](int quad, int) { range.add(row.quads[quad]); });
    quantised_row scale = range.scale();
    uint8_t *to = static_cast<uint8_t *>(out.data) + index * out.stride;
    each_quad(out.columns, [&](int quad, int column) {
        *reinterpret_cast<uint32_t *>(to + column) =
            quantise_four(row.quads[quad], 1.0f / scale.scale, (float)scale.zero);
    });
    if (threadIdx.x % WARP == 0)
        out.scales[(int64_t)index * out.scale_stride] = scale;
}
template <typename T> __device__ inline void write_row(const held_row &row, const matrix &out, int index, T)
{
    T *to = static_cast<T *>(out.data) + index * out.stride;
    each_quad(out.columns, [&](int quad, int column) { store_four(to + column, row.quads[quad]); });
}

template <typename T>
__global__ void __launch_bounds__(WARPS *WARP)
    layernorm_kernel(const matrix in, const float *weight, const float *bias, float epsilon, const matrix out)
{
    int index = (int)blockIdx.x * WARPS + (int)threadIdx.x / WARP;
    if (index >= in.rows)
        return;
    const float *from = static_cast<const float *>(in.data) + index * in.stride;
    held_row row = {};
    each_quad(in.columns, [&](int quad, int column) { row.quads[quad] = load_four(from + column); });
    normalise(row, in.columns, weight, bias, epsilon);
    write_row(row, out, index, T());
}

} // namespace

void cuda_layernorm(device_stream stream, matrix in, const float *weight, const float *bias, float epsilon,
                    matrix out)
{
    unsigned blocks = (unsigned)divide_up(in.rows, WARPS);
    auto start = [&](auto type) {
        auto kernel = layernorm_kernel<decltype(type)>;
        LAUNCH(kernel, blocks, WARPS * WARP, 0, stream, in, weight, bias, epsilon, out);
    };
    if (out.storage == STORE_UINT8)
        start(uint8_t());
    else
        with_type(out.storage, start);
}
