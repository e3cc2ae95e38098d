// numeric.h: what several statistics compute with: linear equations, integrals, roots. Pure functions.
#ifndef SKINSIGHT_COMMON_STATISTICS_NUMERIC_H
#define SKINSIGHT_COMMON_STATISTICS_NUMERIC_H

#include <stdbool.h>
#include <stddef.h>

// Solves matrix (n, n) times x = right, in place: right becomes x, matrix is lost. false where the matrix is
// singular, as far as rounding lets tell; right is lost then too.
bool numeric_solve(double *matrix, double *right, size_t n);

// Gauss and Legendre's rule on low .. high: the integral of f is about the sum of weight * f(at). Exact for
// polynomials up to degree 2 count - 1.
struct quadrature_node {
    double at, weight;
};
void numeric_quadrature(double low, double high, struct quadrature_node *nodes, size_t count);

// Where f, which does not fall, reaches `wanted`, by halving low .. high until nothing is between. NaN where
// f(high) is below it; low where f(low) reaches it.
struct rising_function {
    double (*f)(void *context, double x);
    void *context;
};
double numeric_reach(const struct rising_function *function, double wanted, double low, double high);

#endif
