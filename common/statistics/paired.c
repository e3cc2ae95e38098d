// paired.c: McNemar's test. P(X <= k) of Binomial(n, 1/2) is I_{1/2}(n - k, k + 1).
#include "common/statistics/paired.h"

#include <math.h>

#include "common/statistics/special.h"

struct mcnemar mcnemar_test(int64_t b, int64_t c)
{
    struct mcnemar result = {.b = b, .c = c, .p = 1, .mid_p = 1};
    double n = (double)(b + c), least = (double)(b < c ? b : c), apart = fabs((double)(b - c));
    if (n == 0)
        return result;
    double tail = special_beta_cdf(0.5, n - least, least + 1), point = special_binomial_pmf(least, n, 0.5);
    result.p = fmin(1, 2 * tail);
    result.mid_p = b == c ? 1 - point / 2 : 2 * tail - point;
    result.chi_square = apart * apart / n;
    result.chi_square_corrected = apart == 0 ? 0 : (apart - 1) * (apart - 1) / n;
    return result;
}
