// test_broker_clock.c: what a broker's time stamp between sending and report tells of this clock. The
// expected numbers are differences of the times given; the clocks go on for the milliseconds that a test
// takes.
#include "worker/group/broker_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/support/capture.h"

enum { TOLERANCE_MS = 5000, WRONG_MS = 600000, SLACK_MS = 2000 };

static struct broker_clock compared(int64_t tolerance_ms, int64_t sent_ago_ms, int64_t stamp_later_ms)
{
    struct broker_clock broker_clock;
    int64_t sent_ms = clock_wall_ms() - sent_ago_ms;
    broker_clock_init(&broker_clock, tolerance_ms);
    broker_clock_take(&broker_clock, sent_ms, sent_ms + stamp_later_ms);
    return broker_clock;
}

static void assert_ahead(const struct broker_clock *broker_clock, int64_t wanted_ms)
{
    int64_t off_ms = broker_clock_ahead_ms(broker_clock) - wanted_ms;
    assert_in_range(off_ms + SLACK_MS, 0, 2 * SLACK_MS);
}

static void test_a_stamp_between_sending_and_report_agrees(void **state)
{
    (void)state;
    struct broker_clock broker_clock = compared(TOLERANCE_MS, 100, 50);
    char reason[256] = "";
    assert_ahead(&broker_clock, 0);
    assert_true(broker_clock_agrees(&broker_clock));
    assert_false(broker_clock_is_wrong(&broker_clock, reason, sizeof reason));
    assert_string_equal(reason, "");
    broker_clock = compared(TOLERANCE_MS, 4000, 0); // wherever it lies between
    assert_ahead(&broker_clock, 0);
}

static void test_which_way_it_is_wrong(void **state)
{
    (void)state;
    char reason[256];
    struct broker_clock behind = compared(TOLERANCE_MS, 0, WRONG_MS);
    assert_ahead(&behind, -WRONG_MS);
    assert_false(broker_clock_agrees(&behind));
    assert_true(broker_clock_is_wrong(&behind, reason, sizeof reason));
    assert_non_null(strstr(reason, "s behind the brokers'"));
    struct broker_clock ahead = compared(TOLERANCE_MS, 0, -WRONG_MS);
    assert_ahead(&ahead, WRONG_MS);
    assert_true(broker_clock_is_wrong(&ahead, reason, sizeof reason));
    assert_non_null(strstr(reason, "s ahead of the brokers'"));
}

// A round trip of 3 s hides as much: only what lies outside of it is told.
static void test_a_slow_answer_is_given_its_time(void **state)
{
    (void)state;
    struct broker_clock broker_clock = compared(TOLERANCE_MS, 3000, 3000 + 4000);
    assert_ahead(&broker_clock, -4000);
    assert_true(broker_clock_agrees(&broker_clock));
    broker_clock = compared(TOLERANCE_MS, 3000, -7000);
    assert_ahead(&broker_clock, 7000);
    assert_false(broker_clock_agrees(&broker_clock));
}

static void test_what_tells_nothing(void **state)
{
    (void)state;
    const struct {
        int64_t tolerance_ms, sent_ago_ms, stamp_later_ms;
    } cases[] = {
        {0, 0, WRONG_MS},                              // not to be compared
        {TOLERANCE_MS, TOLERANCE_MS + 1000, WRONG_MS}, // reported too late
        {TOLERANCE_MS, -WRONG_MS, WRONG_MS},           // sent in the future: the clock was set meanwhile
        {TOLERANCE_MS, 0, -1 - clock_wall_ms() - TOLERANCE_MS} // negative: a client's
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct broker_clock broker_clock =
            compared(cases[i].tolerance_ms, cases[i].sent_ago_ms, cases[i].stamp_later_ms);
        assert_int_equal(broker_clock_ahead_ms(&broker_clock), 0);
        assert_true(broker_clock_agrees(&broker_clock));
    }
}

// Clients' time stamps, after the topic was changed, end what was known.
static void test_a_topic_that_changes(void **state)
{
    (void)state;
    struct broker_clock broker_clock = compared(TOLERANCE_MS, 0, WRONG_MS);
    assert_false(broker_clock_agrees(&broker_clock));
    broker_clock_take(&broker_clock, clock_wall_ms(), -1);
    assert_true(broker_clock_agrees(&broker_clock));
}

static int lines_with(const char *text, const char *wanted)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, wanted)); at++)
        count++;
    return count;
}

static void test_the_log_has_begin_and_end_once(void **state)
{
    (void)state;
    static struct capture capture;
    char reason[256];
    struct broker_clock broker_clock = compared(TOLERANCE_MS, 0, WRONG_MS);
    capture_start(&capture, STDERR_FILENO);
    for (int i = 0; i < 3; i++)
        assert_true(broker_clock_is_wrong(&broker_clock, reason, sizeof reason));
    broker_clock_take(&broker_clock, clock_wall_ms(), clock_wall_ms());
    for (int i = 0; i < 3; i++)
        assert_false(broker_clock_is_wrong(&broker_clock, reason, sizeof reason));
    capture_stop(&capture);
    assert_int_equal(lines_with(capture.text, "event=clock_wrong"), 1);
    assert_int_equal(lines_with(capture.text, "event=clock_right"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stamp_between_sending_and_report_agrees),
        cmocka_unit_test(test_which_way_it_is_wrong),
        cmocka_unit_test(test_a_slow_answer_is_given_its_time),
        cmocka_unit_test(test_what_tells_nothing),
        cmocka_unit_test(test_a_topic_that_changes),
        cmocka_unit_test(test_the_log_has_begin_and_end_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
