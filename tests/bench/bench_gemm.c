// bench_gemm.c: the matrix products of ViT-Base against the machine's peak, both measured in this run.
//
//     bench_gemm [threads] [images] [avx2]
//
// Prints, for each precision and product of a block, 10^9 operations a second (best of several runs, each on
// other weights, so that they come from memory as in a real pass) and the share of the peak.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/cpu_features.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/pages.h"
#include "kernels/cpu/peak.h"

enum { TOKENS = 197, LAYERS = 12, RUNS = 15, PADDING = 64 };

static const struct shape {
    const char *name;
    int n, k;
    bool gelu, residual;
} shapes[] = {
    {"qkv", 2304, 768, false, false},
    {"proj", 768, 768, false, true},
    {"fc1", 3072, 768, true, false},
    {"fc2", 768, 3072, false, true},
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *take(size_t size)
{
    void *memory = pages_new(size);
    if (!memory) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    memset(memory, 0, size);
    return memory;
}

// Seconds of the best pass over LAYERS different weights, one product each.
static double time_shape(struct team *team, const struct gemm_kernel *kernel, const struct shape *shape,
                         int rows)
{
    struct gemm_weights weights[LAYERS];
    size_t packed_size = gemm_packed_size(kernel, shape->n, shape->k);
    size_t values_size = (size_t)shape->n * (size_t)shape->k * sizeof(float);
    float *values = take(values_size);
    for (size_t i = 0; i < values_size / sizeof *values; i++)
        values[i] = (float)((i * 2654435761u >> 16) % 2001) * 1e-5f - 0.01f;
    void *memory = take(packed_size * LAYERS);
    for (int i = 0; i < LAYERS; i++)
        gemm_pack(&weights[i], kernel, team, values, NULL, shape->n, shape->k,
                  (char *)memory + packed_size * i);
    size_t a_stride = (size_t)shape->k * (size_t)kernel->element_size + PADDING;
    size_t c_stride = (size_t)shape->n * sizeof(float) + PADDING;
    void *a = take(a_stride * (size_t)rows), *c = take(c_stride * (size_t)rows);
    struct row_scale *scales = take((size_t)rows * sizeof *scales);
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double begin = now_s();
        for (int i = 0; i < LAYERS; i++) {
            struct gemm_call call = {
                .ops = cpu_kernels_get().ops,
                .weights = &weights[i],
                .panel_count = weights[i].panels,
                .images = 1,
                .rows = rows,
                .a = a,
                .a_stride = a_stride,
                .c = c,
                .c_stride = c_stride,
                .gelu = shape->gelu,
                .residual = shape->residual ? c : NULL,
                .residual_stride = c_stride,
                .row_scales = kernel->precision == PRECISION_INT8 ? scales : NULL,
                .row_scale_stride = sizeof *scales,
            };
            gemm_run(team, &call);
        }
        double seconds = (now_s() - begin) / LAYERS;
        best = seconds < best ? seconds : best;
    }
    pages_free(values, values_size);
    pages_free(memory, packed_size * LAYERS);
    pages_free(a, a_stride * (size_t)rows);
    pages_free(c, c_stride * (size_t)rows);
    pages_free(scales, (size_t)rows * sizeof *scales);
    return best;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[3], "avx2") == 0)
        cpu_features_force(CPU_LEVEL_AVX2);
    int threads = argc > 1 ? atoi(argv[1]) : 2, images = argc > 2 ? atoi(argv[2]) : 1;
    struct team *team;
    struct error err;
    if (threads < 1 || images < 1 || team_new(&team, threads, &err) != STATUS_OK) {
        fprintf(stderr, "usage: bench_gemm [threads] [images] [avx2]\n");
        return 2;
    }
    char device[128];
    cpu_features_describe(device, sizeof device, threads);
    printf("%s, %d rows\n", device, images * TOKENS);
    struct cpu_kernels kernels = cpu_kernels_get();
    for (int precision = 0; precision < PRECISION_COUNT; precision++) {
        const struct gemm_kernel *kernel = kernels.gemm[precision];
        if (!kernel)
            continue;
        double peak = cpu_peak_gflops(precision, threads), seconds = 0, work = 0;
        printf("%s: peak %.0f\n", precision_names[precision], peak);
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            double s = time_shape(team, kernel, &shapes[i], images * TOKENS);
            double operations = 2.0 * images * TOKENS * shapes[i].n * shapes[i].k;
            printf("  %-5s %7.1f  %5.1f %%\n", shapes[i].name, operations / s * 1e-9,
                   100.0 * operations / s * 1e-9 / peak);
            seconds += s;
            work += operations;
        }
        printf("  block %7.1f  %5.1f %%  %.1f ms for 12 blocks\n", work / seconds * 1e-9,
               100.0 * work / seconds * 1e-9 / peak, 12e3 * seconds);
    }
    team_free(team);
    return 0;
}
