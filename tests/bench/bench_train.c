// bench_train.c: trains one network with random weights on the CPU backend.
//
//     bench_train ARCHITECTURE[:SIZE] fp32|bf16 BATCH THREADS DROPOUT avx2|avx512|best [GRADIENTS-FILE]
//
// Prints one line when it is ready: executor, instruction set, memory in MiB. Then, for every line it reads,
// it makes one step of AdamW (learning rate 1e-4, weight decay 0.05, clip 1) on the same batch and prints its
// milliseconds, those of processor time, and the loss: train_peers.py alternates with it so. With a file, it
// writes the gradients of the first batch there instead, as floats in the order of the network's parameters,
// and loss, names and sizes to the output.
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

// Value j of image i: the bits of random_weights for (i, "image", j), uniform in [-1, 1).
static struct training_batch make_batch(const struct network *network, int count)
{
    size_t values = (size_t)network->image_size * (size_t)network->image_size * 3;
    const float **images = memory_alloc((size_t)count * sizeof *images);
    int *labels = memory_alloc((size_t)count * sizeof *labels);
    uint64_t *counters = memory_alloc((size_t)count * sizeof *counters);
    for (int i = 0; i < count; i++) {
        float *pixels = memory_alloc(values * sizeof *pixels);
        for (size_t j = 0; j < values; j++)
            pixels[j] = (float)(random_weights_bits((uint64_t)i, "image", j) >> 40) * 0x1p-23f - 1.0f;
        images[i] = pixels;
        labels[i] = i % CLASSES;
        counters[i] = (uint64_t)i;
    }
    return (struct training_batch){.count = count, .images = images, .labels = labels, .counters = counters};
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

static void run_steps(struct training *training, const struct training_batch *batch)
{
    char line[16];
    struct error err;
    while (fgets(line, sizeof line, stdin)) {
        struct training_result result;
        double begin = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
        must(training_step(training, batch, 1e-4, &result, &err), &err);
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
        fputs("bench_train ARCHITECTURE[:SIZE] fp32|bf16 BATCH THREADS DROPOUT avx2|avx512|best [FILE]\n",
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
    struct training_batch batch = make_batch(network, options.max_batch);
    printf("ready %s %s %.0f\n", training->executor, cpu_features_class(),
           (double)training->memory_size / (1 << 20));
    fflush(stdout);
    if (argc > 7)
        write_gradients(training, &batch, argv[7]);
    else
        run_steps(training, &batch);
    training_free(training);
    backend_close(backend);
    network_free(network);
    return 0;
}
