// simulated.c: sleeps and hashes.
#include "kernels/simulated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/memory.h"

struct simulated_backend {
    struct backend base;
    int64_t base_us, per_image_us;
};

static float unit(uint8_t byte)
{
    return (float)byte / 255.0f;
}

static void answer(const struct plan *plan, const uint8_t *view, const struct inference *result)
{
    struct digest digest = digest_of(view, (size_t)plan->view_size);
    for (int i = 0; i < plan->classes; i++)
        result->logits[i] = 4 * unit(digest.value[i % DIGEST_SIZE]) - 2;
    for (int i = 0; result->attention && i < plan->map_height * plan->map_width; i++)
        result->attention[i] = unit(digest.value[i % DIGEST_SIZE]);
    for (int i = 0; result->embedding && i < plan->embedding_width; i++)
        result->embedding[i] = 4 * unit(digest.value[i % DIGEST_SIZE]) - 2;
}

static enum status run(struct plan *plan, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err)
{
    (void)err; // a device without faults
    const struct simulated_backend *own = (const struct simulated_backend *)plan->backend;
    int64_t until_us = clock_monotonic_us() + own->base_us + count * own->per_image_us;
    for (int i = 0; i < count; i++) {
        const struct inference of_image = inference_from(plan, result, i);
        answer(plan, views[i], &of_image);
    }
    int64_t left_us = until_us - clock_monotonic_us();
    struct timespec pause = {left_us / 1000000, left_us % 1000000 * 1000};
    if (left_us > 0)
        nanosleep(&pause, NULL);
    return STATUS_OK;
}

static void free_plan(struct plan *plan)
{
    free(plan);
}

static const struct plan_ops simulated_plan_ops = {.run = run, .free = free_plan};

static enum status prepare(struct backend *backend, const struct network *network,
                           const struct weights *weights, const struct plan_options *options,
                           struct plan **plan, struct error *err)
{
    (void)weights;
    (void)err; // nothing can go wrong: it has every operation
    struct plan *made = memory_alloc(sizeof *made);
    *made = plan_describe(backend, &simulated_plan_ops, network, options);
    made->heads = made->heads > 0; // one map is enough
    *plan = made;
    return STATUS_OK;
}

static void close_backend(struct backend *backend)
{
    free(backend);
}

static const struct backend_ops simulated_ops = {.prepare = prepare,
                                                 .prepare_training = backend_no_training,
                                                 .health = backend_always_healthy,
                                                 .figures = backend_no_figures,
                                                 .peak_gflops = backend_no_peak,
                                                 .close = close_backend};

enum status simulated_backend_open(struct backend **backend, struct error *err)
{
    const char *text = getenv("SKINSIGHT_SIMULATED_US");
    long base_us = 2000, per_image_us = 500;
    int length = 0;
    if (text && (sscanf(text, "%9ld,%9ld%n", &base_us, &per_image_us, &length) != 2 || text[length] ||
                 base_us < 0 || per_image_us < 0))
        return error_set(err, STATUS_REJECTED, "SKINSIGHT_SIMULATED_US is 'base,per_image' in microseconds");
    struct simulated_backend *made = memory_alloc(sizeof *made);
    made->base = (struct backend){.ops = &simulated_ops,
                                  .name = "simulated",
                                  .device_class = "simulated",
                                  .threads = 1,
                                  .simulated = true};
    snprintf(made->base.device, sizeof made->base.device, "simulated, %ld + n * %ld us", base_us,
             per_image_us);
    made->base_us = base_us;
    made->per_image_us = per_image_us;
    *backend = &made->base;
    return STATUS_OK;
}
