// test_monitor_live.c: which reports the thread of live.c makes for those who ask, and which it refuses. The
// server's two answers are this file's own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "monitor/service/live.h"
#include "tests/support/process.h"

enum { WAIT_S = 30 };

static const int64_t day_ms = INT64_C(24) * 3600 * 1000;
static const int64_t monday = INT64_C(1767571200000); // 2026-01-05

struct http_later {
    unsigned status; // 0: there is no answer yet
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;

static void note(struct http_later *later, unsigned status)
{
    pthread_mutex_lock(&lock);
    later->status = status;
    pthread_cond_signal(&answered);
    pthread_mutex_unlock(&lock);
}

void http_later_answer(struct http_later *later, const struct http_reply *reply)
{
    note(later, reply->code);
}

void http_later_problem(struct http_later *later, const struct http_problem *problem)
{
    note(later, problem->status);
}

// The answer's status; 0: none came in time.
static unsigned wait_for(struct http_later *later)
{
    struct timespec until;
    int failure = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&lock);
    while (!later->status && !failure)
        failure = pthread_cond_timedwait(&answered, &lock, &until);
    unsigned status = later->status;
    pthread_mutex_unlock(&lock);
    return status;
}

// The answer to a request for that many days, of a server that waits for answer_ms.
static unsigned ask(int64_t answer_ms, int64_t days)
{
    char folder[SCRATCH_SIZE], store[SCRATCH_SIZE + 32];
    struct http_later later = {0};
    struct live *live;
    struct error err;
    scratch_make(folder);
    snprintf(store, sizeof store, "sqlite://%s/live.db", folder);
    const struct live_options options = {.store = store,
                                         .references = "",
                                         .reference_key = "",
                                         .alarm_budget_per_year = 12,
                                         .answer_ms = answer_ms};
    const struct live_request request = {
        .kind = REPORT_PERFORMANCE, .json = true, .from = monday, .to = monday + days * day_ms};
    assert_int_equal(live_open(&live, &options, &err), STATUS_OK);
    assert_true(live_ask(live, &request, &later));
    unsigned status = wait_for(&later);
    live_close(live);
    scratch_remove(folder);
    return status;
}

static void test_who_waits_is_answered(void **state)
{
    (void)state;
    assert_int_equal(ask(WAIT_S * 1000, 28), 200);
}

// A server that gives up at once has given up whenever the thread comes to it.
static void test_who_has_left_is_not_worked_for(void **state)
{
    (void)state;
    assert_int_equal(ask(0, 28), 503);
}

static void test_days(void **state)
{
    (void)state;
    assert_int_equal(ask(WAIT_S * 1000, 366), 200);
    assert_int_equal(ask(WAIT_S * 1000, 367), 422);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_waits_is_answered),
                                       cmocka_unit_test(test_who_has_left_is_not_worked_for),
                                       cmocka_unit_test(test_days)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
