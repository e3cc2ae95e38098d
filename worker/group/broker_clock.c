// broker_clock.c: the comparison and what follows from it.
#include "worker/group/broker_clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum { NOT_YET, COMPARED, CANT_COMPARE };

void broker_clock_init(struct broker_clock *broker_clock, int64_t tolerance_ms)
{
    *broker_clock = (struct broker_clock){.tolerance_ms = tolerance_ms};
}

void broker_clock_take(struct broker_clock *broker_clock, int64_t sent_ms, int64_t stamp_ms)
{
    int64_t now_ms = clock_wall_ms();
    if (broker_clock->tolerance_ms == 0)
        return;
    if (now_ms < sent_ms || now_ms - sent_ms > broker_clock->tolerance_ms) // slow, or set meanwhile
        return;
    if (stamp_ms < 0) {
        if (atomic_exchange(&broker_clock->state, CANT_COMPARE) != CANT_COMPARE)
            LOG_WARN("clock_unchecked", "reason=\"the predictions topic has the clients' time stamps: this "
                                        "clock can't be compared with the brokers'\"");
        return;
    }
    int64_t brokers_ms = stamp_ms < sent_ms  ? now_ms - (sent_ms - stamp_ms)
                         : stamp_ms > now_ms ? stamp_ms
                                             : now_ms;
    atomic_store(&broker_clock->ahead_of_ms, brokers_ms - clock_monotonic_ms());
    atomic_store(&broker_clock->state, COMPARED);
}

int64_t broker_clock_ahead_ms(const struct broker_clock *broker_clock)
{
    if (atomic_load(&broker_clock->state) != COMPARED)
        return 0;
    return clock_wall_ms() - clock_monotonic_ms() - atomic_load(&broker_clock->ahead_of_ms);
}

bool broker_clock_agrees(const struct broker_clock *broker_clock)
{
    return broker_clock->tolerance_ms == 0 ||
           llabs(broker_clock_ahead_ms(broker_clock)) <= broker_clock->tolerance_ms;
}

bool broker_clock_is_wrong(struct broker_clock *broker_clock, char *reason, size_t size)
{
    int64_t ahead_ms = broker_clock_ahead_ms(broker_clock);
    bool wrong = !broker_clock_agrees(broker_clock);
    if (wrong)
        snprintf(reason, size,
                 "the clock is %.1f s %s the brokers': no deadline is refused until it is set right",
                 (double)llabs(ahead_ms) / 1e3, ahead_ms > 0 ? "ahead of" : "behind");
    if (atomic_exchange(&broker_clock->told, wrong) != wrong) {
        if (wrong)
            LOG_WARN("clock_wrong", "reason=\"%s\"", reason);
        else
            LOG_WARN("clock_right", "ahead_ms=%" PRId64, ahead_ms);
    }
    return wrong;
}
