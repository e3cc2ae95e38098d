// test_monitor_cost.c: prices are sums and products that can be done by hand, and a table is what it says or
// none.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "monitor/service/cost.h"

static const char good[] =
    "{\"schema\": \"skinsight.prices.v1\", \"currency\": \"USD\", \"worker_hour\": 0.5, "
    "\"training_device_hour\": 4, \"fixed_month\": [{\"name\": \"a\", \"price\": 700}, "
    "{\"name\": \"b\", \"price\": 30}], \"per_1000_analyses\": [{\"name\": \"c\", \"price\": 0.25}]}";

static enum status parse(const char *text, struct price_table *table)
{
    struct error err;
    return price_table_parse((struct bytes){(const uint8_t *)text, strlen(text)}, table, &err);
}

static void costs_are_arithmetic(void **state)
{
    (void)state;
    struct price_table table;
    assert_int_equal(parse(good, &table), STATUS_OK);
    assert_string_equal(table.currency, "USD");
    // 4 workers and 730 a month are 2 + 1 an hour; 10 a second are 36,000 an hour: 3 / 36 + 0.25.
    assert_true(fabs(cost_per_1000(&table, 4, 10) - (3.0 / 36 + 0.25)) < 1e-12);
    assert_true(isnan(cost_per_1000(&table, 4, 0)));
    assert_true(cost_of_training(&table, 4, 2.5) == 40);
}

static void other_tables_are_refused(void **state)
{
    (void)state;
    static const char *const changes[][2] = {{"prices.v1", "prices.v2"},
                                             {"0.5", "-0.5"},
                                             {"0.5", "1e7"},
                                             {"0.5", "\"0.5\""},
                                             {"\"USD\"", "\"\""},
                                             {"\"USD\"", "\"US dollars\""},
                                             {"\"price\": 30", "\"cost\": 30"},
                                             {"[{\"name\": \"c\"", "[7, {\"name\": \"c\""},
                                             {"\"fixed_month\"", "\"monthly\""},
                                             {"\"training_device_hour\"", "\"worker_hour\""}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[1024];
        struct price_table table;
        const char *at = strstr(good, changes[i][0]);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, changes[i][1],
                 at + strlen(changes[i][0]));
        assert_int_equal(parse(text, &table), STATUS_REJECTED);
    }
}

static void the_example_is_a_table(void **state)
{
    (void)state;
    struct price_table table;
    struct error err;
    assert_int_equal(price_table_read(TEST_SOURCE_DIR "/deploy/prices.json", &table, &err), STATUS_OK);
    assert_true(fabs(table.fixed_month - 750) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_are_arithmetic),
        cmocka_unit_test(other_tables_are_refused),
        cmocka_unit_test(the_example_is_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
