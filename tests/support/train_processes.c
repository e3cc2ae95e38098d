// train_processes.c: whether the processes that mpirun has started train one network as one process does.
//
//     mpirun -n 2 train_processes NETWORK SIDE BATCH STEPS LEARNING-RATE
//
// NETWORK: an architecture, or one of the small networks of mini_vit.h and mini_cnn.h, which have a size of
// their own. Each process trains it twice on one thread, on images of noise: alone on whole batches, and with
// the others on its share of them. Rank 0 prints the largest relative differences: of the first step's
// gradients, each tensor's by its norm, and of the loss of STEPS steps. Exit code 1: gradients differ by more
// than 1e-6, losses by more than 1e-5, of two processes with the executor convnet by anything at all, or the
// processes have different bits.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "kernels/model/random_weights.h"
#include "kernels/training.h"
#include "tests/support/mini_cnn.h"
#include "trainer/exchange_mpi.h"
#include "trainer/initial_weights.h"

#define MOST_OF_GRADIENTS 1e-6
#define MOST_OF_LOSS      1e-5

enum { CLASSES = 8, KINDS = 4 }; // as many different batches follow each other

struct run {
    struct backend *backend;
    struct network *network;
    struct training *training;
    struct exchange *exchange;
    float *pixels;
    float *gradients;
    double loss;
};

static void check(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "train_processes: %s\n", err->message);
    exit(1);
}

static struct network *build(const char *name, int side)
{
    struct network *network = NULL;
    struct error err = {""};
    if (strcmp(name, "mini_vit") == 0)
        return mini_vit(64, 2);
    if (strcmp(name, "mini_resnet") == 0)
        return mini_resnet();
    if (strcmp(name, "mini_efficientnet") == 0)
        return mini_efficientnet();
    check(network_build_sized(&network, name, side, CLASSES, &err), &err);
    return network;
}

static struct run run_new(char **arguments, struct exchange *exchange)
{
    struct run run = {.exchange = exchange};
    struct error err = {""};
    struct weights *weights = weights_new();
    struct training_options options = training_options_default();
    int side = atoi(arguments[1]), batch = atoi(arguments[2]), size = exchange_size(exchange);
    options.max_batch = (batch + size - 1) / size;
    options.exchange = exchange;
    options.dropout = options.diversity = 0.1;
    for (int i = 0; i < CLASSES; i++)
        options.class_weights[i] = 0.5 + i;
    run.network = build(arguments[0], side);
    side = run.network->image_size;
    initial_weights_fill(weights, run.network, 1);
    check(backend_open(&run.backend, "cpu", 1, &err), &err);
    check(training_prepare(run.backend, run.network, weights, &options, &run.training, &err), &err);
    weights_close(weights);
    run.pixels = memory_alloc((size_t)options.max_batch * (size_t)side * (size_t)side * 3 * sizeof(float));
    run.gradients = memory_alloc(run.training->size * sizeof *run.gradients);
    return run;
}

static void run_release(struct run *run)
{
    training_free(run->training);
    backend_close(run->backend);
    network_free(run->network);
    free(run->pixels);
    free(run->gradients);
}

static void step(struct run *run, int number, int whole, double rate)
{
    const float *images[TRAINING_MAX_BATCH];
    int labels[TRAINING_MAX_BATCH], begin, end;
    uint64_t counters[TRAINING_MAX_BATCH];
    size_t values = (size_t)run->network->image_size * (size_t)run->network->image_size * 3;
    struct training_result result;
    struct error err = {""};
    exchange_share(exchange_rank(run->exchange), exchange_size(run->exchange), whole, &begin, &end);
    for (int i = begin; i < end; i++) {
        uint64_t seed = (uint64_t)(number % KINDS * whole + i);
        float *image = run->pixels + (size_t)(i - begin) * values;
        for (size_t j = 0; j < values; j++)
            image[j] = (float)(random_weights_bits(seed, "image", j) >> 40) * 0x1p-23f - 1;
        images[i - begin] = image;
        labels[i - begin] = (int)(seed % (uint64_t)run->network->classes);
        counters[i - begin] = (uint64_t)(number * whole + i);
    }
    const struct training_batch batch = {end - begin, images, labels, counters, NULL};
    check(training_step(run->training, &batch, rate, &result, &err), &err);
    run->loss = result.loss;
}

static double norm_of(const float *values, const float *others, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double value = values[i] - (others ? (double)others[i] : 0);
        sum += value * value;
    }
    return sqrt(sum);
}

// The largest relative difference of a tensor's gradients. A tensor whose gradient is nothing but what
// rounding leaves of zero is measured by all gradients together.
static double compare_gradients(struct run *alone, struct run *together, const char **worst)
{
    const struct network *network = alone->network;
    struct error err = {""};
    double most = 0;
    check(training_save(alone->training, TRAINING_GRADIENTS, alone->gradients, &err), &err);
    check(training_save(together->training, TRAINING_GRADIENTS, together->gradients, &err), &err);
    double all = norm_of(alone->gradients, NULL, alone->training->size);
    for (int i = 0; i < network->parameter_count; i++) {
        size_t at = training_offset(network, i), count = parameter_size(&network->parameters[i]);
        double norm = norm_of(alone->gradients + at, NULL, count);
        double away = norm_of(alone->gradients + at, together->gradients + at, count);
        away /= norm > 1e-6 * all ? norm : all;
        if (!(away <= most)) {
            most = away;
            *worst = network->parameters[i].name;
        }
    }
    return most;
}

static bool are_same_bits(struct run *together)
{
    struct error err = {""};
    bool same;
    check(training_save(together->training, TRAINING_PARAMETERS, together->gradients, &err), &err);
    struct digest digest =
        digest_of(together->gradients, together->training->size * sizeof *together->gradients);
    check(exchange_compare(together->exchange, &digest, &same, &err), &err);
    return same;
}

int main(int argc, char **argv)
{
    struct exchange *exchange = NULL;
    struct error err = {""};
    double gradients = 0, losses = 0;
    const char *worst = "all";
    if (argc != 6 || exchange_mpi_launched() < 2) {
        fputs("usage: mpirun -n 2 train_processes NETWORK SIDE BATCH STEPS LEARNING-RATE\n", stderr);
        return 2;
    }
    check(exchange_mpi_open(&exchange, &err), &err);
    struct run alone = run_new(argv + 1, NULL), together = run_new(argv + 1, exchange);
    for (int i = 0; i < atoi(argv[4]); i++) {
        step(&alone, i, atoi(argv[3]), atof(argv[5]));
        step(&together, i, atoi(argv[3]), atof(argv[5]));
        if (i == 0)
            gradients = compare_gradients(&alone, &together, &worst);
        double away = fabs(together.loss - alone.loss) / fabs(alone.loss);
        if (!(away <= losses))
            losses = away;
    }
    bool same = are_same_bits(&together);
    bool equal = exchange->size == 2 && strcmp(together.training->executor, "convnet") == 0;
    bool good = same && gradients <= (equal ? 0 : MOST_OF_GRADIENTS) && losses <= (equal ? 0 : MOST_OF_LOSS);
    if (exchange->rank == 0)
        printf("%s of %s pixels, %s executor, %d processes: gradients differ by %.2g (%s), losses of %s "
               "steps by %.2g%s\n",
               argv[1], argv[2], together.training->executor, exchange->size, gradients, worst, argv[4],
               losses, same ? "" : "; the processes' parameters have different bits");
    run_release(&alone);
    run_release(&together);
    exchange_mpi_close(exchange);
    return good ? 0 : 1;
}
