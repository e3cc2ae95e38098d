// chi_square.h: Pearson's tests of counts in classes. Pure functions that allocate nothing. Where nothing can
// differ (one class, no counts) p is 1.
#ifndef SKINSIGHT_COMMON_STATISTICS_CHI_SQUARE_H
#define SKINSIGHT_COMMON_STATISTICS_CHI_SQUARE_H

#include <stddef.h>
#include <stdint.h>

struct chi_square_test {
    double statistic, df, p;
    size_t merged; // classes that were put together; 0 as a rule
};

// Whether counts come from classes of these shares, whose sum is 1, as the ratio of two arms. Classes with an
// expectation below least_expected are put together, and where they still do not reach it, with the smallest
// other class: 5 is the rule (Cochran 1954), 0 merges nothing. A class with a count that expects none makes
// the statistic infinite.
struct chi_square_test chi_square_fit(const int64_t *counts, const double *shares, size_t classes,
                                      double least_expected);
// How far each class alone is off, in standard deviations. 0 without counts.
void chi_square_fit_residuals(const int64_t *counts, const double *shares, size_t classes, double *residuals);

// Counts by two properties, [row * columns + column].
struct contingency {
    const int64_t *counts;
    size_t rows, columns;
};
// Whether the properties are independent. Rows and columns without a count do not count.
struct chi_square_test chi_square_independence(const struct contingency *table);
// The adjusted residual of one cell (Haberman 1973): 0 where its row or column has nothing or everything.
double chi_square_residual(const struct contingency *table, size_t row, size_t column);

#endif
