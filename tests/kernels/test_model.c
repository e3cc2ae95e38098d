// test_model.c: model directories: saved and opened again, and refused when any part does not fit: manifest,
// file, digest, architecture, values.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "kernels/backend.h"
#include "kernels/model/model.h"
#include "kernels/model/random_weights.h"
#include "tests/support/process.h"

static char folder[SCRATCH_SIZE]; // the model directory itself

static const char *path_of(const char *name)
{
    static char path[SCRATCH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct manifest make_manifest(void)
{
    struct manifest manifest = {.name = "vit-tiny",
                                .version = "1.2.3",
                                .model_version = "vit-tiny-v1.2.3",
                                .architecture = "vit_tiny_patch16_224",
                                .image_size = 224,
                                .preprocessing = {"v1", 256, 224, {0.485f, 0.5f, 0.25f}, {0.229f, 0.5f, 1}},
                                .temperature = 1.5f,
                                .weights_file = "model.safetensors",
                                .weights_dtype = "BF16", // the file decides
                                .licence = "CC0-1.0"};
    return manifest;
}

static void remove_files(void)
{
    static const char *const names[] = {"manifest.json", "model.safetensors", "card.md",
                                        "reference.safetensors"};
    for (int i = 0; i < 4; i++)
        unlink(path_of(names[i]));
}

// A whole directory of an architecture, made anew for each test; change may spoil the weights.
static void save_network(const char *architecture, void (*change)(float *values, const struct weight *weight))
{
    struct error err = {""};
    struct network *network = NULL;
    struct weights *whole = weights_new(), *weights = weights_new();
    struct manifest manifest = make_manifest();
    strcpy(manifest.architecture, architecture);
    remove_files();
    assert_int_equal(network_build(&network, manifest.architecture, 8, &err), STATUS_OK);
    random_weights_fill(whole, network, 5);
    for (size_t i = 0; i < weights_count(whole); i++) {
        const struct weight *weight = weights_at(whole, i);
        float *values = memory_alloc(weight->size);
        weight_to_float(weight, values);
        if (change)
            change(values, weight);
        weights_add(weights, weight->name, weight->rank, weight->shape, values);
        free(values);
    }
    if (model_save(folder, &manifest, weights, &(struct model_extras){0}, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    weights_close(whole);
    weights_close(weights);
    network_free(network);
}

static void save_model(void (*change)(float *values, const struct weight *weight))
{
    save_network("vit_tiny_patch16_224", change);
}

static void check_refused(const char *sentence)
{
    struct error err = {""};
    struct model *model = NULL;
    enum status status = model_open(&model, folder, &err);
    assert_int_not_equal(status, STATUS_OK);
    assert_null(model);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
}

static size_t read_manifest(char *text, size_t size)
{
    FILE *file = fopen(path_of("manifest.json"), "rb");
    assert_non_null(file);
    size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    return length;
}

// Replaces the first `old` in the manifest.
static void edit_manifest(const char *old, const char *new)
{
    static char text[8192];
    read_manifest(text, sizeof text);
    char *at = strstr(text, old);
    assert_non_null(at);
    FILE *file = fopen(path_of("manifest.json"), "wb");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    assert_int_equal(fclose(file), 0);
}

static void what_is_saved_opens_again(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *model = NULL;
    char text[8192];
    struct manifest expected = make_manifest();
    save_model(NULL);
    if (model_open(&model, folder, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    const struct manifest *manifest = &model->manifest;
    assert_string_equal(manifest->name, expected.name);
    assert_string_equal(manifest->version, expected.version);
    assert_string_equal(manifest->model_version, expected.model_version);
    assert_string_equal(manifest->licence, expected.licence);
    assert_string_equal(manifest->weights_dtype, "F32");
    assert_memory_equal(&manifest->preprocessing, &expected.preprocessing, sizeof expected.preprocessing);
    assert_memory_equal(model->network->mean, expected.preprocessing.mean, sizeof model->network->mean);
    assert_memory_equal(model->network->std, expected.preprocessing.std, sizeof model->network->std);
    assert_true(manifest->temperature == expected.temperature);
    assert_false(manifest->trained);
    assert_int_equal(model->network->classes, 8);
    assert_non_null(weights_find(model->weights, "blocks.11.mlp.fc2.weight"));
    model_close(model);
    read_manifest(text, sizeof text);
    assert_non_null(strstr(text, "[0.485, 0.5, 0.25]")); // as they were typed, not 0.485000014
    assert_int_equal(access(path_of("card.md"), R_OK), 0);
    assert_int_not_equal(access(path_of("manifest.json.partial"), F_OK), 0);
}

static void the_record_of_the_training_goes_along(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *model = NULL;
    save_model(NULL);
    edit_manifest("\"training\":\t{\n\t}", "\"training\": {\"epochs\": 3, \"rate\": 0.1, \"seeds\": [1, 2]}");
    if (model_open(&model, folder, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    char *copy = memory_format("%s/copy", folder), *kept = memory_format("%s", folder), text[8192];
    if (model_save(copy, &model->manifest, model->weights, &(struct model_extras){0}, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    model_close(model);
    strcpy(folder, copy);
    read_manifest(text, sizeof text);
    scratch_remove(copy);
    strcpy(folder, kept);
    assert_non_null(strstr(text, "\"epochs\":\t3"));
    assert_non_null(strstr(text, "\"rate\":\t0.1,"));
    assert_non_null(strstr(text, "\"seeds\":\t[1, 2]"));
    free(copy);
    free(kept);
}

static struct ood_reference *some_reference(float count)
{
    struct ood_reference *reference = ood_reference_new(192); // of ViT-Tiny
    for (int i = 0; i < 192; i++)
        reference->whitening[193 * i] = 1;
    reference->counts[0] = count;
    ood_reference_finish(reference);
    return reference;
}

static void a_reference_goes_along_and_is_replaced(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *model = NULL;
    save_model(NULL);
    assert_int_equal(model_open(&model, folder, &err), STATUS_OK);
    assert_null(model->reference);
    model_close(model);
    struct manifest manifest;
    assert_int_equal(manifest_read(folder, &manifest, &err), STATUS_OK);
    for (int count = 1; count <= 2; count++) {
        struct ood_reference *reference = some_reference((float)count);
        if (model_replace_reference(folder, &manifest, reference, &err) != STATUS_OK ||
            model_open(&model, folder, &err) != STATUS_OK)
            fail_msg("%s", err.message);
        assert_non_null(model->reference);
        assert_true(model->reference->counts[0] == (float)count);
        assert_string_equal(model->manifest.licence, manifest.licence);
        model_close(model);
        ood_reference_free(reference);
    }
    FILE *file = fopen(path_of("reference.safetensors"), "ab");
    assert_non_null(file);
    fputc(' ', file);
    assert_int_equal(fclose(file), 0);
    check_refused("reference.safetensors");
    edit_manifest("\"reference\":\t{", "\"reference\": {\"file\": \"../x\"}, \"other\": {");
    check_refused("reference: 'file' must be");
    manifest_release(&manifest);
}

static void a_model_is_never_overwritten(void **state)
{
    (void)state;
    struct error err = {""};
    struct weights *weights = weights_new();
    struct manifest manifest = make_manifest();
    save_model(NULL);
    assert_int_equal(model_save(folder, &manifest, weights, &(struct model_extras){0}, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "holds a model already"));
    assert_int_equal(model_save("/nowhere/at/all", &manifest, weights, &(struct model_extras){0}, &err),
                     STATUS_FATAL);
    weights_close(weights);
}

static void a_changed_weights_file_is_refused(void **state)
{
    (void)state;
    struct stat info;
    save_model(NULL);
    assert_int_equal(stat(path_of("model.safetensors"), &info), 0);
    FILE *file = fopen(path_of("model.safetensors"), "r+b");
    assert_non_null(file);
    fseek(file, (long)info.st_size - 100, SEEK_SET); // one bit of one value
    int byte = fgetc(file);
    fseek(file, (long)info.st_size - 100, SEEK_SET);
    fputc(byte ^ 1, file);
    fclose(file);
    check_refused("model.safetensors: SHA-256 is");
    assert_int_equal(truncate(path_of("model.safetensors"), info.st_size - 4), 0);
    check_refused("model.safetensors");
    unlink(path_of("model.safetensors"));
    check_refused("model.safetensors");
}

// The values stay, so that the digest is right: a plan may have been made of others in between.
static void a_file_written_to_while_it_is_read_is_noticed(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *model;
    save_model(NULL);
    if (model_open(&model, folder, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(weights_check_unchanged(model->weights, &err), STATUS_OK);
    FILE *file = fopen(path_of("model.safetensors"), "r+b");
    assert_non_null(file);
    int byte = fgetc(file);
    fseek(file, 0, SEEK_SET);
    fputc(byte, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(weights_check_unchanged(model->weights, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, path_of("model.safetensors: the file changed while it was read")));
    model_close(model);
}

static void a_missing_or_broken_manifest_is_refused(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *model = NULL;
    remove_files();
    check_refused("manifest.json");
    assert_int_equal(model_open(&model, "/nowhere/at/all", &err), STATUS_FATAL);
    assert_int_equal(mkfifo(path_of("manifest.json"), 0600), 0); // must not hold us up
    check_refused("not a regular file");
    unlink(path_of("manifest.json"));
    FILE *file = fopen(path_of("manifest.json"), "wb");
    assert_non_null(file);
    fputs("{\"schema\": ", file);
    fclose(file);
    check_refused("manifest.json");
    file = fopen(path_of("manifest.json"), "wb");
    assert_non_null(file);
    fputs("[]", file);
    fclose(file);
    check_refused("not a JSON object");
    file = fopen(path_of("manifest.json"), "wb");
    assert_non_null(file);
    fputs("{\"schema\": \"skinsight.model.v1\", \"training\": {\"a\": 1, \"a\": 2}}", file);
    fclose(file);
    check_refused("'a' stands there twice");
}

static void a_wrong_field_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *old, *new, *sentence;
    } edits[] = {
        {"skinsight.model.v1", "skinsight.model.v2", "'schema'"},
        {"\"vit-tiny\"", "\"vit tiny\"", "'name'"},
        {"\"1.2.3\"", "\"1.2\"", "'version'"},
        {"\"1.2.3\"", "\"1.02.3\"", "'version'"},
        {"\"vit-tiny-v1.2.3\"", "\"\"", "'model_version'"},
        {"vit_tiny_patch16_224", "vit_mini_patch16_224", "vit_mini"},
        {"vit_tiny_patch16_224", "vit_small_patch16_224", "patch_embed.proj.weight"},
        {"\"image_size\":\t224", "\"image_size\":\t256", "'image_size'"},
        {"\"MEL\", \"NV\"", "\"NV\", \"MEL\"", "'classes'"},
        {", \"SCC\"", "", "'classes'"},
        {"\"v1\"", "\"v2\"", "'version'"},
        {"256", "200", "'crop'"},
        {"256", "1e9", "'resize'"},
        {"[0.485,", "[", "'mean'"},
        {"[0.229,", "[0,", "'std'"},
        {"[0.229,", "[\"1\",", "'std'"},
        {"1.5", "0", "'temperature'"},
        {"1.5", "null", "'temperature'"},
        {"\"F32\"", "\"F64\"", "'dtype'"},
        {"\"F32\"", "\"BF16\"", "model.safetensors: its numbers are F32, the manifest says BF16"},
        {"\"training\":\t{\n\t}", "\"training\":\t[]", "'training'"},
        {"\"sha256\":\t\"", "\"sha256\":\t\"0", "'sha256'"},
        {"\"trained\":\tfalse", "\"trained\":\t0", "'trained'"},
        {"CC0-1.0", "CC0\\n", "'licence'"},
        {"\"licence\"", "\"license\"", "'licence'"},
    };
    save_model(NULL);
    char whole[8192];
    read_manifest(whole, sizeof whole);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        edit_manifest(edits[i].old, edits[i].new);
        check_refused(edits[i].sentence);
        FILE *file = fopen(path_of("manifest.json"), "wb");
        assert_non_null(file);
        fputs(whole, file);
        fclose(file);
    }
}

static void files_outside_the_directory_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "../model.safetensors", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "model\\u0000.safetensors"};
    save_model(NULL);
    const char *old = "model.safetensors";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *from = memory_format("\"file\":\t\"%s\"", old),
             *to = memory_format("\"file\":\t\"%s\"", names[i]);
        edit_manifest(from, to);
        check_refused(i + 1 < sizeof names / sizeof names[0] ? "'file' must be the plain name"
                                                             : "manifest.json");
        free(from);
        free(to);
        old = names[i];
    }
}

// The manifest's image size and preprocessing become size and size + 32.
static void edit_image_size(int size)
{
    char text[64];
    snprintf(text, sizeof text, "\"image_size\":\t%d", size);
    edit_manifest("\"image_size\":\t224", text);
    snprintf(text, sizeof text, "\"resize\":\t%d", size + 32);
    edit_manifest("\"resize\":\t256", text);
    snprintf(text, sizeof text, "\"crop\":\t%d", size);
    edit_manifest("\"crop\":\t224", text);
}

static void another_image_size_gets_interpolated_positions(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *model = NULL;
    save_model(NULL);
    edit_image_size(160);
    if (model_open(&model, folder, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(model->network->image_size, 160);
    assert_int_equal(weights_find(model->weights, "pos_embed")->shape[1], 101);
    model_close(model);
    save_model(NULL);
    edit_image_size(230);
    check_refused("manifest.json: vit_tiny_patch16_224 can't take images of 230 x 230: a side must be a "
                  "multiple of 16");
}

static void put_nan(float *values, const struct weight *weight)
{
    if (strcmp(weight->name, "blocks.3.norm2.bias") == 0)
        values[17] = NAN;
}

static void values_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    save_model(put_nan);
    check_refused("tensor 'blocks.3.norm2.bias' is not finite: value 17");
}

static void spoil_variance(float *values, const struct weight *weight)
{
    if (strcmp(weight->name, "layer2.1.bn1.running_var") == 0)
        values[21] = NAN;
    if (strcmp(weight->name, "layer3.0.bn1.running_var") == 0)
        values[9] = -1;
}

static void variances_are_refused_for_what_is_wrong(void **state)
{
    (void)state;
    save_network("resnet18", spoil_variance);
    check_refused("tensor 'layer2.1.bn1.running_var' is not finite: value 21");
}

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_opens_again),
        cmocka_unit_test(the_record_of_the_training_goes_along),
        cmocka_unit_test(a_reference_goes_along_and_is_replaced),
        cmocka_unit_test(a_model_is_never_overwritten),
        cmocka_unit_test(a_changed_weights_file_is_refused),
        cmocka_unit_test(a_file_written_to_while_it_is_read_is_noticed),
        cmocka_unit_test(a_missing_or_broken_manifest_is_refused),
        cmocka_unit_test(a_wrong_field_is_refused_by_name),
        cmocka_unit_test(files_outside_the_directory_are_refused),
        cmocka_unit_test(values_that_are_no_numbers_are_refused),
        cmocka_unit_test(variances_are_refused_for_what_is_wrong),
        cmocka_unit_test(another_image_size_gets_interpolated_positions),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
