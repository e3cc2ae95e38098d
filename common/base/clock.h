// clock.h: the two clocks. Durations and deadlines inside a process use the monotonic one;
// the wall clock only stamps records that leave the process.
#ifndef SKINSIGHT_COMMON_BASE_CLOCK_H
#define SKINSIGHT_COMMON_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

int64_t clock_monotonic_us(void);
int64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void); // Unix milliseconds

// The absolute CLOCK_MONOTONIC time timeout_ms from now, for pthread_cond_timedwait on a condition
// that was initialised for CLOCK_MONOTONIC.
struct timespec clock_monotonic_after_ms(int64_t timeout_ms);

// Or less, where a signal comes.
void clock_sleep_ms(int64_t ms);

#endif
