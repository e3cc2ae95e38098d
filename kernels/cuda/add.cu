// add.cu: the sum of two activations, float. Products add their residual themselves; this is for the rest.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int THREADS = 256;

__global__ void __launch_bounds__(THREADS) add_kernel(const matrix a, const matrix b, const matrix out)
{
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (int64_t)out.rows * out.columns)
        return;
    int64_t row = index / out.columns, column = index % out.columns;
    static_cast<float *>(out.data)[row * out.stride + column] =
        static_cast<const float *>(a.data)[row * a.stride + column] +
        static_cast<const float *>(b.data)[row * b.stride + column];
}

} // namespace

void cuda_add(device_stream stream, matrix a, matrix b, matrix out)
{
    unsigned blocks = (unsigned)(((int64_t)out.rows * out.columns + THREADS - 1) / THREADS);
    LAUNCH(add_kernel, blocks, THREADS, 0, stream, a, b, out);
}
