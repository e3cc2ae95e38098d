// case_mix.c: the inverse of the confusion, column by column, gives shares, errors and condition.
#include "common/statistics/case_mix.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "common/statistics/divergence.h"
#include "common/statistics/numeric.h"

enum { MOST = CASE_MIX_MOST_CLASSES };

// inverse[column][row].
static bool invert(const double *matrix, size_t n, double inverse[MOST][MOST])
{
    for (size_t column = 0; column < n; column++) {
        double copy[MOST * MOST];
        memcpy(copy, matrix, n * n * sizeof *matrix);
        memset(inverse[column], 0, sizeof inverse[column]);
        inverse[column][column] = 1;
        if (!numeric_solve(copy, inverse[column], n))
            return false;
    }
    return true;
}

static double norm(const double *column, size_t n, size_t step)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs(column[i * step]);
    return sum;
}

static double condition_of(const double *matrix, size_t n, double inverse[MOST][MOST])
{
    double of_matrix = 0, of_inverse = 0;
    for (size_t column = 0; column < n; column++) {
        of_matrix = fmax(of_matrix, norm(matrix + column, n, n));
        of_inverse = fmax(of_inverse, norm(inverse[column], n, 1));
    }
    return of_matrix * of_inverse;
}

// Shares are linear in the counts, which are multinomial.
static void estimate(double inverse[MOST][MOST], const double *seen, size_t classes, double n,
                     struct case_mix *mix)
{
    for (size_t i = 0; i < classes; i++) {
        double mean = 0, squares = 0;
        for (size_t j = 0; j < classes; j++) {
            mean += inverse[j][i] * seen[j];
            squares += inverse[j][i] * inverse[j][i] * seen[j];
        }
        mix->shares[i] = mean;
        mix->errors[i] = sqrt(fmax(0, squares - mean * mean) / n);
    }
}

static void clip(struct case_mix *mix, size_t classes)
{
    double sum = 0;
    for (size_t i = 0; i < classes; i++) {
        mix->clipped = mix->clipped || mix->shares[i] < 0;
        sum += mix->shares[i] = fmax(0, mix->shares[i]);
    }
    for (size_t i = 0; i < classes; i++)
        mix->shares[i] /= sum;
}

bool case_mix_estimate(const double *confusion, const int64_t *predicted, size_t classes,
                       struct case_mix *mix)
{
    assert(classes > 0 && classes <= MOST);
    double inverse[MOST][MOST], seen[MOST], explained[MOST] = {0}, n = 0;
    *mix = (struct case_mix){0};
    for (size_t i = 0; i < classes; i++)
        n += (double)predicted[i];
    if (n == 0 || !invert(confusion, classes, inverse))
        return false;
    divergence_shares(predicted, classes, 0, seen);
    mix->condition = condition_of(confusion, classes, inverse);
    estimate(inverse, seen, classes, n, mix);
    clip(mix, classes);
    for (size_t i = 0; i < classes; i++)
        for (size_t j = 0; j < classes; j++)
            explained[i] += confusion[i * classes + j] * mix->shares[j];
    mix->remainder = divergence_total_variation(seen, explained, classes);
    return true;
}
