// test_collect.c: folders become sorted lists of images, whatever lies in them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/collect.h"
#include "common/base/memory.h"
#include "tests/support/process.h"
#include "tests/support/skip.h"

struct fixture {
    char root[SCRATCH_SIZE];
    struct file_list list;
    int complaints;
    char last_complaint[512];
};

static void on_complaint(void *context, const char *sentence)
{
    struct fixture *fixture = context;
    fixture->complaints++;
    snprintf(fixture->last_complaint, sizeof fixture->last_complaint, "%s", sentence);
}

static int set_up(void **state)
{
    struct fixture *fixture = memory_alloc(sizeof *fixture);
    scratch_make(fixture->root);
    file_list_init(&fixture->list);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    scratch_remove(fixture->root);
    file_list_release(&fixture->list);
    free(fixture);
    return 0;
}

static char *path_of(const struct fixture *fixture, const char *name)
{
    return memory_format("%s/%s", fixture->root, name);
}

static void make_file(const struct fixture *fixture, const char *name)
{
    char *path = path_of(fixture, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    free(path);
}

static void make_folder(const struct fixture *fixture, const char *name)
{
    char *path = path_of(fixture, name);
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

static void make_link(const struct fixture *fixture, const char *target, const char *name)
{
    char *path = path_of(fixture, name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

static void collect(struct fixture *fixture, const char *name)
{
    const struct collect_complaints complaints = {on_complaint, fixture};
    char *path = path_of(fixture, name);
    struct error err;
    assert_int_equal(file_list_collect(&fixture->list, path, &complaints, &err), STATUS_OK);
    free(path);
}

// The list holds exactly these names under the root, in this order.
static void expect(const struct fixture *fixture, const char *const *names, size_t count)
{
    size_t skip = strlen(fixture->root) + 1;
    for (size_t i = 0; i < count && i < fixture->list.count; i++)
        assert_string_equal(fixture->list.paths[i] + skip, names[i]);
    assert_int_equal(fixture->list.count, count);
}

#define EXPECT(fixture, ...)                                                                                 \
    expect(fixture, (const char *const[]){__VA_ARGS__},                                                      \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void test_folder_is_searched_and_sorted(void **state)
{
    struct fixture *fixture = *state;
    make_folder(fixture, "in");
    make_folder(fixture, "in/b");
    make_folder(fixture, "in/trap.jpg"); // a folder with such a name is a folder
    make_file(fixture, "in/c.jpg");
    make_file(fixture, "in/a.JPEG");
    make_file(fixture, "in/b/z.Jpg");
    make_file(fixture, "in/trap.jpg/inner.jpeg");
    make_file(fixture, "in/notes.txt");
    make_file(fixture, "in/jpg");
    make_file(fixture, "in/a.jpg.png");
    collect(fixture, "in");
    EXPECT(fixture, "in/a.JPEG", "in/b/z.Jpg", "in/c.jpg", "in/trap.jpg/inner.jpeg");
    assert_int_equal(fixture->complaints, 0);
}

static void test_slash_at_the_end_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    make_folder(fixture, "in");
    make_file(fixture, "in/a.jpg");
    collect(fixture, "in//");
    EXPECT(fixture, "in/a.jpg");
}

static void test_named_file_is_taken_whatever_its_name(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture, "scan.dat");
    make_file(fixture, "b.jpg");
    collect(fixture, "scan.dat");
    collect(fixture, "b.jpg");
    EXPECT(fixture, "scan.dat", "b.jpg");
}

static void test_hidden_ones_are_left_out_unless_named(void **state)
{
    struct fixture *fixture = *state;
    make_folder(fixture, ".in");
    make_folder(fixture, ".in/.trash");
    make_folder(fixture, ".in/deep");
    make_file(fixture, ".in/a.jpg");
    make_file(fixture, ".in/._a.jpg");
    make_file(fixture, ".in/deep/.jpg");
    make_file(fixture, ".in/.trash/b.jpg");
    make_link(fixture, "nowhere", ".in/.gone.jpg");
    collect(fixture, ".in");
    collect(fixture, ".in/._a.jpg");
    EXPECT(fixture, ".in/a.jpg", ".in/._a.jpg");
    assert_int_equal(fixture->complaints, 0);
}

static void test_circles_of_links_end(void **state)
{
    struct fixture *fixture = *state;
    make_folder(fixture, "in");
    make_folder(fixture, "in/deep");
    make_file(fixture, "in/deep/a.jpg");
    make_link(fixture, "..", "in/deep/up");
    make_link(fixture, "self", "in/self");
    collect(fixture, "in");
    EXPECT(fixture, "in/deep/a.jpg");
}

static void test_links_to_elsewhere_are_followed(void **state)
{
    struct fixture *fixture = *state;
    make_folder(fixture, "in");
    make_folder(fixture, "other");
    make_file(fixture, "other/a.jpg");
    make_file(fixture, "b.jpg");
    make_link(fixture, "../other", "in/folder");
    make_link(fixture, "../b.jpg", "in/linked.jpg");
    collect(fixture, "in");
    EXPECT(fixture, "in/folder/a.jpg", "in/linked.jpg");
}

static void test_what_is_missing_is_told_and_the_rest_taken(void **state)
{
    struct fixture *fixture = *state;
    make_folder(fixture, "in");
    make_file(fixture, "in/b.jpg");
    make_link(fixture, "nowhere", "in/a.jpg");
    make_link(fixture, "nowhere", "in/not-an-image");
    collect(fixture, "absent");
    assert_int_equal(fixture->complaints, 1);
    assert_non_null(strstr(fixture->last_complaint, "absent"));
    collect(fixture, "in");
    assert_int_equal(fixture->complaints, 2);
    assert_non_null(strstr(fixture->last_complaint, "in/a.jpg"));
    EXPECT(fixture, "in/b.jpg");
}

static void test_unreadable_folder_is_told(void **state)
{
    struct fixture *fixture = *state;
    const uid_t nobody = 65534, self = geteuid(); // root reads every folder
    make_folder(fixture, "in");
    make_folder(fixture, "in/closed");
    make_file(fixture, "in/a.jpg");
    char *path = path_of(fixture, "in/closed");
    assert_int_equal(chmod(path, 0), 0);
    free(path);
    path = path_of(fixture, "in");
    if (chmod(fixture->root, 0755) != 0 || chmod(path, 0755) != 0 || (self == 0 && seteuid(nobody) != 0))
        SKIP("root reads every folder and can't become another user");
    free(path);
    collect(fixture, "in");
    assert_int_equal(seteuid(self), 0);
    assert_int_equal(fixture->complaints, 1);
    assert_non_null(strstr(fixture->last_complaint, "in/closed"));
    EXPECT(fixture, "in/a.jpg");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_folder_is_searched_and_sorted),
        TEST(test_slash_at_the_end_changes_nothing),
        TEST(test_named_file_is_taken_whatever_its_name),
        TEST(test_hidden_ones_are_left_out_unless_named),
        TEST(test_circles_of_links_end),
        TEST(test_links_to_elsewhere_are_followed),
        TEST(test_what_is_missing_is_told_and_the_rest_taken),
        TEST(test_unreadable_folder_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
