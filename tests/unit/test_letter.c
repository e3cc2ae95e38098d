// test_letter.c: times on the command line, letters from their headers, which of them a filter takes and
// which may be sent again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/moment.h"
#include "producer/letter_list.h"

#define REQUEST_ID "0b6d3a4e-58f4-4f0c-9a57-2f8f3f6f0d11"

static int64_t parsed(const char *text)
{
    struct error err;
    int64_t unix_ms = -1;
    return moment_parse(text, &unix_ms, &err) == STATUS_OK ? unix_ms : -1;
}

// Expected values: `date -u -d TEXT +%s`.
static void test_times_as_people_write_them(void **state)
{
    (void)state;
    assert_int_equal(parsed("1970-01-01"), 0);
    assert_int_equal(parsed("2026-11-23"), 1795392000000);
    assert_int_equal(parsed("2026-11-23T13:45"), 1795441500000);
    assert_int_equal(parsed("2026-11-23T13:45Z"), 1795441500000);
    assert_int_equal(parsed("2026-11-23 13:45:10"), 1795441510000);
    assert_int_equal(parsed("2026-11-23T13:45:10.5Z"), 1795441510500);
    assert_int_equal(parsed("2026-11-23T13:45:10.1239z"), 1795441510123);
    assert_int_equal(parsed("2026-11-23T13:45:10+01:00"), 1795437910000);
    assert_int_equal(parsed("2026-11-23T13:45:10-0530"), 1795461310000);
    assert_int_equal(parsed("2024-02-29"), 1709164800000);
    assert_int_equal(parsed("9999-12-31T23:59:59.999"), 253402300799999);
    assert_int_equal(parsed("1795441510123"), 1795441510123);
}

static void test_what_is_no_time(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "now",
                                        "2026",
                                        "-5",
                                        "1e3",
                                        "2026-11",
                                        "2026-11-23T",
                                        "2026-11-23T13",
                                        "2026-11-23T13:45:10.",
                                        "2026-11-23T24:00",
                                        "2026-11-23T13:60",
                                        "2026-11-23T13:45:60",
                                        "2026-11-31",
                                        "2026-00-10",
                                        "2025-02-29",
                                        "2026-11-23T13:45+1",
                                        "2026-11-23T13:45Zx",
                                        "2026-11-23Z",
                                        "2026-1-2",
                                        "1969-12-31",
                                        "1970-01-01T00:00+01:00",
                                        "99999999999999999999",
                                        "999999999999999",
                                        " 5"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (parsed(texts[i]) != -1)
            fail_msg("'%s' gives %lld", texts[i], (long long)parsed(texts[i]));
}

static void test_times_in_a_table(void **state)
{
    (void)state;
    char text[MOMENT_TEXT_SIZE];
    moment_format(1795441510023, text);
    assert_string_equal(text, "2026-11-23T13:45:10.023Z");
    moment_format(-1, text);
    assert_string_equal(text, "-");
    moment_format(INT64_MAX, text);
    assert_string_equal(text, "-");
}

// A letter as the worker writes it; code NULL: without any header; value NULL: the broker refused its size.
static struct letter make_letter(const char *code, const char *failed_at, const char *key, const char *value)
{
    struct letter letter;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    if (code) {
        rd_kafka_header_add(headers, "error_code", -1, code, -1);
        rd_kafka_header_add(headers, "error_message", -1, "it \x1b[2J went\nwrong", -1);
        rd_kafka_header_add(headers, "source_topic", -1, "jobs", -1);
        rd_kafka_header_add(headers, "source_partition", -1, "3", -1);
        rd_kafka_header_add(headers, "source_offset", -1, "4711", -1);
        rd_kafka_header_add(headers, "failed_at", -1, failed_at, -1);
        if (!value)
            rd_kafka_header_add(headers, "value_omitted", -1, "true", -1);
    }
    const struct topic_record record = {.partition = 2,
                                        .offset = 17,
                                        .timestamp = 5000,
                                        .headers = code ? headers : NULL,
                                        .key = {(const uint8_t *)key, key ? strlen(key) : 0},
                                        .value = {(const uint8_t *)value, value ? strlen(value) : 0}};
    letter_read(&letter, &record);
    rd_kafka_headers_destroy(headers);
    return letter;
}

static void test_a_letter_is_read(void **state)
{
    (void)state;
    struct letter letter =
        make_letter("image_unavailable", "1000", "0B6D3A4E-58f4-4f0c-9a57-2f8f3f6f0d11", "{}");
    assert_int_equal(letter.partition, 2);
    assert_int_equal(letter.offset, 17);
    assert_int_equal(letter.failed_at, 1000);
    assert_string_equal(letter.code, "image_unavailable");
    assert_string_equal(letter.message, "it ?[2J went?wrong");
    assert_string_equal(letter.source_topic, "jobs");
    assert_int_equal(letter.source_partition, 3);
    assert_int_equal(letter.source_offset, 4711);
    assert_string_equal(letter.request_id, REQUEST_ID);
    assert_false(letter.value_omitted);
    assert_false(letter.killer);
    assert_true(make_letter("worker_killed", "1", "k", "v").killer);
    assert_true(make_letter("internal", "1", "k", NULL).value_omitted);
}

static void test_what_a_letter_lacks_is_empty(void **state)
{
    (void)state;
    struct letter letter = make_letter(NULL, NULL, NULL, NULL);
    assert_int_equal(letter.failed_at, 5000);
    assert_string_equal(letter.code, "");
    assert_string_equal(letter.source_topic, "");
    assert_int_equal(letter.source_partition, -1);
    assert_int_equal(letter.source_offset, -1);
    assert_string_equal(letter.request_id, "");
    static const char *const numbers[] = {"", "x", "-4", "12 ", "99999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_int_equal(make_letter("internal", numbers[i], "k", "v").failed_at, 5000);
}

static void test_the_request_id_of_another_key_is_the_values(void **state)
{
    (void)state;
    const char *value = "{\"schema\":\"skinsight.job.v1\",\"request_id\":\"" REQUEST_ID "\"}";
    assert_string_equal(make_letter("invalid_field", "1", "another key", value).request_id, REQUEST_ID);
    assert_string_equal(make_letter("invalid_field", "1", NULL, value).request_id, REQUEST_ID);
    assert_string_equal(make_letter("invalid_json", "1", "another key", "{").request_id, "");
}

static bool takes(const char *reason, const char *topic, const char *request_id, int64_t since, int64_t until)
{
    const struct letter_filter filter = {reason, topic, request_id, since, until};
    struct letter letter = make_letter("image_unavailable", "1000", REQUEST_ID, "{}");
    return letter_matches(&letter, &filter);
}

static void test_filter(void **state)
{
    (void)state;
    assert_true(takes("", "", "", -1, -1));
    assert_true(takes("image_unavailable", "jobs", "0B6D3A4E-58F4-4F0C-9A57-2F8F3F6F0D11", 1000, 1001));
    assert_false(takes("internal", "", "", -1, -1));
    assert_false(takes("image", "", "", -1, -1));
    assert_false(takes("", "jobs.urgent", "", -1, -1));
    assert_false(takes("", "", "0b6d3a4e-58f4-4f0c-9a57-2f8f3f6f0d12", -1, -1));
    assert_false(takes("", "", "", 1001, -1));
    assert_true(takes("", "", "", -1, 1001));
    assert_false(takes("", "", "", -1, 1000));
}

static void add(struct letter_list *list, struct letter letter, int64_t offset, bool matches)
{
    struct error err;
    letter.offset = offset;
    assert_int_equal(letter_list_add(list, &letter, matches, &err), STATUS_OK);
}

static enum letter_fate fate_of(const struct letter_list *list, int64_t offset)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].letter.offset == offset)
            return list->entries[i].fate;
    fail_msg("letter %lld is not listed", (long long)offset);
    return LETTER_FATES;
}

// Ten letters of eight jobs, out of order.
static void fill(struct letter_list *list)
{
    letter_list_init(list);
    add(list, make_letter("internal", "300", "b", "twice"), 2, true);
    add(list, make_letter("internal", "100", "a", "once"), 0, true);
    add(list, make_letter("internal", "200", "b", "twice"), 1, true);
    add(list, make_letter("internal", "400", "c", "killed later"), 3, true);
    add(list, make_letter("worker_killed", "500", "c", "killed later"), 4, false);
    add(list, make_letter("worker_killed", "600", "d", "killed"), 5, true);
    add(list, make_letter("worker_killed", "650", "d", "not asked for"), 6, false);
    add(list, make_letter("internal", "660", "d", "not asked for either"), 7, false);
    struct letter letter = make_letter("internal", "700", "e", "");
    letter.value_omitted = true;
    add(list, letter, 8, true);
    letter = make_letter("internal", "800", "f", "from elsewhere");
    snprintf(letter.source_topic, sizeof letter.source_topic, "elsewhere");
    add(list, letter, 9, true);
}

static void test_which_letters_are_sent(void **state)
{
    (void)state;
    struct letter_list list;
    fill(&list);
    letter_list_triage(&list, &(struct triage_rules){"jobs", "jobs.urgent", false});
    assert_int_equal(list.count, 7);
    for (size_t i = 1; i < list.count; i++)
        assert_true(list.entries[i - 1].letter.failed_at < list.entries[i].letter.failed_at);
    assert_int_equal(fate_of(&list, 0), LETTER_SEND);
    assert_int_equal(fate_of(&list, 1), LETTER_REPEATED);
    assert_int_equal(fate_of(&list, 2), LETTER_SEND);
    assert_int_equal(fate_of(&list, 3), LETTER_KILLER);
    assert_int_equal(fate_of(&list, 5), LETTER_KILLER);
    assert_int_equal(fate_of(&list, 8), LETTER_NO_VALUE);
    assert_int_equal(fate_of(&list, 9), LETTER_FOREIGN);
    assert_int_equal(list.counts[LETTER_SEND], 2);
    assert_int_equal(list.counts[LETTER_KILLER], 2);
    letter_list_release(&list);
}

static void test_killers_by_force(void **state)
{
    (void)state;
    struct letter_list list;
    fill(&list);
    letter_list_triage(&list, &(struct triage_rules){"jobs", "jobs.urgent", true});
    assert_int_equal(fate_of(&list, 3), LETTER_SEND);
    assert_int_equal(fate_of(&list, 5), LETTER_SEND);
    assert_int_equal(list.counts[LETTER_KILLER], 0);
    letter_list_release(&list);
}

static void test_null_is_another_job_than_empty(void **state)
{
    (void)state;
    struct letter null_value = make_letter("internal", "1", "k", NULL);
    struct letter empty_value = make_letter("internal", "1", "k", "");
    struct letter moved = make_letter("internal", "1", "", "k");
    assert_memory_not_equal(&null_value.job, &empty_value.job, sizeof null_value.job);
    assert_memory_not_equal(&moved.job, &empty_value.job, sizeof moved.job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_as_people_write_them),
        cmocka_unit_test(test_what_is_no_time),
        cmocka_unit_test(test_times_in_a_table),
        cmocka_unit_test(test_a_letter_is_read),
        cmocka_unit_test(test_what_a_letter_lacks_is_empty),
        cmocka_unit_test(test_the_request_id_of_another_key_is_the_values),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_which_letters_are_sent),
        cmocka_unit_test(test_killers_by_force),
        cmocka_unit_test(test_null_is_another_job_than_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
