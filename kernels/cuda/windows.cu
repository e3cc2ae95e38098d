// windows.cu: what a window makes of each channel for itself: depthwise convolution and max pool.
#include "kernels/cuda/portable.cuh"

namespace
{

constexpr int THREADS = 128, STRIP = 4;

__device__ inline void add_product(float4 &sum, float4 a, float4 b)
{
    sum = make_float4(fmaf(a.x, b.x, sum.x), fmaf(a.y, b.y, sum.y), fmaf(a.z, b.z, sum.z),
                      fmaf(a.w, b.w, sum.w));
}

__device__ inline float4 silu_of(float4 x)
{
    return make_float4(x.x * sigmoid_of(x.x), x.y * sigmoid_of(x.y), x.z * sigmoid_of(x.z),
                       x.w * sigmoid_of(x.w));
}

__device__ inline float4 finished(enum finish finish, float4 x)
{
    if (finish == FINISH_SILU)
        return silu_of(x);
    if (finish == FINISH_RELU6)
        return make_float4(relu_of(x.x, finish), relu_of(x.y, finish), relu_of(x.z, finish),
                           relu_of(x.w, finish));
    return x;
}

// One line of the windows of STRIP places side by side: what two windows share is read once.
template <typename T, int kernel, int stride>
__device__ inline void add_line(float4 sums[STRIP], const window_call &call, int64_t line, int left, int ky,
                                int column)
{
    const T *from = static_cast<const T *>(call.in.data) + line * call.window.width * call.in.stride + column;
    float4 weights[kernel];
#pragma unroll
    for (int kx = 0; kx < kernel; kx++)
        weights[kx] = load_four(call.weight + (ky * kernel + kx) * call.out.columns + column);
#pragma unroll
    for (int i = 0; i < (STRIP - 1) * stride + kernel; i++) {
        if (left + i < 0 || left + i >= call.window.width)
            continue;
        float4 x = load_four(from + (left + i) * call.in.stride);
#pragma unroll
        for (int place = 0; place < STRIP; place++)
            if (i >= place * stride && i < place * stride + kernel)
                add_product(sums[place], x, weights[i - place * stride]);
    }
}

// One thread makes four channels of STRIP places.
template <typename T, int kernel, int stride>
__global__ void __launch_bounds__(THREADS) depthwise_kernel(const window_call call)
{
    const window &window = call.window;
    int quads = call.out.columns / 4, strips = divide_up(window.out_width, STRIP);
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (int64_t)call.out.rows / window.out_width * strips * quads)
        return;
    int column = (int)(index % quads) * 4, first = (int)(index / quads % strips) * STRIP;
    int line = (int)(index / quads / strips), image = line / window.out_height; // lines of all images
    int top = line % window.out_height * stride - window.padding, left = first * stride - window.padding;
    float4 sums[STRIP];
#pragma unroll
    for (int i = 0; i < STRIP; i++)
        sums[i] = load_four(call.bias + column);
#pragma unroll
    for (int ky = 0; ky < kernel; ky++)
        if (top + ky >= 0 && top + ky < window.height)
            add_line<T, kernel, stride>(sums, call, (int64_t)image * window.height + top + ky, left, ky,
                                        column);
    T *to = static_cast<T *>(call.out.data) + ((int64_t)line * window.out_width + first) * call.out.stride +
            column;
#pragma unroll
    for (int i = 0; i < STRIP; i++)
        if (first + i < window.out_width)
            store_four(to + i * call.out.stride, finished(call.finish, sums[i]));
}

template <typename T> __global__ void __launch_bounds__(THREADS) max_pool_kernel(const window_call call)
{
    const window &window = call.window;
    int quads = call.out.columns / 4, windows = window.out_height * window.out_width;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (index >= (int64_t)call.out.rows * quads)
        return;
    int column = (int)(index % quads) * 4, row = (int)(index / quads), image = row / windows;
    int top = row % windows / window.out_width * window.stride - window.padding;
    int left = row % window.out_width * window.stride - window.padding;
    float4 most = make_float4(-INFINITY, -INFINITY, -INFINITY, -INFINITY);
    for (int i = 0; i < window.kernel * window.kernel; i++) {
        int y = top + i / window.kernel, x = left + i % window.kernel;
        if (y < 0 || y >= window.height || x < 0 || x >= window.width)
            continue;
        int64_t place = ((int64_t)image * window.height + y) * window.width + x;
        float4 value = load_four(static_cast<const T *>(call.in.data) + place * call.in.stride + column);
        most = make_float4(max_nan(most.x, value.x), max_nan(most.y, value.y), max_nan(most.z, value.z),
                           max_nan(most.w, value.w));
    }
    store_four(static_cast<T *>(call.out.data) + row * call.out.stride + column, most);
}

template <typename T, int kernel, int stride>
void launch_depthwise(device_stream stream, const window_call &call)
{
    int64_t threads = (int64_t)call.out.rows / call.window.out_width *
                      divide_up(call.window.out_width, STRIP) * (call.out.columns / 4);
    auto function = depthwise_kernel<T, kernel, stride>;
    LAUNCH(function, (unsigned)((threads + THREADS - 1) / THREADS), THREADS, 0, stream, call);
}

} // namespace

void cuda_depthwise(device_stream stream, const window_call *call)
{
    with_type(call->in.storage, [&](auto type) {
        using T = decltype(type);
        if (call->window.kernel == 3 && call->window.stride == 1)
            launch_depthwise<T, 3, 1>(stream, *call);
        else if (call->window.kernel == 3)
            launch_depthwise<T, 3, 2>(stream, *call);
        else if (call->window.stride == 1)
            launch_depthwise<T, 5, 1>(stream, *call);
        else
            launch_depthwise<T, 5, 2>(stream, *call);
    });
}

void cuda_max_pool(device_stream stream, const window_call *call)
{
    unsigned blocks = (unsigned)(((int64_t)call->out.rows * (call->out.columns / 4) + THREADS - 1) / THREADS);
    with_type(call->in.storage, [&](auto type) {
        auto kernel = max_pool_kernel<decltype(type)>;
        LAUNCH(kernel, blocks, THREADS, 0, stream, *call);
    });
}
