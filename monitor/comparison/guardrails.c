// guardrails.c: differences between the arms, and what drawing again makes of them.
#include "monitor/comparison/guardrails.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "monitor/labels/judgement.h"
#include "monitor/labels/resample.h"

static const int64_t hour_ms = 3600 * 1000;
static const double work = 1e8;

const char *const guardrail_state_names[] = {"insufficient", "ok", "broken"};

// One row of either: key tells its cluster.
struct guarded {
    uint64_t key;
    double value; // latency
    uint8_t arm, truth;
    bool right;
};
struct guarded_rows {
    struct guarded *rows;
    size_t count;
    bool eligible[LESION_CLASSES];
};

static int by_key(const void *left, const void *right)
{
    const struct guarded *a = left, *b = right;
    return (a->key > b->key) - (a->key < b->key);
}

static int by_value(const void *left, const void *right)
{
    const struct guarded *a = left, *b = right;
    return (a->value > b->value) - (a->value < b->value);
}

// Numbers the keys. The rows become ordered by key.
static size_t number_keys(struct guarded *rows, size_t count)
{
    size_t found = 0;
    qsort(rows, count, sizeof *rows, by_key);
    for (size_t i = 0; i < count;) {
        uint64_t key = rows[i].key;
        for (; i < count && rows[i].key == key; i++)
            rows[i].key = found;
        found++;
    }
    return found;
}

static double accuracy_of(const struct guarded_rows *rows, const uint32_t *times, int arm)
{
    double right[LESION_CLASSES] = {0}, all[LESION_CLASSES] = {0}, sum = 0;
    int classes = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct guarded *row = &rows->rows[i];
        if (row->arm != arm)
            continue;
        all[row->truth] += times[i];
        right[row->truth] += row->right ? times[i] : 0;
    }
    for (int c = 0; c < LESION_CLASSES; c++)
        if (rows->eligible[c]) {
            sum += all[c] > 0 ? right[c] / all[c] : NAN;
            classes++;
        }
    return classes ? sum / classes : NAN;
}

static void accuracy_difference(void *context, const uint32_t *times, double *figures)
{
    figures[0] = accuracy_of(context, times, ARM_B) - accuracy_of(context, times, ARM_A);
}

// The least latency that 99 % of the arm's do not exceed; the rows are in the order of latency.
static double p99_of(const struct guarded_rows *rows, const uint32_t *times, int arm)
{
    uint64_t all = 0, seen = 0;
    for (size_t i = 0; i < rows->count; i++)
        all += rows->rows[i].arm == arm ? times[i] : 0;
    for (size_t i = 0; i < rows->count; i++) {
        seen += rows->rows[i].arm == arm ? times[i] : 0;
        if (seen > 0 && 100 * seen >= 99 * all)
            return rows->rows[i].value;
    }
    return NAN;
}

static void latency_difference(void *context, const uint32_t *times, double *figures)
{
    figures[0] = p99_of(context, times, ARM_B) - p99_of(context, times, ARM_A);
}

// sign 1: the greater b the better, -1: the smaller.
static void judge(struct guarded_rows *rows, size_t clusters, int sign,
                  void (*figure)(void *context, const uint32_t *times, double *figures),
                  struct guardrail *guardrail)
{
    uint32_t *numbers = memory_alloc((rows->count + 1) * sizeof *numbers);
    uint32_t *once = memory_alloc((rows->count + 1) * sizeof *once);
    for (size_t i = 0; i < rows->count; i++) {
        numbers[i] = (uint32_t)rows->rows[i].key;
        once[i] = 1;
    }
    figure(rows, once, &guardrail->difference);
    const struct resample resample = {
        .clusters = numbers,
        .count = rows->count,
        .cluster_count = clusters,
        .replicates = resample_replicates(rows->count, 2, work),
        .seed = GUARDRAIL_SEED,
        .level = 0.95,
        .figure_count = 1,
        .figures = figure,
        .context = rows,
    };
    resample_intervals(&resample, &guardrail->interval);
    if (clusters < GUARDRAIL_LEAST_CLUSTERS)
        guardrail->interval = (struct interval){NAN, NAN}; // comparisons with it are false: insufficient
    double worst = sign > 0 ? guardrail->interval.low : -guardrail->interval.high;
    double best = sign > 0 ? guardrail->interval.high : -guardrail->interval.low;
    double least = -fabs(guardrail->margin);
    guardrail->state = worst >= least ? GUARDRAIL_OK
                       : best < least ? GUARDRAIL_BROKEN
                                      : GUARDRAIL_INSUFFICIENT;
    free(numbers);
    free(once);
}

struct guardrail guardrail_balanced_accuracy(const struct known_answer *answers, size_t count)
{
    struct guardrail guardrail = {.name = "balanced_accuracy",
                                  .difference = NAN,
                                  .interval = {NAN, NAN},
                                  .margin = -GUARDRAIL_ACCURACY_LOSS};
    struct guarded_rows rows = {.rows = memory_alloc((count + 1) * sizeof *rows.rows), .count = count};
    size_t lesions[ARMS][LESION_CLASSES] = {0}, classes = 0;
    for (size_t i = 0; i < count; i++) {
        rows.rows[i] = (struct guarded){.key = answers[i].subject,
                                        .arm = answers[i].arm,
                                        .truth = answers[i].truth,
                                        .right = answers[i].right};
        guardrail.n[answers[i].arm]++;
        lesions[answers[i].arm][answers[i].truth]++;
    }
    for (int c = 0; c < LESION_CLASSES; c++) {
        rows.eligible[c] =
            lesions[ARM_A][c] >= JUDGEMENT_LEAST_POSITIVES && lesions[ARM_B][c] >= JUDGEMENT_LEAST_POSITIVES;
        classes += rows.eligible[c];
    }
    if (classes > 1)
        judge(&rows, number_keys(rows.rows, count), 1, accuracy_difference, &guardrail);
    free(rows.rows);
    return guardrail;
}

struct guardrail guardrail_latency(const struct arms *arms)
{
    struct guardrail guardrail = {
        .name = "latency_p99_ms", .difference = NAN, .interval = {NAN, NAN}, .margin = GUARDRAIL_LATENCY_MS};
    size_t most = arms->arm[ARM_A].count + arms->arm[ARM_B].count;
    struct guarded_rows rows = {.rows = memory_alloc((most + 1) * sizeof *rows.rows)};
    for (uint8_t a = 0; a < ARMS; a++)
        for (size_t i = 0; i < arms->arm[a].count; i++) {
            const struct arm_answer *answer = &arms->arm[a].answers[i];
            if (isnan(answer->latency_ms))
                continue;
            rows.rows[rows.count++] = (struct guarded){
                .key = (uint64_t)(answer->at / hour_ms), .value = (double)answer->latency_ms, .arm = a};
            guardrail.n[a]++;
        }
    if (guardrail.n[ARM_A] >= GUARDRAIL_LEAST_LATENCIES && guardrail.n[ARM_B] >= GUARDRAIL_LEAST_LATENCIES) {
        size_t hours = number_keys(rows.rows, rows.count);
        qsort(rows.rows, rows.count, sizeof *rows.rows, by_value);
        judge(&rows, hours, -1, latency_difference, &guardrail);
    }
    free(rows.rows);
    return guardrail;
}
