// test_dead_letter.c: the headers of a dead letter, written and read.
#include "common/records/dead_letter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct dead_letter whole = {
    .error_code = "image_undecodable",
    .error_message = "it is no JPEG",
    .source_topic = "skinsight.jobs",
    .source_partition = 3,
    .source_offset = INT64_C(9007199254740993),
    .failed_at = 1795420685370,
    .worker = "one",
    .value_omitted = true,
    .key_omitted = true,
    .replayed = true,
};

static void check_header(const rd_kafka_headers_t *headers, const char *name, const char *expected)
{
    const void *value = NULL;
    size_t size = 0;
    assert_int_equal(rd_kafka_header_get_last(headers, name, &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(value, expected, size);
}

static void test_headers_are_those_of_the_format(void **state)
{
    (void)state;
    rd_kafka_headers_t *headers = dead_letter_headers(&whole);
    assert_int_equal(rd_kafka_header_cnt(headers), 10);
    check_header(headers, "error_code", "image_undecodable");
    check_header(headers, "error_message", "it is no JPEG");
    check_header(headers, "source_topic", "skinsight.jobs");
    check_header(headers, "source_partition", "3");
    check_header(headers, "source_offset", "9007199254740993");
    check_header(headers, "failed_at", "1795420685370");
    check_header(headers, "worker", "one");
    check_header(headers, "value_omitted", "true");
    check_header(headers, "key_omitted", "true");
    check_header(headers, "replayed", "true");
    rd_kafka_headers_destroy(headers);
    const struct dead_letter plain = {.error_code = "internal", .source_partition = -1, .source_offset = -1};
    headers = dead_letter_headers(&plain);
    assert_int_equal(rd_kafka_header_cnt(headers), 2); // the code, and failed_at, which is 0
    rd_kafka_headers_destroy(headers);
}

static void test_reading_undoes_writing(void **state)
{
    (void)state;
    struct dead_letter letter;
    rd_kafka_headers_t *headers = dead_letter_headers(&whole);
    dead_letter_read(&letter, headers);
    assert_string_equal(letter.error_code, whole.error_code);
    assert_string_equal(letter.error_message, whole.error_message);
    assert_string_equal(letter.source_topic, whole.source_topic);
    assert_int_equal(letter.source_partition, whole.source_partition);
    assert_int_equal(letter.source_offset, whole.source_offset);
    assert_int_equal(letter.failed_at, whole.failed_at);
    assert_string_equal(letter.worker, whole.worker);
    assert_true(letter.value_omitted && letter.key_omitted && letter.replayed);
    rd_kafka_headers_destroy(headers);
}

static void test_what_is_missing_or_wrong_is_absent(void **state)
{
    (void)state;
    struct dead_letter letter;
    dead_letter_read(&letter, NULL);
    assert_null(letter.error_code);
    assert_null(letter.worker);
    assert_int_equal(letter.source_partition, -1);
    assert_int_equal(letter.failed_at, -1);
    assert_false(letter.value_omitted || letter.key_omitted || letter.replayed);
    static const char *const numbers[] = {"", "x", "-4", "12 ", "99999999999999999999", "2147483648"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
        rd_kafka_header_add(headers, "source_partition", -1, "7", -1); // the last one counts
        rd_kafka_header_add(headers, "source_partition", -1, numbers[i], -1);
        rd_kafka_header_add(headers, "replayed", -1, "TRUE", -1);
        dead_letter_read(&letter, headers);
        assert_int_equal(letter.source_partition, -1);
        assert_false(letter.replayed);
        rd_kafka_headers_destroy(headers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_are_those_of_the_format),
        cmocka_unit_test(test_reading_undoes_writing),
        cmocka_unit_test(test_what_is_missing_or_wrong_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
