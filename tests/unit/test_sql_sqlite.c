// test_sql_sqlite.c: which URLs name a store, whose a SQLite file is, and what is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/services/sql.h"
#include "tests/support/process.h"

enum { TIMEOUT_MS = 5000 };

static char folder[SCRATCH_SIZE];

static void test_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "store.db",     "sqlite:",        "sqlite://",
                                      "sqlite:///", "sqlite://a/b", "sqlite:///dir/", "mysql://host/db",
                                      "file:///x",  "postgres",     "postgresql:",    "sqlite:/x"};
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (sql_url_check(bad[i], &err) != STATUS_REJECTED)
            fail_msg("%s was accepted", bad[i]);
    assert_int_equal(sql_url_check("sqlite:///var/lib/store.db", &err), STATUS_OK);
    assert_int_equal(sql_url_check("postgresql://me:secret@db:5433/skinsight?sslmode=verify-full", &err),
                     STATUS_OK);
    assert_int_equal(sql_url_check("postgres://db/skinsight", &err), STATUS_OK);
}

static void test_a_sqlite_file_is_its_owners(void **state)
{
    (void)state;
    static const struct sql_migration migrations[] = {{.text = "CREATE TABLE mode (id BIGINT);"}, {0}};
    char path[SCRATCH_SIZE + 80];
    struct stat about;
    mode_t before = umask(0);
    struct sql *sql;
    struct error err;
    char url[SCRATCH_SIZE + 64];
    snprintf(url, sizeof url, "sqlite://%s/store.db", folder);
    const struct sql_options options = {.url = url, .timeout_ms = TIMEOUT_MS};
    assert_int_equal(sql_open(&sql, &options, &err), STATUS_OK);
    assert_int_equal(sql_migrate(sql, "mode", migrations, &err), STATUS_OK);
    umask(before);
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", url + strlen("sqlite://"), endings[i]);
        assert_int_equal(stat(path, &about), 0);
        assert_int_equal(about.st_mode & 0777, 0600);
    }
    sql_close(sql);
}

static void test_what_is_no_sqlite_file(void **state)
{
    (void)state;
    char path[SCRATCH_SIZE + 80];
    struct sql *sql;
    struct error err;
    struct sql_options options = {.url = path, .timeout_ms = TIMEOUT_MS};
    snprintf(path, sizeof path, "sqlite://%s/picture", folder);
    FILE *file = fopen(path + strlen("sqlite://"), "w");
    for (int i = 0; i < 1000; i++)
        fputs("no database", file);
    fclose(file);
    assert_int_equal(sql_open(&sql, &options, &err), STATUS_FATAL);
    assert_null(sql);
    snprintf(path, sizeof path, "sqlite://%s", folder); // a folder
    assert_int_equal(sql_open(&sql, &options, &err), STATUS_FATAL);
    snprintf(path, sizeof path, "sqlite://%s/nowhere/store.db", folder);
    assert_int_equal(sql_open(&sql, &options, &err), STATUS_FATAL);
    assert_non_null(strstr(err.message, "nowhere"));
}

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_a_sqlite_file_is_its_owners),
        cmocka_unit_test(test_what_is_no_sqlite_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
