// test_known_answers.c: known answers are what the network gives, survive their file, and a file that was
// changed is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "kernels/compute_known.h"
#include "kernels/cpu/plain.h"
#include "kernels/model/known_answers.h"
#include "kernels/model/model.h"
#include "kernels/model/random_weights.h"
#include "tests/support/mini_vit.h"
#include "tests/support/process.h"
#include "tests/support/value_range.h"

static char folder[SCRATCH_SIZE];

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

static const char *path_of(const char *name)
{
    static char path[SCRATCH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

// Expected bytes: tests/golden/random_weights.py, bits(seed, "known_answer", i) >> 56.
static void the_views_are_the_same_everywhere(void **state)
{
    (void)state;
    uint8_t view[6];
    static const uint8_t first[] = {84, 244, 204, 186, 98, 117}, second[] = {107, 111, 88, 19, 101, 124};
    known_answers_view(1, view, sizeof view);
    assert_memory_equal(view, first, sizeof view);
    known_answers_view(2, view, sizeof view);
    assert_memory_equal(view, second, sizeof view);
}

// The plain executor is the reference.
static void they_are_what_the_network_gives(void **state)
{
    (void)state;
    struct error err = {""};
    struct known_answers known;
    struct network *network = mini_vit(48, 3);
    struct weights *weights = weights_new();
    struct backend *backend = cpu_plain_backend_open();
    struct plan *plan;
    const struct plan_options options = {.precision = PRECISION_FP32, .max_batch = 1};
    random_weights_fill(weights, network, 3);
    known_answers_init(&known);
    assert_int_equal(known_answers_compute(&known, network, weights, &err), STATUS_OK);
    assert_int_equal(backend_prepare(backend, network, weights, &options, &plan, &err), STATUS_OK);
    for (int i = 0; i < known.count; i++) {
        float logits[LESION_CLASSES];
        uint8_t view[MINI_VIEW];
        const uint8_t *views[] = {view};
        known_answers_view(known.seeds[i], view, sizeof view);
        assert_int_equal(plan_run(plan, views, 1, &(struct inference){.logits = logits}, &err), STATUS_OK);
        double worst = worst_share(known.logits[i], logits, LESION_CLASSES);
        if (!(worst <= 2e-5)) // what the engine promises against PyTorch
            fail_msg("image %d is %.3g of the range of its logits away", i, worst);
    }
    assert_memory_not_equal(known.logits[0], known.logits[1], sizeof known.logits[0]);
    plan_free(plan);
    backend_close(backend);
    weights_close(weights);
    network_free(network);
}

static void their_text_keeps_every_bit(void **state)
{
    (void)state;
    struct error err = {""};
    struct known_answers known, read;
    known_answers_init(&known);
    for (int i = 0; i < known.count; i++)
        for (int k = 0; k < LESION_CLASSES; k++)
            known.logits[i][k] = (float)(k - 3) * 1.1f / (float)(i + 7) + 1e-7f;
    char *text = known_answers_text(&known);
    assert_int_equal(known_answers_parse((struct bytes){(uint8_t *)text, strlen(text)}, &read, &err),
                     STATUS_OK);
    assert_int_equal(read.count, known.count);
    assert_memory_equal(read.seeds, known.seeds, sizeof known.seeds);
    assert_memory_equal(read.logits, known.logits, sizeof known.logits);
    free(text);
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
#define HEAD  "{\"schema\":\"skinsight.known_answers.v1\",\"answers\":"
#define EIGHT "[1,2,3,4,5,6,7,8]"
#define ONE   "{\"seed\":1,\"logits\":" EIGHT "}"
    static const char *const texts[] = {
        "",
        "[]",
        "{\"answers\":[{\"seed\":1,\"logits\":" EIGHT "}]}",
        HEAD "[]}",
        HEAD "{}}",
        HEAD "[1]}",
        HEAD "[{\"seed\":1}]}",
        HEAD "[{\"logits\":" EIGHT "}]}",
        HEAD "[{\"seed\":-1,\"logits\":" EIGHT "}]}",
        HEAD "[{\"seed\":1.5,\"logits\":" EIGHT "}]}",
        HEAD "[{\"seed\":1,\"logits\":[1,2,3,4,5,6,7]}]}",
        HEAD "[{\"seed\":1,\"logits\":[1,2,3,4,5,6,7,8,9]}]}",
        HEAD "[{\"seed\":1,\"logits\":[1,2,3,4,5,6,7,\"8\"]}]}",
        HEAD "[{\"seed\":1,\"logits\":[1,2,3,4,5,6,7,1e39]}]}",
        HEAD "[" ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "," ONE "]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err = {""};
        struct known_answers known;
        if (known_answers_parse((struct bytes){(const uint8_t *)texts[i], strlen(texts[i])}, &known, &err) !=
            STATUS_REJECTED)
            fail_msg("accepted: %s", texts[i]);
        assert_string_not_equal(err.message, "");
    }
}

// An empty folder becomes a model directory.
static void save_model(bool with_answers)
{
    struct error err = {""};
    struct known_answers known;
    struct network *network = NULL;
    struct weights *weights = weights_new();
    struct manifest manifest = {.name = "vit-tiny",
                                .version = "1.0.0",
                                .model_version = "vit-tiny-v1.0.0",
                                .architecture = "vit_tiny_patch16_224",
                                .image_size = 224,
                                .preprocessing = {.version = "v1",
                                                  .resize = 256,
                                                  .crop = 224,
                                                  .mean = {0.5f, 0.5f, 0.5f},
                                                  .std = {0.25f, 0.25f, 0.25f}},
                                .temperature = 1,
                                .weights_file = "model.safetensors",
                                .licence = "CC0-1.0"};
    assert_int_equal(network_build(&network, manifest.architecture, LESION_CLASSES, &err), STATUS_OK);
    random_weights_fill(weights, network, 5);
    memcpy(network->mean, manifest.preprocessing.mean, sizeof network->mean);
    memcpy(network->std, manifest.preprocessing.std, sizeof network->std);
    known_answers_init(&known);
    assert_int_equal(known_answers_compute(&known, network, weights, &err), STATUS_OK);
    const struct model_extras extras = {.known = with_answers ? &known : NULL};
    if (model_save(folder, &manifest, weights, &extras, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    weights_close(weights);
    network_free(network);
}

static void check_refused(const char *sentence)
{
    struct error err = {""};
    struct model *model = NULL;
    assert_int_equal(model_open(&model, folder, &err), sentence ? STATUS_REJECTED : STATUS_FATAL);
    if (!strstr(err.message, sentence ? sentence : KNOWN_ANSWERS_FILE))
        fail_msg("it says: %s", err.message);
}

static void a_directory_without_and_with_them(void **state)
{
    (void)state;
    struct error err = {""};
    struct model *model = NULL;
    save_model(false);
    assert_int_equal(model_open(&model, folder, &err), STATUS_OK);
    assert_int_equal(model->known_answers.count, 0);
    model_close(model);

    unlink(path_of("manifest.json"));
    save_model(true);
    if (model_open(&model, folder, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(model->known_answers.count, KNOWN_ANSWERS_DEFAULT);
    struct known_answers again;
    known_answers_init(&again);
    assert_int_equal(known_answers_compute(&again, model->network, model->weights, &err), STATUS_OK);
    assert_memory_equal(again.logits, model->known_answers.logits, sizeof again.logits);
    model_close(model);

    FILE *file = fopen(path_of(KNOWN_ANSWERS_FILE), "ae");
    assert_non_null(file);
    fputs("\n", file);
    fclose(file);
    check_refused("not the file the manifest names");
    unlink(path_of(KNOWN_ANSWERS_FILE));
    check_refused(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_views_are_the_same_everywhere),
        cmocka_unit_test(they_are_what_the_network_gives),
        cmocka_unit_test(their_text_keeps_every_bit),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test_setup_teardown(a_directory_without_and_with_them, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
