// tensor_core.cuh: the instructions that have no C++ of their own: matrix fragments from shared memory, the
// matrix products themselves, copies that run by the side. For g++ the shim has twins with the same names.
//
// A fragment of 16 x 32 bytes is four registers, one of 32 bytes x 8 columns two, whatever the type: 16
// halves or 32 bytes long. Turing (sm_75) has neither bf16 nor products of that length nor copies by the
// side: products are made of shorter ones, copies go through registers (see product.cu).
#ifndef SKINSIGHT_KERNELS_CUDA_TENSOR_CORE_CUH
#define SKINSIGHT_KERNELS_CUDA_TENSOR_CORE_CUH

#include "kernels/cuda/portable.cuh"

#ifdef __CUDACC__

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define AMPERE 1
#else
#define AMPERE 0
#endif

__device__ inline uint32_t shared_address(const void *shared)
{
    return (uint32_t)__cvta_generic_to_shared(shared);
}

// Four 8 x 8 matrices of 16-bit values; lane l gives the address of row l % 8 of matrix l / 8 (16 bytes) and
// gets two neighbours of row l / 4 of each.
__device__ inline void load_fragments(uint32_t fragments[4], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
                 : "r"(shared_address(shared))
                 : "memory");
}
__device__ inline void load_fragments_transposed(uint32_t fragments[4], const void *shared)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(fragments[0]), "=r"(fragments[1]), "=r"(fragments[2]), "=r"(fragments[3])
                 : "r"(shared_address(shared))
                 : "memory");
}

// sums (16 x 8) += a (16 x 16) * b (16 x 8)
__device__ inline void multiply_add(float sums[4], const uint32_t a[4], const uint32_t b[2], __half)
{
#if AMPERE
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int half = 0; half < 2; half++)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
            "{%0,%1,%2,%3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(a[2 * half]), "r"(a[2 * half + 1]), "r"(b[half]));
#endif
}
__device__ inline void multiply_add(float sums[4], const uint32_t a[4], const uint32_t b[2], __nv_bfloat16)
{
#if AMPERE
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();                                       // prepare refuses bf16 there
#endif
}
// sums (16 x 8) += a (16 x 32, unsigned) * b (32 x 8, signed)
__device__ inline void multiply_add(int sums[4], const uint32_t a[4], const uint32_t b[2], uint8_t)
{
#if AMPERE
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    for (int quarter = 0; quarter < 4; quarter++) { // 8 rows and half the length each
        int row = quarter % 2, half = quarter / 2;
        asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
            : "+r"(sums[2 * row]), "+r"(sums[2 * row + 1])
            : "r"(a[quarter]), "r"(b[half]));
    }
#endif
}

// 16 bytes to shared memory by the side, zeros where `valid` is false (then `from` is not read).
__device__ inline void copy_aside(void *shared, const void *from, bool valid)
{
#if AMPERE
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
#else
    *reinterpret_cast<uint4 *>(shared) =
        valid ? *reinterpret_cast<const uint4 *>(from) : make_uint4(0, 0, 0, 0);
#endif
}
// Closes a group of copies; and waits until at most `groups` of the last ones are still on their way.
__device__ inline void copy_aside_commit()
{
#if AMPERE
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int groups> __device__ inline void copy_aside_wait()
{
#if AMPERE
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
#endif
}

// Whether this pass of the compiler makes the kernel with or without copies by the side; the other one's body
// is left out, since no device that runs this pass's code is given it.
#define COMPILES_FOR(aside) ((AMPERE != 0) == (aside))

#endif

#endif
