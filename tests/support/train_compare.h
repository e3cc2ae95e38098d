// train_compare.h: a fast executor's gradients beside the plain one's, tensor by tensor. Static functions, so
// that a test includes it and nothing is linked. Include it after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_TRAIN_COMPARE_H
#define SKINSIGHT_TESTS_SUPPORT_TRAIN_COMPARE_H

#include <math.h>
#include <stdlib.h>

#include "kernels/cpu/plain.h"
#include "tests/support/mini_train.h"

enum { IMAGES = 6, MAX_SIDE = 96 };

struct result {
    struct training_result loss;
    float *gradients;
    size_t size;
    char executor[16];
};

static float bad_pixel; // what the last value of the last image is, unless 0

// threads 0: by plain loops.
static inline struct result run(struct network *network, const struct training_options *options, int threads)
{
    static float pixels[IMAGES][MAX_SIDE * MAX_SIDE * 3];
    const float *images[IMAGES];
    int labels[IMAGES];
    uint64_t counters[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        images[i] = pixels[i];
        labels[i] = i % TRAIN_CLASSES;
        counters[i] = 1000 + (uint64_t)i;
        for (int j = 0; j < network->image_size * network->image_size * 3; j++)
            pixels[i][j] = train_unit((uint64_t)i, "image", (uint64_t)j);
    }
    if (bad_pixel != 0)
        pixels[IMAGES - 1][network->image_size * network->image_size * 3 - 1] = bad_pixel;
    struct training_batch batch = {.count = IMAGES, .images = images, .labels = labels, .counters = counters};
    struct backend *backend = threads ? NULL : cpu_plain_backend_open();
    struct weights *weights = weights_new();
    struct training *training = NULL;
    struct error err = {""};
    struct result result = {.size = training_offset(network, network->parameter_count)};
    random_weights_fill(weights, network, 1);
    if ((threads && backend_open(&backend, "cpu", threads, &err) != STATUS_OK) ||
        training_prepare(backend, network, weights, options, &training, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    strcpy(result.executor, training->executor);
    assert_int_equal(training_gradients(training, &batch, &result.loss, &err), STATUS_OK);
    result.gradients = memory_alloc(result.size * sizeof *result.gradients);
    assert_int_equal(training_save(training, TRAINING_GRADIENTS, result.gradients, &err), STATUS_OK);
    training_free(training);
    weights_close(weights);
    backend_close(backend);
    return result;
}

// The threads' number changes no bit.
static inline void check_threads(struct network *network, const struct training_options *options)
{
    struct result one = run(network, options, 1);
    for (int threads = 2; threads <= 3; threads++) {
        struct result more = run(network, options, threads);
        assert_true(more.loss.loss == one.loss.loss);
        assert_memory_equal(more.gradients, one.gradients, one.size * sizeof(float));
        free(more.gradients);
    }
    free(one.gradients);
}

// The keys' part of a bias has no gradient but what rounding leaves: it is made 0.
static inline void forget_keys(const struct parameter *parameter, float *values)
{
    const char *end = strstr(parameter->name, "qkv.bias");
    size_t width = (size_t)parameter->shape[0] / 3;
    if (end)
        memset(values + width, 0, width * sizeof *values);
}

static inline void compare(const struct network *network, struct result *result, struct result *wanted,
                           double tolerance)
{
    if (!(fabs(result->loss.loss - wanted->loss.loss) <= tolerance * fabs(wanted->loss.loss)) ||
        !(fabs(result->loss.diversity - wanted->loss.diversity) <= tolerance))
        fail_msg("loss %.9g, diversity %.9g; plain %.9g, %.9g", result->loss.loss, result->loss.diversity,
                 wanted->loss.loss, wanted->loss.diversity);
    double all = 0;
    for (size_t i = 0; i < wanted->size; i++)
        all += wanted->gradients[i] * (double)wanted->gradients[i];
    for (int i = 0; i < network->parameter_count; i++) {
        const struct parameter *parameter = &network->parameters[i];
        float *a = result->gradients + training_offset(network, i);
        float *b = wanted->gradients + training_offset(network, i);
        double square = 0, total = 0;
        forget_keys(parameter, a);
        forget_keys(parameter, b);
        for (size_t j = 0; j < parameter_size(parameter); j++) {
            square += (a[j] - b[j]) * (double)(a[j] - b[j]);
            total += b[j] * (double)b[j];
        }
        // A shift that the next batch normalisation takes away has no gradient but what rounding leaves.
        bool nothing = sqrt(total) <= 1e-6 * sqrt(all);
        if (!(sqrt(square) <= (nothing ? 1e-6 * sqrt(all) : tolerance * sqrt(total))))
            fail_msg("%s: relative difference %g", parameter->name, sqrt(square / total));
    }
}

#endif
