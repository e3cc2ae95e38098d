// bench_gpu.c: the CUDA backend on a real GPU: checks it against the CPU, and times it. tests/bench/gpu.sh
// runs it.
//
//     bench_gpu check
//         small networks, vit_tiny, resnet18, efficientnet_b4: every precision, batches, slots; NVML
//     bench_gpu time ARCHITECTURE PRECISION BATCH...
//         one line for each batch size
//
// Weights and views are random. Exit code 1: a check failed; 77: there is no GPU, with the reason.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "kernels/cpu/plain.h"
#include "kernels/cuda/plugin.h"
#include "tests/support/mini_cnn.h"
#include "tests/support/value_range.h"

enum { CLASSES = 8, CHECK_IMAGES = 70, LEAST_RUNS = 20, MOST_RUNS = 2000 };

// Least time for each batch size.
static const double time_seconds = 1.5;

static int failures;

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_gpu: %s\n", err->message);
        exit(1);
    }
}

static struct backend *open_backend(const char *name)
{
    struct backend *backend;
    struct error err;
    if (backend_open(&backend, name, 0, &err) == STATUS_OK)
        return backend;
    fprintf(stderr, "bench_gpu: %s\n", err.message);
    exit(77);
}

static struct plan *prepare(struct backend *backend, const struct network *network, enum precision precision,
                            int max_batch, enum explanation attention)
{
    struct error err;
    struct plan *plan = NULL;
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    struct plan_options options = {.precision = precision, .max_batch = max_batch, .attention = attention};
    must(backend_prepare(backend, network, weights, &options, &plan, &err), &err);
    weights_close(weights);
    return plan;
}

static const uint8_t **make_views(int count, int view_size)
{
    const uint8_t **views = memory_alloc((size_t)count * sizeof *views);
    uint8_t *bytes = memory_alloc((size_t)count * (size_t)view_size);
    for (int i = 0; i < count; i++) {
        views[i] = bytes + (size_t)i * (size_t)view_size;
        for (int j = 0; j < view_size; j++)
            bytes[(size_t)i * (size_t)view_size + (size_t)j] =
                (uint8_t)(random_weights_bits((uint64_t)i, "view", (uint64_t)j) >> 56);
    }
    return views;
}

static void free_views(const uint8_t **views)
{
    free((void *)(uintptr_t)views[0]);
    free(views);
}

static void report(const char *what, double found, double limit)
{
    bool good = found <= limit;
    printf("%-6s %-58s %.2g (limit %.2g)\n", good ? "ok" : "FAILED", what, found, limit);
    failures += !good;
}

struct answers {
    float logits[CHECK_IMAGES * CLASSES], maps[CHECK_IMAGES * 3 * 196];
};

static void run(struct plan *plan, const uint8_t *const *views, int count, struct answers *answers)
{
    struct error err;
    memset(answers, 0xff, sizeof *answers); // NaN
    const struct inference result = {.logits = answers->logits, .attention = answers->maps};
    must(plan_run(plan, views, count, &result, &err), &err);
}

// Every image alone and in batches of several sizes and slots: the same bits.
static void check_bits(struct plan *plan, const uint8_t *const *views, const struct answers *all,
                       const char *what)
{
    static struct answers some;
    static const int sizes[] = {1, 2, 3, 7, 8, 16, 33, 64};
    int different = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int first = (int)(5 * i) % (CHECK_IMAGES - sizes[i] + 1);
        run(plan, views + first, sizes[i], &some);
        for (int j = 0; j < sizes[i] * CLASSES; j++)
            different += memcmp(&some.logits[j], &all->logits[first * CLASSES + j], sizeof(float)) != 0;
    }
    char text[128];
    snprintf(text, sizeof text, "%s: logits that depend on the batch", what);
    report(text, different, 0);
}

static void check_network(struct backend *cuda, struct backend *reference, const struct network *network)
{
    static const double limits[PRECISION_COUNT] = {1e-4, 5e-3, 3e-2, 4e-2};
    static struct answers expected, found;
    struct plan *plan = prepare(reference, network, PRECISION_FP32, CHECK_IMAGES, EXPLAIN_LAST);
    const uint8_t **views = make_views(CHECK_IMAGES, plan->view_size);
    int maps = CHECK_IMAGES * plan->heads * plan->map_height * plan->map_width;
    run(plan, views, CHECK_IMAGES, &expected);
    plan_free(plan);
    for (enum precision precision = 0; precision < PRECISION_COUNT; precision++) {
        char what[64], text[128];
        if (precision == PRECISION_BF16 && strncmp(cuda->device_class, "sm_7", 4) == 0)
            continue;
        if (precision == PRECISION_INT8 && !network_map_is_attention(network))
            continue;
        snprintf(what, sizeof what, "%.24s %dx%d %s", network->architecture, network->tensors[2].columns,
                 network_map_heads(network), precision_names[precision]);
        plan = prepare(cuda, network, precision, CHECK_IMAGES, EXPLAIN_LAST);
        run(plan, views, CHECK_IMAGES, &found);
        snprintf(text, sizeof text, "%s: logits, of the range", what);
        report(text, worst_share(found.logits, expected.logits, CHECK_IMAGES * CLASSES), limits[precision]);
        snprintf(text, sizeof text, "%s: maps, of the range", what);
        report(text, worst_share(found.maps, expected.maps, maps), limits[precision]);
        check_bits(plan, views, &found, what);
        plan_free(plan);
    }
    free_views(views);
}

// NVML comes with the driver, so its figures have to be there.
static void check_figures(struct backend *cuda)
{
    struct device_figures figures;
    backend_figures(cuda, &figures);
    bool there = figures.memory_total >= 0;
    if (there)
        printf("%d %% busy, %lld of %lld MiB, %d C, %d of %d mW, %d of %d MHz, %lld memory errors\n",
               figures.utilisation_percent, (long long)figures.memory_used >> 20,
               (long long)figures.memory_total >> 20, figures.temperature_c, figures.power_mw,
               figures.power_limit_mw, figures.clock_mhz, figures.clock_max_mhz,
               (long long)figures.ecc_uncorrected);
    report("figures of the GPU that are missing", !there, 0);
}

static int check(void)
{
    static const int shapes[][2] = {{64, 1}, {128, 2}, {96, 4}, {192, 3}}; // width, heads
    struct backend *cuda = open_backend("cuda"), *plain = cpu_plain_backend_open(),
                   *cpu = open_backend("cpu");
    struct error err;
    printf("%s, class %s\n", cuda->device, cuda->device_class);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct network *network = mini_vit(shapes[i][0], shapes[i][1]);
        check_network(cuda, plain, network);
        network_free(network);
    }
    struct network *convolutional[] = {mini_resnet(), mini_efficientnet()};
    for (int i = 0; i < 2; i++) {
        check_network(cuda, plain, convolutional[i]);
        network_free(convolutional[i]);
    }
    static const char *const whole[] = {"vit_tiny_patch16_224", "resnet18", "efficientnet_b4"};
    for (int i = 0; i < 3; i++) {
        struct network *network = NULL;
        must(network_build(&network, whole[i], CLASSES, &err), &err);
        check_network(cuda, cpu, network);
        network_free(network);
    }
    must(backend_health(cuda, &err), &err);
    check_figures(cuda);
    backend_close(cpu);
    backend_close(plain);
    backend_close(cuda);
    printf("%d checks failed\n", failures);
    return failures > 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void time_batch(struct plan *plan, const uint8_t *const *views, int batch, const char *what)
{
    struct error err;
    static double times_ms[MOST_RUNS];
    float *logits = memory_alloc((size_t)batch * CLASSES * sizeof *logits);
    struct inference result = {.logits = logits};
    int count = 0;
    for (int i = 0; i < 3; i++)
        must(plan_run(plan, views, batch, &result, &err), &err);
    int64_t begun_us = clock_monotonic_us(), now_us = begun_us;
    while (count < MOST_RUNS && (count < LEAST_RUNS || (double)(now_us - begun_us) < 1e6 * time_seconds)) {
        int64_t from_us = now_us;
        must(plan_run(plan, views, batch, &result, &err), &err);
        now_us = clock_monotonic_us();
        times_ms[count++] = 1e-3 * (double)(now_us - from_us);
    }
    double mean_ms = 1e-3 * (double)(now_us - begun_us) / count, rate = 1000 * batch / mean_ms;
    qsort(times_ms, (size_t)count, sizeof times_ms[0], compare);
    printf("%s batch %3d: median %8.3f ms, p99 %8.3f ms, %9.1f images/s, %6.1f TFLOP/s\n", what, batch,
           times_ms[count / 2], times_ms[count - 1 - count / 100], rate, 1e-12 * rate * plan->flops);
    fflush(stdout);
    free(logits);
}

static int time_network(int argc, char **argv)
{
    struct error err;
    struct network *network = NULL;
    enum precision precision;
    char what[96];
    int largest = 1;
    if (!precision_parse(argv[3], &precision)) {
        fprintf(stderr, "bench_gpu: precision '%s' is not known\n", argv[3]);
        return 2;
    }
    for (int i = 4; i < argc; i++)
        largest = atoi(argv[i]) > largest ? atoi(argv[i]) : largest;
    must(network_build(&network, argv[2], CLASSES, &err), &err);
    struct backend *cuda = open_backend("cuda");
    int64_t begun_us = clock_monotonic_us();
    struct plan *plan = prepare(cuda, network, precision, largest, EXPLAIN_NOTHING);
    printf("%s %s: prepared in %.2f s, %llu MiB of weights, %llu MiB besides\n", argv[2], argv[3],
           1e-6 * (double)(clock_monotonic_us() - begun_us), (unsigned long long)plan->weight_size >> 20,
           (unsigned long long)plan->memory_size >> 20);
    const uint8_t **views = make_views(largest, plan->view_size);
    snprintf(what, sizeof what, "%s %s", argv[2], argv[3]);
    for (int i = 4; i < argc; i++)
        if (atoi(argv[i]) >= 1)
            time_batch(plan, views, atoi(argv[i]), what);
    free_views(views);
    plan_free(plan);
    backend_close(cuda);
    network_free(network);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "check") == 0)
        return check();
    if (argc > 4 && strcmp(argv[1], "time") == 0)
        return time_network(argc, argv);
    fprintf(stderr, "usage: bench_gpu check | bench_gpu time ARCHITECTURE PRECISION BATCH...\n");
    return 2;
}
