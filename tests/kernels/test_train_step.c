// test_train_step.c: steps of training by the plain executor, in float: gradients and 50 steps of AdamW
// against PyTorch, a training that goes on from its blocks, two processes against one, what is refused.
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "kernels/cpu/plain.h"
#include "kernels/dropout.h"
#include "tests/support/train_golden.h"

struct session {
    struct backend *backend;
    struct network *network;
    struct training *training;
    struct train_data data;
};

static struct session session_new(const struct training_options *options)
{
    struct session session = {.backend = cpu_plain_backend_open(), .network = mini_train()};
    struct weights *weights = weights_new();
    struct error err = {""};
    random_weights_fill(weights, session.network, 1);
    if (training_prepare(session.backend, session.network, weights, options, &session.training, &err) !=
        STATUS_OK)
        fail_msg("%s", err.message);
    weights_close(weights);
    return session;
}

static void session_free(struct session *session)
{
    training_free(session->training);
    backend_close(session->backend);
    network_free(session->network);
}

static struct training_result step(struct session *session, int number)
{
    struct training_result result = {0};
    struct error err;
    train_data_fill(&session->data, number);
    if (training_step(session->training, &session->data.batch, 3e-3, &result, &err) != STATUS_OK)
        fail_msg("step %d: %s", number, err.message);
    return result;
}

static float *block(struct session *session, enum training_block which)
{
    struct error err;
    float *values = memory_alloc(session->training->size * sizeof *values);
    assert_int_equal(training_save(session->training, which, values, &err), STATUS_OK);
    return values;
}

static void test_gradients(void **state)
{
    (void)state;
    struct train_golden golden;
    assert_true(train_golden_read(&golden));
    struct training_options options = train_options();
    struct session session = session_new(&options);
    struct training_result result = step(&session, 0);
    assert_true(fabs(result.classification - golden.classification) <= 1e-6);
    assert_true(fabs(result.diversity - golden.diversity) <= 1e-6);
    float *gradients = block(&session, TRAINING_GRADIENTS);
    for (int i = 0; i < golden.gradient_count; i++) {
        const struct golden_gradient *gradient = &golden.gradients[i];
        int parameter = network_find_parameter(session.network, gradient->name);
        const float *values = gradients + training_offset(session.network, parameter);
        double products[GOLDEN_DIRECTIONS] = {0};
        for (size_t j = 0; j < parameter_size(&session.network->parameters[parameter]); j++)
            for (int d = 0; d < GOLDEN_DIRECTIONS; d++)
                products[d] += (double)values[j] * golden_direction(d, gradient->name, j);
        if (!(golden_difference(gradient, products) <= 1e-5)) // 1e-4 is wanted
            fail_msg("%s: relative difference %g", gradient->name, golden_difference(gradient, products));
    }
    free(gradients);
    session_free(&session);
}

static void test_fifty_steps(void **state)
{
    (void)state;
    struct train_golden golden;
    assert_true(train_golden_read(&golden));
    struct training_options options = train_options();
    struct session session = session_new(&options);
    for (int i = 0; i < GOLDEN_STEPS; i++) {
        double loss = step(&session, i % 4).loss;
        if (!(fabs(loss - golden.losses[i]) <= 1e-3 * fabs(golden.losses[i])))
            fail_msg("step %d: %.9g, PyTorch %.9g", i, loss, golden.losses[i]);
    }
    assert_int_equal(session.training->steps, GOLDEN_STEPS);
    session_free(&session);
}

static void test_goes_on_from_its_blocks(void **state)
{
    (void)state;
    struct training_options options = train_options();
    struct session one = session_new(&options), other = session_new(&options);
    struct error err;
    for (int i = 0; i < 3; i++)
        step(&one, i);
    for (int i = 0; i < TRAINING_BLOCK_COUNT; i++) {
        float *values = block(&one, (enum training_block)i);
        assert_int_equal(training_load(other.training, (enum training_block)i, values, &err), STATUS_OK);
        free(values);
    }
    other.training->steps = one.training->steps;
    step(&one, 3);
    step(&other, 3);
    for (int i = 0; i < TRAINING_BLOCK_COUNT; i++) {
        float *a = block(&one, (enum training_block)i), *b = block(&other, (enum training_block)i);
        assert_memory_equal(a, b, one.training->size * sizeof *a);
        free(a);
        free(b);
    }
    session_free(&one);
    session_free(&other);
}

static void test_export(void **state)
{
    (void)state;
    struct training_options options = train_options();
    struct session session = session_new(&options);
    struct weights *weights = NULL;
    struct error err;
    step(&session, 0);
    float *parameters = block(&session, TRAINING_PARAMETERS);
    assert_int_equal(training_export(session.training, &weights, &err), STATUS_OK);
    for (int i = 0; i < session.network->parameter_count; i++) {
        const struct weight *weight = weights_find(weights, session.network->parameters[i].name);
        assert_non_null(weight);
        assert_memory_equal(weight->data, parameters + training_offset(session.network, i), weight->size);
    }
    weights_close(weights);
    free(parameters);
    session_free(&session);
}

// Of what is frozen, no value moves.
static void test_frozen(void **state)
{
    (void)state;
    struct training_options options = train_options();
    options.freeze_blocks = 2;
    options.adamw.decay_all = true;
    struct session session = session_new(&options);
    float *before = block(&session, TRAINING_PARAMETERS);
    step(&session, 0);
    float *after = block(&session, TRAINING_PARAMETERS);
    size_t first = training_offset(session.network, network_find_parameter(session.network, "norm.weight"));
    assert_memory_equal(before, after, first * sizeof *before);
    for (size_t i = first; i < session.training->size; i++)
        assert_true(before[i] != after[i]);
    free(before);
    free(after);
    session_free(&session);
}

static void test_a_loss_that_is_not_finite(void **state)
{
    (void)state;
    struct training_options options = train_options();
    struct session session = session_new(&options);
    struct training_result result;
    struct error err;
    train_data_fill(&session.data, 0);
    session.data.pixels[2][17] = NAN;
    float *before = block(&session, TRAINING_PARAMETERS);
    assert_int_equal(training_step(session.training, &session.data.batch, 1e-3, &result, &err),
                     STATUS_REJECTED);
    assert_non_null(strstr(err.message, "loss is"));
    assert_int_equal(session.training->steps, 0);
    float *after = block(&session, TRAINING_PARAMETERS);
    size_t head = training_offset(session.network, network_find_parameter(session.network, "cls_token"));
    assert_memory_equal(before + head, after + head, (session.training->size - head) * sizeof *before);
    free(before);
    free(after);
    session_free(&session);
}

// Two processes: each calls in turn, the second finds the sum.
struct pair {
    struct exchange exchange; // first
    struct pair_state {
        pthread_barrier_t barrier;
        double values[2][8192];
    } * state;
};

static enum status pair_sum_doubles(struct exchange *exchange, double *values, size_t count,
                                    struct error *err)
{
    (void)err;
    struct pair_state *state = ((struct pair *)exchange)->state;
    assert_true(count <= 8192);
    memcpy(state->values[exchange->rank], values, count * sizeof *values);
    pthread_barrier_wait(&state->barrier);
    for (size_t i = 0; i < count; i++)
        values[i] = state->values[0][i] + state->values[1][i];
    pthread_barrier_wait(&state->barrier);
    return STATUS_OK;
}

static enum status pair_sum_floats(struct exchange *exchange, float *values, size_t count, struct error *err)
{
    double *wide = memory_alloc(count * sizeof *wide);
    for (size_t i = 0; i < count; i++)
        wide[i] = values[i];
    enum status status = pair_sum_doubles(exchange, wide, count, err);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)wide[i];
    free(wide);
    return status;
}

static const struct exchange_ops pair_ops = {.sum_floats = pair_sum_floats, .sum_doubles = pair_sum_doubles};

struct process {
    struct session session;
    struct pair pair;
    struct training_result result;
};

// Three images of the batch, or the other two.
static void *process_main(void *context)
{
    struct process *process = context;
    struct train_data *data = &process->session.data;
    struct error err;
    int rank = process->pair.exchange.rank, first = rank * 3, count = rank ? TRAIN_COUNT - 3 : 3;
    train_data_fill(data, 0);
    data->batch = (struct training_batch){.count = count,
                                          .images = data->images + first,
                                          .labels = data->labels + first,
                                          .counters = data->counters + first};
    if (training_step(process->session.training, &data->batch, 3e-3, &process->result, &err) != STATUS_OK)
        abort();
    return NULL;
}

static void compare_blocks(struct session *one, struct session *other, enum training_block which)
{
    float *a = block(one, which), *b = block(other, which);
    double square = 0, total = 0;
    for (size_t i = 0; i < one->training->size; i++) {
        square += (a[i] - b[i]) * (double)(a[i] - b[i]);
        total += a[i] * (double)a[i];
    }
    if (!(sqrt(square) <= 1e-6 * sqrt(total)))
        fail_msg("block %d: relative difference %g", which, sqrt(square / total));
    free(a);
    free(b);
}

static void test_two_processes(void **state)
{
    (void)state;
    static struct pair_state shared;
    static struct process processes[2];
    pthread_t threads[2];
    struct training_options options = train_options();
    struct session one = session_new(&options);
    struct training_result alone = step(&one, 0);
    pthread_barrier_init(&shared.barrier, NULL, 2);
    for (int i = 0; i < 2; i++) {
        processes[i].pair = (struct pair){{&pair_ops, i, 2}, &shared};
        options.exchange = &processes[i].pair.exchange;
        processes[i].session = session_new(&options);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, process_main, &processes[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        assert_true(fabs(processes[i].result.loss - alone.loss) <= 1e-6 * fabs(alone.loss));
        compare_blocks(&one, &processes[i].session, TRAINING_GRADIENTS);
        compare_blocks(&one, &processes[i].session, TRAINING_PARAMETERS);
        session_free(&processes[i].session);
    }
    pthread_barrier_destroy(&shared.barrier);
    session_free(&one);
}

// The share that is dropped, and that the mean of what is kept makes up for it.
static void test_dropout(void **state)
{
    (void)state;
    enum { COUNT = 1 << 16 };
    float *factors = memory_alloc(COUNT * sizeof *factors);
    struct dropout dropout = dropout_of(1, 2, 0.1);
    int dropped = 0;
    dropout_factors(&dropout, 3, 0, COUNT, factors);
    for (int i = 0; i < COUNT; i++)
        dropped += factors[i] == 0;
    assert_true(fabs(dropped - 0.1 * COUNT) <= 5 * sqrt(0.09 * COUNT));
    assert_true(fabs(dropout.factor * (1 - 6554 / 65536.0) - 1) <= 1e-7);
    dropout = dropout_of(1, 2, 0);
    dropout_factors(&dropout, 3, 0, COUNT, factors);
    for (int i = 0; i < COUNT; i++)
        assert_true(factors[i] == 1);
    free(factors);
}

static void test_bf16_is_refused(void **state)
{
    (void)state;
    struct training_options options = train_options();
    struct backend *backend = cpu_plain_backend_open();
    struct network *network = mini_train();
    struct weights *weights = weights_new();
    struct training *training;
    struct error err;
    random_weights_fill(weights, network, 1);
    options.precision = PRECISION_BF16;
    assert_int_equal(training_prepare(backend, network, weights, &options, &training, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "bf16"));
    weights_close(weights);
    network_free(network);
    backend_close(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_fifty_steps),
        cmocka_unit_test(test_goes_on_from_its_blocks),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_a_loss_that_is_not_finite),
        cmocka_unit_test(test_two_processes),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_bf16_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
