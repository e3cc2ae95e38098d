// special.h: the special functions that the statistics need, from Boost.Math (special.cpp), which SciPy uses
// too. Read by the C and the C++ compiler alike. Arguments outside of a function's domain give NaN.
#ifndef SKINSIGHT_COMMON_STATISTICS_SPECIAL_H
#define SKINSIGHT_COMMON_STATISTICS_SPECIAL_H

#ifdef __cplusplus
extern "C" {
#endif

double special_beta_cdf(double x, double a, double b);      // regularised incomplete beta I_x(a, b)
double special_beta_quantile(double p, double a, double b); // its inverse in x
double special_binomial_pmf(double k, double n, double p);
double special_chi_square_tail(double x, double df); // P(X > x)
double special_student_tail(double t, double df);    // P(T > t)
double special_student_quantile(double p, double df);
// P(T > t), where the mean of the numerator is moved by `shift` standard deviations.
double special_noncentral_student_tail(double t, double df, double shift);
double special_normal_tail(double z); // P(Z > z)
double special_normal_quantile(double p);

#ifdef __cplusplus
}
#endif
#endif
