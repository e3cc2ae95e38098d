// test_cnn_golden.c: convolutional networks, their class-activation maps, vision transformers at other image
// sizes and attention rollout against PyTorch and timm in double precision (tests/golden/cnn.txt, written by
// tests/golden/make_cnn.py), with weights and views both sides derive from a seed; the embeddings of two of
// them (tests/golden/embedding.txt, make_embedding.py).
//
// Tolerance of logits: 2e-5 of their range, or three times PyTorch's own float32 distance where that is more
// (it stands in the file). Maps: the same share of their range, as each value is a sum like a logit's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/backend.h"
#include "kernels/cpu/plain.h"
#include "kernels/model/layer_scale.h"
#include "kernels/model/network_weights.h"
#include "kernels/model/random_weights.h"

enum { VIEWS = 3, CLASSES = 8, MAX_PLACES = 576, MAX_WIDTH = 1792, SEED = 7, DINOV2_BLOCKS = 12 };

struct golden {
    double float32; // PyTorch's own distance
    double logits[VIEWS][CLASSES];
    int height, width;
    double map[VIEWS][MAX_PLACES];
    int embedding_width;         // 0: the embedding is not known
    double embedding[MAX_WIDTH]; // of the last view
};

static void read_numbers(char **text, double *values, int count)
{
    for (int i = 0; i < count; i++) {
        char *end;
        values[i] = strtod(*text, &end);
        assert_ptr_not_equal(*text, end);
        *text = end;
    }
}

static void read_golden(const char *architecture, int image_size, struct golden *golden)
{
    static char line[32768];
    int found = 0, view, size;
    FILE *file = fopen(TEST_SOURCE_DIR "/tests/golden/cnn.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char name[64];
        int used = 0;
        if (sscanf(line, "%63s %d seed 7 classes 8 float32 %lf view %d logits%n", name, &size,
                   &golden->float32, &view, &used) != 4 ||
            strcmp(name, architecture) != 0 || size != image_size)
            continue;
        assert_in_range(view, 0, VIEWS - 1);
        char *text = line + used;
        read_numbers(&text, golden->logits[view], CLASSES);
        assert_int_equal(sscanf(text, " map %d %d%n", &golden->height, &golden->width, &used), 2);
        assert_in_range(golden->height * golden->width, 1, MAX_PLACES);
        text += used;
        read_numbers(&text, golden->map[view], golden->height * golden->width);
        assert_int_equal(*text, '\n');
        found++;
    }
    fclose(file);
    assert_int_equal(found, VIEWS);
}

static void read_embedding(const char *architecture, int image_size, struct golden *golden)
{
    static char line[16384];
    int size, used = 0;
    FILE *file = fopen(TEST_SOURCE_DIR "/tests/golden/embedding.txt", "r");
    assert_non_null(file);
    golden->embedding_width = 0;
    while (fgets(line, sizeof line, file)) {
        char name[64];
        int width;
        if (sscanf(line, "%63s %d seed 7 embedding %d%n", name, &size, &width, &used) != 3 ||
            strcmp(name, architecture) != 0 || size != image_size)
            continue;
        assert_in_range(width, 1, MAX_WIDTH);
        char *text = line + used;
        read_numbers(&text, golden->embedding, width);
        assert_int_equal(*text, '\n');
        golden->embedding_width = width;
    }
    fclose(file);
}

// The largest distance as a share of the expected values' range. count values of each of so many views.
static double distance(const double *expected, size_t stride, const float *values, int views, int count)
{
    double low = INFINITY, high = -INFINITY, worst = 0;
    for (int i = 0; i < views * count; i++) {
        double wanted = expected[(size_t)(i / count) * stride + (size_t)(i % count)];
        low = fmin(low, wanted);
        high = fmax(high, wanted);
        worst = fmax(worst, fabs(values[i] - wanted));
        assert_true(isfinite(values[i]));
    }
    return worst / (high - low);
}

// Squares of 1, 7 and 32 pixels of one colour, as random_weights.py's view.
static uint8_t *make_view(int view, int size)
{
    static const int blocks[VIEWS] = {1, 7, 32};
    uint8_t *pixels = memory_alloc((size_t)size * (size_t)size * 3);
    char name[32];
    snprintf(name, sizeof name, "view.%d", view);
    for (int i = 0; i < size * size * 3; i++) {
        int y = i / 3 / size / blocks[view], x = i / 3 % size / blocks[view];
        pixels[i] = (uint8_t)(random_weights_bits(SEED, name, (uint64_t)((y * size + x) * 3 + i % 3)) >> 56);
    }
    return pixels;
}

// Gives each block the two vectors of LayerScale and folds them.
static void fold_layer_scale(const struct network *network, struct weights *weights)
{
    struct error err = {""};
    struct weights *scales = weights_new();
    char name[TENSOR_NAME_SIZE];
    const int64_t width = network->tensors[network->embedding].columns;
    for (int i = 0; i < 2 * DINOV2_BLOCKS; i++) {
        snprintf(name, sizeof name, "blocks.%d.ls%d.gamma", i / 2, 1 + i % 2);
        random_weights_add(scales, name, 1, &width, SEED);
    }
    assert_int_equal(layer_scale_fold(scales, weights, &err), STATUS_OK);
    weights_close(scales);
}

// Weights of the size the architecture was made for, fitted to the network.
static struct weights *make_weights(const struct network *network)
{
    struct error err = {""};
    struct network *original = NULL;
    struct weights *weights = weights_new();
    bool dinov2 = strcmp(network->architecture, "vit_small_patch14_dinov2") == 0;
    int size = dinov2 ? 518 : 224;
    assert_int_equal(network_build_sized(&original, network->architecture, size, CLASSES, &err), STATUS_OK);
    random_weights_fill(weights, original, SEED);
    assert_int_equal(network_fit_weights(network, weights, &err), STATUS_OK);
    if (dinov2)
        fold_layer_scale(network, weights);
    network_free(original);
    return weights;
}

static void run(struct backend *backend, const struct network *network, enum explanation explanation,
                const struct golden *golden)
{
    static float logits[VIEWS * CLASSES], maps[VIEWS * MAX_PLACES], embeddings[VIEWS * MAX_WIDTH];
    uint8_t *pixels[VIEWS];
    struct error err = {""};
    struct weights *weights = make_weights(network);
    struct plan_options options = {.precision = PRECISION_FP32, .max_batch = VIEWS, .attention = explanation};
    struct plan *plan = NULL;
    if (backend_prepare(backend, network, weights, &options, &plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    weights_close(weights);
    assert_int_equal(plan->heads, explanation != EXPLAIN_NOTHING);
    for (int view = 0; view < VIEWS; view++)
        pixels[view] = make_view(view, network->image_size);
    assert_int_equal(plan->embedding_width, network->tensors[network->embedding].columns);
    struct inference result = {.logits = logits, .attention = maps, .embedding = embeddings};
    assert_int_equal(plan_run(plan, (const uint8_t *const *)pixels, VIEWS, &result, &err), STATUS_OK);
    double tolerance = fmax(2e-5, 3 * golden->float32);
    double worst = distance(golden->logits[0], CLASSES, logits, VIEWS, CLASSES);
    printf("%s at %d on %s: logits %.2g of the range away, %.2g allowed\n", network->architecture,
           network->image_size, plan->backend->device_class, worst, tolerance);
    assert_true(worst <= tolerance);
    if (explanation != EXPLAIN_NOTHING) {
        assert_int_equal(plan->map_height, golden->height);
        assert_int_equal(plan->map_width, golden->width);
        worst = distance(golden->map[0], MAX_PLACES, maps, VIEWS, golden->height * golden->width);
        printf("    map %.2g of the range away\n", worst);
        assert_true(worst <= tolerance);
    }
    if (golden->embedding_width > 0) {
        assert_int_equal(plan->embedding_width, golden->embedding_width);
        worst = distance(golden->embedding, 0, embeddings + (VIEWS - 1) * golden->embedding_width, 1,
                         golden->embedding_width);
        printf("    embedding %.2g of the range away\n", worst);
        assert_true(worst <= tolerance);
    }
    for (int view = 0; view < VIEWS; view++)
        free(pixels[view]);
    plan_free(plan);
}

// Takes the backend and closes it.
static void check_network(struct backend *backend, const char *architecture, int image_size,
                          enum explanation explanation)
{
    static struct golden golden;
    struct error err = {""};
    struct network *network = NULL;
    read_golden(architecture, image_size, &golden);
    read_embedding(architecture, image_size, &golden);
    assert_int_equal(network_build_sized(&network, architecture, image_size, CLASSES, &err), STATUS_OK);
    run(backend, network, explanation, &golden);
    network_free(network);
    backend_close(backend);
}

static struct backend *open_cpu(void)
{
    struct backend *backend = NULL;
    struct error err = {""};
    assert_int_equal(backend_open(&backend, "cpu", 2, &err), STATUS_OK);
    return backend;
}

static void resnet18_on_the_plain_executor(void **state)
{
    (void)state;
    check_network(cpu_plain_backend_open(), "resnet18", 224, EXPLAIN_LAST);
    check_network(cpu_plain_backend_open(), "resnet18", 97, EXPLAIN_LAST);
}

static void resnet18_on_the_cpu(void **state)
{
    (void)state;
    check_network(open_cpu(), "resnet18", 224, EXPLAIN_LAST);
    check_network(open_cpu(), "resnet18", 97, EXPLAIN_NOTHING);
}

static void efficientnet_b4_on_the_plain_executor(void **state)
{
    (void)state;
    check_network(cpu_plain_backend_open(), "efficientnet_b4", 224, EXPLAIN_LAST);
}

static void efficientnet_b4_on_the_cpu(void **state)
{
    (void)state;
    check_network(open_cpu(), "efficientnet_b4", 224, EXPLAIN_LAST);
    check_network(open_cpu(), "efficientnet_b4", 320, EXPLAIN_LAST);
}

static void efficientnet_lite0_on_both_executors(void **state)
{
    (void)state;
    check_network(cpu_plain_backend_open(), "efficientnet_lite0", 97, EXPLAIN_LAST);
    check_network(open_cpu(), "efficientnet_lite0", 224, EXPLAIN_LAST);
    check_network(open_cpu(), "efficientnet_lite0", 97, EXPLAIN_LAST);
}

static void efficientnet_lite0_as_tensorflow_pads(void **state)
{
    (void)state;
    check_network(cpu_plain_backend_open(), "tf_efficientnet_lite0", 97, EXPLAIN_LAST);
    check_network(open_cpu(), "tf_efficientnet_lite0", 224, EXPLAIN_LAST);
    check_network(open_cpu(), "tf_efficientnet_lite0", 97, EXPLAIN_LAST);
}

static void dinov2_takes_patches_of_14(void **state)
{
    (void)state;
    check_network(cpu_plain_backend_open(), "vit_small_patch14_dinov2", 98, EXPLAIN_ROLLOUT);
    check_network(open_cpu(), "vit_small_patch14_dinov2", 224, EXPLAIN_ROLLOUT);
    check_network(open_cpu(), "vit_small_patch14_dinov2", 98, EXPLAIN_ROLLOUT);
}

static void transformers_take_other_image_sizes(void **state)
{
    (void)state;
    check_network(open_cpu(), "vit_tiny_patch16_224", 160, EXPLAIN_NOTHING);
    check_network(open_cpu(), "vit_tiny_patch16_224", 320, EXPLAIN_NOTHING);
    check_network(open_cpu(), "vit_tiny_patch16_224", 384, EXPLAIN_NOTHING);
}

static void attention_is_rolled_out(void **state)
{
    (void)state;
    check_network(cpu_plain_backend_open(), "vit_tiny_patch16_224", 224, EXPLAIN_ROLLOUT);
    check_network(cpu_plain_backend_open(), "vit_tiny_patch16_224", 160, EXPLAIN_ROLLOUT);
    check_network(open_cpu(), "vit_tiny_patch16_224", 160, EXPLAIN_ROLLOUT);
}

static void only_attention_can_be_rolled_out(void **state)
{
    (void)state;
    struct error err = {""};
    struct network *network = NULL;
    struct plan *plan = NULL;
    assert_int_equal(network_build_sized(&network, "resnet18", 32, CLASSES, &err), STATUS_OK);
    struct weights *weights = make_weights(network);
    struct backend *backend = cpu_plain_backend_open();
    struct plan_options options = {.precision = PRECISION_FP32, .max_batch = 1, .attention = EXPLAIN_ROLLOUT};
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "no attention"));
    backend_close(backend);
    weights_close(weights);
    network_free(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet18_on_the_plain_executor),
        cmocka_unit_test(resnet18_on_the_cpu),
        cmocka_unit_test(efficientnet_b4_on_the_plain_executor),
        cmocka_unit_test(efficientnet_b4_on_the_cpu),
        cmocka_unit_test(efficientnet_lite0_on_both_executors),
        cmocka_unit_test(efficientnet_lite0_as_tensorflow_pads),
        cmocka_unit_test(dinov2_takes_patches_of_14),
        cmocka_unit_test(transformers_take_other_image_sizes),
        cmocka_unit_test(attention_is_rolled_out),
        cmocka_unit_test(only_attention_can_be_rolled_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
