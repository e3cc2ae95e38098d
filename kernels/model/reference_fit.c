// reference_fit.c: see reference_fit.h.
#include "kernels/model/reference_fit.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"

struct fit {
    const struct embedded_part *training;
    struct ood_reference *reference;
    size_t width;
    double *means;      // (LESION_CLASSES, width)
    double *covariance; // (width, width), its lower triangle; then its Cholesky factor
    double *inverse;    // of the factor, lower triangle
    double fourth;      // mean over the images of |residual|^4
};

static void find_means(struct fit *fit)
{
    const struct embedded_part *part = fit->training;
    size_t width = fit->width;
    size_t counts[LESION_CLASSES] = {0};
    for (size_t image = 0; image < part->count; image++) {
        double *mean = fit->means + (size_t)part->labels[image] * width;
        counts[part->labels[image]]++;
        for (size_t i = 0; i < width; i++)
            mean[i] += (double)part->embeddings[image * width + i];
    }
    for (size_t class = 0; class < LESION_CLASSES; class ++) {
        fit->reference->counts[class] = (float)counts[class];
        for (size_t i = 0; i < width && counts[class] > 0; i++) {
            fit->means[class * width + i] /= (double)counts[class];
            fit->reference->class_means[class * width + i] = (float)fit->means[class * width + i];
        }
    }
}

static void find_covariance(struct fit *fit)
{
    const struct embedded_part *part = fit->training;
    size_t width = fit->width;
    double *residual = memory_alloc(width * sizeof *residual), images = (double)part->count;
    for (size_t image = 0; image < part->count; image++) {
        const double *mean = fit->means + (size_t)part->labels[image] * width;
        double square = 0;
        for (size_t i = 0; i < width; i++) {
            residual[i] = (double)part->embeddings[image * width + i] - mean[i];
            square += residual[i] * residual[i];
        }
        fit->fourth += square * square / images;
        for (size_t i = 0; i < width; i++)
            for (size_t j = 0; j <= i; j++)
                fit->covariance[i * width + j] += residual[i] * residual[j];
    }
    for (size_t i = 0; i < width * width; i++)
        fit->covariance[i] /= images;
    free(residual);
}

// Ledoit and Wolf's share: how far the covariances of single images are from their mean, over how far that is
// from the multiple of the identity.
static double shrink(struct fit *fit)
{
    size_t width = fit->width;
    double trace = 0, square = 0, images = (double)fit->training->count;
    for (size_t i = 0; i < width; i++) {
        trace += fit->covariance[i * width + i];
        for (size_t j = 0; j <= i; j++)
            square += (i == j ? 1 : 2) * fit->covariance[i * width + j] * fit->covariance[i * width + j];
    }
    double mean = trace / (double)width;
    double distance = square - trace * mean, noise = (fit->fourth - square) / images;
    double share = noise < distance ? fmax(noise, 0) / distance : 1;
    for (size_t i = 0; i < width; i++) {
        for (size_t j = 0; j <= i; j++)
            fit->covariance[i * width + j] *= 1 - share;
        fit->covariance[i * width + i] += share * mean;
    }
    return share;
}

// covariance = L L^T, in place. False: it is not positive definite.
static bool factorise(struct fit *fit)
{
    size_t width = fit->width;
    double *matrix = fit->covariance;
    for (size_t i = 0; i < width; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = matrix[i * width + j];
            for (size_t k = 0; k < j; k++)
                sum -= matrix[i * width + k] * matrix[j * width + k];
            if (i == j && !(sum > 0))
                return false;
            matrix[i * width + j] = i == j ? sqrt(sum) : sum / matrix[j * width + j];
        }
    return true;
}

// inverse L = 1, row after row: row i is the unit row less the rows above it.
static void invert(struct fit *fit)
{
    size_t width = fit->width;
    for (size_t i = 0; i < width; i++) {
        const double *factor = fit->covariance + i * width;
        double *row = fit->inverse + i * width;
        row[i] = 1;
        for (size_t k = 0; k < i; k++)
            for (size_t j = 0; j <= k; j++)
                row[j] -= factor[k] * fit->inverse[k * width + j];
        for (size_t j = 0; j <= i; j++)
            row[j] /= factor[i];
    }
}

// False: it is too large for a float.
static bool set_whitening(struct fit *fit)
{
    size_t width = fit->width;
    bool finite = true;
    for (size_t i = 0; i < width; i++)
        for (size_t j = i; j < width; j++) {
            float value = (float)fit->inverse[j * width + i];
            fit->reference->whitening[i * width + j] = value;
            finite = finite && isfinite(value);
        }
    return finite;
}

static int by_value(const void *a, const void *b)
{
    float first = *(const float *)a, second = *(const float *)b;
    return (first > second) - (first < second);
}

static void find_distances(struct ood_reference *reference, const struct embedded_part *part)
{
    float *distances = memory_alloc(part->count * sizeof *distances);
    for (size_t i = 0; i < part->count; i++)
        distances[i] = ood_distance(reference, part->embeddings + i * (size_t)reference->width);
    qsort(distances, part->count, sizeof *distances, by_value);
    for (int i = 0; i < OOD_QUANTILES; i++) {
        double place = (double)(part->count - 1) * i / (OOD_QUANTILES - 1);
        size_t below = (size_t)place;
        double above = (double)distances[below + 1 < part->count ? below + 1 : below];
        reference->distances[i] =
            (float)((double)distances[below] + (place - (double)below) * (above - (double)distances[below]));
    }
    free(distances);
}

enum status reference_fit(const struct embedded_part *training, const struct embedded_part *validation,
                          int width, struct ood_reference **result, double *shrinkage, struct error *err)
{
    size_t columns = (size_t)width;
    struct fit fit = {.training = training, .reference = ood_reference_new(width), .width = columns};
    *result = NULL;
    fit.means = memory_alloc(LESION_CLASSES * columns * sizeof *fit.means);
    fit.covariance = memory_alloc(columns * columns * sizeof *fit.covariance);
    fit.inverse = memory_alloc(columns * columns * sizeof *fit.inverse);
    find_means(&fit);
    find_covariance(&fit);
    *shrinkage = shrink(&fit);
    bool good = factorise(&fit);
    if (good) {
        invert(&fit);
        good = set_whitening(&fit);
    }
    if (good) {
        ood_reference_finish(fit.reference);
        find_distances(fit.reference, validation);
        *result = fit.reference;
    } else {
        ood_reference_free(fit.reference);
    }
    free(fit.means);
    free(fit.covariance);
    free(fit.inverse);
    return good ? STATUS_OK
                : error_set(
                      err, STATUS_REJECTED,
                      "the embeddings of the training part do not differ within any class, so no distance "
                      "can be told");
}
