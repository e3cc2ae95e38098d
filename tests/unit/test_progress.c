// test_progress.c: the line of the progress bar, for every width.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/program/progress.h"

enum { SECOND_US = 1000000 };

static struct progress half_way(void)
{
    return (struct progress){.total = 200, .sent = 120, .answered = 100, .done = 100, .waiting = true};
}

static void test_counts_rate_and_remaining_time(void **state)
{
    (void)state;
    char line[256];
    struct progress progress = half_way();
    progress_format(&progress, 50 * SECOND_US, 200, line, sizeof line);
    assert_string_equal(line,
                        "[###############...............] 120 of 200 sent  100 answered  2.0/s  0:50 left");
    progress.errors = 3;
    progress.done = 50;
    progress_format(&progress, 3600LL * SECOND_US, 200, line, sizeof line);
    assert_non_null(strstr(line, "  3 errors  0.0/s  3:00:00 left"));
}

static void test_without_answers(void **state)
{
    (void)state;
    char line[256];
    struct progress progress = {.total = 4, .sent = 4, .done = 4};
    progress_format(&progress, SECOND_US / 2, 200, line, sizeof line);
    assert_string_equal(line, "[##############################] 4 of 4 sent  8.0/s");
}

static void test_nothing_yet(void **state)
{
    (void)state;
    char line[256];
    struct progress progress = {.total = 4};
    progress_format(&progress, 0, 200, line, sizeof line);
    assert_string_equal(line, "[..............................] 0 of 4 sent  0.0/s");
}

static void test_never_wider_than_the_terminal(void **state)
{
    (void)state;
    for (size_t columns = 0; columns < 120; columns++) {
        char line[256];
        struct progress progress = half_way();
        memset(line, 'x', sizeof line);
        progress_format(&progress, 50 * SECOND_US, columns, line, sizeof line);
        assert_true(strlen(line) <= columns);
    }
}

static void test_counts_come_before_the_bar_where_room_is_short(void **state)
{
    (void)state;
    char line[256];
    struct progress progress = half_way();
    progress_format(&progress, 50 * SECOND_US, 50, line, sizeof line);
    assert_string_equal(line, "120 of 200 sent  100 answered  2.0/s  0:50 left");
}

static void test_more_done_than_there_is_stays_in_the_bar(void **state)
{
    (void)state;
    char line[256];
    struct progress progress = {.total = 2, .sent = 5, .done = 5};
    progress_format(&progress, SECOND_US, 200, line, sizeof line);
    assert_string_equal(line, "[##############################] 5 of 2 sent  5.0/s");
}

static void test_nothing_is_drawn_where_no_terminal_is(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    struct progress progress;
    FILE *file = tmpfile();
    assert_non_null(file);
    progress_init(&progress, file, true, 10);
    progress_update(&progress, progress.start_us + 10LL * SECOND_US);
    progress_clear(&progress);
    assert_int_equal(ftell(file), 0);
    fclose(file);

    // The same calls on something that is drawn on: one line, then taken away.
    FILE *stream = open_memstream(&text, &size);
    progress.out = stream;
    progress.drawn_us = 0;
    progress_update(&progress, 1000LL * SECOND_US);
    progress_update(&progress, 1000LL * SECOND_US + 99 * 1000); // less than a tenth of a second later
    assert_true(progress.visible);
    progress_clear(&progress);
    progress_clear(&progress);
    fclose(stream);
    assert_int_equal(text[0], '\r');
    assert_string_equal(text + size - 4, "\r\x1b[K");
    size_t returns = 0;
    for (size_t i = 0; i < size; i++)
        returns += text[i] == '\r';
    assert_int_equal(returns, 2);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_rate_and_remaining_time),
        cmocka_unit_test(test_without_answers),
        cmocka_unit_test(test_nothing_yet),
        cmocka_unit_test(test_never_wider_than_the_terminal),
        cmocka_unit_test(test_counts_come_before_the_bar_where_room_is_short),
        cmocka_unit_test(test_more_done_than_there_is_stays_in_the_bar),
        cmocka_unit_test(test_nothing_is_drawn_where_no_terminal_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
