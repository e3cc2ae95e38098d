// schedule.c: one formula.
#include "trainer/schedule.h"

#include <math.h>

double schedule_rate(const struct schedule *schedule, int epoch)
{
    int warmup = schedule->warmup_epochs;
    if (epoch < warmup)
        return schedule->rate * (0.01 + 0.99 * epoch / warmup);
    return schedule->rate / 2 * (1 + cos(M_PI * (epoch - warmup) / (schedule->epochs - warmup)));
}
