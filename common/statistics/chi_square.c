// chi_square.c: Pearson's statistic and what classes of few expected counts do to it.
#include "common/statistics/chi_square.h"

#include <math.h>
#include <stdbool.h>

#include "common/statistics/special.h"

static double sum_of(const int64_t *counts, size_t classes)
{
    double sum = 0;
    for (size_t i = 0; i < classes; i++)
        sum += (double)counts[i];
    return sum;
}

struct cell {
    double seen, expected;
};

static struct cell cell_of(const int64_t *counts, const double *shares, double n, size_t i)
{
    return (struct cell){(double)counts[i], n * shares[i]};
}

// What a cell adds to the statistic: one that expects nothing adds nothing, or everything.
static double part(struct cell cell)
{
    double apart = cell.seen - cell.expected;
    return apart == 0 ? 0 : apart * apart / cell.expected;
}

static struct chi_square_test test_of(double statistic, double df, size_t merged)
{
    struct chi_square_test test = {statistic, fmax(0, df), 1, merged};
    if (test.df > 0)
        test.p = isinf(statistic) ? 0 : special_chi_square_tail(statistic, test.df);
    return test;
}

// The class that small ones are added to: the smallest of the others, or `classes` where there is none.
static size_t smallest_of_large(const double *shares, size_t classes, double least_share)
{
    size_t smallest = classes;
    for (size_t i = 0; i < classes; i++)
        if (shares[i] >= least_share && (smallest == classes || shares[i] < shares[smallest]))
            smallest = i;
    return smallest;
}

struct chi_square_test chi_square_fit(const int64_t *counts, const double *shares, size_t classes,
                                      double least_expected)
{
    double n = sum_of(counts, classes), statistic = 0, kept = 0;
    if (n == 0)
        return test_of(0, 0, 0);
    struct cell together = {0, 0};
    size_t merged = 0, smallest = smallest_of_large(shares, classes, least_expected / n);
    for (size_t i = 0; i < classes; i++)
        if (n * shares[i] < least_expected) {
            together.seen += (double)counts[i];
            together.expected += n * shares[i];
            merged++;
        }
    bool take_another = merged > 0 && together.expected < least_expected && smallest < classes;
    for (size_t i = 0; i < classes; i++) {
        struct cell cell = cell_of(counts, shares, n, i);
        if (cell.expected < least_expected)
            continue;
        if (take_another && i == smallest) {
            together.seen += cell.seen;
            together.expected += cell.expected;
            merged++;
            continue;
        }
        statistic += part(cell);
        kept += cell.expected > 0 || cell.seen > 0;
    }
    return test_of(statistic + part(together), kept + (merged > 0) - 1, merged);
}

void chi_square_fit_residuals(const int64_t *counts, const double *shares, size_t classes, double *residuals)
{
    double n = sum_of(counts, classes);
    for (size_t i = 0; i < classes; i++) {
        struct cell cell = cell_of(counts, shares, n, i);
        double apart = cell.seen - cell.expected;
        residuals[i] = apart == 0 ? 0 : apart / sqrt(cell.expected * (1 - shares[i]));
    }
}

static double row_sum(const struct contingency *table, size_t row)
{
    return sum_of(table->counts + row * table->columns, table->columns);
}

static double column_sum(const struct contingency *table, size_t column)
{
    double sum = 0;
    for (size_t row = 0; row < table->rows; row++)
        sum += (double)table->counts[row * table->columns + column];
    return sum;
}

struct chi_square_test chi_square_independence(const struct contingency *table)
{
    double n = sum_of(table->counts, table->rows * table->columns), statistic = 0, rows = 0, columns = 0;
    for (size_t row = 0; row < table->rows; row++)
        rows += row_sum(table, row) > 0;
    for (size_t column = 0; column < table->columns; column++) {
        double of_column = column_sum(table, column);
        columns += of_column > 0;
        for (size_t row = 0; of_column > 0 && row < table->rows; row++)
            statistic += part((struct cell){(double)table->counts[row * table->columns + column],
                                            row_sum(table, row) * of_column / n});
    }
    return test_of(statistic, rows > 1 ? (rows - 1) * (columns - 1) : 0, 0);
}

double chi_square_residual(const struct contingency *table, size_t row, size_t column)
{
    double n = sum_of(table->counts, table->rows * table->columns);
    double of_row = row_sum(table, row), of_column = column_sum(table, column);
    double variance = of_row / n * of_column * (1 - of_row / n) * (1 - of_column / n);
    if (!(variance > 0))
        return 0;
    return ((double)table->counts[row * table->columns + column] - of_row * of_column / n) / sqrt(variance);
}
