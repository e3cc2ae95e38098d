// limits.h: the limits of a reference's charts, from simulated years in which nothing changes.
//
// The yearly budget of false alarms is shared: half of it among the charts of all sites together, equally, a
// quarter among the sites and a quarter among the devices. Each share is a rate, and a limit is what gives
// that rate on simulated streams: volumes by the day of the week, counts by the reference, which vary as much
// more than single pictures as the reference's days and visits do (effects.h). A stream's own truth is drawn
// from what the reference leaves open, because a small reference is not the truth: the fewer its pictures,
// the wider the limits.
#ifndef SKINSIGHT_MONITOR_DRIFT_LIMITS_H
#define SKINSIGHT_MONITOR_DRIFT_LIMITS_H

#include <stdint.h>

enum { DRIFT_DAY_MS = 86400000 };

// Charts of all sites together. The last one is the labels' (monitor/labels): it has a share like the others.
enum drift_chart_kind {
    CHART_CLASS_MIX,
    CHART_ENTROPY,
    CHART_CONFIDENCE,
    CHART_URGENT,
    CHART_LOW_CONFIDENCE,
    CHART_FAR,
    DRIFT_CHARTS, // those on daily output
    CHART_INPUT = DRIFT_CHARTS,
    CHART_MISSED_MELANOMA,
    BUDGET_CHARTS,
    DRIFT_LIMITED_CHARTS = CHART_MISSED_MELANOMA, // those whose limits a reference has
};
extern const char *const drift_charts[BUDGET_CHARTS]; // "class_mix"

enum drift_plain_rule {
    PLAIN_KL,             // any number's KL of a day of 200 pictures above 0.1
    PLAIN_TWO_SD,         // any class's share of 7 days more than 2 standard deviations away
    PLAIN_MELANOMA,       // share of melanomas among a day's answers below 3 or above 15 %
    PLAIN_LOW_CONFIDENCE, // share of a day's answers with confidence below 0.5 above 30 %
    PLAIN_URGENT,         // share of a day's urgent referrals outside 5 to 10 %
    DRIFT_PLAIN_RULES
};
extern const char *const drift_plain_rules[DRIFT_PLAIN_RULES]; // "plain_kl"

#define DRIFT_BUDGET_MOST 10000.0 // false alarms a year

// NaN: not known.
struct drift_limit {
    double limit;
    double arl0_days;  // expected days between false alarms
    double delay_days; // expected days until the shift that drift_shifts names is seen
};

struct drift_limits {
    uint64_t seed;
    double budget; // false alarms a year, of all charts together
    struct drift_limit charts[DRIFT_LIMITED_CHARTS];
    struct drift_limit sites, devices; // the input chart of each
    struct drift_limit plain[DRIFT_PLAIN_RULES];
};

extern const char *const drift_shifts[DRIFT_LIMITED_CHARTS]; // "melanoma share + 25 %"

// Expected false alarms a year that one chart of all sites together may give.
double drift_budget_of_chart(double budget);
// The same of one site or one device, where there are that many.
double drift_budget_of_stratum(double budget, int strata);

#endif
