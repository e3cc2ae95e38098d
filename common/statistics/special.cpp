// special.cpp: the only C++ of the programs: Boost.Math's functions under C names. Errors give NaN, no exception
// leaves.
#include "common/statistics/special.h"

#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/non_central_t.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>

namespace
{

namespace policies = boost::math::policies;
using quiet = policies::policy<policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
                               policies::overflow_error<policies::ignore_error>,
                               policies::evaluation_error<policies::ignore_error>,
                               policies::promote_double<false>>;
using normal = boost::math::normal_distribution<double, quiet>;
using student = boost::math::students_t_distribution<double, quiet>;
using noncentral_student = boost::math::non_central_t_distribution<double, quiet>;
using binomial = boost::math::binomial_distribution<double, quiet>;

}

double special_beta_cdf(double x, double a, double b)
{
    return boost::math::ibeta(a, b, x, quiet());
}

double special_beta_quantile(double p, double a, double b)
{
    return boost::math::ibeta_inv(a, b, p, quiet());
}

double special_binomial_pmf(double k, double n, double p)
{
    return boost::math::pdf(binomial(n, p), k);
}

double special_chi_square_tail(double x, double df)
{
    return boost::math::gamma_q(df / 2, x / 2, quiet());
}

double special_student_tail(double t, double df)
{
    return boost::math::cdf(boost::math::complement(student(df), t));
}

double special_student_quantile(double p, double df)
{
    return boost::math::quantile(student(df), p);
}

double special_noncentral_student_tail(double t, double df, double shift)
{
    return boost::math::cdf(boost::math::complement(noncentral_student(df, shift), t));
}

double special_normal_tail(double z)
{
    return boost::math::cdf(boost::math::complement(normal(), z));
}

double special_normal_quantile(double p)
{
    return boost::math::quantile(normal(), p);
}
