// cpu_features.h: which instruction sets this processor and system offer, and a way for tests to forbid some.
#ifndef SKINSIGHT_COMMON_BASE_CPU_FEATURES_H
#define SKINSIGHT_COMMON_BASE_CPU_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

struct cpu_features {
    bool avx2;       // with FMA
    bool avx512;     // F, BW, VL, DQ
    bool avx512vnni; // int8 dot products
    bool avx512bf16; // bfloat16 dot products
};

enum cpu_level { CPU_LEVEL_PLAIN, CPU_LEVEL_AVX2, CPU_LEVEL_AVX512, CPU_LEVEL_BEST };

// What may be used: what is there (the system must save the registers too), limited by cpu_features_force.
struct cpu_features cpu_features_get(void);

// Nothing above level is reported from now on (AVX512: without VNNI and BF16). For tests; before plans are
// prepared, from one thread.
void cpu_features_force(enum cpu_level level);
void cpu_features_forbid_bf16(bool forbidden); // the same for AVX512_BF16 alone

// "avx512bf16", "avx512", "avx2" or "plain": the code that decides the bits of a result.
const char *cpu_features_class(void);

// "AMD EPYC 9R14, 2 threads, avx512bf16+vnni"
void cpu_features_describe(char *text, size_t size, int threads);

#endif
