// bench_stages.c: times the stages of one image one after the other, nothing else running in the process.
#include "worker/commands/bench_stages.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/picture/image.h"
#include "kernels/image/preprocess.h"

const char *const bench_stage_names[BENCH_STAGE_COUNT] = {"decode", "resize", "embed", "blocks", "head"};

enum { RUNS = 15, MADE_WIDTH = 600, MADE_HEIGHT = 450, MADE_QUALITY = 95, GRAIN = 24 };

typedef double run_times[BENCH_STAGE_COUNT][RUNS];

// A dark blot on skin with the grain of a sensor, so that the JPEG has about the size of a photograph.
static enum status make_picture(struct buffer *jpeg, struct error *err)
{
    struct image image = {0};
    enum status status = image_init(&image, MADE_WIDTH, MADE_HEIGHT, err);
    uint32_t random = 1;
    for (int i = 0; status == STATUS_OK && i < MADE_WIDTH * MADE_HEIGHT; i++) {
        int x = i % MADE_WIDTH - MADE_WIDTH / 2, y = i / MADE_WIDTH - MADE_HEIGHT / 2;
        int light = 60 + (x * x + y * y) / 1100; // at most 188
        random = random * 1664525 + 1013904223;
        int grain = (int)(random >> 24) % GRAIN;
        image.pixels[3 * i] = (uint8_t)(light + grain);
        image.pixels[3 * i + 1] = (uint8_t)(light * 3 / 4 + grain);
        image.pixels[3 * i + 2] = (uint8_t)(light * 2 / 3 + grain);
    }
    if (status == STATUS_OK)
        status = jpeg_encode(&image, MADE_QUALITY, jpeg, err);
    image_release(&image);
    return status;
}

static double ms_since(int64_t begun_us)
{
    return (double)(clock_monotonic_us() - begun_us) / 1e3;
}

static enum status time_picture(struct bench_stages *stages, const struct config *config,
                                const struct preprocessing *preprocessing, struct bytes jpeg, run_times times,
                                struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *view = memory_alloc((size_t)(preprocessing->crop * preprocessing->crop * 3));
    for (int i = 0; i < RUNS && status == STATUS_OK; i++) {
        struct image image = {0};
        int64_t begun_us = clock_monotonic_us();
        status = jpeg_decode(jpeg, config_integer(config, "max_image_pixels"), &image, err);
        times[BENCH_DECODE][i] = ms_since(begun_us);
        begun_us = clock_monotonic_us();
        if (status == STATUS_OK)
            status = preprocess_view(&image, preprocessing, view, err);
        times[BENCH_RESIZE][i] = ms_since(begun_us);
        stages->width = image.width;
        stages->height = image.height;
        image_release(&image);
    }
    stages->jpeg_size = jpeg.size;
    free(view);
    return status;
}

static enum status time_network(struct plan *plan, run_times times, struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *view = memory_alloc((size_t)plan->view_size);
    float *logits = memory_alloc((size_t)plan->classes * sizeof *logits);
    struct inference inference = {.logits = logits};
    for (int i = 0; i < RUNS && status == STATUS_OK; i++) {
        double part_ms[PART_COUNT] = {0};
        plan->part_ms = part_ms;
        status = plan_run(plan, (const uint8_t *const[]){view}, 1, &inference, err);
        for (int part = 0; part < PART_COUNT; part++)
            times[BENCH_EMBED + part][i] = part_ms[part];
    }
    plan->part_ms = NULL;
    free(logits);
    free(view);
    return status;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
}

enum status bench_stages_measure(struct bench_stages *stages, const struct config *config,
                                 const struct engine *engine, struct error *err)
{
    static run_times times;
    struct buffer jpeg;
    const char *path = config_text(config, "image");
    buffer_init(&jpeg, (size_t)config_integer(config, "max_image_bytes"));
    enum status status = *path ? file_read(path, &jpeg, err) : make_picture(&jpeg, err);
    if (status == STATUS_OK)
        status = time_picture(stages, config, &engine->model->manifest.preprocessing, buffer_bytes(&jpeg),
                              times, err);
    if (status == STATUS_OK)
        status = time_network(engine->plan, times, err);
    for (int stage = 0; stage < BENCH_STAGE_COUNT; stage++) {
        bench_sort(times[stage], RUNS);
        stages->ms[stage] = times[stage][RUNS / 2] > 0 ? times[stage][RUNS / 2] : -1;
    }
    buffer_release(&jpeg);
    return status;
}
