// test_blocked.c: a partition is there once, news is a partition or a cause that was not there, its time
// begins with the cause.
#include "worker/group/blocked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct error first = {"no leader"}, second = {"still no leader"};

static void test_added_once(void **state)
{
    (void)state;
    struct blocked blocked;
    struct blocked_partition entry;
    blocked_init(&blocked);
    assert_true(blocked_add(&blocked, TOPIC_URGENT, 3, BLOCKED_PLACE_UNKNOWN, &first));
    assert_true(blocked_at(&blocked, 0, &entry));
    int64_t since_ms = entry.since_ms;
    assert_false(blocked_add(&blocked, TOPIC_URGENT, 3, BLOCKED_PLACE_UNKNOWN, &second));
    assert_true(blocked_at(&blocked, 0, &entry));
    assert_string_equal(entry.reason.message, second.message);
    assert_int_equal(entry.since_ms, since_ms);
    assert_false(blocked_at(&blocked, 1, &entry));
    assert_true(blocked_add(&blocked, TOPIC_URGENT, 3, BLOCKED_UNREADABLE, &first));
    assert_false(blocked_at(&blocked, 1, &entry));
    blocked_release(&blocked);
}

static void test_removed_by_topic_and_partition(void **state)
{
    (void)state;
    struct blocked blocked;
    blocked_init(&blocked);
    for (int32_t partition = 0; partition < 3; partition++)
        assert_true(blocked_add(&blocked, TOPIC_ROUTINE, partition, BLOCKED_UNREADABLE, &first));
    assert_false(blocked_remove(&blocked, TOPIC_URGENT, 1, BLOCKED_UNREADABLE));
    assert_true(blocked_remove(&blocked, TOPIC_ROUTINE, 0, BLOCKED_UNREADABLE));
    assert_false(blocked_remove(&blocked, TOPIC_ROUTINE, 0, BLOCKED_UNREADABLE));
    assert_false(blocked_holds(&blocked, TOPIC_ROUTINE, 0));
    assert_true(blocked_holds(&blocked, TOPIC_ROUTINE, 1));
    assert_true(blocked_holds(&blocked, TOPIC_ROUTINE, 2));
    blocked_clear(&blocked);
    assert_false(blocked_holds(&blocked, TOPIC_ROUTINE, 1));
    blocked_release(&blocked);
}

// A damaged batch that can be read again says nothing of a partition whose place is unknown by now.
static void test_the_newer_cause_stays(void **state)
{
    (void)state;
    struct blocked blocked;
    blocked_init(&blocked);
    assert_true(blocked_add(&blocked, TOPIC_ROUTINE, 1, BLOCKED_UNREADABLE, &first));
    assert_true(blocked_add(&blocked, TOPIC_ROUTINE, 1, BLOCKED_PLACE_UNKNOWN, &second));
    assert_false(blocked_remove(&blocked, TOPIC_ROUTINE, 1, BLOCKED_UNREADABLE));
    assert_true(blocked_holds(&blocked, TOPIC_ROUTINE, 1));
    assert_true(blocked_remove(&blocked, TOPIC_ROUTINE, 1, BLOCKED_PLACE_UNKNOWN));
    blocked_release(&blocked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_added_once),
        cmocka_unit_test(test_removed_by_topic_and_partition),
        cmocka_unit_test(test_the_newer_cause_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
