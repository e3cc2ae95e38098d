// cuda_shim.h: enough of CUDA for g++ to compile a kernel's source and run it on the processor, one fibre for
// each thread of a block, blocks one after the other. Included by kernels/cuda/portable.cuh where nvcc is not
// the compiler.
//
// It finds wrong arithmetic and wrong indices, with ASan accesses out of bounds, and some missing barriers:
// shared memory is poisoned before each block, threads run in either order (shim_backwards), copies by the
// side arrive only when they are waited for, and a barrier that not all reach aborts. It says nothing about
// speed.
//
// Thread: one. A thread that has returned must not be waited for.
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_SHIM_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_SHIM_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#define __device__
#define __host__
#define __global__
#define __shared__             static
#define __align__(bytes)       __attribute__((aligned(bytes)))
#define __launch_bounds__(...) __attribute__((unused))
#define threadIdx              (shim_thread)
#define SHIM_LAUNCH(kernel, grid, block, shared, most, stream, ...)                                          \
    do {                                                                                                     \
        (void)(stream);                                                                                      \
        shim_launch(grid, block, shared, most, shim_bind(kernel, __VA_ARGS__));                              \
    } while (0)
#define LAUNCH(kernel, grid, block, shared, stream, ...)                                                     \
    SHIM_LAUNCH(kernel, grid, block, shared, UNASKED_SHARED - 1, stream, __VA_ARGS__)
// What a block can have on Turing; later devices give more.
#define LAUNCH_LARGE(kernel, grid, block, shared, stream, ...)                                               \
    SHIM_LAUNCH(kernel, grid, block, shared, 64 * 1024, stream, __VA_ARGS__)
#define DYNAMIC_SHARED(name) unsigned char *name = shim_shared
#define COMPILES_FOR(aside)  true

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};
struct uint2 {
    uint32_t x, y;
};
struct __attribute__((aligned(16))) uint4 {
    uint32_t x, y, z, w;
};
struct __attribute__((aligned(8))) float2 {
    float x, y;
};
struct __attribute__((aligned(16))) float4 {
    float x, y, z, w;
};
inline uint2 make_uint2(uint32_t x, uint32_t y)
{
    return {x, y};
}
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
    return {x, y, z, w};
}
inline float2 make_float2(float x, float y)
{
    return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

struct __half {
    uint16_t bits;
};
struct __nv_bfloat16 {
    uint16_t bits;
};
float __half2float(__half value);
__half __float2half_rn(float value); // to nearest, ties to even
float __bfloat162float(__nv_bfloat16 value);
__nv_bfloat16 __float2bfloat16_rn(float value);

extern dim3 shim_thread, blockIdx, blockDim, gridDim;
extern unsigned char *shim_shared;
extern bool shim_backwards; // run the last thread of a block first

// shared: bytes for a block; it stops where they are more than `most`. While a graph is captured
// (shim_device.c) nothing runs: the kernel is kept with its arguments.
void shim_launch(dim3 grid, dim3 block, size_t shared, size_t most, const std::function<void()> &kernel);

// A kernel with its arguments, as they are now.
template <typename... Parameters, typename... Arguments>
std::function<void()> shim_bind(void (*kernel)(Parameters...), const Arguments &...arguments)
{
    return [kernel, values = std::tuple<Parameters...>(arguments...)] { std::apply(kernel, values); };
}

void __syncthreads();
void __syncwarp();

// What the 32 lanes of a warp do together: each lane gives its argument, the last one to come calls
// `together` with all of them.
void shim_collective(const char *name, void *argument, void (*together)(void **arguments));

float __shfl_xor_sync(unsigned lanes, float value, int distance);
int __shfl_xor_sync(unsigned lanes, int value, int distance);

void load_fragments(uint32_t fragments[4], const void *shared);
void load_fragments_transposed(uint32_t fragments[4], const void *shared);
void multiply_add(float sums[4], const uint32_t a[4], const uint32_t *b, __half);
void multiply_add(float sums[4], const uint32_t a[4], const uint32_t *b, __nv_bfloat16);
void multiply_add(int sums[4], const uint32_t a[4], const uint32_t *b, uint8_t);

void copy_aside(void *shared, const void *from, bool valid);
void copy_aside_commit();
void shim_copy_aside_wait(int groups);
template <int groups> inline void copy_aside_wait()
{
    shim_copy_aside_wait(groups);
}

#endif
