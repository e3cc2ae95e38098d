// test_team.c: every unit of every phase runs exactly once, on a thread with a valid number, for any number
// of threads; phases follow each other without losing a wake-up. All compute with denormals as zeros, and the
// caller's own arithmetic stays as it was.
#include <pmmintrin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/cpu/team.h"

enum { MOST_UNITS = 1000, PHASES = 3000 };

struct phase {
    int threads;
    _Atomic int wrong_threads, denormals;
    _Atomic int runs[MOST_UNITS];
};

static void count_unit(void *context, int unit, int thread)
{
    struct phase *phase = context;
    if (thread < 0 || thread >= phase->threads)
        atomic_fetch_add(&phase->wrong_threads, 1);
    const unsigned wanted = _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON;
    if ((_mm_getcsr() & wanted) != wanted)
        atomic_fetch_add(&phase->denormals, 1);
    atomic_fetch_add(&phase->runs[unit], 1);
}

static void check_phase(struct team *team, struct phase *phase, int units)
{
    for (int i = 0; i < units; i++)
        atomic_store(&phase->runs[i], 0);
    unsigned before = _mm_getcsr();
    team_run(team, count_unit, phase, units);
    assert_int_equal(_mm_getcsr(), before);
    for (int i = 0; i < units; i++)
        assert_int_equal(atomic_load(&phase->runs[i]), 1);
    assert_int_equal(atomic_load(&phase->wrong_threads), 0);
    assert_int_equal(atomic_load(&phase->denormals), 0);
}

static void every_unit_runs_once(void **unused)
{
    (void)unused;
    static const int counts[] = {0, 1, 2, 3, 7, 64, MOST_UNITS};
    for (int threads = 1; threads <= 9; threads += 2) {
        static struct phase phase;
        struct team *team;
        phase.threads = threads;
        assert_int_equal(team_new(&team, threads, NULL), STATUS_OK);
        assert_int_equal(team_threads(team), threads);
        for (int i = 0; i < 7 * 20; i++)
            check_phase(team, &phase, counts[i % 7]);
        team_free(team);
    }
}

// Short phases in quick succession: members fall asleep, wake up late and find the next phase.
static void many_short_phases(void **unused)
{
    (void)unused;
    static struct phase phase;
    struct team *team;
    phase.threads = 3;
    assert_int_equal(team_new(&team, phase.threads, NULL), STATUS_OK);
    for (int i = 0; i < PHASES; i++)
        check_phase(team, &phase, 1 + i % 5);
    team_free(team);
}

static void a_team_that_never_worked_ends(void **unused)
{
    (void)unused;
    struct team *team;
    assert_int_equal(team_new(&team, 4, NULL), STATUS_OK);
    team_free(team);
    team_free(NULL);
}

static void impossible_counts_are_rejected(void **unused)
{
    (void)unused;
    struct team *team;
    struct error err;
    assert_int_equal(team_new(&team, 0, &err), STATUS_REJECTED);
    assert_int_equal(team_new(&team, TEAM_MAX_THREADS + 1, &err), STATUS_REJECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_unit_runs_once),
        cmocka_unit_test(many_short_phases),
        cmocka_unit_test(a_team_that_never_worked_ends),
        cmocka_unit_test(impossible_counts_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
