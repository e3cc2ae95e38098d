// admission.h: what would not be answered in time is refused at the door.
//
// The time that a newcomer waits is told from how many wait already and from how fast the fleet answers. That
// shows where many wait: then it is the mean of the last seconds. A fleet that had little to do has not shown
// how fast it is: then it is the best of the last seconds in which anybody waited, and the first FEW requests
// are let in whatever the rate. Of the places that there are then an account has its share (shares.h). One
// thread counts; any thread asks.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_ADMISSION_H
#define SKINSIGHT_PRODUCER_GATEWAY_ADMISSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "producer/gateway/shares.h"

enum { ADMISSION_SLICES = 4, ADMISSION_SLICE_MS = 1000, ADMISSION_FEW = 16 };

struct admission {
    int64_t limit;        // requests waiting at most
    int64_t in_time_ms;   // a longer wait is too long
    atomic_llong waiting; // requests let in and not answered by the fleet yet
    atomic_llong waiting_of[SHARES_COUNTERS];
    atomic_llong per_1000_s; // answers in 1000 s, by the rate; -1: not known yet
    // Of the counting thread.
    int64_t slice_start_ms, busy_since_ms; // busy_since_ms 0: nobody waits
    struct admission_slice {
        int64_t busy_ms, answers;
        int64_t waiting_least;
    } slice, slices[ADMISSION_SLICES]; // this one, and the last ones in which there was something to do
    int next_slice;
};

void admission_init(struct admission *admission, int64_t limit, int64_t in_time_ms);

// What admission_enter would say now, without counting anybody. Any thread.
bool admission_look(const struct admission *admission, const char *account, int *retry_after_s);
// Lets one of the account (struct identity) in and gives its place, or gives 0 and says after how many
// seconds another try makes sense. Any thread.
int admission_enter(struct admission *admission, const char *account, int *retry_after_s);
// One that was let in is gone without an answer of the fleet; the place is 0 then, and may be before. Any
// thread.
void admission_leave(struct admission *admission, int *place);
// The fleet has answered one that was let in, as admission_leave. Counting thread.
void admission_answered(struct admission *admission, int *place, int64_t now_ms);
// At least once a slice, whether or not there were answers. Counting thread.
void admission_tick(struct admission *admission, int64_t now_ms);
// How long those who wait now will have to; 0: not known. Any thread.
int64_t admission_drain_ms(const struct admission *admission);

#endif
