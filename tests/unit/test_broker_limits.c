// test_broker_limits.c: which settings of brokers and topics are enough.
#include "worker/group/broker_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/group/offsets.h"

static enum status judge(const char *metadata_bytes, int window, struct error *err)
{
    struct broker_limits limits = {.metadata_bytes = ""};
    strcpy(limits.metadata_bytes, metadata_bytes);
    return broker_limits_judge(&limits, window, err);
}

static void test_room_for_metadata(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(judge("4096", OFFSETS_MAX_WINDOW, &err), STATUS_OK); // Kafka's default
    assert_int_equal(judge("", OFFSETS_MAX_WINDOW, &err), STATUS_OK);     // not known
    assert_int_equal(judge("100", 2048, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "offset.metadata.max.bytes is 100"));
    assert_int_equal(judge("1024", 2048, &err), STATUS_OK);
    assert_int_equal(judge("1024", OFFSETS_MAX_WINDOW, &err), STATUS_REJECTED);
}

// The longest text that there can be is within what is asked for.
static void test_the_longest_metadata(void **state)
{
    (void)state;
    static const int windows[] = {64, 100, 2048, OFFSETS_MAX_WINDOW};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        int64_t first = INT64_C(999999999999990000);
        struct offsets offsets;
        char text[OFFSETS_TEXT_SIZE];
        offsets_init(&offsets, first, windows[i]);
        for (int k = 0; k < windows[i]; k++) {
            assert_int_equal(offsets_take(&offsets, first + k), OFFSETS_NEW);
            if (k > 0)
                offsets_finish(&offsets, first + k);
        }
        offsets_note(&offsets, first + windows[i] - 1, UINT64_MAX);
        offsets.owner = UINT32_MAX;
        offsets.deaths = offsets.alone_deaths = 999999;
        offsets.forgiven_at = first;
        offsets.alone = true;
        offsets_encode(&offsets, false, text);
        assert_in_range(strlen(text), (unsigned)windows[i] / 6, (unsigned)offsets_text_most(windows[i]));
    }
}

static bool forgets(const char *minutes, const char *jobs_ms)
{
    struct broker_limits limits = {.metadata_bytes = ""};
    struct error note;
    strcpy(limits.retention_minutes, minutes);
    strcpy(limits.jobs_retention_ms, jobs_ms);
    return broker_limits_forget(&limits, "jobs", &note);
}

static void test_offsets_outlive_the_jobs(void **state)
{
    (void)state;
    assert_false(forgets("10080", "604800000")); // both Kafka's default, 7 days
    assert_true(forgets("10080", "604800001"));
    assert_true(forgets("60", "604800000"));
    assert_true(forgets("10080", "-1")); // records are kept for ever
    assert_false(forgets("60", "0"));
    assert_false(forgets("", "604800000"));
    assert_false(forgets("60", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_for_metadata),
        cmocka_unit_test(test_the_longest_metadata),
        cmocka_unit_test(test_offsets_outlive_the_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
