// test_batch_invariance.c: the same image gives the same bits, whatever the size of the batch, its slot, its
// neighbours and the number of threads, in every precision this processor has and at every level of
// instructions.
//
// Eight threads make the executor work on several images at a time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_kernels.h"
#include "tests/support/mini_vit.h"
#include "tests/support/skip.h"

enum { MOST = 64, MAP = 2 * MINI_PATCHES, WIDTH = 64 };

static uint8_t images[MOST][MINI_VIEW];

struct answers {
    float logits[MOST][MINI_CLASSES];
    float maps[MOST][MAP];
    float embeddings[MOST][WIDTH];
};

// The answers of a batch whose slot i holds image (i + first) % MOST.
static void run(enum precision precision, int threads, int count, int first, struct answers *answers)
{
    struct error err = {""};
    struct network *network = mini_vit(WIDTH, 2);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 5);
    struct backend *backend;
    struct plan *plan;
    assert_int_equal(backend_open(&backend, "cpu", threads, &err), STATUS_OK);
    struct plan_options options = {.precision = precision, .max_batch = count, .attention = EXPLAIN_LAST};
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_OK);
    const uint8_t *views[MOST];
    for (int i = 0; i < count; i++)
        views[i] = images[(i + first) % MOST];
    struct inference result = {
        .logits = answers->logits[0], .attention = answers->maps[0], .embedding = answers->embeddings[0]};
    assert_int_equal(plan_run(plan, views, count, &result, &err), STATUS_OK);
    plan_free(plan);
    backend_close(backend);
    weights_close(weights);
    network_free(network);
}

static void compare(const struct answers *alone, const struct answers *batch, int count, int first,
                    int threads)
{
    for (int i = 0; i < count; i++) {
        int image = (i + first) % MOST;
        if (memcmp(alone->logits[image], batch->logits[i], sizeof alone->logits[0]) != 0 ||
            memcmp(alone->maps[image], batch->maps[i], sizeof alone->maps[0]) != 0 ||
            memcmp(alone->embeddings[image], batch->embeddings[i], sizeof alone->embeddings[0]) != 0) {
            print_error("image %d differs in slot %d of %d with %d threads: logit %.9g, alone %.9g\n", image,
                        i, count, threads, (double)batch->logits[i][0], (double)alone->logits[image][0]);
            fail();
        }
    }
}

static void check(enum precision precision)
{
    static const int sizes[] = {1, 2, 3, 5, 8, 16, 33, 64};
    static struct answers alone, one, batch;
    skip_without(cpu_kernels_get().gemm[precision], precision_names[precision]);
    for (int i = 0; i < MOST; i++) {
        run(precision, 1, 1, i, &one);
        memcpy(alone.logits[i], one.logits[0], sizeof alone.logits[i]);
        memcpy(alone.maps[i], one.maps[0], sizeof alone.maps[i]);
        memcpy(alone.embeddings[i], one.embeddings[0], sizeof alone.embeddings[i]);
    }
    assert_true(memcmp(alone.logits[0], alone.logits[1], sizeof alone.logits[0]) != 0);
    for (int threads = 1; threads <= 8; threads = threads == 2 ? 8 : threads + 1) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            int first = (int)i * 7;
            run(precision, threads, sizes[i], first, &batch);
            compare(&alone, &batch, sizes[i], first, threads);
        }
    }
}

static void fp32(void **unused)
{
    (void)unused;
    check(PRECISION_FP32);
}

static void bf16(void **unused)
{
    (void)unused;
    check(PRECISION_BF16);
}

static void int8(void **unused)
{
    (void)unused;
    check(PRECISION_INT8);
}

// Where the processor has no more than AVX2, the cases before are these.
static void avx2(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx512, "AVX-512");
    cpu_features_force(CPU_LEVEL_AVX2);
    check(PRECISION_FP32);
    check(PRECISION_INT8);
    cpu_features_force(CPU_LEVEL_BEST);
}

// int8 without bf16 instructions keeps attention in float.
static void int8_without_bf16(void **unused)
{
    (void)unused;
    cpu_features_forbid_bf16(true);
    bool there = cpu_features_get().avx512vnni;
    if (there)
        check(PRECISION_INT8);
    cpu_features_forbid_bf16(false);
    skip_without(there, "AVX512_VNNI");
}

// A convolutional network at a size that keeps the test short; its maps come with it.
enum { CNN_SIDE = 64, CNN_VIEW = CNN_SIDE * CNN_SIDE * 3, CNN_MAP = 4 };

struct cnn_answers {
    float logits[MOST][MINI_CLASSES];
    float maps[MOST][CNN_MAP];
};

static struct plan *prepare_cnn(struct backend *backend, const struct network *network,
                                const struct weights *weights, int max_batch)
{
    struct error err = {""};
    struct plan *plan;
    struct plan_options options = {.max_batch = max_batch, .attention = EXPLAIN_LAST};
    if (backend_prepare(backend, network, weights, &options, &plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(plan->heads * plan->map_height * plan->map_width, CNN_MAP);
    return plan;
}

static void run_cnn(struct plan *plan, uint8_t (*pictures)[CNN_VIEW], int count, int first,
                    struct cnn_answers *answers)
{
    struct error err = {""};
    const uint8_t *views[MOST];
    for (int i = 0; i < count; i++)
        views[i] = pictures[(i + first) % MOST];
    struct inference result = {.logits = answers->logits[0], .attention = answers->maps[0]};
    assert_int_equal(plan_run(plan, views, count, &result, &err), STATUS_OK);
}

static void compare_cnn(const struct network *network, const struct weights *weights, int threads,
                        uint8_t (*pictures)[CNN_VIEW], const struct cnn_answers *alone)
{
    static const int sizes[] = {2, 3, 5, 16, 64};
    static struct cnn_answers batch;
    struct backend *backend;
    struct error err = {""};
    assert_int_equal(backend_open(&backend, "cpu", threads, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int first = (int)i * 7;
        struct plan *plan = prepare_cnn(backend, network, weights, sizes[i]);
        run_cnn(plan, pictures, sizes[i], first, &batch);
        for (int j = 0; j < sizes[i]; j++) {
            int image = (j + first) % MOST;
            if (memcmp(alone->logits[image], batch.logits[j], sizeof batch.logits[0]) != 0 ||
                memcmp(alone->maps[image], batch.maps[j], sizeof batch.maps[0]) != 0)
                fail_msg("%s: image %d differs in slot %d of %d with %d threads", network->architecture,
                         image, j, sizes[i], threads);
        }
        plan_free(plan);
    }
    backend_close(backend);
}

static void check_cnn(const char *architecture)
{
    static uint8_t pictures[MOST][CNN_VIEW];
    static struct cnn_answers alone, one;
    struct error err = {""};
    struct network *network;
    struct backend *backend;
    assert_int_equal(network_build_sized(&network, architecture, CNN_SIDE, MINI_CLASSES, &err), STATUS_OK);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 5);
    assert_int_equal(backend_open(&backend, "cpu", 1, &err), STATUS_OK);
    struct plan *plan = prepare_cnn(backend, network, weights, 1);
    for (int i = 0; i < MOST; i++) {
        for (int j = 0; j < CNN_VIEW; j++)
            pictures[i][j] = images[i][j % MINI_VIEW];
        run_cnn(plan, pictures, 1, i, &one);
        memcpy(alone.logits[i], one.logits[0], sizeof alone.logits[i]);
        memcpy(alone.maps[i], one.maps[0], sizeof alone.maps[i]);
    }
    plan_free(plan);
    backend_close(backend);
    assert_true(memcmp(alone.logits[0], alone.logits[1], sizeof alone.logits[0]) != 0);
    for (int threads = 1; threads <= 8; threads = threads == 2 ? 8 : threads + 1)
        compare_cnn(network, weights, threads, pictures, &alone);
    weights_close(weights);
    network_free(network);
}

static void convolutional_networks(void **unused)
{
    (void)unused;
    skip_without(cpu_features_get().avx2, "AVX2"); // the plain executor takes one image at a time
    check_cnn("resnet18");
    check_cnn("efficientnet_b4");
}

static void convolutional_networks_avx2(void **unused)
{
    cpu_features_force(CPU_LEVEL_AVX2);
    convolutional_networks(unused);
    cpu_features_force(CPU_LEVEL_BEST);
}

int main(void)
{
    for (int i = 0; i < MOST; i++)
        mini_view(images[i], i + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32),
        cmocka_unit_test(bf16),
        cmocka_unit_test(int8),
        cmocka_unit_test(avx2),
        cmocka_unit_test(int8_without_bf16),
        cmocka_unit_test(convolutional_networks),
        cmocka_unit_test(convolutional_networks_avx2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
