// test_log.c: a line of the log is one line, printable, and never longer than its place. Standard error is a
// pipe while it is written.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"

// What one event with this text writes.
static void written(const char *text, char *line, size_t size)
{
    int ends[2], standard_error = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    LOG_WARN("found", "text=%s", text);
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    close(ends[1]);
    ssize_t length = read(ends[0], line, size - 1);
    close(ends[0]);
    assert_true(length > 0);
    line[length] = '\0';
}

static void test_bytes_from_outside(void **state)
{
    (void)state;
    char line[4096];
    written("a\nb\x1b[31m\x7f \xc2\x9b[31m \xc3\xa9 \xff~", line, sizeof line);
    const char *event = strstr(line, " level=warn program=test event=found ");
    assert_non_null(event);
    assert_string_equal(strstr(event, "text="), "text=a?b?[31m? ?[31m \xc3\xa9 ?~\n");
}

static void test_long_lines_are_cut(void **state)
{
    (void)state;
    char text[3000], line[4096];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    written(text, line, sizeof line);
    assert_int_equal(strlen(line), 1024);
    assert_string_equal(line + 1020, "xxx\n");
}

int main(void)
{
    log_configure("test", LOG_LEVEL_WARN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_from_outside),
        cmocka_unit_test(test_long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
