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

#include "kernels/backend.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_kernels.h"
#include "tests/support/mini_vit.h"

enum { MOST = 64, MAP = 2 * MINI_PATCHES };

static uint8_t images[MOST][MINI_VIEW];

struct answers {
    float logits[MOST][MINI_CLASSES];
    float maps[MOST][MAP];
};

// The answers of a batch whose slot i holds image (i + first) % MOST.
static void run(enum precision precision, int threads, int count, int first, struct answers *answers)
{
    struct error err = {""};
    struct network *network = mini_vit(64, 2);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 5);
    struct backend *backend;
    struct plan *plan;
    assert_int_equal(backend_open(&backend, "cpu", threads, &err), STATUS_OK);
    struct plan_options options = {.precision = precision, .max_batch = count, .attention = true};
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_OK);
    const uint8_t *views[MOST];
    for (int i = 0; i < count; i++)
        views[i] = images[(i + first) % MOST];
    struct inference result = {answers->logits[0], answers->maps[0]};
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
            memcmp(alone->maps[image], batch->maps[i], sizeof alone->maps[0]) != 0) {
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
    if (!cpu_kernels_get().gemm[precision]) {
        fprintf(stderr, "this processor has no %s here\n", precision_names[precision]);
        skip();
    }
    for (int i = 0; i < MOST; i++) {
        run(precision, 1, 1, i, &one);
        memcpy(alone.logits[i], one.logits[0], sizeof alone.logits[i]);
        memcpy(alone.maps[i], one.maps[0], sizeof alone.maps[i]);
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

static void fp32_avx2(void **unused)
{
    (void)unused;
    cpu_features_force(CPU_LEVEL_AVX2);
    bool there = cpu_features_get().avx2;
    if (there)
        check(PRECISION_FP32);
    cpu_features_force(CPU_LEVEL_BEST);
    if (!there)
        skip();
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

// int8 without bf16 instructions keeps attention in float.
static void int8_without_bf16(void **unused)
{
    (void)unused;
    cpu_features_forbid_bf16(true);
    bool there = cpu_kernels_get().gemm[PRECISION_INT8];
    if (there)
        check(PRECISION_INT8);
    cpu_features_forbid_bf16(false);
    if (!there)
        skip();
}

int main(void)
{
    for (int i = 0; i < MOST; i++)
        mini_view(images[i], i + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32), cmocka_unit_test(fp32_avx2),         cmocka_unit_test(bf16),
        cmocka_unit_test(int8), cmocka_unit_test(int8_without_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
