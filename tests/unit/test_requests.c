// test_requests.c: the states of a request in SQL: what each change demands, and that it does nothing
// elsewhere.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "producer/gateway/requests.h"
#include "tests/support/process.h"

#define ID    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
#define PLACE "skinsight.jobs/3/4711"

static char folder[SCRATCH_SIZE];
static struct error err; // of the last call

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

struct store {
    struct sql *sql;
    struct request_row row; // as accepted by "one"
    bool done;
};

static void open_store(struct store *store)
{
    static int number;
    char url[SCRATCH_SIZE + 64];
    snprintf(url, sizeof url, "sqlite://%s/requests-%d.db", folder, number++);
    const struct sql_options options = {.url = url, .timeout_ms = 5000};
    memset(store, 0, sizeof *store);
    GOOD(sql_open(&store->sql, &options, &err));
    GOOD(requests_migrate(store->sql, &err));
    store->row = (struct request_row){.request_id = ID,
                                      .site = "north",
                                      .content = digest_of("content", 7),
                                      .image_sha256 = "ab",
                                      .state = REQUEST_ACCEPTED,
                                      .attempt = 1,
                                      .owner = "one",
                                      .lease_until = 2000,
                                      .accepted_at = 1000,
                                      .deadline_at = 61000};
    GOOD(requests_accept(store->sql, &store->row, &store->done, &err));
    assert_true(store->done);
}

static struct request_row find(struct store *store, struct request_outcome *outcome)
{
    struct request_row row;
    bool found = false;
    GOOD(requests_find(store->sql, ID, &row, outcome, &found, &err));
    assert_true(found);
    return row;
}

static bool queue(struct store *store, const char *owner, int64_t attempt, const char *place)
{
    struct request_row row = store->row;
    strcpy(row.owner, owner);
    strcpy(row.place, place);
    row.attempt = attempt;
    GOOD(requests_queue(store->sql, &row, &store->done, &err));
    return store->done;
}

static bool answer(struct store *store, int64_t attempt, const char *place, const char *reply)
{
    static const struct request_times times = {.answered_at = 5000, .review_due_at = -1};
    struct request_row row = store->row;
    struct request_outcome outcome;
    request_outcome_init(&outcome);
    if (reply)
        GOOD(buffer_append(&outcome.reply, reply, strlen(reply), &err));
    else
        outcome.problem = PROBLEM_DEADLINE_EXCEEDED;
    strcpy(outcome.detail, reply ? "" : "too late");
    strcpy(outcome.map_uri, reply ? "s3://b/map.png" : "");
    strcpy(row.place, place);
    row.attempt = attempt;
    GOOD(requests_answer(store->sql, &row, &outcome, &times, &store->done, &err));
    request_outcome_release(&outcome);
    return store->done;
}

static void test_accepted(void **state)
{
    (void)state;
    struct store store;
    struct request_row row;
    bool found = true;
    open_store(&store);
    row = find(&store, NULL);
    assert_string_equal(row.request_id, ID);
    assert_string_equal(row.site, "north");
    assert_string_equal(row.image_sha256, "ab");
    assert_string_equal(row.owner, "one");
    assert_string_equal(row.place, "");
    assert_true(digest_equal(&row.content, &store.row.content));
    assert_true(row.state == REQUEST_ACCEPTED && row.attempt == 1 && row.lease_until == 2000 &&
                row.accepted_at == 1000 && row.deadline_at == 61000);
    GOOD(requests_accept(store.sql, &store.row, &store.done, &err)); // the id is taken
    assert_false(store.done);
    GOOD(requests_find(store.sql, "f81d4fae-7dec-11d0-a765-00a0c91e6bf7", &row, NULL, &found, &err));
    assert_false(found);
    sql_close(store.sql);
}

static void test_queued(void **state)
{
    (void)state;
    struct store store;
    open_store(&store);
    assert_false(queue(&store, "two", 1, PLACE)); // not its row
    assert_false(queue(&store, "one", 2, PLACE)); // not this attempt
    assert_true(queue(&store, "one", 1, PLACE));
    assert_false(queue(&store, "one", 1, "skinsight.jobs/0/1")); // once
    struct request_row row = find(&store, NULL);
    assert_true(row.state == REQUEST_QUEUED);
    assert_string_equal(row.place, PLACE);
    sql_close(store.sql);
}

static void test_answered_once(void **state)
{
    (void)state;
    struct store store;
    struct request_outcome outcome;
    open_store(&store);
    assert_true(queue(&store, "one", 1, PLACE));
    assert_false(answer(&store, 1, "skinsight.jobs/3/4712", "{}")); // of another job
    assert_false(answer(&store, 2, PLACE, "{}"));                   // of another attempt
    assert_true(answer(&store, 1, PLACE, "{\"a\":1}"));
    assert_false(answer(&store, 1, PLACE, "{\"a\":2}"));
    request_outcome_init(&outcome);
    assert_true(find(&store, &outcome).state == REQUEST_ANSWERED);
    assert_int_equal(outcome.problem, PROBLEM_NONE);
    assert_int_equal(outcome.reply.size, 7);
    assert_memory_equal(outcome.reply.data, "{\"a\":1}", 7);
    assert_string_equal(outcome.map_uri, "s3://b/map.png");
    request_outcome_release(&outcome);
    assert_false(queue(&store, "one", 1, PLACE)); // a late delivery report
    sql_close(store.sql);
}

// A crash lost the place: the first answer that fits counts.
static void test_answered_without_a_place(void **state)
{
    (void)state;
    struct store store;
    open_store(&store);
    assert_true(answer(&store, 1, "", "{}"));
    assert_false(answer(&store, 1, "", "{}"));
    sql_close(store.sql);
}

static void test_next_attempt(void **state)
{
    (void)state;
    struct store store;
    struct request_outcome outcome;
    open_store(&store);
    assert_true(queue(&store, "one", 1, PLACE));
    assert_true(answer(&store, 1, PLACE, NULL));
    request_outcome_init(&outcome);
    struct request_row seen = find(&store, &outcome), next = seen;
    assert_int_equal(outcome.problem, PROBLEM_DEADLINE_EXCEEDED);
    assert_string_equal(outcome.detail, "too late");
    next.attempt = 2;
    strcpy(next.owner, "two");
    next.accepted_at = 70000;
    next.lease_until = 80000;
    GOOD(requests_take(store.sql, &seen, &next, &store.done, &err));
    assert_true(store.done);
    GOOD(requests_take(store.sql, &seen, &next, &store.done, &err)); // it is no longer what was seen
    assert_false(store.done);
    struct request_row row = find(&store, &outcome);
    assert_true(row.state == REQUEST_ACCEPTED && row.attempt == 2 && row.accepted_at == 70000);
    assert_string_equal(row.place, "");
    assert_string_equal(row.owner, "two");
    assert_false(answer(&store, 1, PLACE, "{}")); // late, of the attempt before
    request_outcome_release(&outcome);
    sql_close(store.sql);
}

static size_t adopt(struct store *store, const char *owner, int64_t now, struct request_row *rows,
                    size_t most)
{
    size_t count;
    GOOD(requests_adopt(store->sql, owner, now, now + 500, rows, most, &count, &err));
    return count;
}

static void test_leases(void **state)
{
    (void)state;
    struct store store;
    struct request_row rows[2];
    open_store(&store);
    assert_int_equal(adopt(&store, "two", 2000, rows, 2), 0); // one lives until 2000
    GOOD(requests_renew(store.sql, "one", 3000, &err));
    assert_int_equal(adopt(&store, "two", 2001, rows, 2), 0);
    assert_int_equal(adopt(&store, "one", 3001, rows, 2), 0); // its own already
    assert_int_equal(adopt(&store, "two", 3001, rows, 2), 1);
    assert_string_equal(rows[0].owner, "two");
    assert_int_equal(rows[0].accepted_at, 1000);
    GOOD(requests_renew(store.sql, "one", 9000, &err)); // no longer one's
    assert_int_equal(find(&store, NULL).lease_until, 3501);
    assert_false(queue(&store, "one", 1, PLACE));
    assert_int_equal(adopt(&store, "three", INT64_MAX - 500, rows, 2), 1); // whatever its lease
    GOOD(requests_release(store.sql, &rows[0], &err));
    assert_int_equal(adopt(&store, "three", 1, rows, 2), 1); // nobody's
    assert_true(answer(&store, 1, "", "{}"));
    assert_int_equal(adopt(&store, "four", INT64_MAX - 500, rows, 2), 0); // answered
    sql_close(store.sql);
}

static void test_forgotten(void **state)
{
    (void)state;
    struct store store;
    int64_t deleted = 0;
    bool found = true;
    struct request_row row;
    open_store(&store);
    GOOD(requests_forget(store.sql, 1000, 10, &deleted, &err));
    assert_int_equal(deleted, 0);
    GOOD(requests_forget(store.sql, 1001, 10, &deleted, &err));
    assert_int_equal(deleted, 1);
    GOOD(requests_find(store.sql, ID, &row, NULL, &found, &err));
    assert_false(found);
    sql_close(store.sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),      cmocka_unit_test(test_queued),
        cmocka_unit_test(test_answered_once), cmocka_unit_test(test_answered_without_a_place),
        cmocka_unit_test(test_next_attempt),  cmocka_unit_test(test_leases),
        cmocka_unit_test(test_forgotten),
    };
    scratch_make(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
