// rate_limits.h: how often one account may ask. A token bucket (rate_per_s in the long run, rate_burst at
// once) and a quota for each day of UTC. Counted by this process since its start, so n gateways allow n times
// as much. Any thread.
#ifndef SKINSIGHT_PRODUCER_IDENTITY_RATE_LIMITS_H
#define SKINSIGHT_PRODUCER_IDENTITY_RATE_LIMITS_H

#include <stdint.h>

enum {
    RATE_ACCOUNTS_MOST = 8192
}; // further ones share one account, until others have been idle for long enough

struct rate_options {
    int64_t per_s;       // 0: no limit
    int64_t burst;       // at least 1
    int64_t daily_quota; // 0: no limit
};

struct rate_limits;

struct rate_limits *rate_limits_new(const struct rate_options *options);
void rate_limits_free(struct rate_limits *limits); // NULL is allowed

// Counts a request of the account (struct identity). 0: it may go on; else it is refused and not counted, and
// after so many milliseconds another one may go on. now_ms: the monotonic clock; wall_ms: Unix time, for the
// day.
int64_t rate_limits_take(struct rate_limits *limits, const char *account, int64_t now_ms, int64_t wall_ms);

#endif
