// means.c: moments (Welford 1962), Welch's test from them.
#include "common/statistics/means.h"

#include <math.h>

#include "common/statistics/special.h"

static struct moments moments_by_groups(const double *values, const int64_t *groups, size_t count,
                                        double mean)
{
    double n = (double)count, found = 0, of_group = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || groups[i] != groups[i - 1]) {
            squares += of_group * of_group;
            of_group = 0;
            found++;
        }
        of_group += values[i] - mean;
    }
    squares += of_group * of_group;
    return (struct moments){found, mean, found > 1 ? squares / (n * n) * found * found / (found - 1) : NAN};
}

struct moments moments_of(const double *values, const int64_t *groups, size_t count)
{
    double n = 0, mean = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double apart = values[i] - mean;
        mean += apart / ++n;
        squares += apart * (values[i] - mean);
    }
    if (groups && count > 0)
        return moments_by_groups(values, groups, count, mean);
    return (struct moments){n, count > 0 ? mean : NAN, count > 1 ? squares / (n - 1) : NAN};
}

struct welch welch_test(const struct moments *a, const struct moments *b, double level)
{
    double of_a = a->variance / a->n, of_b = b->variance / b->n, variance = of_a + of_b;
    struct welch test = {a->mean - b->mean, NAN, NAN, NAN, NAN, {NAN, NAN}};
    if (!(variance > 0))
        return test;
    test.t = test.difference / sqrt(variance);
    test.df = variance * variance / (of_a * of_a / (a->n - 1) + of_b * of_b / (b->n - 1));
    test.p = 2 * special_student_tail(fabs(test.t), test.df);
    test.p_greater = special_student_tail(test.t, test.df);
    double half = special_student_quantile((1 + level) / 2, test.df) * sqrt(variance);
    test.interval = (struct interval){test.difference - half, test.difference + half};
    return test;
}
