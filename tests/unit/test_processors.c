// test_processors.c: the affinity mask and the quotas of control groups, in a folder that looks like theirs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/base/processors.h"
#include "tests/support/process.h"

static char root[SCRATCH_SIZE];

static void write_text(const char *group, const char *name, const char *text)
{
    char path[SCRATCH_SIZE + 64];
    snprintf(path, sizeof path, "%s%s", root, group);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s%s/%s", root, group, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void write_quota(const char *group, const char *text)
{
    write_text(group, "cpu.max", text);
}

// In the groups that /proc/self/cgroup would list so.
static int granted_in(const char *lines)
{
    char groups[SCRATCH_SIZE + 16];
    write_text("", "groups", lines);
    snprintf(groups, sizeof groups, "%s/groups", root);
    return processors_granted(root, groups);
}

static int granted(const char *group)
{
    char line[64];
    snprintf(line, sizeof line, "0::%s\n", group);
    return granted_in(line);
}

static void test_quotas(void **state)
{
    (void)state;
    assert_int_equal(granted("/"), 0); // no files at all
    write_quota("/a", "max 100000\n");
    write_quota("/a/b", "250000 100000\n");
    assert_int_equal(granted("/a"), 0);
    assert_int_equal(granted("/a/b"), 3); // rounded up
    write_quota("/a", "200000 100000\n");
    assert_int_equal(granted("/a/b"), 2); // the group above grants less
    write_quota("", "50000 100000\n");
    assert_int_equal(granted("/a/b"), 1);
    assert_int_equal(granted("/"), 1);
    assert_int_equal(granted("/other"), 1);
}

static void test_texts_that_grant_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "\n",       "max",      "100000",
                                        "-1 100000", "100000 0", "0 100000", "x y"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_quota("", texts[i]);
        assert_int_equal(granted("/"), 0);
    }
    write_quota("", "9223372036854775807 1\n");
    assert_true(granted("/") > 1000000);
}

static void write_version1(const char *group, const char *quota, const char *period)
{
    write_text(group, "cpu.cfs_quota_us", quota);
    write_text(group, "cpu.cfs_period_us", period);
}

static void test_quotas_of_version_1(void **state)
{
    (void)state;
    static const char host[] = "5:cpuset:/a\n4:cpu,cpuacct:/a/b\n3:memory:/a/b\n1:name=systemd:/x\n0::/y\n";
    write_quota("", "max 100000\n");
    assert_int_equal(granted_in(host), 0); // no files at all
    write_version1("/cpu", "-1\n", "100000\n");
    write_version1("/cpu/a", "-1\n", "100000\n");
    write_version1("/cpu/a/b", "150000\n", "100000\n");
    assert_int_equal(granted_in(host), 2); // rounded up
    write_version1("/cpu/a", "50000\n", "50000\n");
    assert_int_equal(granted_in(host), 1); // the group above grants less
    assert_int_equal(granted_in("4:cpuacct,cpu:/a/b\n"), 1);
    assert_int_equal(granted_in("4:cpuset,cpuacct:/a/b\n"), 0); // no group of the processors
    write_version1("/cpu", "300000\n", "100000\n");
    assert_int_equal(granted_in("4:cpu,cpuacct:/docker/0123\n"), 3); // a container sees its own as the root
    static const char *const bad[] = {"", "\n", "x\n", "0\n", "-5\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_version1("/cpu", bad[i], "100000\n");
        assert_int_equal(granted_in("2:cpu:/\n"), 0);
        write_version1("/cpu", "300000\n", bad[i]);
        assert_int_equal(granted_in("2:cpu:/\n"), 0);
    }
    static const char *const lines[] = {"", "\n", "4\n", "4:cpu\n", ":\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(granted_in(lines[i]), 0);
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
        cmocka_unit_test(test_quotas_of_version_1),
        cmocka_unit_test(test_affinity),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
