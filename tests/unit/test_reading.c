// test_reading.c: librdkafka's statistics, as it writes them, and what a worker says of its partitions after
// them.
#include "worker/group/reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "worker/worker.h"

enum { HELD = 2, SESSION_MS = 10000 };

static const char *const settings[] = {"session_timeout_ms=10000"};

static int set_up(void **state)
{
    struct worker *worker = memory_alloc(sizeof *worker);
    struct offsets offsets;
    worker->config = config_new_for_test(PROGRAM_WORKER, settings, 1);
    assignment_init(&worker->assignment);
    reading_init(&worker->reading);
    blocked_init(&worker->blocked);
    offsets_init(&offsets, 0, 64);
    for (int32_t partition = 0; partition < HELD; partition++)
        assignment_add(&worker->assignment, TOPIC_ROUTINE, partition, &offsets);
    *state = worker;
    return 0;
}

static int tear_down(void **state)
{
    struct worker *worker = *state;
    blocked_release(&worker->blocked);
    reading_release(&worker->reading);
    assignment_release(&worker->assignment);
    config_free((struct config *)worker->config);
    free(worker);
    return 0;
}

struct told {
    int leader;
    int64_t app, next, high, stable;
};
static const struct told good = {.leader = 1, .app = 40, .next = 42, .high = 50, .stable = 50};
static const struct told leaderless = {.leader = -1, .app = 40, .next = 42, .high = 50, .stable = 50};
static const struct told refused = {.leader = 1, .app = 40, .next = 42, .high = -1, .stable = -1};
static const struct told unasked = {.leader = 1, .app = -1001, .next = 42, .high = -1001, .stable = -1001};
static const struct told held_up = {.leader = 1, .app = 42, .next = 42, .high = 50, .stable = 42};

// Partition 0, 1 and 2 of the routine topic, of which 2 is another worker's, and librdkafka's own -1.
static void take(struct worker *worker, const struct told *first, const struct told *second)
{
    char json[2048];
    const struct told *all[] = {first, second, &leaderless};
    int length = sprintf(json, "{\"topics\":{\"other\":{\"partitions\":{}},\"%s\":{\"partitions\":{",
                         job_topic_name(worker, TOPIC_ROUTINE));
    for (int i = 0; i < 3; i++)
        length += sprintf(json + length,
                          "\"%d\":{\"partition\":%d,\"leader\":%d,\"app_offset\":%lld,\"next_offset\":%lld,"
                          "\"hi_offset\":%lld,\"ls_offset\":%lld},",
                          i, i, all[i]->leader, (long long)all[i]->app, (long long)all[i]->next,
                          (long long)all[i]->high, (long long)all[i]->stable);
    sprintf(json + length, "\"-1\":{\"partition\":-1,\"leader\":-1}}}}}");
    reading_take_statistics(worker, (struct bytes){(const uint8_t *)json, strlen(json)});
}

// As if the session were over since the causes began.
static void let_a_session_pass(struct worker *worker)
{
    for (int i = 0; i < worker->reading.count; i++)
        worker->reading.partitions[i].since_ms -= SESSION_MS + 1000;
}

static enum reading_state say(struct worker *worker, const char *wanted)
{
    char reason[512];
    enum reading_state state = reading_say(worker, reason, sizeof reason);
    if (!strstr(reason, wanted))
        fail_msg("'%s' is not in '%s'", wanted, reason);
    if (!*wanted)
        assert_string_equal(reason, "");
    return state;
}

static void test_all_is_read(void **state)
{
    struct worker *worker = *state;
    take(worker, &good, &unasked);
    let_a_session_pass(worker);
    take(worker, &good, &unasked);
    assert_int_equal(worker->reading.count, HELD);
    assert_int_equal(worker->reading.partitions[0].position, 40);
    assert_int_equal(worker->reading.partitions[0].high, 50);
    assert_int_equal(worker->reading.partitions[1].position, 42); // nothing was given out yet
    assert_int_equal(worker->reading.partitions[1].high, -1);
    assert_int_equal(say(worker, ""), ALL_READ);
}

static void test_what_lasts_for_a_session_is_said(void **state)
{
    struct worker *worker = *state;
    const struct told *const bad[] = {&leaderless, &refused};
    for (int i = 0; i < 2; i++) {
        take(worker, &good, bad[i]);
        assert_int_equal(say(worker, ""), ALL_READ);
        let_a_session_pass(worker);
        take(worker, &good, bad[i]);
        assert_int_equal(say(worker, "partition 1 can't be read"), SOME_NOT_READ);
        take(worker, &good, &good);
        assert_int_equal(say(worker, ""), ALL_READ);
    }
    take(worker, &leaderless, &refused);
    let_a_session_pass(worker);
    assert_int_equal(say(worker, "partition 0 can't be read"), NOTHING_READ);
}

static void test_another_cause_begins_anew(void **state)
{
    struct worker *worker = *state;
    take(worker, &good, &held_up);
    let_a_session_pass(worker);
    take(worker, &good, &leaderless);
    assert_int_equal(say(worker, ""), ALL_READ);
}

static void test_an_open_transaction(void **state)
{
    struct worker *worker = *state;
    struct told moved = held_up;
    take(worker, &held_up, &good);
    let_a_session_pass(worker);
    take(worker, &held_up, &good);
    assert_int_equal(say(worker, "a transaction that began at offset 42 is open"), SOME_NOT_READ);
    moved.next = moved.stable = 43; // it ended, and another one began
    take(worker, &moved, &good);
    assert_int_equal(say(worker, ""), ALL_READ);
    moved.next = 42; // not all is fetched that could be
    take(worker, &moved, &good);
    let_a_session_pass(worker);
    assert_int_equal(say(worker, ""), ALL_READ);
}

static void test_text_that_is_no_statistics(void **state)
{
    struct worker *worker = *state;
    const char *const texts[] = {
        "", "{", "[]", "null", "{\"topics\":[1,2]}", "{\"topics\":{\"skinsight.jobs\":7}}"};
    take(worker, &good, &good);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        reading_take_statistics(worker, (struct bytes){(const uint8_t *)texts[i], strlen(texts[i])});
    assert_int_equal(say(worker, ""), ALL_READ);
    take(worker, &good, &good);
    assert_int_equal(worker->reading.count, HELD);
}

// The consumer's errors name a partition, or the whole topic.
static void note_error(struct worker *worker, int32_t partition)
{
    char text[128];
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, NULL, text, sizeof text);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, job_topic_name(worker, TOPIC_ROUTINE), NULL);
    rd_kafka_message_t message = {
        .err = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, .rkt = topic, .partition = partition};
    reading_note_error(worker, &message);
    message.rkt = NULL; // of no topic: nothing
    reading_note_error(worker, &message);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
}

static void test_a_missing_topic_until_it_is_listed(void **state)
{
    struct worker *worker = *state;
    note_error(worker, 0);
    assert_int_equal(say(worker, ""), ALL_READ); // the partition's own state tells
    note_error(worker, RD_KAFKA_PARTITION_UA);
    assert_int_equal(say(worker, "Topic authorization failed"), SOME_NOT_READ);
    take(worker, &good, &good);
    assert_int_equal(say(worker, ""), ALL_READ);
}

static void test_partitions_that_the_worker_left_out(void **state)
{
    struct worker *worker = *state;
    const struct error reason = {"its place is unknown"};
    take(worker, &good, &leaderless);
    let_a_session_pass(worker);
    blocked_add(&worker->blocked, TOPIC_ROUTINE, 0, BLOCKED_UNREADABLE, &reason);
    assert_int_equal(say(worker, reason.message), NOTHING_READ);
    blocked_remove(&worker->blocked, TOPIC_ROUTINE, 0, BLOCKED_UNREADABLE);
    blocked_add(&worker->blocked, TOPIC_URGENT, 7, BLOCKED_PLACE_UNKNOWN, &reason); // not in the assignment
    assert_int_equal(say(worker, reason.message), SOME_NOT_READ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_lasts_for_a_session_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_cause_begins_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_open_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_that_is_no_statistics, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_missing_topic_until_it_is_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_partitions_that_the_worker_left_out, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
