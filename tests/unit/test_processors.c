// test_processors.c: the affinity mask and the quotas of control groups, in a folder that looks like theirs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/processors.h"
#include "tests/support/process.h"

static char root[SCRATCH_SIZE];

static void write_quota(const char *group, const char *text)
{
    char path[SCRATCH_SIZE + 32];
    snprintf(path, sizeof path, "%s%s", root, group);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_quotas(void **state)
{
    (void)state;
    assert_int_equal(processors_granted(root, "/"), 0); // no files at all
    write_quota("/a", "max 100000\n");
    write_quota("/a/b", "250000 100000\n");
    assert_int_equal(processors_granted(root, "/a"), 0);
    assert_int_equal(processors_granted(root, "/a/b"), 3); // rounded up
    write_quota("/a", "200000 100000\n");
    assert_int_equal(processors_granted(root, "/a/b"), 2); // the group above grants less
    write_quota("", "50000 100000\n");
    assert_int_equal(processors_granted(root, "/a/b"), 1);
    assert_int_equal(processors_granted(root, "/"), 1);
    assert_int_equal(processors_granted(root, "/other"), 1);
}

static void test_texts_that_grant_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "\n",       "max",      "100000",
                                        "-1 100000", "100000 0", "0 100000", "x y"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_quota("", texts[i]);
        assert_int_equal(processors_granted(root, "/"), 0);
    }
    write_quota("", "9223372036854775807 1\n");
    assert_true(processors_granted(root, "/") > 1000000);
}

static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(processors_usable(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_in_range(processors_usable(), 1, CPU_COUNT(&before));
}

static int make_root(void **state)
{
    (void)state;
    scratch_make(root);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    scratch_remove(root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_texts_that_grant_nothing),
        cmocka_unit_test(test_affinity),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
