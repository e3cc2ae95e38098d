// cpu_features.c: detection by the compiler's run-time helpers, which ask both CPUID and XGETBV.
#include "common/base/cpu_features.h"

#include <cpuid.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static _Atomic int forced_level = CPU_LEVEL_BEST;
static _Atomic bool bf16_forbidden;

static struct cpu_features detect(void)
{
    __builtin_cpu_init();
    struct cpu_features features = {0};
    features.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    features.avx512 = features.avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq");
    features.avx512vnni = features.avx512 && __builtin_cpu_supports("avx512vnni");
    features.avx512bf16 = features.avx512 && __builtin_cpu_supports("avx512bf16");
    return features;
}

struct cpu_features cpu_features_get(void)
{
    struct cpu_features features = detect();
    int level = atomic_load(&forced_level);
    if (atomic_load(&bf16_forbidden))
        features.avx512bf16 = false;
    if (level < CPU_LEVEL_BEST)
        features.avx512vnni = features.avx512bf16 = false;
    if (level < CPU_LEVEL_AVX512)
        features.avx512 = false;
    if (level < CPU_LEVEL_AVX2)
        features.avx2 = false;
    return features;
}

void cpu_features_force(enum cpu_level level)
{
    atomic_store(&forced_level, level);
}

const char *cpu_features_class(void)
{
    struct cpu_features features = cpu_features_get();
    if (features.avx512)
        return features.avx512bf16 ? "avx512bf16" : "avx512";
    return features.avx2 ? "avx2" : "plain";
}

void cpu_features_forbid_bf16(bool forbidden)
{
    atomic_store(&bf16_forbidden, forbidden);
}

// The brand string of CPUID leaves 0x80000002..4, without its padding.
static void brand(char name[49])
{
    unsigned words[12] = {0};
    for (unsigned i = 0; i < 3; i++) {
        if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            break;
    }
    memcpy(name, words, 48);
    name[48] = '\0';
    size_t length = strlen(name);
    while (length && name[length - 1] == ' ')
        name[--length] = '\0';
    if (!length)
        strcpy(name, "x86-64");
}

void cpu_features_describe(char *text, size_t size, int threads)
{
    struct cpu_features features = cpu_features_get();
    char name[49];
    brand(name);
    snprintf(text, size, "%s, %d thread%s, %s%s", name, threads, threads == 1 ? "" : "s",
             cpu_features_class(), features.avx512vnni ? "+vnni" : "");
}
