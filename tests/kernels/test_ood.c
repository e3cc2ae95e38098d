// test_ood.c: energy, distance and quantile, and what a model has learnt from its embeddings, against NumPy
// and scikit-learn (tests/golden/reference.txt, written by tests/golden/make_reference.py); the shares of a
// quantile by arithmetic; the file of a reference, and those that are refused.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "kernels/model/random_weights.h"
#include "kernels/model/reference.h"
#include "kernels/model/reference_fit.h"
#include "tests/support/process.h"

enum { SEED = 11, WIDTH = 12, TRAINING = 90, VALIDATION = 61, OTHERS = 6, MOST = 90 };

static void test_energy(void **state)
{
    (void)state;
    const float equal[LESION_CLASSES] = {0}, far[LESION_CLASSES] = {-2000, 1000, -2000, 0, 0, 0, 0, 0};
    assert_true(fabsf(ood_energy(equal) + 2.07944154f) < 1e-6f); // log 8
    assert_true(ood_energy(far) == -1000);
}

static double unit(const char *name, int index)
{
    return (double)(random_weights_bits(SEED, name, (uint64_t)index) >> 40) * 0x1p-23 - 1;
}

struct part {
    float embeddings[MOST * WIDTH];
    int labels[MOST];
    struct embedded_part embedded;
};

// By make_reference.py's rule.
static void make_part(struct part *part, const char *name, int images, bool classes)
{
    for (int i = 0; i < images; i++) {
        part->labels[i] = i * i % 7;
        for (int j = 0; j < WIDTH; j++)
            part->embeddings[i * WIDTH + j] =
                (float)(unit(name, i * WIDTH + j) * (1 + j % 3) +
                        (classes ? unit("class", part->labels[i] * WIDTH + j) : 0.25));
        part->embeddings[i * WIDTH + WIDTH - 1] = 0;
    }
    part->embedded = (struct embedded_part){part->embeddings, part->labels, (size_t)images};
}

static struct ood_reference *fit(double *shrinkage)
{
    static struct part training, validation;
    struct ood_reference *reference;
    struct error err = {""};
    make_part(&training, "training", TRAINING, true);
    make_part(&validation, "validation", VALIDATION, true);
    if (reference_fit(&training.embedded, &validation.embedded, WIDTH, &reference, shrinkage, &err) !=
        STATUS_OK)
        fail_msg("%s", err.message);
    return reference;
}

// W is stored in floats, so that a distance is as near as they are: some 1e-7 of it.
static void near(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= 2e-6 * fmax(1, fabs(expected))))
        fail_msg("%s is %.9g, not %.9g", what, found, expected);
}

static void a_reference_is_that_of_scikit_learn(void **state)
{
    (void)state;
    static struct part others;
    char line[4096], what[32];
    int images = 0, lines = 0;
    double shrinkage, number, quantile;
    struct ood_reference *reference = fit(&shrinkage);
    make_part(&others, "others", OTHERS, false);
    FILE *file = fopen(TEST_SOURCE_DIR "/tests/golden/reference.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        char *text = line;
        int image;
        if (sscanf(line, "shrinkage %lf", &number) == 1) {
            near("shrinkage", shrinkage, number);
        } else if (sscanf(line, "image %d distance %lf quantile %lf", &image, &number, &quantile) == 3) {
            assert_int_equal(image, images++);
            float distance = ood_distance(reference, others.embeddings + image * WIDTH);
            near("a distance", (double)distance, number);
            near("its quantile", (double)ood_quantile(reference, distance), quantile);
        } else if (strncmp(line, "quantiles ", 10) == 0) {
            text += 10;
            for (int i = 0; i < OOD_QUANTILES; i++) {
                snprintf(what, sizeof what, "quantile %d", i);
                near(what, (double)reference->distances[i], strtod(text, &text));
            }
        } else {
            continue;
        }
        lines++;
    }
    fclose(file);
    assert_int_equal(images, OTHERS);
    assert_int_equal(lines, OTHERS + 2);
    for (int i = 0; i < LESION_CLASSES; i++)
        assert_int_equal(reference->counts[i] > 0, i == 0 || i == 1 || i == 2 || i == 4);
    ood_reference_free(reference);
}

static struct ood_reference *small_reference(void)
{
    struct ood_reference *reference = ood_reference_new(2);
    reference->whitening[0] = 0.5f; // of a deviation of 2
    reference->whitening[3] = 1;
    reference->counts[LESION_NV] = 10;
    reference->class_means[2 * LESION_NV] = 3;
    reference->counts[LESION_SCC] = 1;
    reference->class_means[2 * LESION_SCC + 1] = -100;
    for (int i = 0; i < OOD_QUANTILES; i++)
        reference->distances[i] = i < 50 ? 1 : (float)(i - 48); // 1 half of the time, then 2, 3 ... 52
    ood_reference_finish(reference);
    return reference;
}

// Classes without images have zeros for a mean, and nothing is near it.
static void a_distance_is_to_the_nearest_class_with_images(void **state)
{
    (void)state;
    struct ood_reference *reference = small_reference();
    assert_true(ood_distance(reference, (const float[]){3, 0}) == 0);
    assert_true(ood_distance(reference, (const float[]){11, 3}) == 5); // 4 and 3
    assert_true(ood_distance(reference, (const float[]){0, 0}) == 1.5f);
    assert_true(ood_distance(reference, (const float[]){0, -99}) == 1);
    assert_true(ood_distance(reference, (const float[]){FLT_MAX, FLT_MAX}) == FLT_MAX);
    ood_reference_free(reference);
}

static void a_quantile_lies_between_its_neighbours(void **state)
{
    (void)state;
    static const float cases[][2] = {{0.5f, 0},       {1, 0.49f}, {1.5f, 0.495f}, {2, 0.5f},
                                     {51.5f, 0.995f}, {52, 1},    {FLT_MAX, 1}};
    struct ood_reference *reference = small_reference();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        near("a quantile", (double)ood_quantile(reference, cases[i][0]), (double)cases[i][1]);
    ood_reference_free(reference);
}

static void embeddings_that_do_not_differ_have_none(void **state)
{
    (void)state;
    const float embeddings[] = {1, 2, 1, 2, 1, 2};
    const int labels[] = {0, 0, 0};
    const struct embedded_part part = {embeddings, labels, 3};
    struct ood_reference *reference;
    struct error err = {""};
    double shrinkage;
    assert_int_equal(reference_fit(&part, &part, 2, &reference, &shrinkage, &err), STATUS_REJECTED);
    assert_null(reference);
    assert_non_null(strstr(err.message, "do not differ"));
}

static void a_reference_is_read_as_it_was_written(void **state)
{
    (void)state;
    char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 32];
    double shrinkage;
    struct ood_reference *reference = fit(&shrinkage), *again;
    struct digest digest, other = {{0}};
    struct error err = {""};
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/%s", folder, REFERENCE_FILE);
    assert_int_equal(reference_write(reference, path, &digest, &err), STATUS_OK);
    assert_int_equal(reference_read(path, &digest, WIDTH, &again, &err), STATUS_OK);
    assert_memory_equal(again->whitening, reference->whitening, WIDTH * WIDTH * sizeof(float));
    assert_memory_equal(again->class_means, reference->class_means, LESION_CLASSES * WIDTH * sizeof(float));
    assert_memory_equal(again->counts, reference->counts, sizeof again->counts);
    assert_memory_equal(again->distances, reference->distances, sizeof again->distances);
    assert_memory_equal(again->whitened_means, reference->whitened_means,
                        LESION_CLASSES * WIDTH * sizeof(double));
    ood_reference_free(again);
    assert_int_equal(reference_read(path, &other, WIDTH, &again, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "not the file the manifest names"));
    assert_int_equal(reference_read(path, &digest, WIDTH + 1, &again, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "class_means"));
    assert_null(again);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(reference_read(path, &digest, WIDTH, &again, &err), STATUS_FATAL);
    ood_reference_free(reference);
    scratch_remove(folder);
}

// The tensors of small_reference with one value changed, or without one of them.
static void check_refused(const char *spoilt, size_t index, float value, const char *sentence)
{
    const int64_t shapes[][2] = {{LESION_CLASSES, 2}, {LESION_CLASSES, 0}, {2, 2}, {OOD_QUANTILES, 0}};
    static const char *const names[] = {"class_means", "class_counts", "whitening", "distances"};
    struct ood_reference *reference = small_reference(), *read;
    float *values[] = {reference->class_means, reference->counts, reference->whitening, reference->distances};
    struct weights *weights = weights_new();
    struct error err = {""};
    for (int i = 0; i < 4; i++) {
        if (strcmp(names[i], spoilt) == 0 && isnan(value) && index == SIZE_MAX)
            continue;
        if (strcmp(names[i], spoilt) == 0)
            values[i][index] = value;
        weights_add(weights, names[i], shapes[i][1] ? 2 : 1, shapes[i], values[i]);
    }
    enum status status = reference_from_weights(weights, 2, &read, &err);
    assert_int_equal(status, sentence ? STATUS_REJECTED : STATUS_OK);
    if (sentence && !strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
    ood_reference_free(read);
    ood_reference_free(reference);
    weights_close(weights);
}

static void references_are_refused(void **state)
{
    (void)state;
    check_refused("", 0, 0, NULL);
    check_refused("class_means", SIZE_MAX, NAN, "no tensor 'class_means'");
    check_refused("distances", SIZE_MAX, NAN, "no tensor 'distances'");
    check_refused("class_means", 5, INFINITY, "not finite");
    check_refused("whitening", 1, NAN, "not finite");
    check_refused("distances", 0, -1, "ascend");
    check_refused("distances", 100, 3, "ascend");
    check_refused("class_counts", LESION_NV, 0.5f, "whole numbers");
    check_refused("class_counts", 0, -1, "whole numbers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_energy),
        cmocka_unit_test(a_reference_is_that_of_scikit_learn),
        cmocka_unit_test(a_distance_is_to_the_nearest_class_with_images),
        cmocka_unit_test(a_quantile_lies_between_its_neighbours),
        cmocka_unit_test(embeddings_that_do_not_differ_have_none),
        cmocka_unit_test(a_reference_is_read_as_it_was_written),
        cmocka_unit_test(references_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
