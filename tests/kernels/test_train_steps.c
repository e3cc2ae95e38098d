// test_train_steps.c: 50 steps of AdamW with ResNet-18 on the fast executor against PyTorch's losses
// (tests/golden/train.txt; make_train.py says why the run is chaotic). No loss may be further from PyTorch's
// float64 than 1e-3, or than twice what PyTorch's own float32 has been.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/train_golden.h"

enum { SIDE = 64, BATCH = 8, CLASSES = 8, BATCHES = 4 };
#define LEARNING_RATE 1e-4

struct resnet {
    struct backend *backend;
    struct network *network;
    struct training *training;
};

static void resnet_init(struct resnet *resnet)
{
    struct error err = {""};
    struct weights *weights = weights_new();
    struct training_options options = training_options_default();
    options.max_batch = BATCH;
    *resnet = (struct resnet){0};
    if (network_build_sized(&resnet->network, "resnet18", SIDE, CLASSES, &err) != STATUS_OK ||
        backend_open(&resnet->backend, "cpu", 2, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    random_weights_fill(weights, resnet->network, 1);
    if (training_prepare(resnet->backend, resnet->network, weights, &options, &resnet->training, &err) !=
        STATUS_OK)
        fail_msg("%s", err.message);
    weights_close(weights);
}

static void resnet_release(struct resnet *resnet)
{
    training_free(resnet->training);
    backend_close(resnet->backend);
    network_free(resnet->network);
}

static double loss_of_step(struct resnet *resnet, int step)
{
    static float pixels[BATCH][SIDE * SIDE * 3];
    const float *images[BATCH];
    int labels[BATCH];
    uint64_t counters[BATCH];
    struct error err = {""};
    struct training_result result;
    for (int i = 0; i < BATCH; i++) {
        int number = step % BATCHES * BATCH + i;
        for (int j = 0; j < SIDE * SIDE * 3; j++)
            pixels[i][j] = train_unit((uint64_t)number, "image", (uint64_t)j);
        images[i] = pixels[i];
        labels[i] = number % CLASSES;
        counters[i] = (uint64_t)number;
    }
    const struct training_batch batch = {
        .count = BATCH, .images = images, .labels = labels, .counters = counters};
    if (training_step(resnet->training, &batch, LEARNING_RATE, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return result.loss;
}

static void resnet18_takes_pytorchs_steps(void **state)
{
    (void)state;
    static struct train_golden golden;
    struct resnet resnet;
    double furthest = 0;
    assert_true(train_golden_read(&golden));
    resnet_init(&resnet);
    for (int step = 0; step < GOLDEN_STEPS; step++) {
        double loss = loss_of_step(&resnet, step), wanted = golden.resnet_losses[step];
        double away = fabs(loss - wanted) / wanted, allowed = fmax(1e-3, 2 * golden.resnet_distances[step]);
        furthest = fmax(furthest, away);
        if (step % 10 == 9)
            printf("up to step %d: %.2g away, PyTorch's float32 %.2g\n", step, furthest,
                   golden.resnet_distances[step]);
        if (!(away <= allowed))
            fail_msg("step %d: loss %.9g, PyTorch %.9g: %.2g away, %.2g allowed", step, loss, wanted, away,
                     allowed);
    }
    resnet_release(&resnet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resnet18_takes_pytorchs_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
