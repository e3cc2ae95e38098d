// shares.h: a limit that accounts share, so that none of them uses all of it up. An account may hold three
// times what is left: three quarters of the limit where it is alone, and with n that take what they get, each
// three parts of 3 n + 1. Whoever comes new finds room. No lock; any thread.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_SHARES_H
#define SKINSIGHT_PRODUCER_GATEWAY_SHARES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SHARES_COUNTERS = 1024 }; // an account's name chooses its counter; those of one counter share a share

struct shares {
    int64_t limit;
    atomic_llong held; // by all of them
    atomic_llong held_by[SHARES_COUNTERS];
};

void shares_init(struct shares *shares, int64_t limit);
// What one account gets where it is alone.
int64_t shares_alone(int64_t limit);
// The rule: whether an account may hold `own` where so much is left for all.
bool shares_fit(int64_t own, int64_t left);

// The account's counter, from 0.
int shares_counter(const char *account);
// The account (struct identity; "" is one too) holds so much more, or less. False: too much; it is counted
// all the same, and to be given back.
bool shares_add(struct shares *shares, const char *account, int64_t more);
int64_t shares_held(const struct shares *shares);

#endif
