// test_circuit.c: when calls are refused, and who may try.
#include "common/services/circuit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/clock.h"

// What the watch was told.
struct seen {
    bool open;
    int openings;
};

static void note(void *context, bool open)
{
    struct seen *seen = context;
    assert_int_not_equal(open, seen->open); // told of changes only
    seen->open = open;
    seen->openings += open;
}

static void init(struct circuit *circuit, struct seen *seen)
{
    const struct circuit_watch watch = {note, seen};
    *seen = (struct seen){0};
    circuit_init(circuit);
    circuit_set_watch(circuit, &watch);
}

static void fail_times(struct circuit *circuit, int count)
{
    for (int i = 0; i < count; i++) {
        enum circuit_pass pass = circuit_enter(circuit);
        assert_int_equal(pass, CIRCUIT_PASS);
        circuit_leave(circuit, pass, false);
    }
}

static void test_opens_after_five_failures_in_a_row(void **state)
{
    (void)state;
    struct circuit circuit;
    struct seen seen;
    init(&circuit, &seen);
    fail_times(&circuit, 4);
    enum circuit_pass pass = circuit_enter(&circuit);
    circuit_leave(&circuit, pass, true); // one success starts the count anew
    fail_times(&circuit, 4);
    assert_false(circuit_is_open(&circuit));
    assert_int_equal(seen.openings, 0);
    fail_times(&circuit, 1);
    assert_true(circuit_is_open(&circuit));
    assert_int_equal(seen.openings, 1);
    assert_int_equal(circuit_enter(&circuit), CIRCUIT_REFUSED);
    circuit_release(&circuit);
}

static enum circuit_pass enter_within(struct circuit *circuit, int64_t limit_ms)
{
    int64_t until_ms = clock_monotonic_ms() + limit_ms;
    enum circuit_pass pass;
    do
        pass = circuit_enter(circuit);
    while (pass == CIRCUIT_REFUSED && clock_monotonic_ms() < until_ms);
    return pass;
}

static void test_one_probe_closes_or_opens_again(void **state)
{
    (void)state;
    struct circuit circuit;
    struct seen seen;
    init(&circuit, &seen);
    fail_times(&circuit, 5);
    assert_int_equal(seen.openings, 1);
    int64_t opened_ms = clock_monotonic_ms();
    assert_int_equal(enter_within(&circuit, 3000), CIRCUIT_PROBE);
    assert_in_range(clock_monotonic_ms() - opened_ms, 990, 3000);
    assert_int_equal(circuit_enter(&circuit), CIRCUIT_REFUSED); // one at a time
    circuit_leave(&circuit, CIRCUIT_PROBE, false);
    opened_ms = clock_monotonic_ms();
    assert_int_equal(enter_within(&circuit, 5000), CIRCUIT_PROBE);
    assert_in_range(clock_monotonic_ms() - opened_ms, 1990, 5000); // the pause has doubled
    assert_int_equal(seen.openings, 1);                            // still the same one
    circuit_leave(&circuit, CIRCUIT_PROBE, true);
    assert_false(seen.open);
    assert_int_equal(circuit_enter(&circuit), CIRCUIT_PASS);
    circuit_release(&circuit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_five_failures_in_a_row),
        cmocka_unit_test(test_one_probe_closes_or_opens_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
