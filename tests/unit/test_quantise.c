// test_quantise.c: skinsight-trainer quantise on eight real images four times each, and what precision auto
// makes of the directory: the fastest precision that the figures and the processor allow, with the reason.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/model/model.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"
#include "trainer/import.h"
#include "trainer/quantise.h"
#include "worker/device/engine.h"

enum { COPIES = 4, FILES = 8, VIEW_SIZE = 224 * 224 * 3 };

enum { PATH_SIZE = SCRATCH_SIZE + 16 };

static char folder[SCRATCH_SIZE];
static char images[PATH_SIZE], others[PATH_SIZE], model[PATH_SIZE], calibrated[PATH_SIZE];
static int complaints;

static void complain(void *context, const char *sentence)
{
    assert_null(context);
    assert_true(sentence[0] != '\0');
    complaints++;
}

// others: the images that are judged are all the same one.
static void link_images(void)
{
    static const char *const names[FILES] = {"ISIC_0000013", "ISIC_0000077", "ISIC_0000176", "ISIC_0000238",
                                             "ISIC_0000265", "ISIC_0000351", "ISIC_0000384", "ISIC_0000548"};
    for (int i = 0; i < FILES * COPIES; i++) {
        char *from = memory_format(TEST_SOURCE_DIR "/tests/data/%s.jpg", names[i % FILES]);
        char *other = memory_format(TEST_SOURCE_DIR "/tests/data/%s.jpg", names[i % 2 ? 3 : i % FILES]);
        char *to = memory_format("%s/%02d.jpg", images, i),
             *to_other = memory_format("%s/%02d.jpg", others, i);
        assert_int_equal(symlink(from, to), 0);
        assert_int_equal(symlink(other, to_other), 0);
        free(from);
        free(other);
        free(to);
        free(to_other);
    }
}

static int make_folder(void **state)
{
    (void)state;
    struct error err;
    struct import_result result;
    scratch_make(folder);
    snprintf(images, sizeof images, "%s/images", folder);
    snprintf(others, sizeof others, "%s/others", folder);
    snprintf(model, sizeof model, "%s/model", folder);
    snprintf(calibrated, sizeof calibrated, "%s/calibrated", folder);
    if (mkdir(images, 0777) != 0 || mkdir(others, 0777) != 0)
        return -1;
    link_images();
    const struct import_options options = {
        .architecture = "vit_tiny_patch16_224", .directory = model, .seed = 7};
    return import_model(&options, &result, &err) == STATUS_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static enum status quantise_on(const char *pictures, const char *from, const char *to,
                               struct calibration *calibration, struct error *err)
{
    const struct quantise_options options = {.model = from,
                                             .images = pictures,
                                             .directory = to,
                                             .backend = "cpu",
                                             .most_images = FILES * COPIES,
                                             .complain = complain};
    return quantise_model(&options, calibration, err);
}

static enum status quantise(const char *from, const char *to, struct calibration *calibration,
                            struct error *err)
{
    return quantise_on(images, from, to, calibration, err);
}

static void need_int8(void)
{
    skip_without(cpu_features_get().avx2, "AVX2");
}

// Logits of a known image, with the precision and the reason of the engine.
static enum precision open_and_run(const char *directory, const char *precision, float *logits, char *reason)
{
    struct error err = {""};
    struct engine engine;
    char model_setting[PATH_SIZE + 8], precision_setting[64];
    snprintf(model_setting, sizeof model_setting, "model=%s", directory);
    snprintf(precision_setting, sizeof precision_setting, "precision=%s", precision);
    const char *const settings[] = {model_setting, precision_setting, "backend=cpu", "threads=2"};
    struct config *config = config_new_for_test(PROGRAM_WORKER, settings, 4);
    if (engine_open(&engine, config, 1, EXPLAIN_NOTHING, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    uint8_t *view = memory_alloc(VIEW_SIZE);
    const uint8_t *views[] = {view};
    known_answers_view(3, view, VIEW_SIZE);
    struct inference result = {.logits = logits};
    assert_int_equal(plan_run(engine.plan, views, 1, &result, &err), STATUS_OK);
    enum precision chosen = engine.plan->precision;
    strcpy(reason, engine.precision_reason);
    free(view);
    engine_close(&engine);
    config_free(config);
    return chosen;
}

static void check_auto(const char *directory, enum precision expected, const char *because)
{
    float logits[LESION_CLASSES];
    char reason[sizeof((struct engine *)0)->precision_reason];
    enum precision chosen = open_and_run(directory, "auto", logits, reason);
    if (chosen != expected || !strstr(reason, because))
        fail_msg("auto is %s because '%s'; %s because of '%s' was expected", precision_names[chosen], reason,
                 precision_names[expected], because);
}

static void edit_manifest_of(const char *directory, const char *from, const char *to)
{
    static char text[16384];
    char *path = memory_format("%s/manifest.json", directory);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    char *at = strstr(text, from);
    assert_non_null(at);
    file = fopen(path, "wb");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void edit_manifest(const char *from, const char *to)
{
    edit_manifest_of(calibrated, from, to);
}

static void the_directory_remembers_what_was_measured(void **state)
{
    (void)state;
    need_int8();
    struct error err = {""};
    struct calibration calibration;
    char *notes = memory_format("%s/00-broken.jpg", images);
    FILE *file = fopen(notes, "wb"); // told of, left out
    assert_non_null(file);
    fputs("no JPEG", file);
    fclose(file);
    assert_int_equal(quantise(model, calibrated, &calibration, &err),
                     STATUS_REJECTED); // 31 of 32 can be read
    assert_int_equal(complaints, 1);
    assert_non_null(strstr(err.message, "31"));
    unlink(notes);
    free(notes);
    if (quantise(model, calibrated, &calibration, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(complaints, 1);
    assert_int_equal(calibration.images, FILES * COPIES);
    assert_string_equal(calibration.backend, "cpu");
    assert_false(calibration.precisions[PRECISION_FP16].measured);
    assert_true(calibration.precisions[PRECISION_INT8].measured);
    assert_true(calibration.precisions[PRECISION_INT8].difference > 0);
    struct model *opened;
    assert_int_equal(model_open(&opened, calibrated, &err), STATUS_OK);
    const struct calibration *found = &opened->manifest.calibration;
    assert_int_equal(found->images, FILES * COPIES);
    for (int i = 0; i < PRECISION_COUNT; i++) {
        assert_int_equal(found->precisions[i].measured, calibration.precisions[i].measured);
        assert_int_equal(found->precisions[i].decided, calibration.precisions[i].decided);
        assert_true(fabs(found->precisions[i].difference - calibration.precisions[i].difference) < 1e-12);
        assert_true(fabs(found->precisions[i].first - calibration.precisions[i].first) < 1e-12);
    }
    model_close(opened);
    assert_int_equal(quantise(model, calibrated, &calibration, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "holds a model already"));
}

static struct manifest manifest_of(const char *directory)
{
    struct error err;
    struct model *opened;
    assert_int_equal(model_open(&opened, directory, &err), STATUS_OK);
    struct manifest manifest = opened->manifest;
    model_close(opened);
    return manifest;
}

// Other images to be judged and no known ones: the weights are the same to the bit, the figures are not.
static void what_is_judged_changes_no_weight(void **state)
{
    (void)state;
    need_int8();
    struct error err = {""};
    struct calibration calibration;
    char *bare = memory_format("%s/bare", folder), *to = memory_format("%s/bare-calibrated", folder);
    const struct import_options options = {
        .architecture = "vit_tiny_patch16_224", .directory = bare, .seed = 7};
    struct import_result result;
    assert_int_equal(import_model(&options, &result, &err), STATUS_OK);
    edit_manifest_of(bare, "\"known_answers\"", "\"answers not known\"");
    if (quantise_on(others, bare, to, &calibration, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    struct manifest first = manifest_of(calibrated), second = manifest_of(to);
    assert_memory_equal(&first.weights_sha256, &second.weights_sha256, sizeof first.weights_sha256);
    struct agreement figures = first.calibration.precisions[PRECISION_INT8],
                     other_figures = second.calibration.precisions[PRECISION_INT8];
    assert_true(other_figures.difference != figures.difference);
    assert_true(other_figures.decided == 0 ||
                other_figures.decided == FILES * COPIES / 2); // all the same image
    free(bare);
    free(to);
}

// A worker judges its device by the known images, so the figures hold there too: noise, on which bf16 is
// farther off than on these pictures.
static void known_images_are_judged_as_well(void **state)
{
    (void)state;
    need_int8();
    struct error err = {""};
    struct calibration calibration;
    char *bare = memory_format("%s/bare-calibrated", folder), *to = memory_format("%s/known", folder);
    assert_int_equal(quantise_on(others, model, to, &calibration, &err), STATUS_OK);
    struct manifest without = manifest_of(bare);
    for (int i = 0; i < PRECISION_COUNT; i++)
        assert_true(calibration.precisions[i].difference >= without.calibration.precisions[i].difference);
    if (cpu_features_get().avx512bf16)
        assert_true(calibration.precisions[PRECISION_BF16].difference >
                    without.calibration.precisions[PRECISION_BF16].difference);
    free(bare);
    free(to);
}

static void fp32_answers_as_before(void **state)
{
    (void)state;
    need_int8();
    float before[LESION_CLASSES], after[LESION_CLASSES];
    char reason[400];
    assert_int_equal(open_and_run(model, "fp32", before, reason), PRECISION_FP32);
    assert_string_equal(reason, "");
    open_and_run(calibrated, "fp32", after, reason);
    assert_memory_equal(after, before, sizeof before);
    open_and_run(model, "int8", before, reason);
    open_and_run(calibrated, "int8", after, reason);
    assert_memory_not_equal(after, before, sizeof before);
}

static void auto_takes_the_fastest_that_is_near_enough(void **state)
{
    (void)state;
    check_auto(model, PRECISION_FP32, "not calibrated");
    need_int8();
    // The figures of random weights are not the matter here: any within tolerance, then any beyond.
    edit_manifest("\"int8\":\t{",
                  "\"int8\":\t{\"difference_p99\": 0.02, \"first_class\": 0.99, \"decided\": 99},"
                  "\"int8 measured\": {");
    check_auto(calibrated, PRECISION_FP32, "of 99 decided images (at least 100)");
    edit_manifest("\"decided\": 99", "\"decided\": 100");
    check_auto(calibrated, PRECISION_INT8, "difference 0.0200");
    edit_manifest("\"difference_p99\": 0.02", "\"difference_p99\": 0.04");
    bool bf16 = cpu_features_get().avx512bf16;
    if (bf16)
        edit_manifest("\"bf16\":\t{",
                      "\"bf16\":\t{\"difference_p99\": 0.005, \"first_class\": 1, \"decided\": 100},"
                      "\"bf16 measured\": {");
    check_auto(calibrated, bf16 ? PRECISION_BF16 : PRECISION_FP32, "int8: difference 0.0400 (at most 0.03)");
}

static void what_the_processor_lacks_is_passed_over(void **state)
{
    (void)state;
    need_int8();
    skip_without(cpu_features_get().avx512bf16, "AVX512_BF16");
    cpu_features_forbid_bf16(true);
    check_auto(calibrated, PRECISION_FP32, "can't compute in bf16");
    cpu_features_forbid_bf16(false);
    edit_manifest("\"backend\":\t\"cpu\"", "\"backend\":\t\"cuda\"");
    check_auto(calibrated, PRECISION_FP32, "another kind of device");
}

static void networks_without_another_precision_are_refused(void **state)
{
    (void)state;
    struct error err;
    struct import_result result;
    struct calibration calibration;
    char *cnn = memory_format("%s/cnn", folder), *to = memory_format("%s/cnn-calibrated", folder);
    const struct import_options options = {.architecture = "resnet18", .directory = cnn, .seed = 7};
    assert_int_equal(import_model(&options, &result, &err), STATUS_OK);
    assert_int_equal(quantise(cnn, to, &calibration, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "nothing to quantise to"));
    assert_non_null(strstr(err.message, "use fp32"));
    assert_int_not_equal(access(to, F_OK), 0);
    free(cnn);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_directory_remembers_what_was_measured),
        cmocka_unit_test(what_is_judged_changes_no_weight),
        cmocka_unit_test(known_images_are_judged_as_well),
        cmocka_unit_test(fp32_answers_as_before),
        cmocka_unit_test(auto_takes_the_fastest_that_is_near_enough),
        cmocka_unit_test(what_the_processor_lacks_is_passed_over),
        cmocka_unit_test(networks_without_another_precision_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
