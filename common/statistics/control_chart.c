// control_chart.c: one step of each chart.
#include "common/statistics/control_chart.h"

#include <math.h>

double cusum_next(double sum, double score)
{
    return fmax(0, sum + score);
}

struct bernoulli_cusum bernoulli_cusum_for(double p0, double p1)
{
    return (struct bernoulli_cusum){log(p1 / p0), log((1 - p1) / (1 - p0))};
}

double bernoulli_cusum_score(const struct bernoulli_cusum *cusum, int64_t events, int64_t observations)
{
    return (double)events * cusum->event + (double)(observations - events) * cusum->none;
}

bool page_hinkley_add(struct page_hinkley *chart, double value)
{
    bool first = chart->count == 0;
    if (first)
        chart->mean = chart->sum = 0;
    chart->count++;
    chart->mean += (value - chart->mean) / (double)chart->count;
    chart->sum = chart->forgetting * chart->sum + value - chart->mean - chart->slack;
    chart->least = first ? chart->sum : fmin(chart->least, chart->sum);
    if (chart->count < chart->warm_up || chart->sum - chart->least <= chart->threshold)
        return false;
    chart->count = 0;
    return true;
}
