// numeric.c: elimination with the greatest pivot of the column; Legendre's polynomials and their zeros.
#include "common/statistics/numeric.h"

#include <math.h>

static size_t greatest_pivot(const double *matrix, size_t n, size_t column)
{
    size_t best = column;
    for (size_t row = column + 1; row < n; row++)
        if (fabs(matrix[row * n + column]) > fabs(matrix[best * n + column]))
            best = row;
    return best;
}

static void swap_rows(double *matrix, double *right, size_t n, const size_t rows[2])
{
    for (size_t i = 0; i < n; i++) {
        double kept = matrix[rows[0] * n + i];
        matrix[rows[0] * n + i] = matrix[rows[1] * n + i];
        matrix[rows[1] * n + i] = kept;
    }
    double kept = right[rows[0]];
    right[rows[0]] = right[rows[1]];
    right[rows[1]] = kept;
}

static double greatest_element(const double *matrix, size_t count)
{
    double greatest = 0;
    for (size_t i = 0; i < count; i++)
        greatest = fmax(greatest, fabs(matrix[i]));
    return greatest;
}

bool numeric_solve(double *matrix, double *right, size_t n)
{
    double nothing = greatest_element(matrix, n * n) * (double)n * 1e-16;
    for (size_t k = 0; k < n; k++) {
        swap_rows(matrix, right, n, (size_t[]){k, greatest_pivot(matrix, n, k)});
        double pivot = matrix[k * n + k];
        if (!(fabs(pivot) > nothing))
            return false;
        for (size_t row = k + 1; row < n; row++) {
            double factor = matrix[row * n + k] / pivot;
            for (size_t i = k + 1; i < n; i++)
                matrix[row * n + i] -= factor * matrix[k * n + i];
            right[row] -= factor * right[k];
        }
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t i = k + 1; i < n; i++)
            right[k] -= matrix[k * n + i] * right[i];
        right[k] /= matrix[k * n + k];
    }
    return true;
}

// The polynomial of degree `degree` at x, and its derivative.
static double legendre(size_t degree, double x, double *derivative)
{
    double before = 1, value = x;
    for (size_t k = 2; k <= degree; k++) {
        double next = ((2 * (double)k - 1) * x * value - ((double)k - 1) * before) / (double)k;
        before = value;
        value = next;
    }
    *derivative = (double)degree * (x * value - before) / (x * x - 1);
    return value;
}

void numeric_quadrature(double low, double high, struct quadrature_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double x = cos(M_PI * ((double)i + 0.75) / ((double)count + 0.5)), slope = 1;
        for (int step = 0; step < 8; step++) // Newton's; the first guess is good to three digits
            x -= legendre(count, x, &slope) / slope;
        legendre(count, x, &slope);
        nodes[i].at = (low + high) / 2 - x * (high - low) / 2;
        nodes[i].weight = (high - low) / ((1 - x * x) * slope * slope);
    }
}

double numeric_reach(const struct rising_function *function, double wanted, double low, double high)
{
    if (!(function->f(function->context, high) >= wanted))
        return NAN;
    if (function->f(function->context, low) >= wanted)
        return low;
    for (;;) {
        double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            return high;
        if (function->f(function->context, middle) >= wanted)
            high = middle;
        else
            low = middle;
    }
}
