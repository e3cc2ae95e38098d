// rate_limits.c: a hash table without removal of single rows: where it is full, rows are dropped that say no
// more than a new one would (bucket full again, nothing counted today).
#include "producer/identity/rate_limits.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/identity/identity.h"

enum { SLOTS = 2 * RATE_ACCOUNTS_MOST, THOUSAND = 1000, DAY_MS = 24 * 3600 * 1000, DROP_EVERY_MS = 1000 };

struct account {
    char name[IDENTITY_ACCOUNT_SIZE]; // "": a free slot
    int64_t thousandths;              // of a request, in the bucket
    int64_t filled_ms;                // when that was so
    int64_t day, used;                // of the quota
};

struct rate_limits {
    struct rate_options options;
    pthread_mutex_t lock;
    size_t count;
    int64_t next_drop_ms; // a full table is not gone through for every stranger
    struct account others;
    struct account *slots; // SLOTS, by open addressing
};

struct rate_limits *rate_limits_new(const struct rate_options *options)
{
    struct rate_limits *limits = memory_alloc(sizeof *limits);
    limits->options = *options;
    limits->slots = memory_alloc(SLOTS * sizeof *limits->slots);
    pthread_mutex_init(&limits->lock, NULL);
    return limits;
}

void rate_limits_free(struct rate_limits *limits)
{
    if (!limits)
        return;
    pthread_mutex_destroy(&limits->lock);
    free(limits->slots);
    free(limits);
}

// FNV-1a.
static size_t hash_of(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
    return (size_t)(hash % SLOTS);
}

// The account's slot, or the free one where it would stand.
static struct account *slot_of(struct account *slots, const char *name)
{
    size_t at = hash_of(name);
    while (slots[at].name[0] && strcmp(slots[at].name, name) != 0)
        at = (at + 1) % SLOTS;
    return &slots[at];
}

static void fill(const struct rate_limits *limits, struct account *account, int64_t now_ms)
{
    int64_t most = limits->options.burst * THOUSAND;
    int64_t elapsed_ms = now_ms - account->filled_ms;
    account->filled_ms = now_ms;
    if (elapsed_ms >= most / limits->options.per_s)
        account->thousandths = most;
    else if (elapsed_ms > 0)
        account->thousandths += elapsed_ms * limits->options.per_s;
    if (account->thousandths > most)
        account->thousandths = most;
}

static bool is_like_new(const struct rate_limits *limits, struct account *account, int64_t now_ms,
                        int64_t day)
{
    bool is_full = true;
    if (limits->options.per_s > 0) {
        fill(limits, account, now_ms);
        is_full = account->thousandths == limits->options.burst * THOUSAND;
    }
    return is_full && (limits->options.daily_quota == 0 || account->day != day);
}

static void drop_idle(struct rate_limits *limits, int64_t now_ms, int64_t day)
{
    struct account *old = limits->slots;
    limits->slots = memory_alloc(SLOTS * sizeof *limits->slots);
    limits->count = 0;
    limits->next_drop_ms = now_ms + DROP_EVERY_MS;
    for (size_t i = 0; i < SLOTS; i++) {
        if (!old[i].name[0] || is_like_new(limits, &old[i], now_ms, day))
            continue;
        *slot_of(limits->slots, old[i].name) = old[i];
        limits->count++;
    }
    free(old);
}

static struct account *find(struct rate_limits *limits, const char *name, int64_t now_ms, int64_t day)
{
    struct account *account = slot_of(limits->slots, name);
    if (account->name[0])
        return account;
    if (limits->count == RATE_ACCOUNTS_MOST && now_ms >= limits->next_drop_ms) {
        drop_idle(limits, now_ms, day);
        account = slot_of(limits->slots, name);
    }
    if (limits->count == RATE_ACCOUNTS_MOST) {
        account = &limits->others;
        name = "others";
    } else {
        limits->count++;
    }
    if (!account->name[0]) {
        account->thousandths = limits->options.burst * THOUSAND;
        account->filled_ms = now_ms;
        snprintf(account->name, sizeof account->name, "%s", name);
    }
    return account;
}

int64_t rate_limits_take(struct rate_limits *limits, const char *name, int64_t now_ms, int64_t wall_ms)
{
    const struct rate_options *options = &limits->options;
    int64_t day = wall_ms / DAY_MS, wait_ms = 0;
    pthread_mutex_lock(&limits->lock);
    struct account *account = find(limits, name, now_ms, day);
    if (account->day != day) {
        account->day = day;
        account->used = 0;
    }
    if (options->per_s > 0) {
        fill(limits, account, now_ms);
        int64_t missing = THOUSAND - account->thousandths;
        wait_ms = missing > 0 ? (missing + options->per_s - 1) / options->per_s : 0;
    }
    if (options->daily_quota > 0 && account->used >= options->daily_quota)
        wait_ms = DAY_MS - wall_ms % DAY_MS;
    if (wait_ms == 0) {
        account->used++;
        account->thousandths -= options->per_s > 0 ? THOUSAND : 0;
    }
    pthread_mutex_unlock(&limits->lock);
    return wait_ms;
}
