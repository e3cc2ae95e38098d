// test_convert.c: skinsight-trainer convert: a directory of half the size that a worker takes, without what
// was measured of the old weights.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/model/model.h"
#include "tests/support/process.h"
#include "trainer/convert.h"
#include "trainer/import.h"

static char folder[SCRATCH_SIZE], from[SCRATCH_SIZE + 16], to[SCRATCH_SIZE + 16], adjusted[SCRATCH_SIZE + 16];

static int make_folder(void **state)
{
    (void)state;
    struct error err;
    struct import_result result;
    struct manifest manifest = {0};
    scratch_make(folder);
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(to, sizeof to, "%s/to", folder);
    snprintf(adjusted, sizeof adjusted, "%s/adjusted", folder);
    const struct import_options options = {
        .architecture = "vit_tiny_patch16_224", .directory = from, .seed = 7};
    assert_int_equal(import_model(&options, &result, &err), STATUS_OK);
    assert_int_equal(manifest_read(from, &manifest, &err), STATUS_OK);
    manifest.temperature = 1.5f;
    manifest.proposal = (struct melanoma_proposal){true, 0.3, 0.9, 0.8};
    manifest.trained = true;
    assert_int_equal(manifest_replace(from, &manifest, &err), STATUS_OK);
    manifest_release(&manifest);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static int64_t size_of_weights(const char *directory)
{
    char path[SCRATCH_SIZE + 64];
    struct stat info;
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

static void a_directory_of_half_the_size(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *old = NULL, *new = NULL;
    const struct convert_options options = {.model = from, .directory = to, .licence = "CC0-1.0"};
    if (convert_model(&options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(model_open(&old, from, &err), STATUS_OK);
    if (model_open(&new, to, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_string_equal(new->manifest.weights_dtype, "BF16");
    assert_true(size_of_weights(to) < size_of_weights(from) * 0.51);
    assert_string_equal(new->manifest.licence, "CC0-1.0");
    assert_string_equal(new->manifest.model_version, old->manifest.model_version);
    assert_true(new->manifest.trained);
    assert_true(new->manifest.temperature == 1);
    assert_false(new->manifest.proposal.given);
    assert_int_equal(new->known_answers.count, old->known_answers.count);
    // Eight bits of each weight are left: the answers move, but not far.
    double moved = 0;
    for (int i = 0; i < LESION_CLASSES; i++)
        moved = fmax(moved, fabs(new->known_answers.logits[0][i] - old->known_answers.logits[0][i]));
    assert_true(moved > 0 && moved < 0.1);
    model_close(old);
    model_close(new);
}

// Of classes as frequent as 8:4:2:1:1:0:0:0, half of the frequencies taken out.
static void logits_are_adjusted_by_the_reference(void **state)
{
    (void)state;
    static const float counts[LESION_CLASSES] = {8, 4, 2, 1, 1, 0, 0, 0};
    struct error err = {""};
    struct model *old = NULL, *new = NULL;
    struct convert_options options = {
        .model = from, .directory = adjusted, .licence = "", .logit_adjustment = 0.5};
    assert_int_equal(convert_model(&options, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "skinsight-trainer reference makes it"));
    assert_int_equal(model_open(&old, from, &err), STATUS_OK);
    // 192: the width of ViT-Tiny.
    struct ood_reference *reference = ood_reference_new(192);
    memcpy(reference->counts, counts, sizeof counts);
    for (int i = 0; i < reference->width; i++)
        reference->whitening[i * reference->width + i] = 1;
    if (model_replace_reference(from, &old->manifest, reference, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    if (convert_model(&options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(model_open(&new, adjusted, &err), STATUS_OK);
    float before[LESION_CLASSES], after[LESION_CLASSES];
    weight_to_float(weights_find(old->weights, "head.bias"), before);
    weight_to_float(weights_find(new->weights, "head.bias"), after);
    for (int i = 0; i < LESION_CLASSES; i++) {
        double expected = before[i] - (counts[i] > 0 ? 0.5 * log(counts[i] / 16.0) : 0);
        assert_true(fabs(after[i] - expected) <= fabs(expected) / 256); // bfloat16
    }
    ood_reference_free(reference);
    model_close(old);
    model_close(new);
}

static void what_is_there_stays(void **state)
{
    (void)state;
    struct error err = {""};
    const struct convert_options options = {.model = from, .directory = from, .licence = ""};
    assert_int_equal(convert_model(&options, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "holds a model already"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_of_half_the_size),
        cmocka_unit_test(logits_are_adjusted_by_the_reference),
        cmocka_unit_test(what_is_there_stays),
    };
    return cmocka_run_group_tests_name("convert", tests, make_folder, remove_folder);
}
