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
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/base/file.h"
#include "common/base/memory.h"

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

enum { SECRET_LEAST = 16, SECRET_MOST = 20 };

static enum status read_secret(const char *path, const char *text, mode_t mode, struct buffer *secret)
{
    struct error err;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
    buffer_clear(secret);
    return file_read_secret(path, SECRET_LEAST, secret, &err);
}

static void test_a_secret_is_closed_to_others(void **state)
{
    (void)state;
    static const char text[] = "0123456789abcdef";
    static const mode_t open_modes[] = {0604, 0644, 0602, 0601, 0620, 0660, 0666};
    char path[] = "/tmp/skinsight-test-secret-XXXXXX";
    struct buffer secret;
    buffer_init(&secret, SECRET_MOST);
    close(mkstemp(path));
    assert_int_equal(read_secret(path, "0123456789abcdef\n", 0600, &secret), STATUS_OK);
    assert_int_equal(secret.size, 16); // the line end is no part of it
    assert_memory_equal(secret.data, text, 16);
    assert_int_equal(read_secret(path, text, 0440, &secret), STATUS_OK);
    for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++)
        assert_int_equal(read_secret(path, text, open_modes[i], &secret), STATUS_REJECTED);
    assert_int_equal(read_secret(path, "0123456789abcde\n", 0600, &secret), STATUS_REJECTED);
    assert_int_equal(read_secret(path, "", 0600, &secret), STATUS_REJECTED);
    assert_int_equal(read_secret(path, "0123456789abcdef01234", 0600, &secret), STATUS_REJECTED);
    unlink(path);
    buffer_release(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_write_that_fails_leaves_the_old_file),
                                       cmocka_unit_test(test_a_secret_is_closed_to_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
