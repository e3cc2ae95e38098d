// bench.c: the benchmark table: for each batch size latency, throughput, share of the machine's measured
// peak, memory. The views are synthetic; a network's work does not depend on the picture.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/image.h"
#include "common/memory.h"
#include "kernels/cpu/peak.h"
#include "kernels/preprocess.h"
#include "worker/batch.h"
#include "worker/commands.h"
#include "worker/engine.h"

const struct option bench_flags[] = {
    {"batch", OPTION_LIST, .initial = "1,4,16,64", .max = BATCH_LIMIT, .value = "N,...",
     .help = "batch sizes"},
    {"seconds", OPTION_INTEGER, .initial = "5", .min = 1, .max = 3600, .value = "S",
     .help = "least time to measure each batch size"},
    {"image", OPTION_TEXT, .initial = "", .max = 1023, .value = "FILE",
     .help = "JPEG whose decoding and resizing are measured as well"},
    {"json", OPTION_SWITCH, .initial = "false", .help = "one JSON object instead of the table"},
    {.name = NULL},
};

enum { MIN_RUNS = 5, MAX_RUNS = 100000, MAX_SIZES = 16, IMAGE_RUNS = 20 };

struct row {
    int batch;
    double mean_ms, sd_ms, p50_ms, p99_ms;
    double images_per_s, gflops, share_of_peak;
    double memory_mb, model_mb;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

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
    qsort(latencies_ms, (size_t)count, sizeof *latencies_ms, compare);
    row->p50_ms = percentile(latencies_ms, count, 0.50);
    row->p99_ms = percentile(latencies_ms, count, 0.99);
    row->images_per_s = 1000.0 * row->batch / row->mean_ms;
}

static double peak_memory_mb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
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

static enum status time_runs(struct plan *plan, struct row *row, double seconds, struct error *err)
{
    const uint8_t **views = make_views(row->batch, plan->view_size);
    float *logits = memory_alloc((size_t)(row->batch * plan->classes) * sizeof *logits);
    double *latencies_ms = memory_alloc(MAX_RUNS * sizeof *latencies_ms);
    struct inference inference = {.logits = logits};
    enum status status = plan_run(plan, views, row->batch, &inference, err); // warm-up
    int64_t begun_us = clock_monotonic_us();
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
    free((void *)views[0]);
    free(views);
    free(logits);
    free(latencies_ms);
    return status;
}

static enum status measure(const struct config *config, struct row *row, double peak_gflops,
                           struct engine *engine, struct error *err)
{
    enum status status = engine_open(engine, config, row->batch, false, err);
    if (status != STATUS_OK)
        return status;
    status = time_runs(engine->plan, row, (double)config_integer(config, "seconds"), err);
    row->gflops = row->images_per_s * engine->plan->flops / 1e9;
    row->share_of_peak = peak_gflops > 0 ? row->gflops / peak_gflops : 0;
    row->memory_mb = peak_memory_mb();
    row->model_mb = (double)engine->plan->weight_size / 1048576.0;
    return status;
}

static void print_table_head(const struct engine *engine, double peak_gflops)
{
    printf("%s, %s on %s (%s), %d threads; measured peak %.0f GFLOP/s\n\n",
           engine->model->manifest.model_version, precision_names[engine->plan->precision],
           engine->backend->name, engine->backend->device, engine->backend->threads, peak_gflops);
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
           "\"memory_mb\": %.1f, \"model_mb\": %.1f}",
           first ? "" : ", ", row->batch, row->mean_ms, row->sd_ms, row->p50_ms, row->p99_ms,
           row->images_per_s, row->gflops, row->share_of_peak, row->memory_mb, row->model_mb);
}

// Time of one image in each stage in front of the network and in it; below 0: not measured.
struct stage_times {
    double decode_ms, resize_ms, inference_ms;
};

static enum status time_image(const struct config *config, const struct preprocessing *preprocessing,
                              struct stage_times *times, struct error *err)
{
    struct buffer bytes;
    uint8_t *view = memory_alloc((size_t)(preprocessing->crop * preprocessing->crop * 3));
    int64_t decode_us = 0, resize_us = 0;
    buffer_init(&bytes, (size_t)config_integer(config, "max_image_bytes"));
    enum status status = file_read(config_text(config, "image"), &bytes, err);
    for (int i = 0; i < IMAGE_RUNS && status == STATUS_OK; i++) {
        struct image image = {0};
        int64_t begun_us = clock_monotonic_us();
        status = jpeg_decode(buffer_bytes(&bytes), config_integer(config, "max_image_pixels"), &image, err);
        int64_t decoded_us = clock_monotonic_us();
        if (status == STATUS_OK)
            status = preprocess_view(&image, preprocessing, view, err);
        decode_us += decoded_us - begun_us;
        resize_us += clock_monotonic_us() - decoded_us;
        image_release(&image);
    }
    times->decode_ms = (double)decode_us / 1e3 / IMAGE_RUNS;
    times->resize_ms = (double)resize_us / 1e3 / IMAGE_RUNS;
    free(view);
    buffer_release(&bytes);
    return status;
}

static void print_stages(const struct stage_times *times, bool json)
{
    if (json && times->decode_ms < 0)
        printf("], \"stages_ms\": {\"decode\": null, \"resize\": null, \"inference\": %.3f}}\n",
               times->inference_ms);
    else if (json)
        printf("], \"stages_ms\": {\"decode\": %.3f, \"resize\": %.3f, \"inference\": %.3f}}\n",
               times->decode_ms, times->resize_ms, times->inference_ms);
    else if (times->decode_ms >= 0)
        printf("\none image: decode %.2f ms, resize %.2f ms, inference %.2f ms\n", times->decode_ms,
               times->resize_ms, times->inference_ms);
}

static enum status run_rows(const struct config *config, bool json, struct error *err)
{
    int64_t sizes[MAX_SIZES];
    size_t count = config_list(config, "batch", sizes, MAX_SIZES);
    double peak_gflops = 0;
    struct stage_times times = {-1, -1, -1};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct engine engine = {0};
        struct row row = {.batch = (int)sizes[i]};
        if (i == 0 && (status = engine_open(&engine, config, 1, false, err)) == STATUS_OK) {
            peak_gflops = cpu_peak_gflops(engine.plan->precision, engine.backend->threads);
            json ? print_json_head(&engine, peak_gflops) : print_table_head(&engine, peak_gflops);
            if (*config_text(config, "image"))
                status = time_image(config, &engine.model->manifest.preprocessing, &times, err);
            engine_close(&engine);
        }
        if (status == STATUS_OK)
            status = measure(config, &row, peak_gflops, &engine, err);
        if (status == STATUS_OK)
            json ? print_json_row(&row, i == 0) : print_table_row(&row);
        engine_close(&engine);
        if (i == 0)
            times.inference_ms = row.p50_ms / row.batch;
    }
    if (status == STATUS_OK)
        print_stages(&times, json);
    return status;
}

int bench_command(struct config *config)
{
    struct error err;
    enum status status = run_rows(config, config_switch(config, "json"), &err);
    if (status != STATUS_OK)
        fprintf(stderr, "skinsight-worker bench: %s\n", err.message);
    return status == STATUS_OK ? 0 : 1;
}
