// team.c: a phase is opened by storing its number of units in `remaining`; a unit is claimed by taking one
// off. A claim keeps the phase open (its unit is not done yet), so the other fields are stable while a
// claimer reads them.
#include "kernels/cpu/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "kernels/cpu/denormals.h"

enum { SPINS_BEFORE_SLEEP = 4000, SPINS_BEFORE_YIELD = 4000 };

struct member {
    struct team *team;
    pthread_t thread;
    int index;
};

struct team {
    _Alignas(64) _Atomic int remaining; // units of the open phase that nobody has taken
    _Alignas(64) _Atomic int unfinished;
    _Alignas(64) _Atomic(team_unit) run;
    _Atomic(void *) context;
    _Atomic int units;
    _Atomic int sleepers;
    _Atomic bool stopping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int threads;
    int started; // members with a thread
    struct member members[];
};

static inline void pause_briefly(void)
{
    __builtin_ia32_pause();
}

// Works on the open phase until no unit is left; false when there was none.
static bool take_units(struct team *team, int thread)
{
    bool worked = false;
    int left = atomic_load(&team->remaining);
    while (left > 0) {
        if (!atomic_compare_exchange_weak(&team->remaining, &left, left - 1))
            continue;
        team_unit run = atomic_load_explicit(&team->run, memory_order_relaxed);
        void *context = atomic_load_explicit(&team->context, memory_order_relaxed);
        run(context, atomic_load_explicit(&team->units, memory_order_relaxed) - left, thread);
        atomic_fetch_sub(&team->unfinished, 1);
        worked = true;
        left = atomic_load(&team->remaining);
    }
    return worked;
}

static void sleep_until_work(struct team *team)
{
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->remaining) == 0 && !atomic_load(&team->stopping))
        pthread_cond_wait(&team->wake, &team->mutex);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->mutex);
}

static void *member_main(void *argument)
{
    struct member *member = argument;
    struct team *team = member->team;
    int idle = 0;
    denormals_to_zero();
    while (!atomic_load(&team->stopping)) {
        if (take_units(team, member->index))
            idle = 0;
        else if (++idle < SPINS_BEFORE_SLEEP)
            pause_briefly();
        else
            sleep_until_work(team);
    }
    return NULL;
}

enum status team_new(struct team **team, int threads, struct error *err)
{
    if (threads < 1 || threads > TEAM_MAX_THREADS)
        return error_set(err, STATUS_REJECTED, "%d threads were asked for; 1 to %d are possible", threads,
                         TEAM_MAX_THREADS);
    size_t size = sizeof(struct team) + (size_t)threads * sizeof(struct member);
    struct team *made = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!made)
        return error_set(err, STATUS_FATAL, "no memory for %d threads", threads);
    *made = (struct team){.threads = threads};
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->wake, NULL);
    for (int i = 1; i < threads; i++) {
        struct member *member = &made->members[i];
        *member = (struct member){.team = made, .index = i};
        if (pthread_create(&member->thread, NULL, member_main, member)) {
            team_free(made);
            return error_set(err, STATUS_FATAL, "can't start compute thread %d of %d", i + 1, threads);
        }
        made->started++;
    }
    *team = made;
    return STATUS_OK;
}

static void wake_sleepers(struct team *team)
{
    if (atomic_load(&team->sleepers) == 0)
        return;
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->mutex);
}

void team_free(struct team *team)
{
    if (!team)
        return;
    pthread_mutex_lock(&team->mutex);
    atomic_store(&team->stopping, true);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->mutex);
    for (int i = 1; i <= team->started; i++)
        pthread_join(team->members[i].thread, NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->mutex);
    free(team);
}

int team_threads(const struct team *team)
{
    return team->threads;
}

void team_run(struct team *team, team_unit run, void *context, int units)
{
    if (units < 1)
        return;
    atomic_store_explicit(&team->run, run, memory_order_relaxed);
    atomic_store_explicit(&team->context, context, memory_order_relaxed);
    atomic_store_explicit(&team->units, units, memory_order_relaxed);
    atomic_store(&team->unfinished, units);
    atomic_store(&team->remaining, units);
    if (units > 1)
        wake_sleepers(team);
    unsigned before = denormals_to_zero();
    take_units(team, 0);
    denormals_restore(before);
    // What is left is at most one unit per thread: shorter than a sleep and its wake-up.
    for (int spins = 0; atomic_load(&team->unfinished) > 0; spins++) {
        if (spins < SPINS_BEFORE_YIELD)
            pause_briefly();
        else
            sched_yield();
    }
}
