// test_sampler.c: the three orders of an epoch.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/sampler.h"

enum { COUNT = 9000 };

static int labels[COUNT];
static size_t order[COUNT], again[COUNT];

static struct sampler sampler_of(enum sampler_kind kind, uint64_t seed)
{
    for (int i = 0; i < COUNT; i++)
        labels[i] = i < 8000 ? 1 : i < 8990 ? 4 : 7;
    return (struct sampler){kind, seed, labels, COUNT};
}

static void classes_come_equally_often(void **state)
{
    (void)state;
    static size_t seen[COUNT];
    size_t counts[8] = {0};
    struct sampler sampler = sampler_of(SAMPLER_WEIGHTED, 5);
    sampler_epoch(&sampler, 0, order);
    for (size_t i = 0; i < COUNT; i++) {
        counts[labels[order[i]]]++;
        seen[order[i]]++;
    }
    // 3,000 each, with a deviation of sqrt(9000 * 1/3 * 2/3) = 44.7: five of them
    assert_in_range(counts[1], 2776, 3224);
    assert_in_range(counts[4], 2776, 3224);
    assert_in_range(counts[7], 2776, 3224);
    for (size_t i = 8990; i < COUNT; i++) // 300 each, sqrt(300) = 17.3
        assert_in_range(seen[i], 213, 387);
}

static void a_shuffle_has_each_image_once(void **state)
{
    (void)state;
    static unsigned char seen[COUNT];
    size_t in_place = 0;
    struct sampler sampler = sampler_of(SAMPLER_SHUFFLE, 5);
    sampler_epoch(&sampler, 3, order);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(seen[order[i]]++, 0);
        in_place += order[i] == i;
    }
    assert_true(in_place < 10); // one is expected
    sampler = sampler_of(SAMPLER_SEQUENTIAL, 5);
    sampler_epoch(&sampler, 3, order);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(order[i], i);
}

static void seed_and_epoch_decide(void **state)
{
    (void)state;
    for (int kind = SAMPLER_WEIGHTED; kind <= SAMPLER_SHUFFLE; kind++) {
        struct sampler sampler = sampler_of((enum sampler_kind)kind, 5);
        sampler_epoch(&sampler, 3, order);
        sampler_epoch(&sampler, 3, again);
        assert_memory_equal(order, again, sizeof order);
        sampler_epoch(&sampler, 4, again);
        assert_memory_not_equal(order, again, sizeof order);
        sampler.seed = 6;
        sampler_epoch(&sampler, 3, again);
        assert_memory_not_equal(order, again, sizeof order);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_come_equally_often),
        cmocka_unit_test(a_shuffle_has_each_image_once),
        cmocka_unit_test(seed_and_epoch_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
