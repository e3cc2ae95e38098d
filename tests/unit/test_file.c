// test_file.c: a file is replaced whole or not at all.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "common/file.h"
#include "common/memory.h"

enum { SIZE = 100000 }; // more than stdio keeps back

static bool disk_fails;

// Stands before libc's.
int fsync(int file)
{
    if (!disk_fails)
        return (int)syscall(SYS_fsync, file);
    errno = EIO;
    return -1;
}

static bool put(FILE *file, const void *bytes)
{
    return fwrite(bytes, SIZE, 1, file) == 1;
}

static void check_holds(const char *path, char byte)
{
    struct buffer found;
    struct error err = {""};
    buffer_init(&found, SIZE);
    if (file_read(path, &found, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(found.size, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(found.data[i], byte);
    buffer_release(&found);
}

static void test_a_write_that_fails_leaves_the_old_file(void **state)
{
    (void)state;
    static char bytes[SIZE];
    char folder[] = "/tmp/skinsight-test-file-XXXXXX";
    struct error err = {""};
    struct rlimit limit, small;
    assert_non_null(mkdtemp(folder));
    char *path = memory_format("%s/it", folder), *partial = memory_format("%s/it.partial", folder);
    memset(bytes, 'a', SIZE);
    assert_int_equal(file_replace(path, put, bytes, &err), STATUS_OK);
    check_holds(path, 'a');
    memset(bytes, 'b', SIZE);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = (struct rlimit){SIZE / 2, limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    enum status status = file_replace(path, put, bytes, &err);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(status, STATUS_FATAL);
    assert_non_null(strstr(err.message, "it can't be written: File too large"));
    check_holds(path, 'a');
    assert_int_not_equal(access(partial, F_OK), 0);
    disk_fails = true;
    assert_int_equal(file_replace(path, put, bytes, &err), STATUS_FATAL);
    disk_fails = false;
    assert_non_null(strstr(err.message, "it can't be written: Input/output error"));
    check_holds(path, 'a');
    assert_int_not_equal(access(partial, F_OK), 0);
    assert_int_equal(file_replace(path, put, bytes, &err), STATUS_OK);
    check_holds(path, 'b');
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(file_replace(path, put, bytes, &err), STATUS_FATAL); // no such folder
    free(path);
    free(partial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_write_that_fails_leaves_the_old_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
