// bench.c: the benchmark table: for each batch size latency, throughput, share of the machine's measured
// peak, memory. The views are synthetic; a network's work does not depend on the picture.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/program/privacy.h"
#include "worker/commands/bench_stages.h"
#include "worker/commands/commands.h"
#include "worker/device/engine.h"
#include "worker/stages/batch.h"

const struct option bench_flags[] = {
    {"batch", OPTION_LIST, .initial = "1,4,16,64", .max = BATCH_LIMIT, .value = "N,...",
     .help = "batch sizes"},
    {"seconds", OPTION_INTEGER, .initial = "5", .min = 1, .max = 3600, .value = "S",
     .help = "least time to measure each batch size"},
    {"image", OPTION_TEXT, .initial = "", .max = 1023, .value = "FILE",
     .help = "JPEG whose decoding and resizing are timed; empty: a made one of 600 x 450"},
    {"json", OPTION_SWITCH, .initial = "false", .help = "one JSON object instead of the table"},
    {.name = NULL},
};

enum { MIN_RUNS = 5, MAX_RUNS = 100000, MAX_SIZES = 16 };

struct row {
    int batch;
    double mean_ms, sd_ms, p50_ms, p99_ms;
    double images_per_s, gflops, share_of_peak;
    double cpu_ms_per_image; // of all threads
    double memory_mb, model_mb;
};

// Nearest-rank percentile of sorted values.
static double percentile(const double *sorted, int count, double share)
{
    int rank = (int)ceil(share * count);
    return sorted[rank < 1 ? 0 : rank - 1];
}

static void summarise(struct row *row, double *latencies_ms, int count)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++)
        sum += latencies_ms[i];
    row->mean_ms = sum / count;
    for (int i = 0; i < count; i++)
        squares += (latencies_ms[i] - row->mean_ms) * (latencies_ms[i] - row->mean_ms);
    row->sd_ms = count > 1 ? sqrt(squares / (count - 1)) : 0;
    bench_sort(latencies_ms, (size_t)count);
    row->p50_ms = percentile(latencies_ms, count, 0.50);
    row->p99_ms = percentile(latencies_ms, count, 0.99);
    row->images_per_s = 1000.0 * row->batch / row->mean_ms;
}

// From here on the kernel counts the process's peak anew.
static void reset_peak_memory(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (!file)
        return; // a peak of before may be reported
    fputs("5", file);
    fclose(file);
}

static double peak_memory_mb(void)
{
    char line[128];
    double kb = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "VmHWM: %lf kB", &kb) != 1)
        continue;
    if (file)
        fclose(file);
    return kb / 1024.0;
}

static const uint8_t **make_views(int count, int view_size)
{
    const uint8_t **views = memory_alloc((size_t)count * sizeof *views);
    uint8_t *pixels = memory_alloc((size_t)count * (size_t)view_size);
    for (size_t i = 0; i < (size_t)count * (size_t)view_size; i++)
        pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int i = 0; i < count; i++)
        views[i] = pixels + (size_t)i * (size_t)view_size;
    return views;
}

static double process_cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static enum status time_runs(struct plan *plan, struct row *row, double seconds, struct error *err)
{
    const uint8_t **views = make_views(row->batch, plan->view_size);
    float *logits = memory_alloc((size_t)(row->batch * plan->classes) * sizeof *logits);
    double *latencies_ms = memory_alloc(MAX_RUNS * sizeof *latencies_ms);
    struct inference inference = {.logits = logits};
    enum status status = plan_run(plan, views, row->batch, &inference, err); // warm-up
    int64_t begun_us = clock_monotonic_us();
    double cpu_ms = process_cpu_ms();
    int count = 0;
    while (status == STATUS_OK && count < MAX_RUNS) {
        int64_t from_us = clock_monotonic_us();
        status = plan_run(plan, views, row->batch, &inference, err);
        int64_t now_us = clock_monotonic_us();
        latencies_ms[count++] = (double)(now_us - from_us) / 1e3;
        if (count >= MIN_RUNS && (double)(now_us - begun_us) / 1e6 >= seconds)
            break;
    }
    if (status == STATUS_OK)
        summarise(row, latencies_ms, count);
    row->cpu_ms_per_image = count > 0 ? (process_cpu_ms() - cpu_ms) / (count * row->batch) : 0;
    free((void *)views[0]);
    free(views);
    free(logits);
    free(latencies_ms);
    return status;
}

// Opening the model belongs to the peak of memory.
static enum status measure(const struct config *config, struct row *row, double peak_gflops,
                           struct error *err)
{
    struct engine engine = {0};
    reset_peak_memory();
    enum status status = engine_open(&engine, config, row->batch, EXPLAIN_NOTHING, err);
    if (status != STATUS_OK)
        return status;
    status = time_runs(engine.plan, row, (double)config_integer(config, "seconds"), err);
    row->gflops = row->images_per_s * engine.plan->flops / 1e9;
    row->share_of_peak = peak_gflops > 0 ? row->gflops / peak_gflops : 0;
    row->memory_mb = peak_memory_mb();
    row->model_mb = (double)engine.plan->weight_size / 1048576.0;
    engine_close(&engine);
    return status;
}

static void print_table_head(const struct engine *engine, double peak_gflops)
{
    printf("%s, %s on %s (%s), %d threads; ", engine->model->manifest.model_version,
           precision_names[engine->plan->precision], engine->backend->name, engine->backend->device,
           engine->backend->threads);
    if (peak_gflops > 0)
        printf("measured peak %.0f GFLOP/s\n\n", peak_gflops);
    else
        printf("this device's peak is not measured\n\n");
    printf("%5s  %10s %8s %8s %8s  %9s  %8s %6s  %9s %8s\n", "batch", "latency ms", "sd", "p50", "p99",
           "images/s", "GFLOP/s", "peak", "memory MB", "model MB");
}

static void print_table_row(const struct row *row)
{
    printf("%5d  %10.2f %8.2f %8.2f %8.2f  %9.2f  %8.1f %5.0f%%  %9.0f %8.0f\n", row->batch, row->mean_ms,
           row->sd_ms, row->p50_ms, row->p99_ms, row->images_per_s, row->gflops, 100 * row->share_of_peak,
           row->memory_mb, row->model_mb);
    fflush(stdout);
}

static void print_json_head(const struct engine *engine, double peak_gflops)
{
    printf("{\"model\": \"%s\", \"backend\": \"%s\", \"device\": \"%s\", \"precision\": \"%s\", \"threads\": "
           "%d, "
           "\"peak_gflops\": %.1f, \"rows\": [",
           engine->model->manifest.model_version, engine->backend->name, engine->backend->device,
           precision_names[engine->plan->precision], engine->backend->threads, peak_gflops);
}

static void print_json_row(const struct row *row, bool first)
{
    printf("%s{\"batch\": %d, \"latency_ms_mean\": %.3f, \"latency_ms_sd\": %.3f, \"latency_ms_p50\": %.3f, "
           "\"latency_ms_p99\": %.3f, \"images_per_s\": %.3f, \"gflops\": %.2f, \"share_of_peak\": %.4f, "
           "\"memory_mb\": %.1f, \"model_mb\": %.1f, \"cpu_ms_per_image\": %.3f}",
           first ? "" : ", ", row->batch, row->mean_ms, row->sd_ms, row->p50_ms, row->p99_ms,
           row->images_per_s, row->gflops, row->share_of_peak, row->memory_mb, row->model_mb,
           row->cpu_ms_per_image);
}

static void print_stages(const struct bench_stages *stages)
{
    printf("\none image, median ms:");
    for (int i = 0; i < BENCH_STAGE_COUNT; i++)
        if (stages->ms[i] >= 0)
            printf(" %s %.2f%s", bench_stage_names[i], stages->ms[i], i + 1 < BENCH_STAGE_COUNT ? "," : "");
        else
            printf(" %s -%s", bench_stage_names[i], i + 1 < BENCH_STAGE_COUNT ? "," : "");
    printf(" (JPEG of %d x %d, %zu KB)\n", stages->width, stages->height, stages->jpeg_size / 1000);
}

static void print_json_stages(const struct bench_stages *stages, const struct row *first)
{
    printf("], \"stages_ms\": {");
    for (int i = 0; i < BENCH_STAGE_COUNT; i++)
        if (stages->ms[i] >= 0)
            printf("\"%s\": %.3f, ", bench_stage_names[i], stages->ms[i]);
        else
            printf("\"%s\": null, ", bench_stage_names[i]);
    printf("\"inference\": %.3f}, \"stages_image\": {\"width\": %d, \"height\": %d, \"bytes\": %zu}}\n",
           first->p50_ms / first->batch, stages->width, stages->height, stages->jpeg_size);
}

static enum status measure_first(const struct config *config, double *peak_gflops,
                                 struct bench_stages *stages, struct error *err)
{
    struct engine engine = {0};
    bool json = config_switch(config, "json");
    enum status status = engine_open(&engine, config, 1, EXPLAIN_NOTHING, err);
    if (status != STATUS_OK)
        return status;
    engine_say_precision(&engine);
    *peak_gflops = backend_peak_gflops(engine.backend, engine.plan->precision);
    json ? print_json_head(&engine, *peak_gflops) : print_table_head(&engine, *peak_gflops);
    status = bench_stages_measure(stages, config, &engine, err);
    engine_close(&engine);
    return status;
}

static enum status run_rows(const struct config *config, struct error *err)
{
    int64_t sizes[MAX_SIZES];
    size_t count = config_list(config, "batch", sizes, MAX_SIZES);
    bool json = config_switch(config, "json");
    double peak_gflops = 0;
    struct bench_stages stages;
    struct row first = {0};
    enum status status = measure_first(config, &peak_gflops, &stages, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct row row = {.batch = (int)sizes[i]};
        status = measure(config, &row, peak_gflops, err);
        if (status != STATUS_OK)
            break;
        json ? print_json_row(&row, i == 0) : print_table_row(&row);
        first = i == 0 ? row : first;
    }
    if (status == STATUS_OK)
        json ? print_json_stages(&stages, &first) : print_stages(&stages);
    return status;
}

enum status bench_check(const struct config *config, struct error *err)
{
    size_t count = config_list(config, "batch", NULL, 0);
    if (count >= 1 && count <= MAX_SIZES)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "batch names %zu sizes, 1 to %d are possible", count, MAX_SIZES);
}

enum status bench_command(struct config *config, struct error *err)
{
    privacy_lift(); // its pictures are made up, and /proc/self/clear_refs is needed
    return run_rows(config, err);
}
