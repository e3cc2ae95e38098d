// test_sql_postgres.c: a server that dies, comes back or stops answering, and what its sentences say.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/services/sql.h"
#include "tests/support/postgres.h"

enum { TIMEOUT_MS = 10000, SHORT_MS = 3000 };

static struct postgres server;
static struct error err;

#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

static struct sql *open_store(int64_t timeout_ms)
{
    const struct sql_options options = {.url = server.url, .timeout_ms = timeout_ms};
    struct sql *sql;
    GOOD(sql_open(&sql, &options, &err));
    return sql;
}

static int64_t number_of(struct sql *sql, const char *text)
{
    bool found;
    GOOD(sql_find(sql, text, NULL, 0, &found, &err));
    assert_true(found);
    return sql_integer(sql, 0);
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "postgresql://h/d?password=s3cret", "postgresql://h/d?sslmode=require&password=x",
        "postgresql://h/d?nonsense=1", "postgresql://[::1/d", "postgresql://h/d%zz"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (sql_url_check(bad[i], &err) != STATUS_REJECTED)
            fail_msg("%s was accepted", bad[i]);
        assert_null(strstr(err.message, "s3cret"));
    }
}

// Neither the password nor a value stands in a name or a sentence.
static void test_sentences(void **state)
{
    (void)state;
    struct sql *sql = open_store(TIMEOUT_MS), *other;
    const struct sql_value name = sql_of_text("Jane Doe");
    assert_null(strstr(sql_name(sql), "s3cret"));
    assert_non_null(strstr(sql_name(sql), "127.0.0.1:"));
    assert_int_equal(sql_run(sql, "DELETE FROM pg_class WHERE oid = ?", &name, 1, NULL, &err),
                     STATUS_REJECTED);
    assert_null(strstr(err.message, "Jane"));
    struct sql_options options = {.url = "postgresql://skinsight:s3cret@127.0.0.1:1/d",
                                  .timeout_ms = TIMEOUT_MS};
    assert_int_equal(sql_open(&other, &options, &err), STATUS_RETRY);
    assert_null(strstr(err.message, "s3cret"));
    char url[SCRATCH_SIZE];
    snprintf(url, sizeof url, "postgresql://skinsight:wr0ng@127.0.0.1:%u/postgres", server.port);
    options.url = url;
    assert_int_equal(sql_open(&other, &options, &err), STATUS_RETRY);
    assert_non_null(strstr(err.message, "authentication"));
    assert_null(strstr(err.message, "wr0ng"));
    sql_close(sql);
}

// What the server would do for long statements costs short ones more than they take.
static void test_settings(void **state)
{
    (void)state;
    struct sql *sql = open_store(TIMEOUT_MS);
    bool found;
    GOOD(sql_find(sql, "SELECT setting FROM pg_settings WHERE name = 'jit'", NULL, 0, &found, &err));
    assert_string_equal(sql_text(sql, 0), "off");
    sql_close(sql);
}

// The third row can't be computed; the server has sent two by then.
static void test_a_failure_behind_the_first_row(void **state)
{
    (void)state;
    static const char text[] = "SELECT 10 / (3 - n) FROM generate_series(1, 3) AS numbers (n)";
    struct sql *sql = open_store(TIMEOUT_MS);
    bool found, more;
    assert_int_equal(sql_find(sql, text, NULL, 0, &found, &err), STATUS_REJECTED);
    GOOD(sql_begin(sql, SQL_READ, &err));
    GOOD(sql_query(sql, text, NULL, 0, &err));
    GOOD(sql_next(sql, &more, &err));
    assert_int_equal(sql_integer(sql, 0), 5);
    sql_end(sql);
    assert_int_equal(sql_find(sql, "SELECT 1", NULL, 0, &found, &err), STATUS_REJECTED);
    sql_rollback(sql);
    assert_int_equal(number_of(sql, "SELECT 1"), 1);
    sql_close(sql);
}

static void test_a_server_that_dies(void **state)
{
    (void)state;
    static const struct sql_migration migrations[] = {
        {.text = "CREATE TABLE deaths (id BIGINT PRIMARY KEY);"}, {0}};
    struct sql *sql = open_store(TIMEOUT_MS);
    GOOD(sql_migrate(sql, "deaths", migrations, &err));
    GOOD(sql_run(sql, "INSERT INTO deaths VALUES (1)", NULL, 0, NULL, &err));
    pid_t session = (pid_t)number_of(sql, "SELECT pg_backend_pid()");
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    GOOD(sql_run(sql, "INSERT INTO deaths VALUES (2)", NULL, 0, NULL, &err));
    process_kill(server.pid);
    kill(session, SIGKILL); // it outlives the server for a moment, in which it would still commit
    assert_int_equal(sql_commit(sql, &err), STATUS_RETRY);
    assert_int_equal(sql_run(sql, "INSERT INTO deaths VALUES (3)", NULL, 0, NULL, &err), STATUS_RETRY);
    assert_true(postgres_run_again(&server));
    // The connection comes back by itself, with its statements; the open transaction is gone.
    assert_int_equal(number_of(sql, "SELECT count(*) FROM deaths"), 1);
    process_kill(server.pid);
    assert_true(postgres_run_again(&server));
    GOOD(sql_run(sql, "INSERT INTO deaths VALUES (3)", NULL, 0, NULL, &err)); // was away between two calls
    process_kill(server.pid);
    assert_true(postgres_run_again(&server));
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    GOOD(sql_run(sql, "INSERT INTO deaths VALUES (4)", NULL, 0, NULL, &err));
    GOOD(sql_commit(sql, &err));
    assert_int_equal(number_of(sql, "SELECT count(*) FROM deaths"), 3);
    sql_close(sql);
}

// Frozen in the middle of a call: the call ends in time, and the late answer goes to no later one.
static void test_a_server_that_is_silent(void **state)
{
    (void)state;
    struct sql *sql = open_store(SHORT_MS);
    pid_t session = (pid_t)number_of(sql, "SELECT pg_backend_pid()");
    assert_int_equal(kill(session, SIGSTOP), 0);
    bool found;
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(sql_find(sql, "SELECT 7", NULL, 0, &found, &err), STATUS_RETRY);
    assert_in_range(clock_monotonic_ms() - start_ms, SHORT_MS - 50, TIMEOUT_MS);
    assert_non_null(strstr(err.message, "did not answer"));
    kill(session, SIGCONT);
    assert_int_equal(number_of(sql, "SELECT 8"), 8);
    assert_int_not_equal(number_of(sql, "SELECT pg_backend_pid()"), session);
    sql_close(sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_a_failure_behind_the_first_row),
        cmocka_unit_test(test_a_server_that_dies),
        cmocka_unit_test(test_a_server_that_is_silent),
    };
    if (!postgres_start(&server) && !server.programs[0]) {
        fprintf(stderr, "PostgreSQL is not installed\n");
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    postgres_stop(&server);
    return failed;
}
