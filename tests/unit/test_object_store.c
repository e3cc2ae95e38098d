// test_object_store.c: rules for keys, URIs and roots, and objects as files, with folders that hold what an
// attacker or a full disk would put there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/services/object_store.h"
#include "tests/support/process.h"

struct fixture {
    char scratch[SCRATCH_SIZE];
    char root[SCRATCH_SIZE + 32];
    struct object_store *store;
};

// The disk under every file of this program, for the two functions below, which stand before libc's.
static struct {
    size_t room;  // bytes that still fit
    size_t piece; // most bytes of one write
    bool failing; // what was written can't be made durable
} disk = {SIZE_MAX, SIZE_MAX, false};

ssize_t write(int file, const void *data, size_t size)
{
    size = size < disk.piece ? size : disk.piece;
    size = size < disk.room ? size : disk.room;
    if (disk.room == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (disk.room < SIZE_MAX)
        disk.room -= size;
    return syscall(SYS_write, file, data, size);
}

int fsync(int file)
{
    if (!disk.failing)
        return (int)syscall(SYS_fsync, file);
    errno = EIO;
    return -1;
}

static struct bytes text_bytes(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;
    assert_non_null(fixture);
    scratch_make(fixture->scratch);
    snprintf(fixture->root, sizeof fixture->root, "file://%s/store/deep/", fixture->scratch);
    struct object_store_options options = {.root = fixture->root};
    if (object_store_open(&fixture->store, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    object_store_close(fixture->store);
    scratch_remove(fixture->scratch);
    free(fixture);
    return 0;
}

static void expect_get(struct fixture *fixture, const char *key, enum status expected, const char *word)
{
    struct buffer out;
    struct error err = {""};
    buffer_init(&out, 1000);
    enum status status = object_store_get(fixture->store, key, &out, &err);
    if (status != expected || !strstr(err.message, word))
        fail_msg("get %s: %d (%s), expected %d with '%s'", key, (int)status, err.message, (int)expected,
                 word);
    buffer_release(&out);
}

static void put_text(struct fixture *fixture, const char *key, const char *text)
{
    struct error err;
    if (object_store_put(fixture->store, key, text_bytes(text), "text/plain", &err) != STATUS_OK)
        fail_msg("put %s: %s", key, err.message);
}

static int count_files(const char *folder)
{
    int count = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

static void test_what_is_put_is_got(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {"", "x", "one object", "another text"};
    char folder[SCRATCH_SIZE + 64];
    struct buffer out;
    struct error err;
    buffer_init(&out, 1000);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put_text(fixture, "images/ab/cd.jpg", texts[i]);
        assert_int_equal(object_store_get(fixture->store, "images/ab/cd.jpg", &out, &err), STATUS_OK);
        assert_true(bytes_equal(buffer_bytes(&out), text_bytes(texts[i])));
    }
    buffer_release(&out);
    snprintf(folder, sizeof folder, "%s/store/deep/images/ab", fixture->scratch);
    assert_int_equal(count_files(folder), 1); // no temporary file stays
}

static void test_missing_and_too_large(void **state)
{
    struct fixture *fixture = *state;
    char large[1002];
    expect_get(fixture, "a", STATUS_REJECTED, "no such object"); // not even the root is there
    memset(large, 'x', 1001);
    large[1001] = '\0';
    put_text(fixture, "large", large);
    expect_get(fixture, "large", STATUS_REJECTED, "1001 bytes, 1000 are allowed");
    expect_get(fixture, "other", STATUS_REJECTED, "no such object");
    expect_get(fixture, "large/below", STATUS_REJECTED, "neither is followed");
    large[1000] = '\0';
    put_text(fixture, "large", large);
    expect_get(fixture, "large", STATUS_OK, "");
}

static void test_bad_keys_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const keys[] = {
        "",    "/",   "/a",  "a/",    "a//b", ".",    "..", "...", "../a", "a/../b",   "a/..",
        "a/.", "./a", "a b", "a%2fb", "a\\b", "a\nb", "~a", "a?b", "a#b",  "\xc3\xa9",
    };
    struct error err;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        expect_get(fixture, keys[i], STATUS_REJECTED, "key");
        assert_int_equal(object_store_put(fixture->store, keys[i], text_bytes("x"), "text/plain", &err),
                         STATUS_REJECTED);
    }
    char key[300];
    memset(key, 'a', sizeof key);
    key[256] = '\0';
    expect_get(fixture, key, STATUS_REJECTED, "key");
    key[255] = '\0';
    put_text(fixture, key, "the longest name");
    put_text(fixture, "a/.hidden/..b/c..", "dots among other characters are fine");
}

static void test_uris(void **state)
{
    struct fixture *fixture = *state;
    char uri[OBJECT_URI_SIZE];
    char key[OBJECT_KEY_SIZE];
    char expected[OBJECT_URI_SIZE];
    struct error err;
    object_store_uri(fixture->store, "images/a.jpg", uri);
    snprintf(expected, sizeof expected, "file://%s/store/deep/images/a.jpg", fixture->scratch);
    assert_string_equal(uri, expected);
    assert_int_equal(object_store_key(fixture->store, uri, key, &err), STATUS_OK);
    assert_string_equal(key, "images/a.jpg");

    static const char *const below[] = {"",       "/",         "//a",    "/../a", "/a/../../b", "x/a",
                                        "/a%2eb", "/%2e%2e/a", "/a?x=1", "/a#b",  "/a/"};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        snprintf(uri, sizeof uri, "file://%s/store/deep%s", fixture->scratch, below[i]);
        if (object_store_key(fixture->store, uri, key, &err) != STATUS_REJECTED)
            fail_msg("%s was accepted", uri);
    }
    static const char *const elsewhere[] = {"",  "file:///etc/passwd", "s3://bucket/a", "http://host/a",
                                            "a", "/etc/passwd"};
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        assert_int_equal(object_store_key(fixture->store, elsewhere[i], key, &err), STATUS_REJECTED);
}

static void test_roots(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "/data",
        "file://",
        "file:///",
        "file://host/data",
        "file:///a/../b",
        "file:///a/..",
        "file:///a//b",
        "file:///a%20b",
        "file:///a b",
        "http://host",
        "s3:///bucket",
        "FILE:///a",
    };
    struct object_store *store;
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct object_store_options options = {.root = bad[i], .s3_region = "us-east-1", .timeout_ms = 1000};
        if (object_store_open(&store, &options, &err) != STATUS_REJECTED)
            fail_msg("%s was accepted", bad[i]);
        assert_null(store);
    }
    object_store_close(NULL);
}

static void path_in(const struct fixture *fixture, const char *name, char path[SCRATCH_SIZE + 64])
{
    snprintf(path, SCRATCH_SIZE + 64, "%s/%s", fixture->scratch, name);
}

static void test_what_is_no_regular_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[SCRATCH_SIZE + 64];
    put_text(fixture, "folder/object", "x");
    path_in(fixture, "store/deep/fifo", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_get(fixture, "fifo", STATUS_REJECTED, "regular file"); // and does not wait for a writer
    expect_get(fixture, "folder", STATUS_REJECTED, "regular file");
    struct error err;
    assert_int_equal(object_store_put(fixture->store, "folder", text_bytes("x"), "text/plain", &err),
                     STATUS_REJECTED);
    path_in(fixture, "store/deep", path);
    assert_int_equal(count_files(path), 2); // fifo and folder: no temporary file stays after a failure
}

static void test_symbolic_links_lead_nowhere(void **state)
{
    struct fixture *fixture = *state;
    char outside[SCRATCH_SIZE + 64];
    char path[SCRATCH_SIZE + 64];
    struct error err;
    put_text(fixture, "a", "x");
    path_in(fixture, "outside", outside);
    assert_int_equal(mkdir(outside, 0700), 0);
    path_in(fixture, "store/deep/link", path);
    assert_int_equal(symlink(outside, path), 0);
    assert_int_equal(object_store_put(fixture->store, "link/b", text_bytes("x"), "text/plain", &err),
                     STATUS_REJECTED);
    assert_int_equal(count_files(outside), 0);
    path_in(fixture, "store/deep/passwd", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    expect_get(fixture, "passwd", STATUS_REJECTED, "neither is followed");
    put_text(fixture, "passwd", "mine"); // takes the link's place, not its target's
    expect_get(fixture, "passwd", STATUS_OK, "");
}

static void test_root_below_a_file(void **state)
{
    struct fixture *fixture = *state;
    char root[SCRATCH_SIZE + 64];
    struct object_store *store;
    struct error err;
    put_text(fixture, "a", "x");
    snprintf(root, sizeof root, "file://%s/store/deep/a/b", fixture->scratch);
    struct object_store_options options = {.root = root};
    assert_int_equal(object_store_open(&store, &options, &err), STATUS_OK);
    assert_int_not_equal(object_store_check(store, &err), STATUS_OK);
    assert_non_null(strstr(err.message, "can't make the folder"));
    object_store_close(store);
    assert_int_equal(object_store_check(fixture->store, &err), STATUS_OK);
}

static void test_a_store_left_alone_says_why(void **state)
{
    struct fixture *fixture = *state;
    char path[SCRATCH_SIZE + 64];
    struct object_store *store;
    struct error err;
    path_in(fixture, "occupied", path);
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(file >= 0);
    close(file);
    snprintf(path, sizeof path, "file://%s/occupied/store", fixture->scratch);
    struct object_store_options options = {.root = path};
    assert_int_equal(object_store_open(&store, &options, &err), STATUS_OK);
    for (int i = 0; i < 6; i++)
        assert_int_equal(object_store_put(store, "a", text_bytes("x"), "text/plain", &err), STATUS_RETRY);
    assert_non_null(strstr(err.message, "left alone for a while after 5 failures"));
    assert_non_null(strstr(err.message, "can't make the folder"));
    object_store_close(store);
}

struct race {
    struct fixture *fixture;
    uint8_t letter;
    atomic_bool *stop;
};

static void *write_letter(void *context)
{
    struct race *race = context;
    uint8_t data[900];
    struct error err;
    size_t size = 100u * (race->letter - 'a' + 1u);
    memset(data, race->letter, sizeof data);
    while (!atomic_load(race->stop))
        if (object_store_put(race->fixture->store, "raced/object", (struct bytes){data, size}, "text/plain",
                             &err) != STATUS_OK)
            return "a put failed";
    return NULL;
}

static void test_a_reader_sees_whole_objects_only(void **state)
{
    struct fixture *fixture = *state;
    struct race races[3];
    pthread_t threads[3];
    atomic_bool stop = false;
    struct buffer out;
    struct error err;
    buffer_init(&out, 1000);
    put_text(fixture, "raced/object", "");
    for (size_t i = 0; i < 3; i++) {
        races[i] = (struct race){fixture, (uint8_t)('a' + i), &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, write_letter, &races[i]), 0);
    }
    for (int i = 0; i < 500; i++) {
        if (object_store_get(fixture->store, "raced/object", &out, &err) != STATUS_OK)
            fail_msg("%s", err.message);
        if (out.size > 0)
            assert_int_equal(out.size, 100 * (out.data[0] - 'a' + 1));
        for (size_t j = 1; j < out.size; j++)
            assert_int_equal(out.data[j], out.data[0]);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 3; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
    buffer_release(&out);
}

// Whether it failed in a way that may pass, with this reason, and left nothing behind.
static void check_lost(struct fixture *fixture, struct bytes data, const char *reason)
{
    char folder[SCRATCH_SIZE + 64];
    struct error err = {""};
    path_in(fixture, "store/deep", folder);
    assert_int_equal(object_store_put(fixture->store, "b", data, "text/plain", &err), STATUS_RETRY);
    assert_non_null(strstr(err.message, reason));
    assert_int_equal(count_files(folder), 1);
}

static void test_full_or_failing_disk_may_be_tried_again(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t large[1000];
    const struct bytes data = {large, sizeof large};
    struct buffer out;
    struct error err;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7);
    put_text(fixture, "a", "x");
    disk.room = 700;
    check_lost(fixture, data, "No space left on device");
    disk.room = SIZE_MAX;
    disk.failing = true;
    check_lost(fixture, data, "Input/output error");
    disk.failing = false;
    disk.piece = 7; // a signal, or a quota, may end a write early
    assert_int_equal(object_store_put(fixture->store, "b", data, "text/plain", &err), STATUS_OK);
    disk.piece = SIZE_MAX;
    buffer_init(&out, sizeof large);
    assert_int_equal(object_store_get(fixture->store, "b", &out, &err), STATUS_OK);
    assert_true(bytes_equal(buffer_bytes(&out), data));
    buffer_release(&out);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_what_is_put_is_got),
        IN_FOLDER(test_missing_and_too_large),
        IN_FOLDER(test_bad_keys_are_refused),
        IN_FOLDER(test_uris),
        cmocka_unit_test(test_roots),
        IN_FOLDER(test_what_is_no_regular_file_is_refused),
        IN_FOLDER(test_symbolic_links_lead_nowhere),
        IN_FOLDER(test_root_below_a_file),
        IN_FOLDER(test_a_store_left_alone_says_why),
        IN_FOLDER(test_a_reader_sees_whole_objects_only),
        IN_FOLDER(test_full_or_failing_disk_may_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
