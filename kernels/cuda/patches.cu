// patches.cu: views -> rows of the pixels under one window, normalised: patch embedding and a convolutional
// network's first layer are then matrix products. The table holds the exact float of each byte
// (preprocess_table), so normalising costs no accuracy.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int THREADS = 256, AT_ONCE = 4;

// One thread makes four neighbouring values of a row.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    patches_kernel(const uint8_t *views, const float *table, const window window, const matrix out)
{
    int quads = out.columns / AT_ONCE;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (int64_t)out.rows * quads)
        return;
    int row = (int)(index / quads), column = (int)(index % quads) * AT_ONCE;
    int windows = window.out_height * window.out_width, line = 3 * window.kernel; // bytes of a window's line
    int image = row / windows, place = row % windows;
    int top = place / window.out_width * window.stride - window.padding;
    int left = (place % window.out_width * window.stride - window.padding) * 3;
    const uint8_t *view = views + (int64_t)image * window.height * window.width * 3;
    float values[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++) {
        int in_window = (column + i) / line, in_line = (column + i) % line;
        int y = top + in_window, x = left + in_line;
        bool inside =
            in_window < window.kernel && y >= 0 && y < window.height && x >= 0 && x < 3 * window.width;
        values[i] = inside ? table[in_line % 3 * 256 + view[(int64_t)y * window.width * 3 + x]] : 0.0f;
    }
    store_four(static_cast<T *>(out.data) + row * out.stride + column,
               make_float4(values[0], values[1], values[2], values[3]));
}

} // namespace

void cuda_patches(device_stream stream, const uint8_t *views, const float *table, window window, matrix out)
{
    unsigned blocks = (unsigned)(((int64_t)out.rows * (out.columns / AT_ONCE) + THREADS - 1) / THREADS);
    with_type(out.storage, [&](auto type) {
        auto kernel = patches_kernel<decltype(type)>;
        LAUNCH(kernel, blocks, THREADS, 0, stream, views, table, window, out);
    });
}
