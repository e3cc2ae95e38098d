// estimates.c: numbers with their intervals.
#include "monitor/labels/estimates.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

struct verified_rate rate_of_sensitivity(const struct verified_groups *groups)
{
    int64_t found = groups->positive.diseased;
    return (struct verified_rate){
        {found, found + groups->negative.diseased},
        verification_correct(groups->positive, groups->negative, ESTIMATE_LEVEL).sensitivity,
    };
}

struct verified_rate rate_of_specificity(const struct verified_groups *groups)
{
    int64_t spared = groups->negative.healthy;
    return (struct verified_rate){
        {spared, spared + groups->positive.healthy},
        verification_correct(groups->positive, groups->negative, ESTIMATE_LEVEL).specificity,
    };
}

cJSON *estimate_naive(const struct verified_rate *rate)
{
    return estimate_share(rate->verified, JUDGEMENT_LEAST_POSITIVES, "fewer than 10 are verified");
}

cJSON *estimate_corrected(const struct verified_rate *rate)
{
    const struct verified_share *share = &rate->share;
    bool enough = rate->verified.trials >= JUDGEMENT_LEAST_POSITIVES,
         known = enough && !isnan(share->corrected);
    return report_estimate(known ? share->corrected : NAN, share->interval.low, share->interval.high,
                           rate->verified.trials,
                           known    ? "Begg-Greenes"
                           : enough ? "nobody is verified of those who were not referred"
                                    : "fewer than 10 are verified");
}

cJSON *estimate_bounds(const struct verified_rate *rate)
{
    struct interval bounds = rate->share.bounds;
    bool enough = rate->verified.trials >= JUDGEMENT_LEAST_POSITIVES;
    cJSON *item = cJSON_CreateArray();
    cJSON_AddItemToArray(item, enough ? cJSON_CreateNumber(bounds.low) : cJSON_CreateNull());
    cJSON_AddItemToArray(item, enough ? cJSON_CreateNumber(bounds.high) : cJSON_CreateNull());
    return item;
}

cJSON *estimate_judged(const struct judgement *judgement, enum judged_figure figure)
{
    char method[64];
    snprintf(method, sizeof method, "bootstrap of patients, %d replicates", judgement->replicates);
    double estimate = judgement->estimates[figure];
    const char *reason = judgement->n < JUDGEMENT_LEAST ? "fewer than 50 labelled lesions"
                                                        : "no class has 10 lesions and 10 others";
    return report_estimate(estimate, judgement->intervals[figure].low, judgement->intervals[figure].high,
                           (int64_t)judgement->n, isnan(estimate) ? reason : method);
}

cJSON *estimate_auroc(const struct judgement *judgement, int lesion)
{
    const struct auroc *auroc = &judgement->aurocs[lesion];
    bool known = judgement->eligible[lesion] && judgement->n >= JUDGEMENT_LEAST;
    struct interval interval = known ? auroc_interval(auroc, ESTIMATE_LEVEL) : (struct interval){NAN, NAN};
    return report_estimate(known ? auroc->estimate : NAN, interval.low, interval.high,
                           (int64_t)judgement->positives[lesion],
                           known ? "DeLong by patients, logit scale" : "fewer than 10 lesions");
}

cJSON *estimate_share(struct share share, int64_t least, const char *reason)
{
    bool known = share.trials > 0 && share.trials >= least;
    struct interval interval = interval_clopper_pearson(share, ESTIMATE_LEVEL);
    return report_estimate(known ? (double)share.successes / (double)share.trials : NAN, interval.low,
                           interval.high, share.trials, known ? "Clopper-Pearson" : reason);
}

void estimate_add_number(cJSON *object, const char *name, double value)
{
    cJSON_AddItemToObject(object, name, isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull());
}

void day_text(int64_t unix_ms, char text[DAY_TEXT_SIZE])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm date;
    gmtime_r(&seconds, &date);
    strftime(text, DAY_TEXT_SIZE, "%Y-%m-%d", &date);
}
