// test_monitor_lines.c: lines of a file, whatever their length and end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "monitor/archive/lines.h"
#include "tests/support/process.h"

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

static void test_lines(void **state)
{
    (void)state;
    char folder[SCRATCH_SIZE];
    struct error err;
    scratch_make(folder);
    char path[SCRATCH_SIZE + 16];
    snprintf(path, sizeof path, "%s/lines", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "first\r\n\nthird\n");
    for (int i = 0; i < LINE_MOST + 500000; i++)
        fputc('x', file);
    fprintf(file, "\nfifth\nlast");
    fclose(file);
    static const char *const expected[] = {"first", "", "third", NULL, "fifth", "last"};
    struct lines lines;
    struct bytes line;
    bool cut, more;
    GOOD(lines_open(&lines, path, &err));
    for (int i = 0; i < 6; i++) {
        GOOD(lines_next(&lines, &line, &cut, &more, &err));
        assert_true(more);
        assert_int_equal(lines.number, i + 1);
        assert_int_equal(cut, expected[i] == NULL);
        assert_int_equal(line.size, expected[i] ? strlen(expected[i]) : LINE_MOST);
        if (expected[i] && line.size > 0)
            assert_memory_equal(line.data, expected[i], line.size);
    }
    GOOD(lines_next(&lines, &line, &cut, &more, &err));
    assert_false(more);
    lines_close(&lines);
    assert_int_equal(lines_open(&lines, "/nowhere/at/all", &err), STATUS_REJECTED);
    lines_close(&lines);
    scratch_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
