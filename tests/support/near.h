// near.h: a computed value beside the published one. tolerance is relative.
#ifndef SKINSIGHT_TESTS_SUPPORT_NEAR_H
#define SKINSIGHT_TESTS_SUPPORT_NEAR_H

#include <cmocka.h>
#include <math.h>

static inline void near(const char *what, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance * fmax(1e-300, fabs(expected))))
        fail_msg("%s: %.15g, expected %.15g", what, found, expected);
}

#endif
