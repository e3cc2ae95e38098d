// watchdog.c: a slot for each thread of a stage, counted steps in it, and the thread that looks at them.
//
// A step is known by its number, not by when it began: time is counted from look to look and at most two
// intervals each, so that a process which was stopped (SIGSTOP, a paused machine) is not taken for one that
// hangs.
#include "worker/watchdog.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"

enum { SLOTS = 320, LOOKS = 8, INTERVAL_MOST_MS = 1000 };

struct slot {
    const char *name; // of what the thread does
    int64_t limit_ms; // of one step
    atomic_bool used; // name and limit_ms are filled in
    atomic_uint step; // odd while one is going on
    unsigned seen;    // the watchdog's: at the last look
    int64_t busy_ms;  // the watchdog's: how long that step was seen to go on
};

struct watchdog {
    int64_t timeout_ms, interval_ms, looked_ms;
    struct slot slots[SLOTS];
    atomic_int slot_count;
    _Atomic(const char *) hanging; // the name of one; NULL: none
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; // guarded by lock
};

static _Thread_local struct slot *own_slot;

void watchdog_enter(struct watchdog *watchdog, const char *name, int64_t more_ms)
{
    own_slot = NULL;
    if (!watchdog)
        return;
    int index = atomic_fetch_add(&watchdog->slot_count, 1);
    if (index >= SLOTS)
        return; // more threads than there are: not watched
    own_slot = &watchdog->slots[index];
    own_slot->name = name;
    own_slot->limit_ms = watchdog->timeout_ms + more_ms;
    atomic_store(&own_slot->used, true);
}

void watchdog_begin(void)
{
    if (own_slot)
        atomic_fetch_add(&own_slot->step, 1);
}

void watchdog_end(void)
{
    watchdog_begin(); // the next number, even again
}

struct watchdog *watchdog_new(int64_t timeout_ms)
{
    pthread_condattr_t attributes;
    struct watchdog *watchdog = memory_alloc(sizeof *watchdog);
    watchdog->timeout_ms = timeout_ms;
    watchdog->interval_ms = timeout_ms / LOOKS;
    if (watchdog->interval_ms > INTERVAL_MOST_MS)
        watchdog->interval_ms = INTERVAL_MOST_MS;
    if (watchdog->interval_ms < 1)
        watchdog->interval_ms = 1;
    watchdog->looked_ms = INT64_MAX;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&watchdog->lock, NULL);
    return watchdog;
}

void watchdog_free(struct watchdog *watchdog)
{
    pthread_cond_destroy(&watchdog->wake);
    pthread_mutex_destroy(&watchdog->lock);
    free(watchdog);
}

static void look_at_slot(struct slot *slot, int64_t elapsed_ms)
{
    unsigned step = atomic_load(&slot->step);
    bool same = step == slot->seen && step % 2 == 1;
    slot->busy_ms = same ? slot->busy_ms + elapsed_ms : 0;
    slot->seen = step;
}

// How many limits the slot's step has lasted: 0, 1, or 2 and more.
static int64_t limits_passed(const struct slot *slot)
{
    return slot->busy_ms / slot->limit_ms;
}

static const struct slot *look_at_slots(struct watchdog *watchdog, int64_t elapsed_ms)
{
    const struct slot *worst = NULL;
    int count = atomic_load(&watchdog->slot_count);
    for (int i = 0; i < count && i < SLOTS; i++) {
        struct slot *slot = &watchdog->slots[i];
        if (!atomic_load(&slot->used))
            continue;
        look_at_slot(slot, elapsed_ms);
        if (limits_passed(slot) > 0 && (!worst || slot->busy_ms > worst->busy_ms))
            worst = slot;
    }
    return worst;
}

enum watchdog_verdict watchdog_look(struct watchdog *watchdog, int64_t now_ms)
{
    int64_t elapsed_ms = now_ms > watchdog->looked_ms ? now_ms - watchdog->looked_ms : 0;
    if (elapsed_ms > 2 * watchdog->interval_ms)
        elapsed_ms = 2 * watchdog->interval_ms;
    watchdog->looked_ms = now_ms;
    const struct slot *worst = look_at_slots(watchdog, elapsed_ms);
    const char *name = worst ? worst->name : NULL;
    const char *before = atomic_exchange(&watchdog->hanging, name);
    if (worst && before != name)
        LOG_ERROR("stage_hangs", "stage=%s busy_ms=%" PRId64, name, worst->busy_ms);
    if (!worst && before)
        LOG_WARN("stage_goes_on", "stage=%s", before);
    if (!worst)
        return WATCHDOG_FINE;
    return limits_passed(worst) > 1 ? WATCHDOG_HOPELESS : WATCHDOG_HANGS;
}

static void *run(void *context)
{
    struct watchdog *watchdog = context;
    pthread_setname_np(pthread_self(), "watchdog");
    pthread_mutex_lock(&watchdog->lock);
    while (!watchdog->stopping) {
        struct timespec next = clock_monotonic_after_ms(watchdog->interval_ms);
        pthread_cond_timedwait(&watchdog->wake, &watchdog->lock, &next);
        if (!watchdog->stopping && watchdog_look(watchdog, clock_monotonic_ms()) == WATCHDOG_HOPELESS) {
            LOG_ERROR("worker_ends", "reason=\"stage %s hangs\"", watchdog_hanging(watchdog));
            _exit(1);
        }
    }
    pthread_mutex_unlock(&watchdog->lock);
    return NULL;
}

struct watchdog *watchdog_start(int64_t timeout_ms)
{
    struct watchdog *watchdog = watchdog_new(timeout_ms);
    if (pthread_create(&watchdog->thread, NULL, run, watchdog) != 0)
        abort(); // as for any small allocation
    return watchdog;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (!watchdog)
        return;
    pthread_mutex_lock(&watchdog->lock);
    watchdog->stopping = true;
    pthread_cond_signal(&watchdog->wake);
    pthread_mutex_unlock(&watchdog->lock);
    pthread_join(watchdog->thread, NULL);
    watchdog_free(watchdog);
}

const char *watchdog_hanging(struct watchdog *watchdog)
{
    return watchdog ? atomic_load(&watchdog->hanging) : NULL;
}
