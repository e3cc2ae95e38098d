// test_import.c: weights files become model directories: which heads are kept, replaced or refused, and that
// no tensor is lost, invented or left over.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "kernels/model/model.h"
#include "kernels/model/random_weights.h"
#include "tests/support/process.h"
#include "trainer/import.h"

static char folder[SCRATCH_SIZE], source_path[SCRATCH_SIZE + 8], model_path[SCRATCH_SIZE + 8];

static void remove_model(void)
{
    scratch_remove(model_path);
}

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    snprintf(source_path, sizeof source_path, "%s/source", folder);
    snprintf(model_path, sizeof model_path, "%s/model", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

// A file with an architecture's tensors, a head of the given rows (0: none) and one more tensor where it is
// named.
static void write_source_of(const char *architecture, const char *head_prefix, int head_rows,
                            const char *extra)
{
    struct error err = {""};
    struct network *network = NULL;
    struct weights *all = weights_new(), *chosen = weights_new();
    assert_int_equal(network_build(&network, architecture, head_rows ? head_rows : 1, &err), STATUS_OK);
    random_weights_fill(all, network, 21);
    for (size_t i = 0; i < weights_count(all); i++) {
        const struct weight *weight = weights_at(all, i);
        if (head_rows > 0 || strncmp(weight->name, head_prefix, strlen(head_prefix)) != 0)
            weights_add(chosen, weight->name, weight->rank, weight->shape, weight->data);
    }
    if (extra)
        weights_add(chosen, extra, 1, (int64_t[]){1}, (float[]){1});
    assert_int_equal(weights_save(chosen, source_path, &err), STATUS_OK);
    weights_close(all);
    weights_close(chosen);
    network_free(network);
}

static void write_source(int head_rows, const char *extra)
{
    write_source_of("vit_tiny_patch16_224", "head.", head_rows, extra);
}

static enum status import_source(const char *model_version, struct import_result *result, struct error *err)
{
    struct import_options options = {.architecture = "vit_tiny_patch16_224",
                                     .weights = source_path,
                                     .directory = model_path,
                                     .model_version = model_version,
                                     .seed = 9};
    remove_model();
    return import_model(&options, result, err);
}

static struct model *open_model(void)
{
    struct error err = {""};
    struct model *model = NULL;
    if (model_open(&model, model_path, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return model;
}

// Whether the tensor has the values the generator gives for the seed.
static bool has_values_of(const struct model *model, const char *name, uint64_t seed)
{
    struct weights *weights = weights_new();
    const struct weight *found = weights_find(model->weights, name);
    random_weights_add(weights, name, found->rank, found->shape, seed);
    bool equal = memcmp(weights_at(weights, 0)->data, found->data, found->size) == 0;
    weights_close(weights);
    return equal;
}

static void a_head_of_eight_rows_is_kept(void **state)
{
    (void)state;
    struct error err = {""};
    struct import_result result;
    write_source(8, "norm.num_batches_tracked");
    if (import_source("tiny-v2-v2.1.0", &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(result.trained);
    struct model *model = open_model();
    assert_true(model->manifest.trained);
    assert_string_equal(model->manifest.model_version, "tiny-v2-v2.1.0");
    assert_string_equal(model->manifest.version, "2.1.0");
    assert_string_equal(model->manifest.name, "vit-tiny");
    assert_int_equal(model->manifest.preprocessing.resize, 256);
    assert_true(has_values_of(model, "head.weight", 21));
    assert_true(has_values_of(model, "blocks.11.attn.qkv.weight", 21));
    assert_int_equal(weights_count(model->weights), 152); // timm's state_dict of a ViT of 12 blocks
    model_close(model);
}

// A file of DINOv2: positions of 37 x 37 patches, and LayerScale, here 1 + row / 4 of every vector.
static void write_dinov2(int scales, int rows)
{
    struct error err = {""};
    struct network *network = NULL;
    struct weights *weights = weights_new();
    float values[384];
    char name[TENSOR_NAME_SIZE];
    assert_int_equal(network_build_sized(&network, "vit_small_patch14_dinov2", 518, 8, &err), STATUS_OK);
    random_weights_fill(weights, network, 21);
    for (int i = 0; i < rows; i++)
        values[i] = 1 + (float)i / 4;
    for (int i = 0; i < scales; i++) {
        snprintf(name, sizeof name, "blocks.%d.ls%d.gamma", i / 2, 1 + i % 2);
        weights_add(weights, name, 1, (int64_t[]){rows}, values);
    }
    assert_int_equal(weights_save(weights, source_path, &err), STATUS_OK);
    weights_close(weights);
    network_free(network);
}

static enum status import_dinov2(struct import_result *result, struct error *err)
{
    struct import_options options = {.architecture = "vit_small_patch14_dinov2",
                                     .image_size = 28, // a network whose known answers cost nothing
                                     .weights = source_path,
                                     .directory = model_path};
    remove_model();
    return import_model(&options, result, err);
}

// Each value times what its row has in the vector; small multiples of 1/4 are exact.
static void check_scaled(const struct model *model, const char *name)
{
    struct weights *original = weights_new();
    const struct weight *found = weights_find(model->weights, name);
    random_weights_add(original, name, found->rank, found->shape, 21);
    const float *from = weights_at(original, 0)->data;
    float *values = memory_alloc(found->count * sizeof *values);
    weight_to_float(found, values);
    for (size_t i = 0; i < found->count; i++)
        assert_true(values[i] == (float)((double)from[i] * (1 + (double)(i / (found->count / 384)) / 4)));
    free(values);
    weights_close(original);
}

static void layer_scale_is_multiplied_in(void **state)
{
    (void)state;
    struct error err = {""};
    struct import_result result;
    write_dinov2(24, 384);
    if (import_dinov2(&result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    struct model *model = open_model();
    assert_int_equal(weights_find(model->weights, "pos_embed")->shape[1], 5);
    assert_int_equal(weights_count(model->weights), 152);
    check_scaled(model, "blocks.0.attn.proj.weight");
    check_scaled(model, "blocks.3.attn.proj.bias");
    check_scaled(model, "blocks.7.mlp.fc2.weight");
    check_scaled(model, "blocks.11.mlp.fc2.bias");
    assert_true(has_values_of(model, "blocks.11.mlp.fc1.weight", 21));
    model_close(model);
    write_dinov2(24, 383);
    assert_int_equal(import_dinov2(&result, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "'blocks.0.ls1.gamma' has no 'blocks.0.attn.proj.weight'"));
    write_dinov2(26, 384); // of a thirteenth block
    assert_int_equal(import_dinov2(&result, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "'blocks.12.ls1.gamma'"));
}

static void check_cnn(const char *architecture, const char *head_prefix, int image_size, int head_rows,
                      const char *some_weight)
{
    struct error err = {""};
    struct import_result result;
    struct import_options options = {.architecture = architecture,
                                     .image_size = image_size,
                                     .weights = source_path,
                                     .directory = model_path,
                                     .seed = 9};
    remove_model();
    write_source_of(architecture, head_prefix, head_rows, "bn1.num_batches_tracked");
    if (import_model(&options, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(result.trained, head_rows == 8);
    struct model *model = open_model();
    char head[TENSOR_NAME_SIZE];
    snprintf(head, sizeof head, "%sweight", head_prefix);
    assert_true(has_values_of(model, head, head_rows == 8 ? 21 : 9));
    assert_true(has_values_of(model, some_weight, 21));
    assert_true(has_values_of(model, "bn1.running_var", 21));
    int expected = image_size ? image_size : model->network->image_size;
    assert_int_equal(model->manifest.image_size, expected);
    assert_int_equal(model->manifest.preprocessing.crop, expected);
    assert_int_equal(model->manifest.preprocessing.resize, expected + 32);
    model_close(model);
}

static void convolutional_networks_are_imported_at_any_size(void **state)
{
    struct model *model;
    (void)state;
    check_cnn("resnet18", "fc.", 0, 8, "layer4.0.downsample.1.running_mean");
    check_cnn("resnet18", "fc.", 0, 1000, "layer1.1.conv2.weight");
    check_cnn("efficientnet_b4", "classifier.", 0, 0, "blocks.5.7.se.conv_expand.bias");
    check_cnn("efficientnet_b4", "classifier.", 96, 1000, "conv_head.weight");
    check_cnn("efficientnet_lite0", "classifier.", 0, 1000, "blocks.6.0.conv_pwl.weight");
    check_cnn("tf_efficientnet_lite0", "classifier.", 0, 1000, "conv_stem.weight");
    model = open_model();
    assert_true(model->manifest.preprocessing.mean[0] == 0.5f &&
                model->manifest.preprocessing.std[2] == 0.5f);
    model_close(model);
}

static void positions_are_interpolated_to_the_image_size(void **state)
{
    (void)state;
    struct error err = {""};
    struct import_result result;
    struct import_options options = {.architecture = "vit_tiny_patch16_224",
                                     .image_size = 384,
                                     .weights = source_path,
                                     .model_version = "tiny-of-tuesday",
                                     .directory = model_path};
    write_source(8, NULL);
    remove_model();
    if (import_model(&options, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    struct model *model = open_model();
    assert_string_equal(model->manifest.version, "0.1.0"); // a name without one
    assert_int_equal(model->manifest.image_size, 384);
    assert_int_equal(weights_find(model->weights, "pos_embed")->shape[1], 577);
    model_close(model);
    remove_model();
    options.image_size = 390;
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "390 x 390"));
    assert_int_not_equal(access(model_path, F_OK), 0);
}

static void check_fresh_head(int rows)
{
    struct error err = {""};
    struct import_result result;
    write_source(rows, NULL);
    if (import_source(NULL, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_false(result.trained);
    assert_int_equal(result.head_rows, rows);
    struct model *model = open_model();
    assert_false(model->manifest.trained);
    assert_string_equal(model->manifest.model_version, "vit-tiny-v0.1.0");
    assert_int_equal(weights_find(model->weights, "head.weight")->shape[0], 8);
    assert_true(has_values_of(model, "head.weight", 9));
    assert_true(has_values_of(model, "head.bias", 9));
    assert_true(has_values_of(model, "norm.weight", 21));
    model_close(model);
}

static void imagenet_heads_and_none_are_replaced(void **state)
{
    (void)state;
    check_fresh_head(1000);
    check_fresh_head(21843);
    check_fresh_head(0);
}

static void check_refused(const char *sentence)
{
    struct error err = {""};
    struct import_result result;
    assert_int_equal(import_source(NULL, &result, &err), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
    assert_int_not_equal(access(model_path, F_OK), 0); // nothing was written
}

static void other_files_are_refused_by_the_tensor(void **state)
{
    (void)state;
    write_source(9, NULL);
    check_refused("'head.weight' has 9 rows");
    write_source(8, "mask_token");
    check_refused("'mask_token' has no place");
    write_source_of("resnet18", "fc.", 8, NULL);
    check_refused("has no place in vit_tiny_patch16_224; these are weights of resnet18");
    write_source(8, NULL);
    FILE *file = fopen(source_path, "r+b");
    assert_non_null(file);
    fputc(0, file); // the header's length
    fclose(file);
    check_refused("source");
}

// Before anything is copied: the file goes on to what has no place, and is not read that far.
static void another_shape_is_refused_first(void **state)
{
    (void)state;
    struct error err = {""};
    static const struct {
        const char *name, *sentence;
        int rank;
        int64_t shape[3];
    } cases[] = {
        {"norm.weight", "tensor 'norm.weight' has shape 3, vit_tiny_patch16_224 needs 192", 1, {3}},
        {"head.weight",
         "tensor 'head.weight' has shape 8 x 2, vit_tiny_patch16_224 needs 8 x 192",
         2,
         {8, 2}},
        {"head.bias", "tensor 'head.bias' has shape 8 x 1, vit_tiny_patch16_224 needs 8", 2, {8, 1}},
        {"pos_embed", "tensor 'pos_embed' (1 x 7 x 192) is not a class token and a square", 3, {1, 7, 192}},
        {"pos_embed", "tensor 'pos_embed' has shape 2 x 197, vit_tiny_patch16_224 needs", 2, {2, 197}},
    };
    static const float values[7 * 192];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct weights *weights = weights_new();
        weights_add(weights, cases[i].name, cases[i].rank, cases[i].shape, values);
        if (strcmp(cases[i].name, "head.weight") != 0)
            weights_add(weights, "head.weight", 2, (int64_t[]){8, 192}, (float[8 * 192]){0});
        weights_add(weights, "nobody.knows", 1, (int64_t[]){1}, values);
        assert_int_equal(weights_save(weights, source_path, &err), STATUS_OK);
        weights_close(weights);
        check_refused(cases[i].sentence);
    }
}

static void whole_numbers_are_no_weights(void **state)
{
    (void)state;
    static const char header[] =
        "{\"cls_token\":{\"dtype\":\"I8\",\"shape\":[1,1,192],\"data_offsets\":[0,192]}}";
    const uint64_t size = sizeof header - 1; // little-endian, as the processor is
    const char data[192] = {0};
    FILE *file = fopen(source_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(&size, sizeof size, 1, file), 1);
    assert_int_equal(fwrite(header, size, 1, file), 1);
    assert_int_equal(fwrite(data, sizeof data, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    check_refused("'cls_token' holds whole numbers");
}

// Every weight is finite, the sums are not.
static void a_network_whose_answers_are_no_numbers_leaves_nothing(void **state)
{
    (void)state;
    struct error err = {""};
    struct network *network = NULL;
    struct weights *weights = weights_new();
    assert_int_equal(network_build(&network, "vit_tiny_patch16_224", 8, &err), STATUS_OK);
    random_weights_fill(weights, network, 21);
    const struct weight *head = weights_find(weights, "head.weight");
    const int64_t shape[] = {head->shape[0], head->shape[1]};
    float *values = memory_alloc(head->size);
    for (size_t i = 0; i < head->count; i++)
        values[i] = 3e38f;
    weights_replace(weights, "head.weight", 2, shape, values);
    assert_int_equal(weights_save(weights, source_path, &err), STATUS_OK);
    free(values);
    weights_close(weights);
    network_free(network);
    check_refused("its answer to a known image is not finite");
    assert_int_not_equal(access(model_path, F_OK), 0);
}

static void a_missing_tensor_is_refused_by_name(void **state)
{
    (void)state;
    struct error err = {""};
    struct weights *weights = weights_new();
    weights_add(weights, "cls_token", 3, (int64_t[]){1, 1, 192}, (float[192]){1, 2});
    assert_int_equal(weights_save(weights, source_path, &err), STATUS_OK);
    weights_close(weights);
    check_refused("'patch_embed.proj.weight' (192 x 3 x 16 x 16) is missing");
}

static void random_weights_make_a_model(void **state)
{
    (void)state;
    struct error err = {""};
    struct import_result result;
    struct import_options options = {.architecture = "vit_tiny_patch16_224",
                                     .directory = model_path,
                                     .name = "demo",
                                     .model_version = "demo-vit-v0.3.1-untrained",
                                     .seed = 77};
    remove_model();
    if (import_model(&options, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_false(result.trained);
    assert_string_equal(result.model_version, "demo-vit-v0.3.1-untrained");
    struct model *model = open_model();
    assert_string_equal(model->manifest.name, "demo");
    assert_string_equal(model->manifest.version, "0.3.1");
    assert_true(has_values_of(model, "pos_embed", 77));
    model_close(model);
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED); // it is there already
}

static void names_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct error err = {""};
    struct import_result result;
    char name[100];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    remove_model();
    struct import_options options = {
        .architecture = "vit_tiny_patch16_224", .directory = model_path, .name = name};
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED);
    options.name = name + sizeof name - 1 - 60; // fits, but not with its version
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED);
    options.name = "a b";
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED);
    options.name = "";
    options.model_version = "a/b";
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED);
    options.architecture = "resnet";
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED);
    assert_int_not_equal(access(model_path, F_OK), 0);
}

static void its_own_source_is_not_overwritten(void **state)
{
    (void)state;
    struct error err = {""};
    struct import_result result;
    char own[sizeof model_path + 32];
    snprintf(own, sizeof own, "%s/model.safetensors", model_path);
    remove_model();
    write_source(1000, NULL);
    assert_int_equal(mkdir(model_path, 0700), 0);
    assert_int_equal(link(source_path, own), 0);
    struct import_options options = {
        .architecture = "vit_tiny_patch16_224", .weights = own, .directory = model_path};
    assert_int_equal(import_model(&options, &result, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "would be overwritten"));
    struct weights *kept = NULL;
    assert_int_equal(weights_open(&kept, own, &err), STATUS_OK);
    assert_int_equal(weights_find(kept, "head.weight")->shape[0], 1000);
    weights_close(kept);
    assert_int_equal(unlink(own), 0);
    remove_model();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_own_source_is_not_overwritten),
        cmocka_unit_test(a_head_of_eight_rows_is_kept),
        cmocka_unit_test(convolutional_networks_are_imported_at_any_size),
        cmocka_unit_test(positions_are_interpolated_to_the_image_size),
        cmocka_unit_test(layer_scale_is_multiplied_in),
        cmocka_unit_test(imagenet_heads_and_none_are_replaced),
        cmocka_unit_test(other_files_are_refused_by_the_tensor),
        cmocka_unit_test(another_shape_is_refused_first),
        cmocka_unit_test(whole_numbers_are_no_weights),
        cmocka_unit_test(a_network_whose_answers_are_no_numbers_leaves_nothing),
        cmocka_unit_test(a_missing_tensor_is_refused_by_name),
        cmocka_unit_test(random_weights_make_a_model),
        cmocka_unit_test(names_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
