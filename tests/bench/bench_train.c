// bench_train.c: trains one network with random weights on the CPU backend.
//
//     bench_train ARCHITECTURE[:SIZE] fp32|bf16 BATCH THREADS DROPOUT avx2|avx512|best [GRADIENTS-FILE
//     [STEP]]
//
// Prints one line when it is ready: executor, instruction set, memory in MiB. Then, for every line it reads,
// it makes one step of AdamW (learning rate 1e-4, weight decay 0.05, clip 1) on a new batch and prints its
// milliseconds, those of processor time, and the loss: train_peers.py alternates with it so. With a file, it
// writes the gradients of the batch of step STEP (0) there instead, as floats in the order of the network's
// parameters, and loss, names and sizes to the output.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/cpu_features.h"
#include "common/base/memory.h"
#include "kernels/model/random_weights.h"
#include "kernels/training.h"

enum { CLASSES = 8 };

static double now_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + 1e-6 * (double)now.tv_nsec;
}

static void must(enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_train: %s\n", err->message);
        exit(1);
    }
}

struct images {
    float **pixels;
    int *labels;
    uint64_t *counters;
    struct training_batch batch;
};

// The batch of a step: image i is number step * count + i. Value j of it: the bits of random_weights for
// (number, "image", j), uniform in [-1, 1).
static void fill_batch(struct images *images, const struct network *network, int step)
{
    size_t values = (size_t)network->image_size * (size_t)network->image_size * 3;
    for (int i = 0; i < images->batch.count; i++) {
        uint64_t number = (uint64_t)step * (uint64_t)images->batch.count + (uint64_t)i;
        for (size_t j = 0; j < values; j++)
            images->pixels[i][j] = (float)(random_weights_bits(number, "image", j) >> 40) * 0x1p-23f - 1.0f;
        images->labels[i] = (int)(number % CLASSES);
        images->counters[i] = number;
    }
}

static struct images make_images(const struct network *network, int count)
{
    size_t values = (size_t)network->image_size * (size_t)network->image_size * 3;
    struct images images = {.pixels = memory_alloc((size_t)count * sizeof *images.pixels),
                            .labels = memory_alloc((size_t)count * sizeof *images.labels),
                            .counters = memory_alloc((size_t)count * sizeof *images.counters)};
    for (int i = 0; i < count; i++)
        images.pixels[i] = memory_alloc(values * sizeof(float));
    images.batch = (struct training_batch){.count = count,
                                           .images = (const float *const *)images.pixels,
                                           .labels = images.labels,
                                           .counters = images.counters};
    return images;
}

static void write_gradients(struct training *training, const struct training_batch *batch, const char *path)
{
    struct error err;
    struct training_result result;
    float *values = memory_alloc(training->size * sizeof *values);
    must(training_gradients(training, batch, &result, &err), &err);
    must(training_save(training, TRAINING_GRADIENTS, values, &err), &err);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(values, sizeof *values, training->size, file) != training->size || fclose(file) != 0)
        must(error_set(&err, STATUS_FATAL, "%s can't be written", path), &err);
    free(values);
    printf("%.9g\n", result.loss);
    for (int i = 0; i < training->network->parameter_count; i++)
        printf("%s %zu\n", training->network->parameters[i].name,
               parameter_size(&training->network->parameters[i]));
}

static void run_steps(struct training *training, struct images *images)
{
    char line[16];
    struct error err;
    for (int step = 0; fgets(line, sizeof line, stdin); step++) {
        struct training_result result;
        fill_batch(images, training->network, step);
        double begin = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
        must(training_step(training, &images->batch, 1e-4, &result, &err), &err);
        printf("%.3f %.3f %.9g\n", now_ms(CLOCK_MONOTONIC) - begin, now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu,
               result.loss);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    struct error err;
    struct network *network;
    struct backend *backend;
    struct training *training;
    if (argc < 7) {
        fputs("bench_train ARCHITECTURE[:SIZE] fp32|bf16 BATCH THREADS DROPOUT avx2|avx512|best [FILE "
              "[STEP]]\n",
              stderr);
        return 1;
    }
    char *colon = strchr(argv[1], ':');
    int size = colon ? atoi(colon + 1) : 224;
    if (colon)
        *colon = '\0';
    cpu_features_force(strcmp(argv[6], "avx2") == 0     ? CPU_LEVEL_AVX2
                       : strcmp(argv[6], "avx512") == 0 ? CPU_LEVEL_AVX512
                                                        : CPU_LEVEL_BEST);
    must(network_build_sized(&network, argv[1], size, CLASSES, &err), &err);
    must(backend_open(&backend, "cpu", atoi(argv[4]), &err), &err);
    struct weights *weights = weights_new();
    random_weights_fill(weights, network, 1);
    struct training_options options = training_options_default();
    options.precision = strcmp(argv[2], "bf16") == 0 ? PRECISION_BF16 : PRECISION_FP32;
    options.max_batch = atoi(argv[3]);
    options.dropout = atof(argv[5]);
    must(training_prepare(backend, network, weights, &options, &training, &err), &err);
    weights_close(weights);
    struct images images = make_images(network, options.max_batch);
    fill_batch(&images, network, argc > 8 ? atoi(argv[8]) : 0);
    printf("ready %s %s %.0f\n", training->executor, cpu_features_class(),
           (double)training->memory_size / (1 << 20));
    fflush(stdout);
    if (argc > 7)
        write_gradients(training, &images.batch, argv[7]);
    else
        run_steps(training, &images);
    training_free(training);
    backend_close(backend);
    network_free(network);
    return 0;
}
