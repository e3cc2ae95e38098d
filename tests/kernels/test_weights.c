// test_weights.c: safetensors files: written and read back, read as the format's definition says, and refused
// when they lie. Each bad file is the good one with one thing wrong; the sentence must say which.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "kernels/model/weights.h"
#include "tests/support/process.h"

static char folder[SCRATCH_SIZE], path[SCRATCH_SIZE + 8];

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

// A file of the given header and data_size bytes of data 0, 1, 2, ...; claimed: its length field.
static void write_file(const char *header, uint64_t claimed, size_t data_size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        fputc((int)(claimed >> 8 * i & 255), file);
    fputs(header, file);
    for (size_t i = 0; i < data_size; i++)
        fputc((int)(i & 255), file);
    assert_int_equal(fclose(file), 0);
}

static void check_refused_file(const char *sentence)
{
    struct error err = {""};
    struct weights *weights = NULL;
    assert_int_equal(weights_open(&weights, path, &err), STATUS_REJECTED);
    assert_null(weights);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
}

static void check_refused(const char *header, size_t data_size, const char *sentence)
{
    write_file(header, strlen(header), data_size);
    check_refused_file(sentence);
}

#define TENSOR(name, dtype, shape, begin, end)                                                               \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

static void a_file_is_read_as_the_format_says(void **state)
{
    (void)state;
    struct error err = {""};
    struct weights *weights = NULL;
    // out of order, unaligned, padded with spaces, a scalar and an empty tensor among them
    const char *header =
        "{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("b", "F32", "1,2", "3", "11") "," TENSOR(
            "a", "I8", "3", "0", "3") "," TENSOR("s", "I64", "", "11", "19") "," TENSOR("none", "F16", "0,7",
                                                                                        "19", "19") "}    ";
    write_file(header, strlen(header), 19);
    if (weights_open(&weights, path, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(weights_count(weights), 4);
    assert_string_equal(weights_at(weights, 0)->name, "a");
    const struct weight *b = weights_find(weights, "b");
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[1], 2);
    assert_int_equal(b->size, 8);
    uint8_t expected[8] = {3, 4, 5, 6, 7, 8, 9, 10};
    assert_memory_equal(b->data, expected, sizeof expected);
    assert_int_equal(weights_find(weights, "s")->count, 1);
    assert_int_equal(weights_find(weights, "none")->count, 0);
    assert_null(weights_find(weights, "c"));
    weights_discard_pages(weights, b);
    assert_memory_equal(b->data, expected, sizeof expected);
    weights_close(weights);
}

static void what_is_saved_is_read_back(void **state)
{
    (void)state;
    struct error err = {""};
    struct weights *made = weights_new(), *weights = NULL;
    float values[6] = {0.5f, -1, 3e38f, 1e-45f, -0.0f, 7};
    weights_add(made, "first", 2, (int64_t[]){2, 3}, values);
    weights_add(made, "quoted \"name\"", 1, (int64_t[]){1}, values + 2);
    assert_int_equal(weights_save(made, path, &err), STATUS_OK);
    if (weights_open(&weights, path, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(weights_count(weights), 2);
    assert_int_equal((uintptr_t)weights_at(weights, 0)->data % 8, 0);
    float read[6];
    weight_to_float(weights_find(weights, "first"), read);
    assert_memory_equal(read, values, sizeof read);
    weight_to_float(weights_find(weights, "quoted \"name\""), read);
    assert_memory_equal(read, values + 2, sizeof read[0]);
    weights_close(weights);
    assert_int_equal(weights_save(made, "/nowhere/file", &err), STATUS_FATAL);
    weights_close(made);
}

// Seven bits of fraction stay: at 1 the steps are 2^-7.
static void bf16_is_the_nearest_and_the_even_one_of_two(void **state)
{
    (void)state;
    static const float values[] = {
        1,         1 + 0x1p-8f, 1 + 0x1.8p-7f, 1 + 0x1p-8f + 0x1p-20f, -1 - 0x1p-8f, -0.0f,
        0x1p-133f, 0x1.8p-133f, 3e38f};
    static const float rounded[] = {1,     1,         1 + 0x1p-6f, 1 + 0x1p-7f, -1,
                                    -0.0f, 0x1p-133f, 0x1p-132f,   0x1.c4p127f};
    enum { COUNT = sizeof values / sizeof values[0] };
    static const uint32_t least_nan = 0x7f800001; // only bits that bf16 has not make it a NaN
    float read[COUNT], nan;
    memcpy(&nan, &least_nan, sizeof nan);
    struct error err = {""};
    struct weights *made = weights_new(), *weights = NULL;
    weights_add(made, "values", 1, (int64_t[]){COUNT}, values);
    weights_add(made, "nan", 1, (int64_t[]){1}, &nan);
    weights_round_to_bf16(made, "values");
    weights_round_to_bf16(made, "nan");
    assert_int_equal(weights_save(made, path, &err), STATUS_OK);
    if (weights_open(&weights, path, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_string_equal(weights_dtype(weights), "BF16");
    assert_int_equal(weights_find(weights, "values")->size, 2 * COUNT);
    weight_to_float(weights_find(weights, "values"), read);
    assert_memory_equal(read, rounded, sizeof read);
    weight_to_float(weights_find(weights, "nan"), &nan);
    assert_true(isnan(nan));
    weights_close(weights);
    weights_close(made);
}

// A tensor that took the place of a mapped one lives in memory: giving pages back must not touch it.
static void a_replaced_tensor_keeps_its_values(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct error err = {""};
    struct weights *made = weights_new(), *weights = NULL;
    float *values = memory_alloc(2 * COUNT * sizeof *values), *read = memory_alloc(2 * COUNT * sizeof *read);
    weights_add(made, "a", 1, (int64_t[]){COUNT}, values);
    weights_add(made, "b", 1, (int64_t[]){COUNT}, values);
    assert_int_equal(weights_save(made, path, &err), STATUS_OK);
    if (weights_open(&weights, path, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < 2 * COUNT; i++)
        values[i] = (float)i;
    for (int round = 0; round < 2; round++) { // the second replaces one that was replaced
        weights_replace(weights, "a", 2, (int64_t[]){COUNT, 2}, values);
        const struct weight *weight = weights_find(weights, "a");
        assert_int_equal(weight->rank, 2);
        assert_int_equal(weight->count, 2 * COUNT);
        weights_discard_pages(weights, weight);
        weight_to_float(weight, read);
        assert_memory_equal(read, values, 2 * COUNT * sizeof *values);
    }
    assert_int_equal(weights_find(weights, "b")->count, COUNT);
    free(values);
    free(read);
    weights_close(weights);
    weights_close(made);
}

static void halves_become_floats(void **state)
{
    (void)state;
    // IEEE 754 binary16: 1, -2, largest 65504, smallest normal 2^-14, subnormals 2^-24 and 1023 * 2^-24, -0,
    // inf
    static const uint16_t halves[8] = {0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x83ff, 0x8000, 0x7c00};
    static const float expected[8] = {1, -2, 65504, 0x1p-14f, 0x1p-24f, -1023 * 0x1p-24f, -0.0f, INFINITY};
    static const uint16_t brains[2] = {0x3f80, 0xc0a0}; // bfloat16: 1, -5
    static const float brain_values[2] = {1, -5};
    struct weight weight = {.dtype = DTYPE_F16, .count = 8, .size = 16, .data = halves};
    float values[8];
    weight_to_float(&weight, values);
    assert_memory_equal(values, expected, sizeof expected);
    weight = (struct weight){.dtype = DTYPE_BF16, .count = 2, .size = 4, .data = brains};
    weight_to_float(&weight, values);
    assert_memory_equal(values, brain_values, sizeof brain_values);
}

static void check_dtype(const char *header, size_t data_size, const char *expected)
{
    struct error err = {""};
    struct weights *weights = NULL;
    write_file(header, strlen(header), data_size);
    if (weights_open(&weights, path, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_string_equal(weights_dtype(weights), expected);
    weights_close(weights);
}

static void the_type_is_that_of_all_floats(void **state)
{
    (void)state;
    check_dtype("{" TENSOR("a", "BF16", "2", "0", "4") "}", 4, "BF16");
    check_dtype("{" TENSOR("a", "F16", "2", "0", "4") "," TENSOR("b", "I64", "1", "4", "12") "}", 12, "F16");
    check_dtype("{" TENSOR("a", "BF16", "2", "0", "4") "," TENSOR("b", "F32", "1", "4", "8") "}", 8, "F32");
    check_dtype("{" TENSOR("a", "BF16", "2", "0", "4") "," TENSOR("b", "F16", "1", "4", "6") "}", 6, "F32");
    check_dtype("{" TENSOR("a", "I8", "2", "0", "2") "}", 2, "F32");
}

static void files_that_are_too_short_are_refused(void **state)
{
    (void)state;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("1234567", file);
    fclose(file);
    check_refused_file("7 bytes");
    const char *header = "{" TENSOR("a", "F32", "2", "0", "8") "}";
    write_file(header, strlen(header) + 100, 8);
    check_refused_file("the file has");
    write_file(header, strlen(header) + 9, 8); // one byte more than header and data
    check_refused_file("the file has");
    write_file(header, UINT64_MAX, 8);
    check_refused_file("18446744073709551615");
    write_file(header, (16 << 20) + 1, 8);
    check_refused_file("16777216 are allowed");
    write_file(header, strlen(header) - 1, 8);
    check_refused_file("header");
    write_file(header, strlen(header), 7);
    check_refused_file("tensor 'a'");
}

static void headers_that_are_no_header_are_refused(void **state)
{
    (void)state;
    check_refused("[]", 0, "object");
    check_refused("{}", 0, "no tensor");
    check_refused("{\"a\":", 0, "header");
    check_refused("{\"a\":1}", 0, "'a'");
    check_refused("{} x", 0, "header");
    check_refused("{\"__metadata__\":{\"format\":1}," TENSOR("a", "F32", "2", "0", "8") "}", 8,
                  "__metadata__");
    check_refused("{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "name has 0 bytes");
    char header[512], name[200];
    memset(name, 'n', sizeof name);
    snprintf(header, sizeof header, "{\"%.128s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
             name);
    check_refused(header, 8, "name has 128 bytes");
}

static void tensors_that_lie_are_refused_by_name(void **state)
{
    (void)state;
    check_refused("{" TENSOR("a", "F64", "1", "0", "8") "}", 8, "tensor 'a' has dtype 'F64'");
    check_refused("{" TENSOR("a", "F32", "3", "0", "8") "}", 8, "tensor 'a' has 8 bytes, its shape needs 12");
    check_refused("{" TENSOR("a", "F32", "-2", "0", "8") "}", 8, "tensor 'a'");
    check_refused("{" TENSOR("a", "F32", "1.5", "0", "6") "}", 6, "tensor 'a'");
    check_refused("{" TENSOR("a", "F32", "1,1,1,1,1,2", "0", "8") "}", 8, "more than 5 dimensions");
    check_refused("{" TENSOR("a", "F32", "4294967296,4294967296", "0", "0") "}", 8, "too many values");
    check_refused("{" TENSOR("a", "F32", "0,9007199254740992,9007199254740992", "0", "8") "}", 8,
                  "tensor 'a'");
    check_refused("{" TENSOR("a", "F32", "2", "8", "0") "}", 8, "tensor 'a' lies at bytes 8 to 0");
    check_refused("{" TENSOR("a", "F32", "2", "8", "16") "}", 8, "tensor 'a' lies at bytes 8 to 16");
    check_refused("{" TENSOR("a", "F32", "2", "-8", "0") "}", 8, "data_offsets");
    check_refused("{" TENSOR("a", "F32", "2", "0", "1e400") "}", 8, "data_offsets");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "tensor 'a'");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2]}}", 8, "tensor 'a'");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "no shape");
    check_refused("{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "no dtype");
}

static void overlaps_gaps_and_doubles_are_refused(void **state)
{
    (void)state;
    check_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("b", "F32", "2", "4", "12") "}", 12,
                  "tensor 'b' overlaps");
    check_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("b", "F32", "2", "0", "8") "}", 8,
                  "overlaps");
    check_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("b", "F32", "2", "12", "20") "}", 20,
                  "4 bytes before tensor 'b'");
    check_refused("{" TENSOR("a", "F32", "2", "4", "12") "}", 12, "4 bytes before tensor 'a'");
    check_refused("{" TENSOR("a", "F32", "2", "0", "8") "}", 11, "3 bytes after");
    check_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("a", "F32", "2", "8", "16") "}", 16,
                  "'a'");
}

static void other_kinds_of_file_are_refused(void **state)
{
    (void)state;
    struct error err = {""};
    struct weights *weights = NULL;
    assert_int_equal(weights_open(&weights, folder, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "not a regular file"));
    assert_int_equal(weights_open(&weights, "/nowhere/at/all", &err), STATUS_FATAL);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(weights_open(&weights, path, &err), STATUS_REJECTED);
    unlink(path);
}

// A tensor that begins at an odd address and spans several of the check's pieces, finite but for one value.
static void write_values(const char *dtype, size_t element, size_t count, size_t bad, const uint8_t *pattern)
{
    char header[256];
    int size = snprintf(header, sizeof header,
                        "{\"a\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[0,3]},"
                        "\"b\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[3,%zu]}}",
                        dtype, count, 3 + count * element);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        fputc(i == 0 ? size : 0, file); // at most 255
    assert_in_range(size, 1, 255);
    fputs(header, file);
    fputs("\177\177\177", file); // as bytes of a float they would be NaN's
    for (size_t i = 0; i < count; i++)
        for (size_t byte = 0; byte < element; byte++)
            fputc(i == bad ? pattern[byte] : (int)((i * element + byte) & 0x3f), file);
    assert_int_equal(fclose(file), 0);
}

static struct digest digest_of_file(void)
{
    struct digest_stream *stream = digest_stream_new();
    char piece[1000];
    size_t size;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((size = fread(piece, 1, sizeof piece, file)) > 0)
        digest_stream_add(stream, piece, size);
    fclose(file);
    return digest_stream_finish(stream);
}

static void check_found(const char *dtype, size_t element, size_t bad, const uint8_t *pattern)
{
    enum { COUNT = 140001 };
    struct error err = {""};
    struct weights *weights = NULL;
    write_values(dtype, element, COUNT, bad, pattern);
    assert_int_equal(weights_open(&weights, path, &err), STATUS_OK);
    const struct weight *weight = weights_find(weights, "b");
    assert_int_equal(weights_first_not_finite(weights, weight), bad); // read at once
    struct digest found = weights_check(weights), expected = digest_of_file();
    assert_true(digest_equal(&found, &expected));
    assert_int_equal(weights_first_not_finite(weights, weight), bad);
    assert_int_equal(weights_first_not_finite(weights, weights_find(weights, "a")), 3);
    weights_close(weights);
}

static void the_first_value_that_is_no_number_is_found(void **state)
{
    (void)state;
    static const size_t places[] = {0, 1, 1023, 1024, 32767, 32768, 65535, 65536, 139999, 140000, 140001};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        check_found("F32", 4, places[i], (const uint8_t[]){0, 0, 0x80, 0x7f}); // infinity
        check_found("F32", 4, places[i], (const uint8_t[]){1, 0, 0x80, 0xff}); // NaN, of the other sign
        check_found("F16", 2, places[i], (const uint8_t[]){0, 0xfc});          // -infinity
        check_found("BF16", 2, places[i], (const uint8_t[]){0xc0, 0x7f});      // NaN
    }
}

// In a process of its own: exit code 0 where nothing happened.
static void read_a_cut_file(int says)
{
    struct error err = {""};
    struct weights *weights = NULL;
    if (dup2(says, STDERR_FILENO) < 0 || weights_open(&weights, path, &err) != STATUS_OK ||
        truncate(path, 4096) != 0)
        _exit(2);
    weights_explain_sigbus();
    weights_check(weights);
    _exit(0);
}

static void a_file_cut_short_while_it_is_read_is_named(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char said[SCRATCH_SIZE + 128] = "", expected[SCRATCH_SIZE + 128];
    int ends[2], outcome;
    const char header[] = "{" TENSOR("a", "I8", "1048576", "0", "1048576") "}";
    write_file(header, sizeof header - 1, SIZE);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        read_a_cut_file(ends[1]);
    close(ends[1]);
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_true(read(ends[0], said, sizeof said - 1) >= 0);
    close(ends[0]);
    if (!WIFEXITED(outcome) || WEXITSTATUS(outcome) != 1)
        fail_msg("it ended with status %x and said '%s'", (unsigned)outcome, said);
    snprintf(expected, sizeof expected, "%s: the file was cut short while it was read\n", path);
    assert_string_equal(said, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_as_the_format_says),
        cmocka_unit_test(what_is_saved_is_read_back),
        cmocka_unit_test(bf16_is_the_nearest_and_the_even_one_of_two),
        cmocka_unit_test(a_replaced_tensor_keeps_its_values),
        cmocka_unit_test(halves_become_floats),
        cmocka_unit_test(the_first_value_that_is_no_number_is_found),
        cmocka_unit_test(the_type_is_that_of_all_floats),
        cmocka_unit_test(files_that_are_too_short_are_refused),
        cmocka_unit_test(headers_that_are_no_header_are_refused),
        cmocka_unit_test(tensors_that_lie_are_refused_by_name),
        cmocka_unit_test(overlaps_gaps_and_doubles_are_refused),
        cmocka_unit_test(other_kinds_of_file_are_refused),
        cmocka_unit_test(a_file_cut_short_while_it_is_read_is_named),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
