// test_plain.c: each operation of the plain executor alone, at odd sizes, against PyTorch in double precision
// (tests/golden/operations.txt, written by tests/golden/make_operations.py), and how its plans behave.
//
// Tolerance: the sums are double, so a value is PyTorch's rounded once to float: 2^-24 of it. 1.2e-7 of the
// value allows the last digit printed as well.
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
#include "kernels/image/preprocess.h"
#include "kernels/model/random_weights.h"

enum { SEED = 11, MAX_LINE = 16384 };

static const char *const kinds[OP_KIND_COUNT] = {[OP_CONVOLUTION] = "convolution",
                                                 [OP_TOKENS] = "tokens",
                                                 [OP_LAYERNORM] = "layernorm",
                                                 [OP_LINEAR] = "linear",
                                                 [OP_ATTENTION] = "attention",
                                                 [OP_GELU] = "gelu",
                                                 [OP_ADD] = "add",
                                                 [OP_FIRST_ROW] = "first_row",
                                                 [OP_RELU] = "relu",
                                                 [OP_RELU6] = "relu6",
                                                 [OP_SILU] = "silu",
                                                 [OP_SIGMOID] = "sigmoid",
                                                 [OP_MAX_POOL] = "max_pool",
                                                 [OP_MEAN_ROWS] = "mean_rows",
                                                 [OP_SCALE] = "scale"};

// A line of the golden file.
struct test_case {
    char name[32];
    struct operation operation;
    struct tensor input, output;
    bool has_bias;
    float scale, offset;
    char *expected, *expected_attention; // in the line; NULL: none
};

static double parameter(const char *line, const char *key, double missing)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, " %s=", key);
    const char *found = strstr(line, pattern);
    return found ? strtod(found + strlen(pattern), NULL) : missing;
}

static void read_case(char *line, struct test_case *test)
{
    char kind[32];
    *test = (struct test_case){.operation.kind = OP_KIND_COUNT};
    assert_int_equal(sscanf(line, "%31s %31s", test->name, kind), 2);
    for (int i = 0; i < OP_KIND_COUNT; i++)
        if (kinds[i] && strcmp(kinds[i], kind) == 0)
            test->operation.kind = (enum op_kind)i;
    assert_int_not_equal(test->operation.kind, OP_KIND_COUNT);
    struct operation *operation = &test->operation;
    operation->height = (int)parameter(line, "height", 0);
    operation->width = (int)parameter(line, "width", 0);
    operation->kernel_height = (int)parameter(line, "kernel_height", 0);
    operation->kernel_width = (int)parameter(line, "kernel_width", 0);
    operation->output_width = (int)parameter(line, "output_width", 0);
    operation->stride = (int)parameter(line, "stride", 0);
    operation->padding = (int)parameter(line, "padding", 0);
    operation->groups = (int)parameter(line, "groups", 1);
    operation->heads = (int)parameter(line, "heads", 0);
    operation->epsilon = (float)parameter(line, "epsilon", 0);
    test->has_bias = parameter(line, "bias", 1) != 0;
    test->scale = (float)parameter(line, "scale", 1);
    test->offset = (float)parameter(line, "offset", 0);
    test->input = (struct tensor){(int)parameter(line, "rows", 0), (int)parameter(line, "columns", 0)};
    test->output =
        (struct tensor){(int)parameter(line, "output_rows", 0), (int)parameter(line, "output_columns", 0)};
    test->expected = strstr(line, " output ") + strlen(" output ");
    test->expected_attention = strstr(line, " attention ");
    if (test->expected_attention && operation->kind == OP_ATTENTION) // after the kind's own name
        test->expected_attention = strstr(test->expected, " attention ");
    if (test->expected_attention)
        test->expected_attention += strlen(" attention ");
}

static float *unit_values(const struct test_case *test, const char *part, struct tensor shape)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", test->name, part);
    size_t count = (size_t)shape.rows * shape.columns;
    float *values = memory_alloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = ((float)(random_weights_bits(SEED, name, i) >> 40) * 0x1p-23f - 1) * 2 * test->scale +
                    test->offset;
    return values;
}

// Adds the case's weight or bias as the network would name and shape it; returns its values.
static const float *add_weight(struct weights *weights, const struct test_case *test, bool bias)
{
    const struct operation *op = &test->operation;
    char name[64];
    snprintf(name, sizeof name, "%s.%s", test->name, bias ? "bias" : "weight");
    int64_t shape[4] = {test->output.columns};
    int rank = 1;
    if (op->kind == OP_TOKENS) {
        rank = 3;
        shape[0] = 1;
        shape[1] = bias ? test->output.rows : 1;
        shape[2] = test->output.columns;
    } else if (op->kind == OP_LINEAR && !bias) {
        rank = 2;
        shape[1] = test->input.columns;
    } else if (op->kind == OP_CONVOLUTION && !bias) {
        rank = 4;
        shape[1] = test->input.columns / op->groups;
        shape[2] = op->kernel_height;
        shape[3] = op->kernel_width;
    }
    random_weights_add(weights, name, rank, shape, SEED);
    return weights_find(weights, name)->data;
}

static void compare(const struct test_case *test, const char *what, char *text, const float *values,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *end;
        double expected = strtod(text, &end);
        assert_ptr_not_equal(text, end);
        text = end;
        if (!(fabs(values[i] - expected) <= 1.2e-7 * fabs(expected) + 1e-9))
            fail_msg("%s: %s %zu is %.9g, PyTorch has %.9g", test->name, what, i, values[i], expected);
    }
}

static void check_case(char *line)
{
    struct test_case test;
    read_case(line, &test);
    enum op_kind kind = test.operation.kind;
    bool weighted = kind == OP_CONVOLUTION || kind == OP_TOKENS || kind == OP_LAYERNORM || kind == OP_LINEAR;
    struct weights *weights = weights_new();
    size_t count = (size_t)test.output.rows * test.output.columns;
    size_t map_size = (size_t)test.operation.heads * (test.input.rows - 1);
    float *input = unit_values(&test, "input", test.input);
    float *second = unit_values(&test, "second", test.input);
    float *output = memory_alloc(count * sizeof *output);
    float *attention = memory_alloc(map_size * sizeof *attention);
    double *probabilities = memory_alloc(test.input.rows * sizeof *probabilities);
    int filter_size = test.input.columns * test.operation.kernel_height * test.operation.kernel_width;
    float *window = memory_alloc((size_t)(filter_size / test.operation.groups) * sizeof *window);
    plain_operation(
        &(struct plain_call){.operation = &test.operation,
                             .input_shape = test.input,
                             .output_shape = test.output,
                             .input = input,
                             .second = second,
                             .weight = weighted ? add_weight(weights, &test, false) : NULL,
                             .bias = weighted && test.has_bias ? add_weight(weights, &test, true) : NULL,
                             .window = window,
                             .output = output,
                             .attention = map_size ? attention : NULL,
                             .probabilities = probabilities});
    compare(&test, "output", test.expected, output, count);
    if (kind == OP_ATTENTION)
        compare(&test, "attention", test.expected_attention, attention, map_size);
    free(input);
    free(second);
    free(output);
    free(attention);
    free(probabilities);
    free(window);
    weights_close(weights);
}

static void operations_match_pytorch(void **state)
{
    (void)state;
    static char line[MAX_LINE];
    int cases = 0;
    FILE *file = fopen(TEST_SOURCE_DIR "/tests/golden/operations.txt", "r");
    assert_non_null(file);
    for (; fgets(line, sizeof line, file); cases += line[0] != '#')
        if (line[0] != '#')
            check_case(line);
    fclose(file);
    assert_int_equal(cases, 25);
}

static void normalising_looks_values_up(void **state)
{
    (void)state;
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    const uint8_t view[6] = {0, 255, 128, 255, 0, 7};
    float table[3 * 256], output[6];
    struct operation operation = {.kind = OP_NORMALISE, .height = 1, .width = 2};
    preprocess_table(mean, std, table);
    plain_operation(&(struct plain_call){
        .operation = &operation, .output_shape = {2, 3}, .view = view, .table = table, .output = output});
    for (int i = 0; i < 6; i++)
        assert_true(output[i] == ((float)view[i] / 255.0f - mean[i % 3]) / std[i % 3]);
}

// A small network of its own: the plan of a real one would take seconds here.
static struct plan *prepare_tiny(struct backend *backend, enum precision precision,
                                 enum explanation attention, struct error *err)
{
    struct network *network = NULL;
    assert_int_equal(network_build(&network, "vit_tiny_patch16_224", 8, err), STATUS_OK);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 3);
    struct plan_options options = {.precision = precision, .max_batch = 2, .attention = attention};
    struct plan *plan = NULL;
    enum status status = backend_prepare(backend, network, weights, &options, &plan, err);
    assert_int_equal(status, plan ? STATUS_OK : STATUS_REJECTED);
    weights_close(weights);
    network_free(network);
    return plan;
}

static void an_image_gives_the_same_bits_in_any_company(void **state)
{
    (void)state;
    struct error err = {""};
    struct backend *backend = cpu_plain_backend_open();
    struct plan *plan = prepare_tiny(backend, PRECISION_FP32, EXPLAIN_NOTHING, &err);
    assert_non_null(plan);
    assert_int_equal(plan->heads, 0);
    uint8_t *black = memory_alloc((size_t)plan->view_size), *noise = memory_alloc((size_t)plan->view_size);
    for (int i = 0; i < plan->view_size; i++)
        noise[i] = (uint8_t)random_weights_bits(1, "noise", (uint64_t)i);
    float alone[8], together[16];
    const uint8_t *one[] = {noise}, *two[] = {black, noise};
    assert_int_equal(plan_run(plan, one, 1, &(struct inference){.logits = alone}, &err), STATUS_OK);
    assert_int_equal(plan_run(plan, two, 2, &(struct inference){.logits = together}, &err), STATUS_OK);
    assert_memory_equal(alone, together + 8, sizeof alone);
    assert_memory_not_equal(alone, together, sizeof alone);
    free(black);
    free(noise);
    plan_free(plan);
    backend_close(backend);
}

static void other_precisions_are_refused_by_name(void **state)
{
    (void)state;
    struct error err = {""};
    struct backend *backend = cpu_plain_backend_open();
    assert_null(prepare_tiny(backend, PRECISION_BF16, EXPLAIN_LAST, &err));
    assert_non_null(strstr(err.message, "bf16"));
    backend_close(backend);
}

static void a_device_says_what_it_knows_of_itself(void **state)
{
    (void)state;
    static const char *const names[] = {"cpu", "simulated"};
    for (int i = 0; i < 2; i++) {
        struct error err = {""};
        struct backend *backend;
        struct device_figures figures = {0};
        assert_int_equal(backend_open(&backend, names[i], 1, &err), STATUS_OK);
        assert_int_equal(backend_health(backend, &err), STATUS_OK);
        backend_figures(backend, &figures);
        assert_int_equal(figures.utilisation_percent, -1);
        assert_int_equal(figures.memory_used, -1);
        assert_int_equal(figures.ecc_uncorrected, -1);
        assert_int_equal(backend->simulated, i == 1);
        assert_int_equal(backend_peak_gflops(backend, PRECISION_FP32) > 0, i == 0);
        backend_close(backend);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_match_pytorch),
        cmocka_unit_test(normalising_looks_values_up),
        cmocka_unit_test(an_image_gives_the_same_bits_in_any_company),
        cmocka_unit_test(a_device_says_what_it_knows_of_itself),
        cmocka_unit_test(other_precisions_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
