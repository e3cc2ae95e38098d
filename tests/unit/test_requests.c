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
#include "producer/gateway/reviews.h"
#include "tests/support/both_stores.h"

#define ID    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
#define PLACE "skinsight.jobs/3/4711"

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
    const struct sql_options options = {.url = store_url, .timeout_ms = 5000};
    memset(store, 0, sizeof *store);
    GOOD(sql_open(&store->sql, &options, &err));
    GOOD(requests_migrate(store->sql, &err));
    GOOD(sql_run(store->sql, "DELETE FROM requests", NULL, 0, NULL, &err)); // of the case before
    GOOD(sql_run(store->sql, "DELETE FROM models", NULL, 0, NULL, &err));
    store->row = (struct request_row){.request_id = ID,
                                      .site = "north",
                                      .content = digest_of("content", 7),
                                      .image_sha256 = "ab",
                                      .state = REQUEST_ACCEPTED,
                                      .attempt = 1,
                                      .owner = "one",
                                      .lease_until = 2000,
                                      .accepted_at = 1000,
                                      .deadline_at = 61000,
                                      .submitted_at = 990};
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
                row.accepted_at == 1000 && row.deadline_at == 61000 && row.submitted_at == 990);
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
    next.submitted_at = 69990;
    next.lease_until = 80000;
    GOOD(requests_take(store.sql, &seen, &next, &store.done, &err));
    assert_true(store.done);
    GOOD(requests_take(store.sql, &seen, &next, &store.done, &err)); // it is no longer what was seen
    assert_false(store.done);
    struct request_row row = find(&store, &outcome);
    assert_true(row.state == REQUEST_ACCEPTED && row.attempt == 2 && row.accepted_at == 70000 &&
                row.submitted_at == 69990);
    assert_string_equal(row.place, "");
    assert_string_equal(row.owner, "two");
    assert_false(answer(&store, 1, PLACE, "{}")); // late, of the attempt before
    request_outcome_release(&outcome);
    sql_close(store.sql);
}

static struct prediction record_at(int64_t offset, int64_t submitted)
{
    struct prediction record;
    prediction_init(&record);
    record.request_id = ID;
    record.provenance.source.topic = "skinsight.jobs";
    record.provenance.source.partition = 3;
    record.provenance.source.offset = offset;
    record.provenance.submitted = submitted;
    return record;
}

static void test_which_records_fit(void **state)
{
    (void)state;
    struct request_row row = {
        .request_id = ID, .site = "north", .image_sha256 = "ab", .attempt = 2, .submitted_at = 5000};
    struct prediction one = record_at(4711, 5000), retried = record_at(4712, 5400),
                      attempt_before = record_at(4700, 4000), timeless = record_at(4711, -1);
    assert_true(request_row_fits(&row, &one));
    assert_true(request_row_fits(&row, &retried));
    assert_true(request_row_fits(&row, &timeless));
    assert_false(request_row_fits(&row, &attempt_before));
    one.context.site = "south";
    assert_false(request_row_fits(&row, &one));
    strcpy(retried.provenance.image_sha256, "cd");
    assert_false(request_row_fits(&row, &retried));
    strcpy(row.place, PLACE); // known: it alone decides
    assert_true(request_row_fits(&row, &timeless));
    assert_false(request_row_fits(&row, &retried));
    row.place[0] = '\0';
    row.submitted_at = 0; // of a build that did not note it
    assert_true(request_row_fits(&row, &attempt_before));
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

// The store goes away between two rows: what is taken by then, or may be, is told. No other one would take
// it.
static void test_half_an_adoption(void **state)
{
    (void)state;
    struct store store;
    struct request_row rows[3];
    size_t count;
    open_store(&store);
    for (int i = 1; i < 3; i++) {
        store.row.request_id[0] = store.row.owner[0] = (char)('0' + i);
        store.row.accepted_at++;
        GOOD(requests_accept(store.sql, &store.row, &store.done, &err));
    }
    GOOD(sql_run(store.sql, "CREATE UNIQUE INDEX one_each ON requests (owner)", NULL, 0, NULL, &err));
    assert_int_not_equal(requests_adopt(store.sql, "two", 2001, 3000, rows, 3, &count, &err), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(rows[0].request_id, ID);
    assert_int_equal(rows[1].request_id[0], '1');
    GOOD(sql_run(store.sql, "DROP INDEX one_each", NULL, 0, NULL, &err));
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

static void expect_list(struct store *store, const char *site, bool overdue_only, int64_t now,
                        const char *wanted)
{
    struct buffer list;
    buffer_init(&list, 1 << 16);
    GOOD(reviews_list(store->sql, site, overdue_only, now, &list, &err));
    GOOD(buffer_append(&list, "", 1, &err));
    assert_string_equal((const char *)list.data, wanted);
    buffer_release(&list);
}

static void test_reviews(void **state)
{
    (void)state;
    static const struct request_times times = {.answered_at = 5000, .review_due_at = 9000};
    struct store store;
    struct request_outcome outcome;
    int64_t count;
    bool closed = true;
    const struct feedback first = {.feedback_id = "0d4fae1c-7dec-41d0-a765-00a0c91e6bf6", .request_id = ID};
    const struct feedback second = {.feedback_id = "1d4fae1c-7dec-41d0-a765-00a0c91e6bf6", .request_id = ID};
    open_store(&store);
    GOOD(reviews_close(store.sql, &first, 6000, &closed, &err)); // it has no answer yet
    assert_false(closed);
    request_outcome_init(&outcome);
    GOOD(requests_answer(store.sql, &store.row, &outcome, &times, &store.done, &err));
    assert_true(store.done);
    request_outcome_release(&outcome);
    expect_list(&store, "north", false, 9000,
                "{\"reviews\":[{\"request_id\":\"" ID
                "\",\"answered_at\":5000,\"due_at\":9000,\"state\":\"open\"}]}");
    expect_list(&store, "north", true, 9000, "{\"reviews\":[]}");
    expect_list(&store, "south", false, 9000, "{\"reviews\":[]}");
    expect_list(&store, "north", true, 9001,
                "{\"reviews\":[{\"request_id\":\"" ID
                "\",\"answered_at\":5000,\"due_at\":9000,\"state\":\"overdue\"}]}");
    GOOD(reviews_count_overdue(store.sql, 9000, &count, &err));
    assert_int_equal(count, 0);
    GOOD(reviews_count_overdue(store.sql, 9001, &count, &err));
    assert_int_equal(count, 1);
    GOOD(reviews_close(store.sql, &first, 9500, &closed, &err));
    assert_true(closed);
    GOOD(reviews_close(store.sql, &second, 9600, &closed, &err));
    assert_false(closed);
    GOOD(reviews_close(store.sql, &first, 9700, &closed, &err)); // sent again: it is the one that closed it
    assert_true(closed);
    expect_list(&store, "north", false, 9700, "{\"reviews\":[]}");
    sql_close(store.sql);
}

static void test_models(void **state)
{
    (void)state;
    struct store store;
    struct buffer list;
    open_store(&store);
    buffer_init(&list, 1 << 16);
    GOOD(models_note(store.sql, &(struct seen_model){"a-v1.0.0", "11", 0}, 1000, &err));
    GOOD(models_note(store.sql, &(struct seen_model){"b-v1.0.0", "22", 1}, 2000, &err));
    GOOD(models_note(store.sql, &(struct seen_model){"a-v1.0.0", "11", 1}, 3000, &err));
    GOOD(models_list(store.sql, &list, &err));
    GOOD(buffer_append(&list, "", 1, &err));
    assert_string_equal(
        (const char *)list.data,
        "{\"models\":[{\"model_version\":\"a-v1.0.0\",\"weights_sha256\":\"11\",\"trained\":true,"
        "\"last_seen\":3000},{\"model_version\":\"b-v1.0.0\",\"weights_sha256\":\"22\","
        "\"trained\":true,\"last_seen\":2000}]}");
    buffer_release(&list);
    sql_close(store.sql);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_accepted),      cmocka_unit_test(test_queued),
        cmocka_unit_test(test_answered_once), cmocka_unit_test(test_answered_without_a_place),
        cmocka_unit_test(test_next_attempt),  cmocka_unit_test(test_which_records_fit),
        cmocka_unit_test(test_leases),        cmocka_unit_test(test_half_an_adoption),
        cmocka_unit_test(test_forgotten),     cmocka_unit_test(test_reviews),
        cmocka_unit_test(test_models),
    };
    return run_on_both_stores(cases, sizeof cases / sizeof *cases);
}
