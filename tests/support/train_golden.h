// train_golden.h: reads tests/golden/train.txt, which make_train.py describes. Static functions, so that a
// test includes it and nothing is linked.
#ifndef SKINSIGHT_TESTS_SUPPORT_TRAIN_GOLDEN_H
#define SKINSIGHT_TESTS_SUPPORT_TRAIN_GOLDEN_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/mini_train.h"

enum { GOLDEN_DIRECTIONS = 8, GOLDEN_TENSORS = 64, GOLDEN_STEPS = 50 };

struct train_golden {
    double classification, diversity;
    struct golden_gradient {
        char name[TENSOR_NAME_SIZE];
        double norm, products[GOLDEN_DIRECTIONS];
    } gradients[GOLDEN_TENSORS];
    int gradient_count;
    double losses[GOLDEN_STEPS];
    int step_count;
    double resnet_losses[GOLDEN_STEPS], resnet_distances[GOLDEN_STEPS]; // PyTorch's float32 from its float64
    int resnet_count;
};

static inline bool golden_gradient_read(struct golden_gradient *gradient, const char *line)
{
    int used = 0;
    if (sscanf(line, "gradient %127s %lf%n", gradient->name, &gradient->norm, &used) != 2)
        return false;
    for (int i = 0; i < GOLDEN_DIRECTIONS; i++) {
        int more = 0;
        if (sscanf(line + used, "%lf%n", &gradient->products[i], &more) != 1)
            return false;
        used += more;
    }
    return true;
}

// False: the file is not what it should be.
static inline bool train_golden_read(struct train_golden *golden)
{
    char line[1024];
    FILE *file = fopen(TEST_SOURCE_DIR "/tests/golden/train.txt", "r");
    bool good = file != NULL;
    memset(golden, 0, sizeof *golden);
    while (good && fgets(line, sizeof line, file)) {
        if (strncmp(line, "gradient ", 9) == 0)
            good = golden->gradient_count < GOLDEN_TENSORS &&
                   golden_gradient_read(&golden->gradients[golden->gradient_count++], line);
        else if (strncmp(line, "step ", 5) == 0)
            good = golden->step_count < GOLDEN_STEPS &&
                   sscanf(line, "step %*d %lf", &golden->losses[golden->step_count++]) == 1;
        else if (strncmp(line, "resnet18 ", 9) == 0) {
            int at = golden->resnet_count++;
            good = at < GOLDEN_STEPS && sscanf(line, "resnet18 %*d %lf %lf", &golden->resnet_losses[at],
                                               &golden->resnet_distances[at]) == 2;
        } else
            good = sscanf(line, "loss %lf %lf", &golden->classification, &golden->diversity) == 2;
    }
    if (file)
        fclose(file);
    return good && golden->step_count == GOLDEN_STEPS && golden->gradient_count > 0 &&
           golden->resnet_count == GOLDEN_STEPS;
}

// Value i of direction number d for a tensor.
static inline double golden_direction(int d, const char *name, size_t i)
{
    return sqrt(3) * (double)train_unit(100 + (uint64_t)d, name, i);
}

// Relative difference from products with the directions.
static inline double golden_difference(const struct golden_gradient *gradient,
                                       const double products[GOLDEN_DIRECTIONS])
{
    double square = 0;
    for (int d = 0; d < GOLDEN_DIRECTIONS; d++)
        square += pow(products[d] - gradient->products[d], 2) / GOLDEN_DIRECTIONS;
    return sqrt(square) / gradient->norm;
}

#endif
