// test_vit_golden.c: whole networks against PyTorch and timm in double precision (tests/golden/vit.txt,
// written by tests/golden/make_vit.py), with weights and views both sides derive from a seed.
//
// Tolerance: PyTorch's own float32 is 4e-7 to 8e-7 of the logit range from these values; 2e-5 leaves room
// for other orders of summation and none for a wrong formula. Attention sums to less than 1: 1e-5 absolute.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/backend.h"
#include "kernels/cpu/plain.h"
#include "kernels/model/random_weights.h"

enum { VIEWS = 3, CLASSES = 8, PATCHES = 196, MAX_HEADS = 16, VIEW_SIZE = 224 * 224 * 3, SEED = 7 };

struct golden {
    double logits[VIEWS][CLASSES];
    double attention[VIEWS][PATCHES]; // mean over heads
};

static void read_numbers(char **text, double *values, int count)
{
    for (int i = 0; i < count; i++) {
        char *end;
        values[i] = strtod(*text, &end);
        assert_ptr_not_equal(*text, end);
        *text = end;
    }
    assert_int_equal(**text, '\n');
}

static void read_golden(const char *architecture, struct golden *golden)
{
    static char line[16384];
    int found = 0, view;
    FILE *file = fopen(TEST_SOURCE_DIR "/tests/golden/vit.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char name[64], what[16];
        int used = 0;
        if (sscanf(line, "%63s seed 7 classes 8 view %d %15s%n", name, &view, what, &used) != 3 ||
            strcmp(name, architecture) != 0)
            continue;
        assert_in_range(view, 0, VIEWS - 1);
        bool logits = strcmp(what, "logits") == 0;
        char *text = line + used;
        read_numbers(&text, logits ? golden->logits[view] : golden->attention[view],
                     logits ? CLASSES : PATCHES);
        found++;
    }
    fclose(file);
    assert_int_equal(found, 2 * VIEWS);
}

static void compare(const char *what, const struct golden *golden, const float *logits,
                    const float *attention, int heads)
{
    double low = INFINITY, high = -INFINITY, worst = 0, worst_attention = 0;
    for (int i = 0; i < VIEWS * CLASSES; i++) {
        double expected = golden->logits[i / CLASSES][i % CLASSES];
        low = fmin(low, expected);
        high = fmax(high, expected);
        worst = fmax(worst, fabs(logits[i] - expected));
        assert_true(isfinite(logits[i]));
    }
    for (int view = 0; view < VIEWS; view++) {
        for (int i = 0; i < PATCHES; i++) {
            double mean = 0;
            for (int head = 0; head < heads; head++)
                mean += attention[(view * heads + head) * PATCHES + i] / (double)heads;
            worst_attention = fmax(worst_attention, fabs(mean - golden->attention[view][i]));
        }
    }
    printf("%s: logits %.2g of the range away, attention %.2g\n", what, worst / (high - low),
           worst_attention);
    assert_true(worst <= 2e-5 * (high - low));
    assert_true(worst_attention <= 1e-5);
}

// Takes the backend and closes it.
static void check_network(struct backend *backend, const char *architecture)
{
    static uint8_t pixels[VIEWS][VIEW_SIZE];
    static float logits[VIEWS * CLASSES], attention[VIEWS * MAX_HEADS * PATCHES];
    static struct golden golden;
    const uint8_t *views[VIEWS];
    struct error err = {""};
    for (int view = 0; view < VIEWS; view++) {
        char name[32];
        snprintf(name, sizeof name, "view.%d", view);
        for (size_t i = 0; i < VIEW_SIZE; i++)
            pixels[view][i] = (uint8_t)(random_weights_bits(SEED, name, i) >> 56);
        views[view] = pixels[view];
    }
    read_golden(architecture, &golden);
    struct network *network = NULL;
    assert_int_equal(network_build(&network, architecture, CLASSES, &err), STATUS_OK);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, SEED);
    struct plan_options options = {
        .precision = PRECISION_FP32, .max_batch = VIEWS, .attention = EXPLAIN_LAST};
    struct plan *plan = NULL;
    if (backend_prepare(backend, network, weights, &options, &plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    weights_close(weights);
    assert_in_range(plan->heads, 1, MAX_HEADS);
    assert_int_equal(plan->classes, CLASSES);
    assert_int_equal(plan->map_height * plan->map_width, PATCHES);
    struct inference result = {.logits = logits, .attention = attention};
    assert_int_equal(plan_run(plan, views, VIEWS, &result, &err), STATUS_OK);
    char what[128];
    snprintf(what, sizeof what, "%s on %s", architecture, backend->device_class);
    compare(what, &golden, logits, attention, plan->heads);
    plan_free(plan);
    network_free(network);
    backend_close(backend);
}

// With each instruction set that the processor has and fp32 has code for.
static void check_levels(const char *architecture)
{
    static const enum cpu_level levels[] = {CPU_LEVEL_AVX2, CPU_LEVEL_AVX512};
    const char *class = "";
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        struct backend *backend = NULL;
        struct error err = {""};
        cpu_features_force(levels[i]);
        if (strcmp(cpu_features_class(), class) != 0) { // else the processor lacks the level
            class = cpu_features_class();
            assert_int_equal(backend_open(&backend, "cpu", 2, &err), STATUS_OK);
            check_network(backend, architecture);
        }
    }
    cpu_features_force(CPU_LEVEL_BEST);
}

static void tiny_on_the_plain_executor(void **state)
{
    (void)state;
    check_network(cpu_plain_backend_open(), "vit_tiny_patch16_224");
}

static void tiny_on_the_cpu(void **state)
{
    (void)state;
    check_levels("vit_tiny_patch16_224");
}

static void small_on_the_cpu(void **state)
{
    (void)state;
    check_levels("vit_small_patch16_224");
}

static void base_on_the_cpu(void **state)
{
    (void)state;
    check_levels("vit_base_patch16_224");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_on_the_plain_executor),
        cmocka_unit_test(tiny_on_the_cpu),
        cmocka_unit_test(small_on_the_cpu),
        cmocka_unit_test(base_on_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
