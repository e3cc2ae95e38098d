// limits_input.c: how the limit follows from the looks. One look hits with the share of simulated looks that
// are as low, and three of five is then a Markov chain. Looks of one stream share their truth, so hits come
// together more often than chance would have it where the reference is small: by how much is counted where
// alarms are frequent, and the wanted run length is stretched by it.
#include "monitor/drift/limits_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/statistics/random_draws.h"
#include "monitor/drift/compare.h"

enum { STREAMS = 200, LOOKS = 365, SHIFTED_STREAMS = 50, SHIFTED_LOOKS = 40, FREQUENT_LOOKS = 60 };
enum { PURPOSE_LOOKS = 0x6c6f6f6b, PURPOSE_SIZES = 0x73697a65 }; // "look", "size"
enum { SIZED_DAYS = 20 * 364 };
#define SHIFTED_SHARE 0.1 // of the visits

// ---- looks ----

static void add_row(struct drift_tally *tally, const uint8_t places[DRIFT_COUNTED])
{
    for (int i = 0; i < DRIFT_COUNTED; i++)
        if (places[i] != DRIFT_ABSENT)
            tally->counts[i][places[i]]++;
}

static int feature_named(const char *name)
{
    int feature = 0;
    while (strcmp(drift_features[feature], name) != 0)
        feature++;
    return feature;
}

static double greatest_kl_of(const struct drift_tally *window, const struct drift_tally *reference)
{
    double greatest = NAN;
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        greatest = fmax(greatest, drift_number_kl(window, reference, i));
    return greatest;
}

static size_t draw_below(struct random_draws *draws, size_t limit)
{
    return (size_t)(random_draws_uniform(draws) * (double)limit);
}

// What a stream's pictures are drawn from.
struct truth {
    size_t *visits;
    double beyond[DRIFT_NUMBERS]
                 [2]; // of the pictures in an outer bin, the share that lies in the guard instead
};

static int outer_bin(int side)
{
    return side ? DRIFT_NUMBER_BINS - 2 : 1;
}

// No picture of the reference lies beyond its least and greatest, but of those to come some do: a share that
// is exponential with mean 1 over the reference's pictures (a spacing of order statistics; David and Nagaraja
// 2003, section 6.4).
static void draw_truth(const struct drift_look_plan *plan, struct random_draws *draws, struct truth *truth)
{
    const struct drift_tally *known = &plan->reference->strata[0].tally;
    size_t count = plan->rows->visit_count;
    for (size_t i = 0; i < count; i++)
        truth->visits[i] = draw_below(draws, count);
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        for (int side = 0; side < 2; side++)
            truth->beyond[i][side] =
                -log(random_draws_uniform(draws)) / fmax(1, (double)known->counts[i][outer_bin(side)]);
}

static void let_beyond(const struct truth *truth, struct random_draws *draws, uint8_t places[DRIFT_COUNTED])
{
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        for (int side = 0; side < 2; side++)
            if (places[i] == outer_bin(side) && random_draws_uniform(draws) < truth->beyond[i][side])
                places[i] = (uint8_t)(side ? DRIFT_NUMBER_BINS - 1 : 0);
}

// Visits until there are enough pictures; the last one is cut.
static void draw_look(const struct drift_look_plan *plan, struct random_draws *draws,
                      const struct truth *truth, struct drift_tally *tally)
{
    const struct drift_rows *rows = plan->rows;
    int device = feature_named("capture_device"), pictures = 0;
    memset(tally, 0, sizeof *tally);
    while (pictures < plan->pictures) {
        size_t visit = truth->visits[draw_below(draws, rows->visit_count)];
        bool shifted = plan->shifted && random_draws_uniform(draws) < SHIFTED_SHARE;
        for (size_t row = rows->visits[visit]; row < rows->visits[visit + 1] && pictures < plan->pictures;
             row++) {
            uint8_t places[DRIFT_COUNTED];
            memcpy(places, rows->places[row], sizeof places);
            let_beyond(truth, draws, places);
            if (shifted)
                places[device] = (uint8_t)(drift_bin_count(&plan->reference->bins, device) - 1);
            add_row(tally, places);
            pictures++;
        }
    }
}

void drift_simulate_looks(const struct drift_look_plan *plan, double *least_p, double *greatest_kl)
{
    const struct drift_reference *reference = plan->reference;
    struct truth truth = {.visits = memory_alloc(plan->rows->visit_count * sizeof *truth.visits)};
    struct drift_tally *tally = memory_alloc(sizeof *tally);
    for (int stream = 0; stream < plan->streams; stream++) {
        struct random_draws draws = {{plan->seed, PURPOSE_LOOKS + plan->shifted}, (uint64_t)stream << 32};
        draw_truth(plan, &draws, &truth);
        for (int look = 0; look < plan->looks; look++) {
            draw_look(plan, &draws, &truth, tally);
            *least_p++ = drift_least_p(tally, &reference->strata[0].tally, &reference->bins);
            if (greatest_kl)
                *greatest_kl++ = greatest_kl_of(tally, &reference->strata[0].tally);
        }
    }
    free(tally);
    free(truth.visits);
}

int64_t drift_count_alarms(const struct drift_look_plan *plan, const double *least_p, double limit)
{
    int64_t alarms = 0;
    for (int stream = 0; stream < plan->streams; stream++) {
        struct drift_looks looks = {0};
        for (int look = 0; look < plan->looks; look++)
            if (drift_looks_next(&looks, *least_p++) >= limit) { // NaN is no alarm
                alarms++;
                looks = (struct drift_looks){0};
            }
    }
    return alarms;
}

void drift_look_size(const struct drift_reference *reference, const struct drift_stratum *stratum,
                     struct drift_look_size *size)
{
    struct random_draws draws = {{reference->limits.seed, PURPOSE_SIZES}, 0};
    double share = (double)stratum->tally.output.n / (double)reference->strata[0].tally.output.n;
    double pictures = 0, all = 0, looks = 0;
    for (int day = 0; day < SIZED_DAYS; day++) {
        double mean = reference->weekdays[day % 7] * share;
        pictures += fmax(0, round(mean + sqrt(mean) * random_draws_normal(&draws)));
        if (pictures < DRIFT_LEAST)
            continue;
        all += pictures;
        looks++;
        pictures = 0;
    }
    *size = (struct drift_look_size){SIZED_DAYS / looks, all / looks};
}

// ---- limits ----

struct looks {
    size_t count;
    double *least_p; // ascending
};

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

// The share of looks whose p is at most `p`.
static double hits(const struct looks *looks, double p)
{
    size_t low = 0, high = looks->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (looks->least_p[middle] <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return (double)low / (double)looks->count;
}

// The greatest p whose looks run at least run_length.
static double p_for(const struct looks *looks, double run_length)
{
    size_t low = 0, high = looks->count; // `low` hits run that long, `high` do not
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (drift_looks_run_length((double)middle / (double)looks->count) >= run_length)
            low = middle;
        else
            high = middle;
    }
    return low ? looks->least_p[low - 1] : NAN;
}

// How many times more alarms there are than if looks did not depend on each other. least_p in the order of
// the plan.
static double clumping(const struct drift_look_plan *plan, const double *least_p, const struct looks *looks)
{
    double p = p_for(looks, FREQUENT_LOOKS);
    double alarms = (double)drift_count_alarms(plan, least_p, -log10(p));
    double expected = (double)plan->streams * plan->looks / drift_looks_run_length(hits(looks, p));
    return fmax(1, alarms / expected);
}

static struct looks sorted(const double *least_p, size_t count)
{
    struct looks looks = {count, memory_alloc(count * sizeof *looks.least_p)};
    memcpy(looks.least_p, least_p, count * sizeof *least_p);
    qsort(looks.least_p, count, sizeof *looks.least_p, ascending);
    return looks;
}

struct simulated {
    struct looks null, shifted;
    double clumping;
};

static struct drift_limit limit_for(const struct simulated *simulated, double arl0_days, double look_days)
{
    struct drift_limit found = {NAN, NAN, NAN};
    double p = p_for(&simulated->null, arl0_days / look_days * simulated->clumping);
    if (!(p > 0))
        return found;
    found.limit = -log10(p);
    found.arl0_days = arl0_days;
    found.delay_days = look_days * drift_looks_run_length(hits(&simulated->shifted, p));
    return found;
}

static int strata_with_looks(const struct drift_reference *reference, enum drift_stratum_kind kind)
{
    int count = 0;
    for (size_t i = 0; i < reference->stratum_count; i++)
        count += reference->strata[i].kind == kind && reference->strata[i].tally.output.n >= DRIFT_LEAST;
    return count;
}

static void set_limits(struct drift_reference *reference, const struct simulated *simulated)
{
    double budget = reference->limits.budget;
    for (size_t i = 0; i < reference->stratum_count; i++) {
        struct drift_stratum *stratum = &reference->strata[i];
        double yearly = stratum->kind == STRATUM_ALL
                            ? drift_budget_of_chart(budget)
                            : drift_budget_of_stratum(budget, strata_with_looks(reference, stratum->kind));
        struct drift_look_size size;
        stratum->input = (struct drift_limit){NAN, NAN, NAN};
        if (stratum->tally.output.n < DRIFT_LEAST)
            continue;
        drift_look_size(reference, stratum, &size);
        stratum->input = limit_for(simulated, 365 / yearly, size.days);
    }
    reference->limits.charts[CHART_INPUT] = reference->strata[0].input;
}

// Looks stand for the days on which the rule is judged.
static struct drift_limit plain_kl(const double *kl, const double *shifted_kl)
{
    double alarms = 0, shifted = 0;
    for (int i = 0; i < STREAMS * LOOKS; i++)
        alarms += kl[i] > DRIFT_PLAIN_KL;
    for (int i = 0; i < SHIFTED_STREAMS * SHIFTED_LOOKS; i++)
        shifted += shifted_kl[i] > DRIFT_PLAIN_KL;
    return (struct drift_limit){DRIFT_PLAIN_KL, STREAMS * LOOKS / fmax(1, alarms),
                                SHIFTED_STREAMS * SHIFTED_LOOKS / shifted};
}

void drift_limits_find_input(struct drift_reference *reference, const struct drift_rows *rows)
{
    struct drift_look_size size;
    drift_look_size(reference, &reference->strata[0], &size);
    struct drift_look_plan plan = {
        reference, rows, reference->limits.seed, STREAMS, LOOKS, (int)lround(size.pictures), false};
    double *least_p = memory_alloc(2 * STREAMS * LOOKS * sizeof *least_p), *kl = least_p + STREAMS * LOOKS;
    double shifted_p[2 * SHIFTED_STREAMS * SHIFTED_LOOKS],
        *shifted_kl = shifted_p + SHIFTED_STREAMS * SHIFTED_LOOKS;
    struct simulated simulated;
    drift_simulate_looks(&plan, least_p, kl);
    simulated.null = sorted(least_p, STREAMS * LOOKS);
    simulated.clumping = clumping(&plan, least_p, &simulated.null);
    plan.shifted = true;
    plan.streams = SHIFTED_STREAMS;
    plan.looks = SHIFTED_LOOKS;
    drift_simulate_looks(&plan, shifted_p, shifted_kl);
    simulated.shifted = sorted(shifted_p, SHIFTED_STREAMS * SHIFTED_LOOKS);
    set_limits(reference, &simulated);
    reference->limits.plain[PLAIN_KL] = plain_kl(kl, shifted_kl);
    free(simulated.null.least_p);
    free(simulated.shifted.least_p);
    free(least_p);
}
