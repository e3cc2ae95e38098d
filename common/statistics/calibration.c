// calibration.c: bins of a reliability diagram, and the temperature.
#include "common/statistics/calibration.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"

struct outcome {
    double confidence;
    bool right;
    size_t place; // in the caller's arrays
};

static int by_confidence(const void *left, const void *right)
{
    const struct outcome *a = left, *b = right;
    int order = (a->confidence > b->confidence) - (a->confidence < b->confidence);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static struct outcome *sorted_outcomes(const double *confidence, const bool *right, size_t count)
{
    struct outcome *outcomes = memory_alloc((count + 1) * sizeof *outcomes);
    for (size_t i = 0; i < count; i++)
        outcomes[i] = (struct outcome){confidence[i], right ? right[i] : false, i};
    qsort(outcomes, count, sizeof *outcomes, by_confidence);
    return outcomes;
}

// One past the last outcome of a bin; outcomes are sorted.
static size_t bin_end(const struct outcome *outcomes, size_t count, int bin,
                      const struct reliability *reliability, enum calibration_binning binning)
{
    size_t bins = (size_t)reliability->bin_count, at = (size_t)bin + 1, end = 0;
    if (binning == CALIBRATION_MASS) {
        size_t longer = count % bins;
        return at * (count / bins) + (at < longer ? at : longer);
    }
    while (end < count && (at == bins || outcomes[end].confidence <= (double)at / (double)bins))
        end++;
    return end;
}

static void fill_bin(struct calibration_bin *bin, const struct outcome *outcomes, size_t count)
{
    double confidence = 0, right = 0;
    for (size_t i = 0; i < count; i++) {
        confidence += outcomes[i].confidence;
        right += outcomes[i].right;
    }
    bin->count = count;
    bin->confidence = confidence / (double)count;
    bin->accuracy = right / (double)count;
}

static void measure(const struct outcome *outcomes, size_t count, enum calibration_binning binning,
                    struct reliability *reliability)
{
    size_t first = 0;
    reliability->ece = count ? 0 : NAN;
    reliability->mce = 0;
    for (int i = 0; i < reliability->bin_count; i++) {
        struct calibration_bin *bin = &reliability->bins[i];
        size_t end = bin_end(outcomes, count, i, reliability, binning);
        fill_bin(bin, outcomes + first, end - first);
        bool by_width = binning == CALIBRATION_WIDTH, empty = end == first;
        bin->low = by_width ? (double)i / reliability->bin_count : empty ? NAN : outcomes[first].confidence;
        bin->high = by_width ? (double)(i + 1) / reliability->bin_count
                    : empty  ? NAN
                             : outcomes[end - 1].confidence;
        if (!empty) {
            double gap = fabs(bin->confidence - bin->accuracy);
            reliability->ece += gap * (double)bin->count / (double)count;
            reliability->mce = fmax(reliability->mce, gap);
        }
        first = end;
    }
}

void calibration_measure(const double *confidence, const bool *right, size_t count, int bin_count,
                         enum calibration_binning binning, struct reliability *reliability)
{
    assert(bin_count >= 1 && bin_count <= CALIBRATION_MOST_BINS);
    struct outcome *outcomes = sorted_outcomes(confidence, right, count);
    *reliability = (struct reliability){.bin_count = bin_count};
    measure(outcomes, count, binning, reliability);
    free(outcomes);
}

double calibration_null_mean(const double *confidence, size_t count, int bin_count, int draws,
                             const struct random_stream *stream)
{
    struct outcome *outcomes = sorted_outcomes(confidence, NULL, count);
    struct reliability reliability = {.bin_count = bin_count};
    double sum = 0;
    for (int draw = 0; draw < draws; draw++) {
        for (size_t i = 0; i < count; i++)
            outcomes[i].right =
                counter_random_uniform(stream, (uint64_t)draw * count + i) < outcomes[i].confidence;
        measure(outcomes, count, CALIBRATION_MASS, &reliability);
        sum += reliability.ece;
    }
    free(outcomes);
    return sum / draws;
}

// ln of the sum of exp(logits / temperature), the greatest taken out first.
static double log_sum(const double *logits, int classes, double temperature)
{
    double greatest = -INFINITY, sum = 0;
    for (int i = 0; i < classes; i++)
        greatest = fmax(greatest, logits[i] / temperature);
    for (int i = 0; i < classes; i++)
        sum += exp(logits[i] / temperature - greatest);
    return greatest + log(sum);
}

double nll_of(const struct labelled_logits *rows, double temperature)
{
    double sum = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const double *logits = rows->logits + i * (size_t)rows->classes;
        sum += log_sum(logits, rows->classes, temperature) - logits[rows->labels[i]] / temperature;
    }
    return sum / (double)rows->count;
}

double brier_of(const struct labelled_logits *rows, double temperature)
{
    double sum = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const double *logits = rows->logits + i * (size_t)rows->classes;
        double total = log_sum(logits, rows->classes, temperature);
        for (int c = 0; c < rows->classes; c++) {
            double error = exp(logits[c] / temperature - total) - (c == rows->labels[i]);
            sum += error * error;
        }
    }
    return sum / (double)rows->count;
}

double temperature_fit(const struct labelled_logits *rows)
{
    const double golden = (sqrt(5) - 1) / 2;
    double low = -3, high = 3;
    double left = high - golden * (high - low), right = low + golden * (high - low);
    double at_left = nll_of(rows, exp(left)), at_right = nll_of(rows, exp(right));
    while (high - low > 1e-8) {
        if (at_left <= at_right) {
            high = right;
            right = left;
            at_right = at_left;
            at_left = nll_of(rows, exp(left = high - golden * (high - low)));
        } else {
            low = left;
            left = right;
            at_left = at_right;
            at_right = nll_of(rows, exp(right = low + golden * (high - low)));
        }
    }
    return exp((low + high) / 2);
}
