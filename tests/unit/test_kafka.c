// test_kafka.c: the triage of transactional errors, one test for each class. Errors are real ones, made by
// librdkafka against its own mock cluster; only a retriable one that is no time-out can't be had there, and
// is made by hand.
#include "common/services/kafka.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/base/clock.h"

enum { TIMEOUT_MS = 10000, END_TXN = 26, ADD_PARTITIONS_TO_TXN = 24, INIT_PRODUCER_ID = 22 };

// A producer of its own mock cluster, initialised unless init says otherwise.
struct fixture {
    rd_kafka_t *producer;
    rd_kafka_mock_cluster_t *cluster;
};

static void set_up(struct fixture *fixture, bool init)
{
    static const char *const settings[][2] = {
        {"test.mock.num.brokers", "1"}, {"transactional.id", "unit"}, {"log_level", "0"}};
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        assert_int_equal(rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text),
                         RD_KAFKA_CONF_OK);
    fixture->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(fixture->producer);
    fixture->cluster = rd_kafka_handle_mock_cluster(fixture->producer);
    assert_non_null(fixture->cluster);
    if (init)
        assert_null(rd_kafka_init_transactions(fixture->producer, TIMEOUT_MS));
}

static void tear_down(struct fixture *fixture)
{
    rd_kafka_purge(fixture->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(fixture->producer);
}

// Begins a transaction with one record in it.
static void begin(struct fixture *fixture)
{
    assert_null(rd_kafka_begin_transaction(fixture->producer));
    assert_int_equal(rd_kafka_producev(fixture->producer, RD_KAFKA_V_TOPIC("topic"), RD_KAFKA_V_VALUE("x", 1),
                                       RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
}

static void assert_outcome(rd_kafka_error_t *error, enum kafka_outcome outcome, const char *name)
{
    struct error err = {""};
    assert_non_null(error);
    assert_int_equal(kafka_outcome_take(error, &err), outcome);
    if (!strstr(err.message, name))
        fail_msg("'%s' does not name %s", err.message, name);
}

static void test_done(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error err = {""};
    set_up(&fixture, true);
    begin(&fixture);
    assert_int_equal(kafka_outcome_take(rd_kafka_commit_transaction(fixture.producer, TIMEOUT_MS), &err),
                     KAFKA_DONE);
    assert_string_equal(err.message, "");
    tear_down(&fixture);
}

static void test_abortable(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, true);
    rd_kafka_mock_push_request_errors(fixture.cluster, ADD_PARTITIONS_TO_TXN, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    begin(&fixture);
    assert_outcome(rd_kafka_commit_transaction(fixture.producer, TIMEOUT_MS), KAFKA_ABORT,
                   "TOPIC_AUTHORIZATION_FAILED");
    assert_null(rd_kafka_abort_transaction(fixture.producer, TIMEOUT_MS)); // and so it goes on
    begin(&fixture);
    assert_null(rd_kafka_commit_transaction(fixture.producer, TIMEOUT_MS));
    tear_down(&fixture);
}

static void test_fenced(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, true);
    rd_kafka_mock_push_request_errors(fixture.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
    begin(&fixture);
    assert_outcome(rd_kafka_commit_transaction(fixture.producer, TIMEOUT_MS), KAFKA_RENEW, "FENCED");
    tear_down(&fixture);
}

static void test_fatal(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, false);
    rd_kafka_mock_push_request_errors(fixture.cluster, INIT_PRODUCER_ID, 1,
                                      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_outcome(rd_kafka_init_transactions(fixture.producer, TIMEOUT_MS), KAFKA_RENEW,
                   "TRANSACTIONAL_ID_AUTHORIZATION_FAILED");
    tear_down(&fixture);
}

// librdkafka calls it retriable, as the name of the class says; common/services/kafka.h why we don't.
static void test_timed_out(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, true);
    begin(&fixture);
    assert_int_equal(rd_kafka_flush(fixture.producer, TIMEOUT_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_mock_broker_set_down(fixture.cluster, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_error_t *error = rd_kafka_commit_transaction(fixture.producer, 100);
    assert_non_null(error);
    assert_true(rd_kafka_error_is_retriable(error));
    assert_outcome(error, KAFKA_RENEW, "_TIMED_OUT");
    tear_down(&fixture);
}

// A call that is not allowed now is none of the classes.
static void test_neither(void **state)
{
    (void)state;
    struct fixture fixture;
    set_up(&fixture, true);
    assert_outcome(rd_kafka_commit_transaction(fixture.producer, TIMEOUT_MS), KAFKA_RENEW, "_STATE");
    tear_down(&fixture);
}

// Stands before librdkafka's function of this name.
static const rd_kafka_error_t *made_retriable;

int rd_kafka_error_is_retriable(const rd_kafka_error_t *error)
{
    static int (*real)(const rd_kafka_error_t *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_error_is_retriable");
    return error == made_retriable || real(error);
}

static void test_retriable(void **state)
{
    (void)state;
    rd_kafka_error_t *error =
        rd_kafka_error_new(RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "made by a test");
    made_retriable = error;
    assert_outcome(error, KAFKA_AGAIN, "COORDINATOR_LOAD_IN_PROGRESS: made by a test");
    made_retriable = NULL;
}

static void test_assignment_lost(void **state)
{
    (void)state;
    assert_outcome(rd_kafka_error_new(RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, "made by a test"), KAFKA_ABORT,
                   "_ASSIGNMENT_LOST");
}

static void check_refused(const char *property, const char *value, const char *words)
{
    struct error err = {""};
    if (kafka_property_check(property, value, &err) != STATUS_REJECTED || !strstr(err.message, words))
        fail_msg("%s=%s: '%s'", property, value, err.message);
}

// Each with another value than ours, that librdkafka itself would take.
static void test_what_the_guarantee_rests_on_is_refused(void **state)
{
    (void)state;
    static const char *const refused[][2] = {
        {"acks", "1"},          {"delivery.timeout.ms", "1000"},   {"log_level", "2"},
        {"log.queue", "true"},  {"log.connection.close", "false"}, {"message.timeout.ms", "1000"},
        {"max.in.flight", "5"}, {"retry.backoff.ms", "10"},        {"retry.backoff.max.ms", "10"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        check_refused(refused[i][0], refused[i][1], "rests on it");
}

static void test_properties(void **state)
{
    (void)state;
    check_refused("no.such.property", "1", "no.such.property");
    check_refused("socket.timeout.ms", "soon", "kafka.socket.timeout.ms");
    struct error err = {""};
    const struct kafka_setting property = {"socket.timeout.ms", "5000"};
    const struct kafka_cluster cluster = {"127.0.0.1:1", &property, 1};
    const struct kafka_client_options options = {.type = RD_KAFKA_PRODUCER};
    rd_kafka_t *client = NULL;
    assert_int_equal(kafka_client_open(&client, &cluster, &options, &err), STATUS_OK);
    rd_kafka_destroy(client);
}

// Nobody waits for a consumer that may never end.
static void test_the_end_of_a_consumer(void **state)
{
    (void)state;
    struct error err = {""};
    const struct kafka_cluster cluster = {"127.0.0.1:1", NULL, 0};
    const struct kafka_client_options options = {.type = RD_KAFKA_CONSUMER};
    struct kafka_topic_sign topic = {"jobs", 0};
    for (int unknown = 0; unknown < 2; unknown++) {
        rd_kafka_t *client = NULL;
        assert_int_equal(kafka_client_open(&client, &cluster, &options, &err), STATUS_OK);
        if (unknown)
            kafka_note_unknown_topic(&topic);
        kafka_consumer_end(client);
        assert_true(unknown || kafka_consumers_ended());
    }
    assert_true(topic.unknown_ms > 0);
    assert_int_equal(rd_kafka_wait_destroyed(TIMEOUT_MS), 0);
    for (int waited_ms = 0; !kafka_consumers_ended() && waited_ms < TIMEOUT_MS; waited_ms++)
        clock_sleep_ms(1);
    assert_true(kafka_consumers_ended());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assignment_lost),
        cmocka_unit_test(test_done),
        cmocka_unit_test(test_abortable),
        cmocka_unit_test(test_fenced),
        cmocka_unit_test(test_fatal),
        cmocka_unit_test(test_timed_out),
        cmocka_unit_test(test_neither),
        cmocka_unit_test(test_retriable),
        cmocka_unit_test(test_what_the_guarantee_rests_on_is_refused),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_the_end_of_a_consumer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
