// test_transformer.c: whole networks on its executor against the plain one, per precision and level of
// instructions; what it refuses, and what it leaves to the plain executor.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/cpu_features.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/plain.h"
#include "tests/support/mini_vit.h"
#include "tests/support/skip.h"
#include "tests/support/value_range.h"

enum { IMAGES = 4, MAP_MOST = 4 * MINI_PATCHES, WIDTH_MOST = 96 };

struct answers {
    float logits[IMAGES * MINI_CLASSES];
    float maps[IMAGES * MAP_MOST];
    float embeddings[IMAGES * WIDTH_MOST];
};

static struct weights *random_weights_of(const struct network *network)
{
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    return weights;
}

static void run(struct backend *backend, const struct network *network, enum precision precision,
                enum explanation attention, struct answers *answers)
{
    struct error err = {""};
    struct weights *weights = random_weights_of(network);
    struct plan_options options = {.precision = precision, .max_batch = IMAGES, .attention = attention};
    struct plan *plan;
    if (backend_prepare(backend, network, weights, &options, &plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    weights_close(weights);
    static uint8_t images[IMAGES][MINI_VIEW];
    const uint8_t *views[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        mini_view(images[i], i);
        views[i] = images[i];
    }
    assert_int_equal(plan->heads > 0, attention != EXPLAIN_NOTHING);
    struct inference result = {.logits = answers->logits,
                               .attention = attention ? answers->maps : NULL,
                               .embedding = plan->embedding_width > WIDTH_MOST ? NULL : answers->embeddings};
    assert_int_equal(plan_run(plan, views, IMAGES, &result, &err), STATUS_OK);
    plan_free(plan);
    backend_close(backend);
}

static struct backend *open_cpu(int threads)
{
    struct backend *backend;
    struct error err;
    if (backend_open(&backend, "cpu", threads, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return backend;
}

static void near(const char *what, const float *found, const float *expected, int count, float tolerance)
{
    int worst = 0;
    for (int i = 1; i < count; i++)
        if (!(fabsf(found[i] - expected[i]) <= fabsf(found[worst] - expected[worst])))
            worst = i;
    if (!(fabsf(found[worst] - expected[worst]) <= tolerance)) {
        print_error("%s %d: %.9g, plain %.9g, allowed %.3g\n", what, worst, (double)found[worst],
                    (double)expected[worst], (double)tolerance);
        fail();
    }
}

// tolerance: of the range of the plain logits; of 1 for the maps, whose values are probabilities. Logits have
// the same bits whatever is explained.
static void check(enum precision precision, float tolerance)
{
    static const int shapes[][2] = {{64, 2}, {80, 2}, {96, 4}}; // width, heads
    static struct answers plain, fast, without_map;
    skip_without(cpu_kernels_get().gemm[precision], precision_names[precision]);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct network *network = mini_vit(shapes[i][0], shapes[i][1]);
        int maps = IMAGES * shapes[i][1] * MINI_PATCHES, logits = IMAGES * MINI_CLASSES;
        run(cpu_plain_backend_open(), network, PRECISION_FP32, EXPLAIN_LAST, &plain);
        run(open_cpu(2), network, precision, EXPLAIN_LAST, &fast);
        run(open_cpu(9), network, precision, EXPLAIN_NOTHING, &without_map);
        near("logit", fast.logits, plain.logits, logits, tolerance * value_range(plain.logits, MINI_CLASSES));
        near("map value", fast.maps, plain.maps, maps, tolerance);
        near("embedding", fast.embeddings, plain.embeddings, IMAGES * shapes[i][0],
             tolerance * value_range(plain.embeddings, shapes[i][0]));
        assert_memory_equal(fast.logits, without_map.logits, sizeof fast.logits);
        run(cpu_plain_backend_open(), network, PRECISION_FP32, EXPLAIN_ROLLOUT, &plain);
        run(open_cpu(2), network, precision, EXPLAIN_ROLLOUT, &fast);
        near("rollout value", fast.maps, plain.maps, IMAGES * MINI_PATCHES, tolerance);
        assert_memory_equal(fast.logits, without_map.logits, sizeof fast.logits);
        network_free(network);
    }
}

// fp32 rounds each of some hundred additions by 2^-24; 2e-5 is what the engine promises against PyTorch.
static void fp32_is_near_plain(void **unused)
{
    (void)unused;
    check(PRECISION_FP32, 2e-5f);
}

static void fp32_is_near_plain_with_avx2(void **unused)
{
    (void)unused;
    cpu_features_force(CPU_LEVEL_AVX2);
    struct backend *backend = open_cpu(1);
    assert_string_equal(backend->device_class, cpu_features_get().avx2 ? "avx2" : "plain");
    backend_close(backend);
    check(PRECISION_FP32, 2e-5f);
    cpu_features_force(CPU_LEVEL_BEST);
}

// bf16 rounds weights and activations by up to 2^-9; over two blocks with random signs about a hundredth
// remains.
static void bf16_is_near_plain(void **unused)
{
    (void)unused;
    check(PRECISION_BF16, 0.02f);
}

// int8: a step is a 127th of the greatest weight of a column, a 255th of a token's range.
static void int8_is_near_plain(void **unused)
{
    (void)unused;
    check(PRECISION_INT8, 0.04f);
}

// Products of bytes that are added in 16 bits, between row operations of either instruction set.
static void int8_is_near_plain_without_vnni(void **unused)
{
    (void)unused;
    for (enum cpu_level level = CPU_LEVEL_AVX2; level <= CPU_LEVEL_AVX512; level++) {
        cpu_features_force(level);
        check(PRECISION_INT8, 0.04f);
    }
    cpu_features_force(CPU_LEVEL_BEST);
}

// x + W x, twice: a sum that lay over x would be multiplied by the weights of the columns not yet computed.
static void a_product_is_not_added_over_its_input(void **unused)
{
    (void)unused;
    static struct answers plain, fast;
    enum { WIDTH = 384 };
    struct network *network = mini_vit(WIDTH, 2);
    network->operation_count -= 4; // first row, norm, dropout, head
    int x = network->operations[network->operation_count - 1].output;
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "own.%d", i);
        x = network_add_sum(network, x, network_add_linear(network, x, WIDTH, name));
    }
    x = network_add_layernorm(network, network_add_first_row(network, x), 1e-6f, "norm");
    network_add_head(network, x, "head");
    run(cpu_plain_backend_open(), network, PRECISION_FP32, EXPLAIN_NOTHING, &plain);
    run(open_cpu(2), network, PRECISION_FP32, EXPLAIN_NOTHING, &fast);
    near("logit", fast.logits, plain.logits, IMAGES * MINI_CLASSES,
         2e-5f * value_range(plain.logits, MINI_CLASSES));
    network_free(network);
}

static void refused(enum precision precision, const char *words)
{
    struct error err = {""};
    struct network *network = mini_vit(64, 2);
    struct weights *weights = random_weights_of(network);
    struct backend *backend = open_cpu(1);
    struct plan_options options = {.precision = precision, .max_batch = 1};
    struct plan *plan;
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_REJECTED);
    if (!strstr(err.message, words))
        fail_msg("'%s' lacks '%s'", err.message, words);
    backend_close(backend);
    weights_close(weights);
    network_free(network);
}

static void a_missing_precision_is_refused_by_name(void **unused)
{
    (void)unused;
    cpu_features_force(CPU_LEVEL_AVX2);
    if (cpu_features_get().avx2) {
        refused(PRECISION_BF16, "bf16, which needs AVX512_BF16; use fp32 or int8");
        refused(PRECISION_FP16, "fp16");
    }
    cpu_features_force(CPU_LEVEL_PLAIN);
    refused(PRECISION_BF16, "bf16");
    cpu_features_force(CPU_LEVEL_BEST);
}

static void weights_that_do_not_fit_are_refused(void **unused)
{
    (void)unused;
    struct error err = {""};
    struct network *network = mini_vit(64, 2), *other = mini_vit(80, 2);
    struct weights *weights = random_weights_of(other);
    struct backend *backend = open_cpu(1);
    struct plan_options options = {.precision = PRECISION_FP32, .max_batch = 1};
    struct plan *plan;
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "patch_embed.proj.weight"));
    backend_close(backend);
    weights_close(weights);
    network_free(network);
    network_free(other);
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

// Prepares a model from its file in a process of its own; exit code 0 when memory never held the file as
// well.
static void prepare_from_file(const char *path, const struct network *network)
{
    struct error err;
    struct weights *weights;
    struct plan *plan;
    struct plan_options options = {.precision = PRECISION_INT8, .max_batch = 1};
    struct backend *backend = open_cpu(1);
    long before = peak_kib();
    if (weights_open(&weights, path, &err) != STATUS_OK ||
        backend_prepare(backend, network, weights, &options, &plan, &err) != STATUS_OK)
        _exit(2);
    long grown = peak_kib() - before, packed = (long)(plan->weight_size / 1024);
    fprintf(stderr, "peak grew by %ld KiB, packed weights are %ld KiB\n", grown, packed);
    _exit(grown < 2 * packed ? 0 : 1);
}

static void a_mapped_model_is_held_once(void **unused)
{
    (void)unused;
    struct error err;
    struct network *network;
#ifdef __SANITIZE_THREAD__
    SKIP("the thread sanitizer's own memory is a multiple of ours");
#endif
    skip_without(cpu_kernels_get().gemm[PRECISION_INT8], "AVX2");
    assert_int_equal(network_build(&network, "vit_tiny_patch16_224", 8, &err), STATUS_OK);
    char path[] = "/tmp/test_transformer_XXXXXX";
    int file = mkstemp(path), status = -1;
    assert_true(file >= 0);
    close(file);
    if (fork() == 0) { // so that the process that measures never held the values
        struct weights *weights = random_weights_of(network);
        _exit(weights_save(weights, path, &err) == STATUS_OK ? 0 : 1);
    }
    assert_true(wait(&status) > 0 && status == 0);
    if (fork() == 0)
        prepare_from_file(path, network);
    assert_true(wait(&status) > 0);
    unlink(path);
    network_free(network);
    assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_is_near_plain),
        cmocka_unit_test(fp32_is_near_plain_with_avx2),
        cmocka_unit_test(bf16_is_near_plain),
        cmocka_unit_test(int8_is_near_plain),
        cmocka_unit_test(int8_is_near_plain_without_vnni),
        cmocka_unit_test(a_product_is_not_added_over_its_input),
        cmocka_unit_test(a_missing_precision_is_refused_by_name),
        cmocka_unit_test(weights_that_do_not_fit_are_refused),
        cmocka_unit_test(a_mapped_model_is_held_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
