// test_train_plain.c: the reference's gradients in double, of a network that has every operation: against
// finite differences, and against PyTorch. train_plain.h stands here for its double build
// (train_plain_double.h).
#include "kernels/cpu/train_plain.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/train_golden.h"

struct fixture {
    struct network *network;
    struct training_options options;
    struct train_data data;
    size_t size;
    double *parameters, *gradients;
    struct train_plain plain;
};

static struct fixture *fixture_new(struct training_options options, bool teacher)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    fixture->network = mini_train();
    fixture->options = options;
    fixture->size = training_offset(fixture->network, fixture->network->parameter_count);
    fixture->parameters = memory_alloc(fixture->size * sizeof(double));
    fixture->gradients = memory_alloc(fixture->size * sizeof(double));
    struct weights *weights = weights_new();
    random_weights_fill(weights, fixture->network, 1);
    size_t at = 0;
    for (int i = 0; i < fixture->network->parameter_count; i++) {
        const struct weight *weight = weights_find(weights, fixture->network->parameters[i].name);
        float values[1024];
        assert_true(weight->count <= 1024);
        weight_to_float(weight, values);
        for (size_t j = 0; j < weight->count; j++)
            fixture->parameters[at++] = values[j];
    }
    weights_close(weights);
    train_data_fill(&fixture->data, 0);
    if (teacher)
        fixture->data.batch.teacher = fixture->data.teacher;
    struct error err;
    assert_int_equal(train_plain_init(&fixture->plain, fixture->network, &fixture->options,
                                      fixture->parameters, fixture->gradients, &err),
                     STATUS_OK);
    return fixture;
}

static void fixture_free(struct fixture *fixture)
{
    train_plain_release(&fixture->plain);
    network_free(fixture->network);
    free(fixture->parameters);
    free(fixture->gradients);
    free(fixture);
}

static struct training_result run(struct fixture *fixture)
{
    struct training_result result = {0};
    struct error err;
    assert_int_equal(train_plain_gradients(&fixture->plain, &fixture->data.batch, &result, &err), STATUS_OK);
    return result;
}

// The slope of the loss at one parameter: the error is of the order of step^2. Short, so that no value
// crosses a kink of ReLU.
static double slope_at(struct fixture *fixture, size_t i)
{
    const double step = 2e-6, before = fixture->parameters[i];
    double losses[2];
    int steps = fixture->plain.list.count;
    fixture->plain.list.count = 0; // forward only
    for (int j = 0; j < 2; j++) {
        fixture->parameters[i] = before + (2 * j - 1) * step;
        losses[j] = run(fixture).loss;
    }
    fixture->plain.list.count = steps;
    fixture->parameters[i] = before;
    return (losses[1] - losses[0]) / (2 * step);
}

// By every parameter, or every `stride`-th.
static void compare_with_differences(struct fixture *fixture, size_t stride)
{
    run(fixture);
    double *gradients = memory_alloc(fixture->size * sizeof *gradients);
    memcpy(gradients, fixture->gradients, fixture->size * sizeof *gradients);
    for (int i = 0; i < fixture->network->parameter_count; i++) {
        const struct parameter *parameter = &fixture->network->parameters[i];
        double square = 0, total = 0;
        if (parameter->kind == PARAMETER_MEAN || parameter->kind == PARAMETER_VARIANCE)
            continue;
        for (size_t j = fixture->plain.offsets[i]; j < fixture->plain.offsets[i + 1]; j += stride) {
            double slope = slope_at(fixture, j);
            square += (slope - gradients[j]) * (slope - gradients[j]);
            total += slope * slope;
        }
        if (!(sqrt(square) <= 1e-6 * sqrt(total)))
            fail_msg("%s: relative difference %g", parameter->name, sqrt(square / total));
    }
    free(gradients);
}

static void test_finite_differences(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_new(train_options(), false);
    compare_with_differences(fixture, 2);
    fixture_free(fixture);
}

// And with values on both sides of what ReLU6 cuts off.
static void test_finite_differences_with_a_teacher(void **state)
{
    (void)state;
    struct training_options options = train_options();
    options.teacher_weight = 0.7;
    options.teacher_temperature = 2;
    struct fixture *fixture = fixture_new(options, true);
    int wide = network_find_parameter(fixture->network, "depth.norm.weight");
    for (size_t i = fixture->plain.offsets[wide]; i < fixture->plain.offsets[wide + 1]; i++)
        fixture->parameters[i] *= 6;
    compare_with_differences(fixture, 5);
    fixture_free(fixture);
}

static void test_pytorch(void **state)
{
    (void)state;
    struct train_golden golden;
    assert_true(train_golden_read(&golden));
    struct fixture *fixture = fixture_new(train_options(), false);
    struct training_result result = run(fixture);
    assert_true(fabs(result.classification - golden.classification) <= 1e-12);
    assert_true(fabs(result.diversity - golden.diversity) <= 1e-12);
    for (int i = 0; i < golden.gradient_count; i++) {
        const struct golden_gradient *gradient = &golden.gradients[i];
        int parameter = network_find_parameter(fixture->network, gradient->name);
        assert_true(parameter >= 0);
        const double *values = fixture->gradients + fixture->plain.offsets[parameter];
        size_t count = fixture->plain.offsets[parameter + 1] - fixture->plain.offsets[parameter];
        double products[GOLDEN_DIRECTIONS] = {0};
        for (size_t j = 0; j < count; j++)
            for (int d = 0; d < GOLDEN_DIRECTIONS; d++)
                products[d] += values[j] * golden_direction(d, gradient->name, j);
        if (!(golden_difference(gradient, products) <= 1e-7)) // the factor of dropout is a float
            fail_msg("%s: relative difference %g", gradient->name, golden_difference(gradient, products));
    }
    fixture_free(fixture);
}

// A frozen part answers as in a plan: its parameters, running statistics among them, stay.
static void test_frozen_blocks(void **state)
{
    (void)state;
    struct training_options options = train_options();
    options.freeze_blocks = 1;
    struct fixture *fixture = fixture_new(options, false);
    int first = network_find_parameter(fixture->network, "blocks.1.norm1.weight");
    double *before = memory_alloc(fixture->size * sizeof *before);
    double *gradients = memory_alloc(fixture->size * sizeof *gradients);
    memcpy(before, fixture->parameters, fixture->size * sizeof *before);
    run(fixture);
    memcpy(gradients, fixture->gradients, fixture->size * sizeof *gradients);
    assert_memory_equal(before, fixture->parameters, fixture->size * sizeof *before);
    for (size_t i = 0; i < fixture->plain.offsets[first]; i++)
        assert_true(gradients[i] == 0);
    for (size_t i = fixture->plain.offsets[first]; i < fixture->size; i += 7)
        if (!(fabs(slope_at(fixture, i) - gradients[i]) <= 1e-8))
            fail_msg("%zu: %g, %g", i, slope_at(fixture, i), gradients[i]);
    free(before);
    free(gradients);
    fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_finite_differences_with_a_teacher),
        cmocka_unit_test(test_pytorch),
        cmocka_unit_test(test_frozen_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
