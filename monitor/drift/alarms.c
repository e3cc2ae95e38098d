// alarms.c: the runs.
#include "monitor/drift/alarms.h"

#include <math.h>
#include <string.h>

#include "monitor/drift/charts.h"
#include "monitor/drift/compare.h"

static struct drift_run run_of(const struct drift_limit *limit, const struct drift_windows *windows,
                               const struct drift_run_days *days)
{
    for (int i = 0; i < drift_windows_days(windows); i++) {
        days->values[i] = NAN;
        days->alarms[i] = false;
    }
    return (struct drift_run){.limit = *limit, .value = NAN, .since = -1};
}

// Whether the chart alarms; last: the day of the alarm before, -1: none.
static bool note(const struct drift_windows *windows, const struct drift_run_days *days, int day,
                 struct drift_run *run, int *last)
{
    run->value = days->values[day];
    days->alarms[day] = run->value >= run->limit.limit; // NaN is no alarm
    if (!days->alarms[day])
        return false;
    if (*last < 0 || day - *last > DRIFT_HOLD_DAYS)
        run->since = drift_windows_day_at(windows, day);
    *last = day;
    run->alarms++;
    return true;
}

static void let_go(const struct drift_windows *windows, struct drift_run *run, int last)
{
    if (last >= 0 && drift_windows_days(windows) - last > DRIFT_HOLD_DAYS)
        run->since = -1;
}

void drift_run_chart(const struct drift_windows *windows, const struct drift_reference *reference,
                     enum drift_chart_kind kind, const struct drift_run_days *days, struct drift_run *run)
{
    struct drift_chart chart = {0};
    struct drift_baseline baseline;
    int last = -1;
    *run = run_of(&reference->limits.charts[kind], windows, days);
    drift_baseline_of(&reference->strata[0].tally.output, &baseline);
    for (int day = 0; day < drift_windows_days(windows); day++) {
        const struct drift_output *output = &drift_windows_day(windows, 0, day)->output;
        days->values[day] = drift_chart_next(&chart, kind, &baseline, output);
        run->n += output->n;
        if (note(windows, days, day, run, &last))
            chart = (struct drift_chart){0};
    }
    let_go(windows, run, last);
}

void drift_run_looks(const struct drift_windows *windows, const struct drift_reference *reference,
                     size_t stratum, const struct drift_run_days *days, struct drift_run *run)
{
    struct drift_looks looks = {0};
    struct drift_tally look = {0};
    const struct drift_tally *known = &reference->strata[stratum].tally;
    int last = -1;
    *run = run_of(&reference->strata[stratum].input, windows, days);
    for (int day = 0; day < drift_windows_days(windows); day++) {
        drift_tally_merge(&look, drift_windows_day(windows, stratum, day));
        if (look.output.n < DRIFT_LEAST)
            continue;
        double least_p = drift_least_p(&look, known, &reference->bins);
        run->n += look.output.n;
        look = (struct drift_tally){0};
        if (isnan(least_p))
            continue;
        days->values[day] = drift_looks_next(&looks, least_p);
        if (note(windows, days, day, run, &last))
            looks = (struct drift_looks){0};
    }
    let_go(windows, run, last);
}

static double greatest_kl(const struct drift_tally *day, const struct drift_tally *known)
{
    double greatest = NAN;
    for (int i = 0; i < DRIFT_NUMBERS; i++)
        greatest = fmax(greatest, drift_number_kl(day, known, i));
    return greatest;
}

static void add_week(const struct drift_windows *windows, int day, int64_t week[LESION_CLASSES])
{
    memset(week, 0, LESION_CLASSES * sizeof *week);
    for (int i = day < DRIFT_WEEK ? 0 : day - DRIFT_WEEK + 1; i <= day; i++)
        for (int class = 0; class < LESION_CLASSES; class ++)
            week[class] += drift_windows_day(windows, 0, i)->output.classes[class];
}

void drift_run_plain(const struct drift_windows *windows, const struct drift_reference *reference,
                     enum drift_plain_rule rule, const struct drift_run_days *days, struct drift_run *run)
{
    struct drift_baseline baseline;
    *run = run_of(&reference->limits.plain[rule], windows, days);
    drift_baseline_of(&reference->strata[0].tally.output, &baseline);
    for (int day = 0; day < drift_windows_days(windows); day++) {
        const struct drift_tally *tally = drift_windows_day(windows, 0, day);
        int64_t week[LESION_CLASSES];
        if (tally->output.n == 0)
            continue;
        add_week(windows, day, week);
        const struct drift_plain_day plain = {&tally->output, week, day >= DRIFT_WEEK - 1,
                                              greatest_kl(tally, &reference->strata[0].tally)};
        bool alarm = drift_plain_judge(rule, &baseline, &plain, &days->values[day], &run->limit.limit);
        run->value = days->values[day];
        run->n = tally->output.n;
        days->alarms[day] = alarm;
        run->alarms += alarm;
        if (!alarm)
            run->since = -1;
        else if (run->since < 0)
            run->since = drift_windows_day_at(windows, day);
    }
}

const char *drift_run_state(const struct drift_run *run)
{
    if (run->since >= 0)
        return "critical";
    if (run->alarms)
        return "warning";
    return isnan(run->value) || isnan(run->limit.limit) ? "insufficient" : "ok";
}
