// tokens.cu: the class token in front of the patches' rows, and to each row its learnt position.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int THREADS = 256;

// One block a row of out.
template <typename T>
__global__ void __launch_bounds__(THREADS)
    tokens_kernel(const matrix patches, int patches_per_image, const float *class_token,
                  const float *positions, const matrix out)
{
    int row = (int)blockIdx.x, tokens = patches_per_image + 1, token = row % tokens;
    int64_t patch_row = (int64_t)(row / tokens) * patches_per_image + token - 1;
    float *to = static_cast<float *>(out.data) + row * out.stride;
    for (int column = (int)threadIdx.x; column < out.columns; column += THREADS) {
        float value =
            token == 0 ? class_token[column]
                       : to_float(static_cast<const T *>(patches.data)[patch_row * patches.stride + column]);
        to[column] = value + positions[(int64_t)token * out.columns + column];
    }
}

} // namespace

void cuda_tokens(device_stream stream, matrix patches, int patches_per_image, const float *class_token,
                 const float *positions, matrix out)
{
    with_type(patches.storage, [&](auto type) {
        auto kernel = tokens_kernel<decltype(type)>;
        LAUNCH(kernel, (unsigned)out.rows, THREADS, 0, stream, patches, patches_per_image, class_token,
               positions, out);
    });
}
