// cuda_networks.h: whole networks on the CUDA backend, its kernels run on the processor by the shim, against
// the plain executor. Static functions; include after cmocka.h.
//
// Tolerances, as shares of the logits' range: float 2e-5; fp16 and bf16 have 11 and 8 bits, and a handful of
// roundings in a row; bytes have 256 steps a row. Maps between convolutions are rounded too, sums included.
#ifndef SKINSIGHT_TESTS_SUPPORT_CUDA_NETWORKS_H
#define SKINSIGHT_TESTS_SUPPORT_CUDA_NETWORKS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/plain.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/plugin.h"
#include "tests/support/cuda/shim_device.h"
#include "tests/support/mini_vit.h"
#include "tests/support/value_range.h"

enum { IMAGES = 3, MAP_MOST = 4 * MINI_PATCHES, WIDTH_MOST = 512 };

struct answers {
    float logits[IMAGES * MINI_CLASSES], maps[IMAGES * MAP_MOST], embeddings[IMAGES * WIDTH_MOST];
};

static const double tolerances[PRECISION_COUNT] = {2e-5, 4e-3, 3e-2, 3e-2};

static inline struct backend *open_shim(int compute_capability)
{
    struct backend *backend;
    struct error err;
    shim_device.compute_capability = compute_capability;
    if (skinsight_cuda_backend_open(BACKEND_INTERFACE_VERSION, &backend, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return backend;
}

static inline enum status prepare(struct backend *backend, const struct network *network,
                                  struct plan_options options, struct plan **plan, struct error *err)
{
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    enum status status = backend_prepare(backend, network, weights, &options, plan, err);
    weights_close(weights);
    return status;
}

// Image i of the batch is view number first + i.
static inline enum status run_views(struct plan *plan, int first, int count, struct answers *answers,
                                    struct error *err)
{
    static uint8_t images[IMAGES][MINI_VIEW];
    const uint8_t *views[IMAGES];
    for (int i = 0; i < count; i++) {
        mini_view(images[i], first + i);
        views[i] = images[i];
    }
    assert_in_range(plan->embedding_width, 1, WIDTH_MOST);
    struct inference result = {.logits = answers->logits,
                               .attention = plan->heads > 0 ? answers->maps : NULL,
                               .embedding = answers->embeddings};
    return plan_run(plan, views, count, &result, err);
}

// Takes the backend.
static inline void answer(struct backend *backend, const struct network *network, enum precision precision,
                          enum explanation attention, struct answers *answers)
{
    struct error err = {""};
    struct plan *plan;
    struct plan_options options = {.precision = precision, .max_batch = IMAGES, .attention = attention};
    if (prepare(backend, network, options, &plan, &err) != STATUS_OK ||
        run_views(plan, 0, IMAGES, answers, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    plan_free(plan);
    backend_close(backend);
}

static inline void near(const char *what, const float *found, const float *expected, int count,
                        double tolerance)
{
    double share = worst_share(found, expected, count);
    printf("%s: %.2g of the range away\n", what, share);
    assert_true(share <= tolerance);
}

static inline void check_network(const struct network *network, enum precision precision,
                                 int compute_capability)
{
    static struct answers expected, found;
    char what[160];
    int values = IMAGES * network_map_heads(network) * network->map_height * network->map_width;
    snprintf(what, sizeof what, "%s, width %d, %s, sm_%d", network->architecture, network->tensors[1].columns,
             precision_names[precision], compute_capability);
    answer(cpu_plain_backend_open(), network, PRECISION_FP32, EXPLAIN_LAST, &expected);
    answer(open_shim(compute_capability), network, precision, EXPLAIN_LAST, &found);
    near(what, found.logits, expected.logits, IMAGES * MINI_CLASSES, tolerances[precision]);
    near("  embedding", found.embeddings, expected.embeddings,
         IMAGES * network->tensors[network->embedding].columns, tolerances[precision]);
    near("  maps", found.maps, expected.maps, values, tolerances[precision]);
    assert_int_equal(shim_device.allocations, 0);
    if (precision != PRECISION_FP16)
        return; // the map makes no difference to what else is done
    answer(open_shim(compute_capability), network, precision, EXPLAIN_NOTHING, &found);
    near("  without maps", found.logits, expected.logits, IMAGES * MINI_CLASSES, tolerances[precision]);
    assert_int_equal(shim_device.allocations, 0);
}

// Same image, same bits, whatever its batch and slot.
static inline void check_batch(const struct network *network, enum precision precision)
{
    struct backend *backend = open_shim(80);
    struct error err = {""};
    struct plan *plan;
    static struct answers all, one;
    struct plan_options options = {.precision = precision, .max_batch = IMAGES, .attention = EXPLAIN_LAST};
    assert_int_equal(prepare(backend, network, options, &plan, &err), STATUS_OK);
    size_t map = (size_t)(plan->heads * plan->map_height * plan->map_width);
    size_t width = (size_t)plan->embedding_width;
    ((struct cuda_plan *)plan)->slice = 2; // two slices
    assert_int_equal(run_views(plan, 0, IMAGES, &all, &err), STATUS_OK);
    for (int i = 0; i < IMAGES; i++) {
        assert_int_equal(run_views(plan, i, 1, &one, &err), STATUS_OK);
        assert_memory_equal(one.logits, all.logits + (size_t)i * MINI_CLASSES, MINI_CLASSES * sizeof(float));
        assert_memory_equal(one.maps, all.maps + (size_t)i * map, map * sizeof(float));
        assert_memory_equal(one.embeddings, all.embeddings + (size_t)i * width, width * sizeof(float));
    }
    plan_free(plan);
    backend_close(backend);
}

#endif
