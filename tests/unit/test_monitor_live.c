// test_monitor_live.c: which reports the thread of live.c makes for those who ask, and which it refuses; a
// list of answers leaves behind its entry in the audit. The server's two answers are this file's own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/services/sql.h"
#include "monitor/service/live.h"
#include "tests/support/process.h"

enum { WAIT_S = 30 };

static const int64_t day_ms = INT64_C(24) * 3600 * 1000;
static const int64_t monday = INT64_C(1767571200000); // 2026-01-05

struct http_later {
    unsigned status;    // 0: there is no answer yet
    int64_t entries;    // of the audit when the answer came; -1: it has no table
    char type[64];      // of the body
    size_t headers;     // beside the server's own
    const char *folder; // of the audit's store; NULL: nobody counts its entries
};

// As another process sees the audit.
static int64_t count_entries(const char *folder)
{
    char url[SCRATCH_SIZE + 32];
    struct sql *sql = NULL;
    struct error err;
    bool found;
    int64_t entries = -1;
    snprintf(url, sizeof url, "sqlite://%s/audit.db", folder);
    if (sql_open(&sql, &(struct sql_options){.url = url, .timeout_ms = 5000}, &err) == STATUS_OK &&
        sql_find(sql, "SELECT count(*) FROM audit", NULL, 0, &found, &err) == STATUS_OK)
        entries = sql_integer(sql, 0);
    sql_close(sql);
    return entries;
}

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
    if (later->folder)
        later->entries = count_entries(later->folder);
    snprintf(later->type, sizeof later->type, "%s", reply->type);
    later->headers = reply->header_count;
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

// ---- lists of answers ----

struct reading {
    char folder[SCRATCH_SIZE], store[SCRATCH_SIZE + 32], audit[SCRATCH_SIZE + 32];
    struct live *live;
};

// away: the audit's store is in a folder that is not there yet.
static void open_reading(struct reading *reading, bool away)
{
    struct error err;
    scratch_make(reading->folder);
    snprintf(reading->store, sizeof reading->store, "sqlite://%s/live.db", reading->folder);
    snprintf(reading->audit, sizeof reading->audit, "sqlite://%s/%saudit.db", reading->folder,
             away ? "later/" : "");
    const struct live_options options = {.store = reading->store,
                                         .references = "",
                                         .reference_key = "",
                                         .alarm_budget_per_year = 12,
                                         .answer_ms = WAIT_S * 1000,
                                         .audit = {.store = {.url = reading->audit, .timeout_ms = 5000},
                                                   .chain = "monitor",
                                                   .sign_interval_ms = 3600 * 1000}};
    assert_int_equal(live_open(&reading->live, &options, &err), STATUS_OK);
}

static void close_reading(struct reading *reading)
{
    live_close(reading->live);
    scratch_remove(reading->folder);
}

static struct http_later read_list(struct reading *reading, const char *model, bool json)
{
    struct http_later later = {.folder = reading->folder};
    struct live_request request = {.kind = REPORT_INCIDENT,
                                   .json = json,
                                   .from = monday,
                                   .to = monday + day_ms,
                                   .reader = {.actor = "dr-lee", .site = "north", .role = ROLE_OPERATOR}};
    snprintf(request.model, sizeof request.model, "%s", model);
    assert_true(live_ask(reading->live, &request, &later));
    wait_for(&later);
    return later;
}

// Also of the list that was kept from the first reading.
static void test_each_reading_is_an_entry(void **state)
{
    (void)state;
    struct reading reading;
    open_reading(&reading, false);
    struct http_later first = read_list(&reading, "vit-2", true),
                      second = read_list(&reading, "vit-2", false);
    assert_int_equal(first.status, 200);
    assert_string_equal(first.type, "application/json");
    assert_int_equal(first.entries, 1);
    assert_int_equal(second.status, 200);
    assert_int_equal(second.entries, 2);
    assert_int_equal(second.headers, 1); // the page does not ask for itself again
    live_close(reading.live);
    struct sql *sql;
    struct error err;
    bool found;
    assert_int_equal(sql_open(&sql, &(struct sql_options){.url = reading.audit, .timeout_ms = 5000}, &err),
                     STATUS_OK);
    assert_int_equal(
        sql_find(sql, "SELECT entry FROM audit WHERE chain = 'monitor' AND seq = 2", NULL, 0, &found, &err),
        STATUS_OK);
    assert_true(found);
    assert_non_null(strstr(sql_text(sql, 0), "\"action\":\"incident_read\",\"actor\":\"dr-lee\""));
    assert_non_null(strstr(sql_text(sql, 0),
                           "\"list\":{\"answers\":0,\"from\":1767571200000,\"model\":\"vit-2\","
                           "\"site\":null,\"to\":1767657600000}"));
    sql_close(sql);
    scratch_remove(reading.folder);
}

static void test_without_an_entry_there_is_no_list(void **state)
{
    (void)state;
    struct reading reading;
    char later[SCRATCH_SIZE + 16];
    open_reading(&reading, true);
    assert_int_equal(read_list(&reading, "", true).status, 503);
    snprintf(later, sizeof later, "%s/later", reading.folder);
    assert_int_equal(mkdir(later, 0700), 0);
    assert_int_equal(read_list(&reading, "", true).status, 200);
    close_reading(&reading);
}

// No model has such a name; the entry would say less than was asked for.
static void test_a_name_that_no_entry_holds(void **state)
{
    (void)state;
    struct reading reading;
    open_reading(&reading, false);
    char name[AUDIT_NAME_SIZE + 1];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(read_list(&reading, name, true).status, 422);
    assert_int_equal(read_list(&reading, "vit 2", true).status, 422);
    assert_int_equal(read_list(&reading, name + 1, true).entries, 1);
    close_reading(&reading);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_reading_is_an_entry),
                                       cmocka_unit_test(test_without_an_entry_there_is_no_list),
                                       cmocka_unit_test(test_a_name_that_no_entry_holds),
                                       cmocka_unit_test(test_who_waits_is_answered),
                                       cmocka_unit_test(test_who_has_left_is_not_worked_for),
                                       cmocka_unit_test(test_days)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
