// shares.c: one counter for everybody, and some for the accounts.
#include "producer/gateway/shares.h"

enum { TIMES_WHAT_IS_LEFT = 3 };

void shares_init(struct shares *shares, int64_t limit)
{
    *shares = (struct shares){.limit = limit};
}

int64_t shares_alone(int64_t limit)
{
    return limit / (TIMES_WHAT_IS_LEFT + 1) * TIMES_WHAT_IS_LEFT;
}

bool shares_fit(int64_t own, int64_t left)
{
    return own <= TIMES_WHAT_IS_LEFT * left;
}

// FNV-1a.
int shares_counter(const char *account)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *account; account++)
        hash = (hash ^ (uint8_t)*account) * 0x100000001b3;
    return (int)(hash % SHARES_COUNTERS);
}

bool shares_add(struct shares *shares, const char *account, int64_t more)
{
    int64_t own = atomic_fetch_add(&shares->held_by[shares_counter(account)], more) + more;
    int64_t left = shares->limit - (atomic_fetch_add(&shares->held, more) + more);
    return shares_fit(own, left);
}

int64_t shares_held(const struct shares *shares)
{
    return atomic_load(&shares->held);
}
