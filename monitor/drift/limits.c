// limits.c: the names of charts and rules, and how the budget is shared.
#include "monitor/drift/limits.h"

const char *const drift_charts[BUDGET_CHARTS] = {
    "class_mix",           "entropy",     "confidence",      "urgent_referral", "low_confidence",
    "out_of_distribution", "input_drift", "missed_melanoma",
};

const char *const drift_plain_rules[DRIFT_PLAIN_RULES] = {"plain_kl", "plain_two_sd", "plain_melanoma_rate",
                                                          "plain_low_confidence", "plain_urgent_band"};

double drift_budget_of_chart(double budget)
{
    return budget / 2 / BUDGET_CHARTS;
}

double drift_budget_of_stratum(double budget, int strata)
{
    return strata > 0 ? budget / 4 / strata : 0;
}
