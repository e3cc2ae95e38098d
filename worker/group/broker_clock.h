// broker_clock.h: the worker's clock beside the brokers'.
//
// A deadline is a time of day, so a worker whose clock is wrong would refuse jobs that are in time. Where the
// predictions topic has LogAppendTime, the delivery report of each answer says when the broker wrote it: on
// the worker's clock that lies between the sending and the report, or the clock is wrong by at least what it
// lies beside. The monotonic clock carries the comparison on, so a step of the time of day shows at once.
// Clients' time stamps are never compared with. While the clocks differ by more than clock_tolerance_ms no
// deadline is refused; where the first answers are refusals and their reports tell that the clock is wrong,
// they are not committed, and the jobs are read again (publisher.c).
//
// Threads: any. Atomics only.
#ifndef SKINSIGHT_WORKER_GROUP_BROKER_CLOCK_H
#define SKINSIGHT_WORKER_GROUP_BROKER_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker_clock {
    int64_t tolerance_ms;     // 0: not compared
    atomic_int state;         // enum in broker_clock.c
    atomic_llong ahead_of_ms; // the brokers' time of day minus the monotonic clock
    atomic_bool told;         // that it is wrong
};

void broker_clock_init(struct broker_clock *broker_clock, int64_t tolerance_ms);
// An answer was sent at sent_ms (time of day) and is reported now. stamp_ms: the broker's; -1: the topic has
// the clients' time stamps, so that nothing can be compared.
void broker_clock_take(struct broker_clock *broker_clock, int64_t sent_ms, int64_t stamp_ms);

// Whether deadlines may be refused.
bool broker_clock_agrees(const struct broker_clock *broker_clock);
// How far this clock is ahead of the brokers' (less than 0: behind); 0 where it was not compared.
int64_t broker_clock_ahead_ms(const struct broker_clock *broker_clock);
// Whether it is wrong; reason is then one sentence. Logs the begin and the end.
bool broker_clock_is_wrong(struct broker_clock *broker_clock, char *reason, size_t size);

#endif
