// portable.cuh: what every kernel's source begins with, so that nvcc compiles it for GPUs and a test's g++
// for the processor (tests/support/cuda/cuda_shim.h: fibres for threads): launches, dynamic shared memory,
// and the conversions between the storages and float, in which all arithmetic is done.
#ifndef SKINSIGHT_KERNELS_CUDA_PORTABLE_CUH
#define SKINSIGHT_KERNELS_CUDA_PORTABLE_CUH

#include <float.h>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define LAUNCH(kernel, grid, block, shared, stream, ...) kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
// With as much shared memory as has to be asked for: UNASKED_SHARED bytes or more.
#define LAUNCH_LARGE(kernel, grid, block, shared, stream, ...)                                               \
    do {                                                                                                     \
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(shared));            \
        LAUNCH(kernel, grid, block, shared, stream, __VA_ARGS__);                                            \
    } while (0)
#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]
#else
#include <cuda_shim.h>
#endif

#include "kernels/cuda/ops.h"

constexpr int WARP = 32;
constexpr unsigned EVERY_LANE = 0xffffffffu;
constexpr int UNASKED_SHARED = 48 * 1024;

__host__ __device__ constexpr int divide_up(int value, int by)
{
    return (value + by - 1) / by;
}

__device__ inline float to_float(float value)
{
    return value;
}
__device__ inline float to_float(__half value)
{
    return __half2float(value);
}
__device__ inline float to_float(__nv_bfloat16 value)
{
    return __bfloat162float(value);
}

template <typename T> __device__ inline T from_float(float value);
template <> __device__ inline float from_float<float>(float value)
{
    return value;
}
template <> __device__ inline __half from_float<__half>(float value)
{
    return __float2half_rn(value);
}
template <> __device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value)
{
    return __float2bfloat16_rn(value);
}

// Two values as the 32 bits that a matrix instruction and a 4-byte access take; the first in the low half.
template <typename T> __device__ inline uint32_t pack(float low, float high)
{
    union {
        T values[2];
        uint32_t bits;
    } both = {{from_float<T>(low), from_float<T>(high)}};
    return both.bits;
}
template <typename T> __device__ inline float2 unpack(uint32_t bits)
{
    union {
        uint32_t bits;
        T values[2];
    } both = {bits};
    return make_float2(to_float(both.values[0]), to_float(both.values[1]));
}

// Four neighbouring values at a place that is a multiple of their size.
__device__ inline float4 load_four(const float *from)
{
    return *reinterpret_cast<const float4 *>(from);
}
template <typename T> __device__ inline float4 load_four(const T *from)
{
    uint2 bits = *reinterpret_cast<const uint2 *>(from);
    float2 low = unpack<T>(bits.x), high = unpack<T>(bits.y);
    return make_float4(low.x, low.y, high.x, high.y);
}
__device__ inline void store_four(float *to, float4 values)
{
    *reinterpret_cast<float4 *>(to) = values;
}
template <typename T> __device__ inline void store_four(T *to, float4 values)
{
    *reinterpret_cast<uint2 *>(to) = make_uint2(pack<T>(values.x, values.y), pack<T>(values.z, values.w));
}

__device__ inline float warp_sum(float value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(EVERY_LANE, value, distance);
    return value;
}
__device__ inline float warp_max(float value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(EVERY_LANE, value, distance));
    return value;
}

// fmaxf gives the other value where one is NaN; this one gives the NaN.
__device__ inline float max_nan(float a, float b)
{
    return a > b || a != a ? a : b;
}

__device__ inline float gelu_of(float x)
{
    return 0.5f * x * (1.0f + erff(x * 0.70710678f));
}

__device__ inline float sigmoid_of(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

// ReLU, or ReLU6.
__device__ inline float relu_of(float x, enum finish finish)
{
    float most = finish == FINISH_RELU6 ? 6.0f : INFINITY;
    return x <= 0.0f ? 0.0f : x >= most ? most : x; // NaN stays
}

// The range of a row's values, zero included, and the scale of its bytes; as the CPU's quantise. Bytes hold
// no NaN, so the scale is NaN where a value is not finite. Each lane of a warp adds values; then all call
// scale.
struct value_range {
    float low = 0, high = 0, poison = 0; // poison is 0 or NaN

    __device__ void add(float4 x)
    {
        low = fminf(low, fminf(fminf(x.x, x.y), fminf(x.z, x.w)));
        high = fmaxf(high, fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w)));
        poison = fmaf(x.x, 0.0f, fmaf(x.y, 0.0f, fmaf(x.z, 0.0f, fmaf(x.w, 0.0f, poison))));
    }
    __device__ quantised_row scale() const
    {
        float least = -warp_max(-low), most = warp_max(poison == 0.0f ? high : INFINITY);
        float step = (most - least) / 255.0f;
        if (step > FLT_MAX)
            return {NAN, 0};
        if (step == 0.0f)
            step = 1.0f;
        return {step, (int32_t)rintf(-least / step)};
    }
};
__device__ inline uint32_t quantise(float value, float inverse, float zero)
{
    return (uint32_t)rintf(fminf(fmaxf(fmaf(value, inverse, zero), 0.0f), 255.0f));
}
__device__ inline uint32_t quantise_four(float4 values, float inverse, float zero)
{
    return quantise(values.x, inverse, zero) | quantise(values.y, inverse, zero) << 8 |
           quantise(values.z, inverse, zero) << 16 | quantise(values.w, inverse, zero) << 24;
}

// Calls `launch` with a value of the type that a storage has.
template <typename Launch> inline void with_type(enum storage storage, const Launch &launch)
{
    if (storage == STORE_FP32)
        launch(float());
    else if (storage == STORE_FP16)
        launch(__half());
    else if (storage == STORE_BF16)
        launch(__nv_bfloat16());
}

#endif
