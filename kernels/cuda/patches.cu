// patches.cu: views -> rows of the pixels of one patch, normalised: the patch embedding is then a matrix
// product. The table holds the exact float of each byte (preprocess_table), so normalising costs no accuracy.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int THREADS = 256, AT_ONCE = 4;

// One thread makes four neighbouring values of a row: four bytes that lie side by side in the view.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    patches_kernel(const uint8_t *views, const float *table, int image_size, int patch, const matrix out)
{
    int quads = out.columns / AT_ONCE;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (int64_t)out.rows * quads)
        return;
    int row = (int)(index / quads), column = (int)(index % quads) * AT_ONCE;
    int across = image_size / patch, run = 3 * patch; // bytes of one line of a patch
    int image = row / (across * across), place = row % (across * across);
    int y = place / across * patch + column / run, x = place % across * run + column % run;
    const uint8_t *from = views + ((int64_t)image * image_size + y) * image_size * 3 + x;
    float values[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        values[i] = table[(column + i) % 3 * 256 + from[i]]; // a line starts with red
    store_four(static_cast<T *>(out.data) + row * out.stride + column,
               make_float4(values[0], values[1], values[2], values[3]));
}

} // namespace

void cuda_patches(device_stream stream, const uint8_t *views, const float *table, int image_size, int patch,
                  matrix out)
{
    unsigned blocks = (unsigned)(((int64_t)out.rows * (out.columns / AT_ONCE) + THREADS - 1) / THREADS);
    with_type(out.storage, [&](auto type) {
        auto kernel = patches_kernel<decltype(type)>;
        LAUNCH(kernel, blocks, THREADS, 0, stream, views, table, image_size, patch, out);
    });
}
