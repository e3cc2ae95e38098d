// gelu.cu: exact GELU, x/2 * (1 + erf(x / sqrt 2)), for products whose epilogue has only the approximation.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int THREADS = 256;

// One thread makes four neighbouring values.
template <typename T>
__global__ void __launch_bounds__(THREADS) gelu_kernel(const matrix in, const matrix out)
{
    int quads = in.columns / 4;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (int64_t)in.rows * quads)
        return;
    int64_t row = index / quads, column = index % quads * 4;
    float4 x = load_four(static_cast<const T *>(in.data) + row * in.stride + column);
    store_four(static_cast<T *>(out.data) + row * out.stride + column,
               make_float4(gelu_of(x.x), gelu_of(x.y), gelu_of(x.z), gelu_of(x.w)));
}

} // namespace

void cuda_gelu(device_stream stream, matrix in, matrix out)
{
    unsigned blocks = (unsigned)(((int64_t)in.rows * (in.columns / 4) + THREADS - 1) / THREADS);
    with_type(in.storage, [&](auto type) {
        auto kernel = gelu_kernel<decltype(type)>;
        LAUNCH(kernel, blocks, THREADS, 0, stream, in, out);
    });
}
