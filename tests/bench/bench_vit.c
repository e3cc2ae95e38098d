// bench_vit.c: times one network with random weights on the CPU backend.
//
//     bench_vit ARCHITECTURE[:SIZE] PRECISION[:avx2|:avx512] BATCH THREADS [RUNS]
//
// avx2 forbids what came after it, avx512 its VNNI and BF16. With RUNS it prints the best and the median time
// and the memory. Without, it prints one line when it is ready and then, for every line it reads, runs one
// batch and prints its milliseconds: peers.py alternates with it so.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/backend.h"
#include "kernels/model/random_weights.h"

enum { CLASSES = 8, MOST_RUNS = 10000 };

struct bench {
    struct plan *plan;
    int batch;
    const uint8_t **views;
    struct inference result;
};

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + 1e-6 * (double)now.tv_nsec;
}

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_vit: %s\n", err->message);
        exit(1);
    }
}

// The weights go through a file, so that they are mapped and given back as a model's are.
static struct weights *random_file(const struct network *network)
{
    char path[] = "/tmp/bench_vit_XXXXXX";
    struct error err = {"no temporary file"};
    int file = mkstemp(path);
    must(file < 0 ? STATUS_FATAL : STATUS_OK, &err);
    close(file);
    pid_t child = fork(); // so that the memory of the values made is not ours
    if (child == 0) {
        struct weights *made = weights_new();
        random_weights_fill(made, network, 1);
        _exit(weights_save(made, path, &err) == STATUS_OK ? 0 : 1);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0)
        continue;
    struct weights *weights;
    must(weights_open(&weights, path, &err), &err);
    unlink(path);
    return weights;
}

// Whether the text ended so; it does no more.
static bool cut(char *text, const char *end)
{
    char *found = strstr(text, end);
    if (!found || strcmp(found, end) != 0)
        return false;
    *found = '\0';
    return true;
}

static struct network *build_network(char *name)
{
    struct network *network;
    struct error err;
    char *size = strchr(name, ':');
    if (size)
        *size++ = '\0';
    must(size ? network_build_sized(&network, name, atoi(size), CLASSES, &err)
              : network_build(&network, name, CLASSES, &err),
         &err);
    return network;
}

static double run(struct bench *bench)
{
    struct error err;
    double begin = now_ms();
    must(plan_run(bench->plan, bench->views, bench->batch, &bench->result, &err), &err);
    return now_ms() - begin;
}

static int by_value(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;
    return difference < 0 ? -1 : difference > 0;
}

static void measure(struct bench *bench, int runs)
{
    double *times = memory_alloc((size_t)runs * sizeof *times);
    run(bench);
    for (int i = 0; i < runs; i++)
        times[i] = run(bench);
    qsort(times, (size_t)runs, sizeof *times, by_value);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("batch %d: best %.2f ms, median %.2f ms, %.2f images/s, %.0f GFLOP/s, weights %.0f MB, "
           "activations %.1f MB, "
           "peak memory %.0f MB\n",
           bench->batch, times[0], times[runs / 2], 1e3 * bench->batch / times[0],
           bench->plan->flops * bench->batch / times[0] * 1e-6, (double)bench->plan->weight_size * 1e-6,
           (double)bench->plan->memory_size * 1e-6, (double)usage.ru_maxrss / 1024.0);
    free(times);
}

static void serve(struct bench *bench)
{
    char line[16];
    run(bench);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%.4f\n", run(bench));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct error err;
    struct backend *backend;
    enum precision precision;
    struct bench bench = {.batch = argc > 3 ? atoi(argv[3]) : 0};
    int runs = argc > 5 ? atoi(argv[5]) : 0;
    if (argc > 2 && cut(argv[2], ":avx2"))
        cpu_features_force(CPU_LEVEL_AVX2);
    if (argc > 2 && cut(argv[2], ":avx512"))
        cpu_features_force(CPU_LEVEL_AVX512);
    if (argc < 5 || !precision_parse(argv[2], &precision) || bench.batch < 1 || runs < 0 ||
        runs > MOST_RUNS) {
        fputs("usage: bench_vit ARCHITECTURE[:SIZE] PRECISION[:avx2|:avx512] BATCH THREADS [RUNS]\n", stderr);
        return 2;
    }
    struct network *network = build_network(argv[1]);
    struct weights *weights = random_file(network);
    must(backend_open(&backend, "cpu", atoi(argv[4]), &err), &err);
    struct plan_options options = {.precision = precision, .max_batch = bench.batch};
    double begin = now_ms();
    must(backend_prepare(backend, network, weights, &options, &bench.plan, &err), &err);
    double prepared = now_ms() - begin;
    weights_close(weights);
    uint8_t *pixels = memory_alloc((size_t)bench.batch * (size_t)bench.plan->view_size);
    bench.views = memory_alloc((size_t)bench.batch * sizeof *bench.views);
    for (int i = 0; i < bench.batch * bench.plan->view_size; i++)
        pixels[i] = (uint8_t)((unsigned)i * 2654435761u >> 24);
    for (int i = 0; i < bench.batch; i++)
        bench.views[i] = pixels + (size_t)i * (size_t)bench.plan->view_size;
    bench.result.logits = memory_alloc((size_t)bench.batch * CLASSES * sizeof(float));
    if (runs) {
        printf("%s, %s %s, prepared in %.0f ms\n", backend->device, argv[1], argv[2], prepared);
        measure(&bench, runs);
    } else {
        serve(&bench);
    }
    free(bench.result.logits);
    free(bench.views);
    free(pixels);
    plan_free(bench.plan);
    backend_close(backend);
    network_free(network);
    return 0;
}
