// test_admission.c: who is let in. The fleet is a number of answers a second; the arithmetic is the test's
// own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "producer/gateway/admission.h"

enum { LIMIT = 1000, IN_TIME_MS = 6500 };

// Those who wait, in the order in which they came.
static int places[8192];
static size_t first, last;

static int begin(void **state)
{
    (void)state;
    first = last = 0;
    return 0;
}

static bool enter(struct admission *admission, const char *account, int *retry_after_s)
{
    int place = admission_enter(admission, account, retry_after_s);
    if (place)
        places[last++ % (sizeof places / sizeof *places)] = place;
    return place != 0;
}

// Each try is another account's.
static int let_in(struct admission *admission, int tries, int *retry_after_s)
{
    int count = 0;
    for (int i = 0; i < tries; i++) {
        char account[16];
        snprintf(account, sizeof account, "key:%d", i);
        count += enter(admission, account, retry_after_s);
    }
    return count;
}

static void answer_one(struct admission *admission, int64_t now_ms)
{
    int *place = &places[first++ % (sizeof places / sizeof *places)];
    assert_true(first <= last);
    admission_answered(admission, place, now_ms);
    assert_int_equal(*place, 0);
}

// per_s answers a second for so long, in steps of 10 ms; time starts at *now_ms.
static void run_fleet(struct admission *admission, int per_s, int seconds, int64_t *now_ms)
{
    int retry_after_s;
    double owed = 0;
    for (int64_t end_ms = *now_ms + seconds * 1000; *now_ms < end_ms; *now_ms += 10) {
        for (owed += per_s / 100.0; owed >= 1; owed--) {
            if (atomic_load(&admission->waiting) == 0)
                assert_true(enter(admission, "key:1", &retry_after_s));
            answer_one(admission, *now_ms);
        }
        admission_tick(admission, *now_ms);
    }
}

static void test_limit(void **state)
{
    (void)state;
    struct admission admission;
    int retry_after_s = 0;
    admission_init(&admission, LIMIT, IN_TIME_MS);
    assert_true(admission_look(&admission, "key:1", &retry_after_s));
    assert_int_equal(let_in(&admission, 2 * LIMIT, &retry_after_s), LIMIT);
    assert_in_range(retry_after_s, 1, 60);
    assert_false(admission_look(&admission, "key:1", &retry_after_s));
    answer_one(&admission, 1000);
    assert_int_equal(let_in(&admission, 2 * LIMIT, &retry_after_s), 1);
}

// Three times what is left: 750 of 1,000, and then others get three quarters of the rest in turn.
static void test_an_account(void **state)
{
    (void)state;
    static const char *const accounts[] = {"key:greedy", "key:second", "key:third"};
    static const int wanted[] = {750, 188, 47}; // own <= 3 (left + 1): 3/4 of 1,001, 251 and 63, rounded down
    struct admission admission;
    int retry_after_s = 0;
    admission_init(&admission, LIMIT, IN_TIME_MS);
    for (int i = 0; i < 3; i++) {
        int count = 0;
        while (enter(&admission, accounts[i], &retry_after_s))
            count++;
        assert_int_equal(count, wanted[i]);
        assert_false(admission_look(&admission, accounts[i], &retry_after_s));
        assert_in_range(retry_after_s, 1, 60);
    }
    for (int i = 0; i < 750; i++)
        admission_leave(&admission, &places[i]);
    assert_int_equal(atomic_load(&admission.waiting), 188 + 47);
    assert_true(admission_look(&admission, "key:greedy", &retry_after_s));
}

// 100 answers a second: 650 are answered in 6.5 s, and of more the last would wait longer.
static void test_drain_time(void **state)
{
    (void)state;
    struct admission admission;
    int retry_after_s = 0;
    int64_t now_ms = 1000;
    admission_init(&admission, LIMIT, IN_TIME_MS);
    assert_int_equal(let_in(&admission, 400, &retry_after_s), 400);
    run_fleet(&admission, 100, 3, &now_ms);
    assert_in_range(atomic_load(&admission.waiting), 99, 101);
    assert_in_range(let_in(&admission, LIMIT, &retry_after_s), 520, 580);
    assert_in_range(atomic_load(&admission.waiting), 620, 680);
    assert_in_range(admission_drain_ms(&admission), 6200, 6600);
    assert_in_range(retry_after_s, 3, 4); // half of the time, from 6.5 to 3.25 s
}

// Answers come in bursts: 20 a second, but none in one second and 40 in the next. No second is the fleet's
// rate.
static void test_bursts(void **state)
{
    (void)state;
    struct admission admission;
    int retry_after_s = 0;
    int64_t now_ms = 1000;
    admission_init(&admission, LIMIT, IN_TIME_MS);
    (void)let_in(&admission, 400, &retry_after_s);
    for (int second = 0; second < 9; second++)
        run_fleet(&admission, second % 2 ? 40 : 0, 1, &now_ms);
    assert_in_range(atomic_load(&admission.per_1000_s), 18000, 22000);
}

// One request a minute says nothing of how fast the fleet is.
static void test_little_to_do(void **state)
{
    (void)state;
    struct admission admission;
    int retry_after_s = 0;
    int64_t now_ms = 1000;
    admission_init(&admission, LIMIT, IN_TIME_MS);
    for (int i = 0; i < 20; i++) {
        assert_true(enter(&admission, "key:1", &retry_after_s));
        admission_tick(&admission, now_ms);
        now_ms += 150;
        answer_one(&admission, now_ms);
        for (int64_t end_ms = now_ms + 60000; now_ms < end_ms; now_ms += 1000)
            admission_tick(&admission, now_ms);
    }
    // 1 answer in 150 ms of work, not in a minute; rounded down
    assert_in_range(atomic_load(&admission.per_1000_s), 6000, 7000);
}

// A fleet that stands still is found out by its silence: those who wait fill the limit, and nobody is let in
// for the sake of an old rate.
static void test_silence(void **state)
{
    (void)state;
    struct admission admission;
    int retry_after_s = 0;
    int64_t now_ms = 1000;
    admission_init(&admission, LIMIT, IN_TIME_MS);
    (void)let_in(&admission, 400, &retry_after_s);
    run_fleet(&admission, 100, 3, &now_ms);
    for (int64_t end_ms = now_ms + 20000; now_ms < end_ms; now_ms += 100)
        admission_tick(&admission, now_ms);
    assert_int_equal(let_in(&admission, LIMIT, &retry_after_s), 0);
    assert_true(retry_after_s > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_limit, begin),        cmocka_unit_test_setup(test_an_account, begin),
        cmocka_unit_test_setup(test_drain_time, begin),   cmocka_unit_test_setup(test_bursts, begin),
        cmocka_unit_test_setup(test_little_to_do, begin), cmocka_unit_test_setup(test_silence, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
