// test_json.c: what json_parse refuses by itself, so that cJSON fails only where memory is out; and that,
// with every allocation of cJSON's failing in turn.
#include "common/base/json.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/program/config.h"
#include "common/records/job.h"

static const struct json_limits limits = {1000, 100, 8};

static enum status parse_bytes(const char *text, size_t size, struct error *err)
{
    cJSON *json;
    enum status status = json_parse((struct bytes){(const uint8_t *)text, size}, &limits, &json, err);
    assert_int_equal(status == STATUS_OK, json != NULL);
    cJSON_Delete(json);
    return status;
}

static enum status parse(const char *text, struct error *err)
{
    return parse_bytes(text, strlen(text), err);
}

static void test_surrogates_come_in_pairs(void **state)
{
    (void)state;
    static const char *const good[] = {"\"\\ud83d\\ude00\"", "\"\\uD800\\uDC00\"", "\"\\udbff\\udfff\"",
                                       "\"\\ud7ff\\ue000\""};
    static const char *const bad[] = {"\"\\ud800\"",       "\"\\udc00\"",        "\"\\ud800x\"",
                                      "\"\\ud800\\n\"",    "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"",
                                      "\"\\ud800\\ue000\""};
    struct error err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(parse(good[i], &err), STATUS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], &err), STATUS_REJECTED);
        assert_non_null(strstr(err.message, "half a surrogate pair"));
    }
    assert_int_equal(parse("\"\\ud800\\u00", &err), STATUS_REJECTED);
    assert_int_equal(parse("\"\\ud800\\u00zz\"", &err), STATUS_REJECTED);
}

// Each text fills its memory, so that sanitizers see a byte read too many.
static void test_every_byte_at_every_place_of_a_string(void **state)
{
    (void)state;
    enum { LENGTH = 50 };
    for (int place = 1; place <= LENGTH; place++)
        for (int byte = 1; byte < 256; byte++) {
            char *text = malloc(LENGTH + 2);
            assert_non_null(text);
            memset(text, 'x', LENGTH + 2);
            text[0] = text[LENGTH + 1] = '"';
            text[place] = (char)byte;
            bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
            struct error err;
            if (parse_bytes(text, LENGTH + 2, &err) != (plain ? STATUS_OK : STATUS_REJECTED))
                fail_msg("byte 0x%02x at place %d: %s", byte, place, plain ? err.message : "accepted");
            free(text);
        }
    for (int length = 1; length < LENGTH; length++) {
        char *text = malloc((size_t)length);
        assert_non_null(text);
        memset(text, 'x', (size_t)length);
        text[0] = '"';
        struct error err;
        assert_int_equal(parse_bytes(text, (size_t)length, &err), STATUS_REJECTED);
        assert_non_null(strstr(err.message, "unfinished string"));
        free(text);
    }
}

static void test_limits_are_kept_to_the_edge(void **state)
{
    (void)state;
    struct error err;
    char text[1100];
    memset(text, ' ', sizeof text);
    text[0] = '1';
    text[limits.bytes] = '\0';
    assert_int_equal(parse(text, &err), STATUS_OK);
    text[limits.bytes] = ' ';
    text[limits.bytes + 1] = '\0';
    assert_int_equal(parse(text, &err), STATUS_REJECTED);
    assert_int_equal(parse("[[[[[[[[]]]]]]]]", &err), STATUS_OK); // 8
    assert_int_equal(parse("[[[[[[[[[]]]]]]]]]", &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "too many levels"));
    strcpy(text, "[");
    for (size_t i = 2; i < limits.values; i++) // the array is one, too
        strcat(text, "1,");
    strcat(text, "1]");
    assert_int_equal(parse(text, &err), STATUS_OK);
    strcpy(text + strlen(text) - 1, ",1]");
    assert_int_equal(parse(text, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "too many values"));
}

static void test_long_numbers(void **state)
{
    (void)state;
    struct error err;
    char number[65] = "";
    memset(number, '1', 63);
    assert_int_equal(parse(number, &err), STATUS_OK);
    number[63] = '1';
    assert_int_equal(parse(number, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "a number too long"));
}

// cJSON's allocations, of which the one that allocations_left counts down to fails.
static int allocations_left;

static void *allocate(size_t size)
{
    return allocations_left-- == 0 ? NULL : malloc(size);
}

// Each allocation in turn: what fails for want of memory is never called wrong.
static void test_no_memory_is_no_fault_of_the_text(void **state)
{
    (void)state;
    static const char text[] = "{\"schema\": \"skinsight.job.v1\", \"image\": \"AAAA\","
                               "\"request_id\": \"6f1c1f0e-7a3b-4c7d-9f59-0a8b3f0c2d11\"}";
    cJSON_Hooks hooks = {allocate, free};
    cJSON_InitHooks(&hooks);
    enum job_code code = JOB_INTERNAL;
    int failed = 0;
    while (code != JOB_OK) {
        uint8_t *image = NULL;
        struct job_record record;
        struct error err = {""};
        allocations_left = failed;
        code = job_record_parse((struct bytes){(const uint8_t *)text, sizeof text - 1}, 1000, &image, &record,
                                &err);
        free(image);
        if (code == JOB_OK)
            break;
        assert_int_equal(code, JOB_INTERNAL);
        assert_non_null(strstr(err.message, "no memory"));
        failed++;
    }
    cJSON_InitHooks(NULL);
    assert_int_equal(failed, 10); // the object, and for each of three fields an item, a name and a text
}

// The linker gives every calloc and malloc of ours, and so what json.c gives cJSON, to these.
void *__real_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    return allocations_left-- == 0 ? NULL : __real_calloc(count, size);
}

void *__wrap_malloc(size_t size)
{
    return size >= JSON_LARGE && allocations_left-- == 0 ? NULL : __real_malloc(size);
}

static bool prints(const char *expected)
{
    cJSON *root = cJSON_CreateObject();
    cJSON *inner = cJSON_AddObjectToObject(root, "inner");
    cJSON_AddStringToObject(inner, "name", "a text");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(root, "numbers"), cJSON_CreateNumber(0.5));
    char *text = cJSON_PrintUnformatted(root);
    bool same = text && strcmp(text, expected) == 0;
    cJSON_free(text);
    cJSON_Delete(root);
    return same;
}

// Each small allocation in turn fails in a child, prepared as every program is: it must abort, or be done
// before; what it must not do is go on with a part of the text missing.
static void test_small_allocations_abort(void **state)
{
    (void)state;
    static const struct command none = {.name = NULL};
    static const struct program program = {.name = "test", .bit = PROGRAM_WORKER, .commands = &none};
    char version[] = "--version", name[] = "test";
    int ended = -1;
    for (int nth = 0; ended != 0; nth++) {
        assert_true(nth < 100);
        pid_t child = fork();
        if (child == 0) {
            setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
            if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
                _exit(3);
            allocations_left = -1;
            if (config_main(&program, 2, (char *[]){name, version, NULL}) != 0)
                _exit(2);
            allocations_left = nth;
            _exit(prints("{\"inner\":{\"name\":\"a text\"},\"numbers\":[0.5]}") ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_true(ended == 0 || (WIFSIGNALED(ended) && WTERMSIG(ended) == SIGABRT));
        assert_true(nth > 0 || ended != 0);
    }
}

static void test_large_allocations_fail(void **state)
{
    (void)state;
    static char text[JSON_LARGE + 1000];
    static const struct json_limits wide = {sizeof text, 100, 8};
    struct error err;
    cJSON *json;
    memset(text, 'x', sizeof text);
    text[0] = text[sizeof text - 1] = '"';
    json_prepare_memory();
    allocations_left = 1; // the item before the text
    assert_int_equal(json_parse((struct bytes){(const uint8_t *)text, sizeof text}, &wide, &json, &err),
                     STATUS_FATAL);
    assert_non_null(strstr(err.message, "no memory"));
    cJSON_InitHooks(NULL);
}

static bool whole(const char *text, int64_t low, int64_t high, int64_t *value)
{
    cJSON *json = cJSON_Parse(text);
    bool good = json_whole_number(json, low, high, value);
    cJSON_Delete(json);
    return good;
}

static void test_whole_numbers(void **state)
{
    int64_t value = 7;
    (void)state;
    assert_false(whole("4", 5, 9, &value) || whole("10", 5, 9, &value) || whole("5.5", 5, 9, &value));
    assert_false(whole("\"6\"", 5, 9, &value) || whole("null", 5, 9, &value) || whole("true", 0, 9, &value));
    assert_false(whole("9007199254740992", 0, JSON_WHOLE_MOST, &value) || whole("1e300", 0, 9, &value));
    assert_false(json_whole_number(NULL, 0, 9, &value));
    assert_int_equal(value, 7);
    assert_true(whole("9007199254740991", 0, JSON_WHOLE_MOST, &value));
    assert_int_equal(value, INT64_C(9007199254740991));
    assert_true(whole("-1", -1, 0, &value));
    assert_int_equal(value, -1);
}

static void test_text_is_copied_where_it_fits(void **state)
{
    char out[4] = "old";
    cJSON *fits = cJSON_CreateString("abc"), *longer = cJSON_CreateString("abcd");
    (void)state;
    assert_false(json_copy_text(longer, out, sizeof out) || json_copy_text(NULL, out, sizeof out));
    assert_string_equal(out, "old");
    assert_true(json_copy_text(fits, out, sizeof out));
    assert_string_equal(out, "abc");
    cJSON_Delete(fits), cJSON_Delete(longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_text_is_copied_where_it_fits),
        cmocka_unit_test(test_surrogates_come_in_pairs),
        cmocka_unit_test(test_every_byte_at_every_place_of_a_string),
        cmocka_unit_test(test_limits_are_kept_to_the_edge),
        cmocka_unit_test(test_long_numbers),
        cmocka_unit_test(test_no_memory_is_no_fault_of_the_text),
        cmocka_unit_test(test_small_allocations_abort),
        cmocka_unit_test(test_large_allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
