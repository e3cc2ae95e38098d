// test_sql.c: both databases keep the rules of sql.h; every case runs on each of them.
#include "common/services/sql.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "tests/support/both_stores.h"

enum { TIMEOUT_MS = 5000, SHORT_MS = 1500 };

static _Thread_local struct error err; // of the last call that failed

static struct sql *open_for(int64_t timeout_ms)
{
    const struct sql_options options = {.url = store_url, .timeout_ms = timeout_ms};
    struct sql *sql;
    if (sql_open(&sql, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return sql;
}

static struct sql *open_store(void)
{
    return open_for(TIMEOUT_MS);
}

// Fails with the database's sentence.
#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

static void run(struct sql *sql, const char *text)
{
    GOOD(sql_run(sql, text, NULL, 0, NULL, &err));
}

static int64_t number_of(struct sql *sql, const char *text)
{
    bool found = false;
    GOOD(sql_find(sql, text, NULL, 0, &found, &err));
    assert_true(found);
    return sql_integer(sql, 0);
}

// A table of this case's own.
static void make_table(struct sql *sql, const char *part, const char *text)
{
    const struct sql_migration migrations[] = {{.text = text}, {0}};
    GOOD(sql_migrate(sql, part, migrations, &err));
}

static void test_values_come_back_as_they_were(void **state)
{
    (void)state;
    struct sql *sql = open_store();
    make_table(sql, "values",
               "CREATE TABLE kinds (id BIGINT PRIMARY KEY, whole BIGINT, number DOUBLE PRECISION,"
               " words TEXT, data BYTEA);");
    static const uint8_t bytes[] = {0, 1, '\\', 'x', 0xff, 0, '\''};
    const char *words = "a'b\"c?d\\e \xc3\xa9\xe2\x82\xac; DROP TABLE kinds; --";
    const struct sql_value rows[][5] = {
        {sql_of_integer(1), sql_of_integer(INT64_MIN), sql_of_real(0.1), sql_of_text(words),
         sql_of_blob(bytes, sizeof bytes)},
        {sql_of_integer(2), sql_of_integer(INT64_MAX), sql_of_real(-1.7976931348623157e308), sql_of_text(""),
         sql_of_blob(NULL, 0)},
        {sql_of_integer(3), sql_null(), sql_null(), sql_of_text(NULL), sql_null()},
    };
    for (size_t i = 0; i < 3; i++)
        GOOD(sql_run(sql, "INSERT INTO kinds VALUES (?, ?, ?, ?, ?)", rows[i], 5, NULL, &err));
    bool more;
    GOOD(sql_query(sql, "SELECT whole, number, words, data FROM kinds ORDER BY id", NULL, 0, &err));
    GOOD(sql_next(sql, &more, &err));
    assert_true(more);
    assert_true(sql_integer(sql, 0) == INT64_MIN);
    assert_true(sql_real(sql, 1) == 0.1);
    assert_string_equal(sql_text(sql, 2), words);
    assert_int_equal(sql_blob(sql, 3).size, sizeof bytes);
    assert_memory_equal(sql_blob(sql, 3).data, bytes, sizeof bytes);
    GOOD(sql_next(sql, &more, &err));
    assert_true(sql_integer(sql, 0) == INT64_MAX);
    assert_true(sql_real(sql, 1) == -1.7976931348623157e308);
    assert_false(sql_is_null(sql, 2));
    assert_string_equal(sql_text(sql, 2), "");
    assert_false(sql_is_null(sql, 3));
    assert_int_equal(sql_blob(sql, 3).size, 0);
    GOOD(sql_next(sql, &more, &err));
    assert_true(more);
    for (size_t i = 0; i < 4; i++)
        assert_true(sql_is_null(sql, i));
    GOOD(sql_next(sql, &more, &err));
    assert_false(more);
    sql_end(sql);
    // A parameter of another kind each time, and functions over rows.
    const struct sql_value none = sql_null();
    bool found;
    GOOD(sql_find(sql, "SELECT id FROM kinds WHERE words = ?", &rows[0][3], 1, &found, &err));
    assert_true(found && sql_integer(sql, 0) == 1);
    GOOD(sql_find(sql, "SELECT id FROM kinds WHERE words = ?", &none, 1, &found, &err));
    assert_false(found);
    assert_int_equal(number_of(sql, "SELECT sum(id) FROM kinds"), 6);
    assert_int_equal(number_of(sql, "SELECT count(*) FROM kinds"), 3);
    assert_int_equal(number_of(sql, "SELECT coalesce(max(id), 0) FROM kinds WHERE id > 9"), 0);
    sql_close(sql);
}

static void test_values_that_do_not_fit(void **state)
{
    (void)state;
    struct sql *sql = open_store();
    make_table(sql, "limits", "CREATE TABLE limits (words TEXT, data BYTEA);");
    struct sql_value value = {.type = SQL_TEXT, .bytes = {.data = (const uint8_t *)"a\0b", .size = 3}};
    assert_int_equal(sql_run(sql, "INSERT INTO limits (words) VALUES (?)", &value, 1, NULL, &err),
                     STATUS_REJECTED);
    uint8_t *large = memory_alloc(SQL_VALUE_BYTES + 1);
    value = sql_of_blob(large, SQL_VALUE_BYTES + 1);
    assert_int_equal(sql_run(sql, "INSERT INTO limits (data) VALUES (?)", &value, 1, NULL, &err),
                     STATUS_REJECTED);
    value = sql_of_blob(large, SQL_VALUE_BYTES);
    GOOD(sql_run(sql, "INSERT INTO limits (data) VALUES (?)", &value, 1, NULL, &err));
    bool found;
    GOOD(sql_find(sql, "SELECT data FROM limits", NULL, 0, &found, &err));
    assert_int_equal(sql_blob(sql, 0).size, SQL_VALUE_BYTES);
    free(large);
    sql_close(sql);
}

static void test_what_a_change_says(void **state)
{
    (void)state;
    struct sql *sql = open_store();
    int64_t changed = -1;
    make_table(sql, "changes", "CREATE TABLE changes (id TEXT PRIMARY KEY, n BIGINT NOT NULL);");
    const struct sql_value first[] = {sql_of_text("Doe"), sql_of_integer(1)};
    const char *insert = "INSERT INTO changes VALUES (?, ?)";
    GOOD(sql_run(sql, insert, first, 2, &changed, &err));
    assert_int_equal(changed, 1);
    assert_int_equal(sql_run(sql, insert, first, 2, &changed, &err), STATUS_REJECTED);
    assert_null(strstr(err.message, "Doe"));
    const struct sql_value none[] = {sql_of_text("Roe"), sql_null()};
    assert_int_equal(sql_run(sql, insert, none, 2, &changed, &err), STATUS_REJECTED);
    assert_null(strstr(err.message, "Roe"));
    GOOD(sql_run(sql, "INSERT INTO changes VALUES (?, ?) ON CONFLICT (id) DO NOTHING", first, 2, &changed,
                 &err));
    assert_int_equal(changed, 0);
    GOOD(sql_run(sql, "UPDATE changes SET n = n + 1 WHERE id = ? AND n = ?", first, 2, &changed, &err));
    assert_int_equal(changed, 1);
    GOOD(sql_run(sql, "UPDATE changes SET n = n + 1 WHERE id = ? AND n = ?", first, 2, &changed, &err));
    assert_int_equal(changed, 0);
    bool found;
    GOOD(sql_find(sql, "UPDATE changes SET n = 7 WHERE id = ? RETURNING n", first, 1, &found, &err));
    assert_true(found);
    assert_int_equal(sql_integer(sql, 0), 7);
    assert_int_equal(number_of(sql, "SELECT n FROM changes"), 7);
    assert_int_equal(sql_run(sql, "INSERT INTO nowhere VALUES (1)", NULL, 0, NULL, &err), STATUS_FATAL);
    assert_int_equal(sql_run(sql, "INSRT", NULL, 0, NULL, &err), STATUS_FATAL);
    run(sql, "DELETE FROM changes"); // the connection is well
    sql_close(sql);
}

static void test_transactions(void **state)
{
    (void)state;
    struct sql *sql = open_store(), *other = open_store();
    make_table(sql, "transactions", "CREATE TABLE transactions (id BIGINT PRIMARY KEY);");
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    run(sql, "INSERT INTO transactions VALUES (1)");
    assert_int_equal(number_of(sql, "SELECT count(*) FROM transactions"), 1);
    assert_int_equal(number_of(other, "SELECT count(*) FROM transactions"), 0);
    sql_rollback(sql);
    assert_int_equal(number_of(sql, "SELECT count(*) FROM transactions"), 0);
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    run(sql, "INSERT INTO transactions VALUES (1)");
    GOOD(sql_commit(sql, &err));
    assert_int_equal(number_of(other, "SELECT count(*) FROM transactions"), 1);
    // One failure, and nothing of the transaction stays.
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    run(sql, "INSERT INTO transactions VALUES (2)");
    assert_int_equal(sql_run(sql, "INSERT INTO transactions VALUES (1)", NULL, 0, NULL, &err),
                     STATUS_REJECTED);
    assert_int_equal(sql_run(sql, "INSERT INTO transactions VALUES (3)", NULL, 0, NULL, &err),
                     STATUS_REJECTED);
    assert_int_equal(sql_commit(sql, &err), STATUS_REJECTED);
    assert_int_equal(number_of(sql, "SELECT count(*) FROM transactions"), 1);
    // A reader sees one state, and changes nothing.
    GOOD(sql_begin(other, SQL_READ, &err));
    assert_int_equal(number_of(other, "SELECT count(*) FROM transactions"), 1);
    run(sql, "INSERT INTO transactions VALUES (4)");
    assert_int_equal(number_of(other, "SELECT count(*) FROM transactions"), 1);
    GOOD(sql_commit(other, &err));
    assert_int_equal(number_of(other, "SELECT count(*) FROM transactions"), 2);
    GOOD(sql_begin(other, SQL_READ, &err));
    assert_int_not_equal(sql_run(other, "DELETE FROM transactions", NULL, 0, NULL, &err), STATUS_OK);
    sql_rollback(other);
    assert_int_equal(number_of(other, "SELECT count(*) FROM transactions"), 2);
    sql_rollback(other); // nothing is open
    sql_close(other);
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    run(sql, "DELETE FROM transactions");
    sql_close(sql); // rolls back
    sql = open_store();
    assert_int_equal(number_of(sql, "SELECT count(*) FROM transactions"), 2);
    sql_close(sql);
}

// Rows not read to their end, and many of them.
static void test_rows_left_behind(void **state)
{
    (void)state;
    struct sql *sql = open_store();
    make_table(sql, "many", "CREATE TABLE many (id BIGINT PRIMARY KEY, words TEXT);");
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    for (int64_t i = 0; i < 3000; i++) {
        const struct sql_value row[] = {sql_of_integer(i), sql_of_text("some words")};
        GOOD(sql_run(sql, "INSERT INTO many VALUES (?, ?)", row, 2, NULL, &err));
    }
    GOOD(sql_commit(sql, &err));
    bool more;
    GOOD(sql_query(sql, "SELECT id, words FROM many ORDER BY id", NULL, 0, &err));
    GOOD(sql_next(sql, &more, &err));
    sql_end(sql);
    assert_int_equal(sql_integer(sql, 0), 0);
    assert_string_equal(sql_text(sql, 1), "some words"); // until the next call
    GOOD(sql_query(sql, "SELECT id FROM many ORDER BY id", NULL, 0, &err));
    int64_t expected = 0;
    while (true) {
        GOOD(sql_next(sql, &more, &err));
        if (!more)
            break;
        assert_int_equal(sql_integer(sql, 0), expected++);
    }
    assert_int_equal(expected, 3000);
    sql_end(sql);
    sql_end(sql);
    sql_close(sql);
}

// More texts than a connection keeps prepared.
static void test_many_statements(void **state)
{
    (void)state;
    struct sql *sql = open_store();
    make_table(sql, "texts", "CREATE TABLE texts (id BIGINT PRIMARY KEY); INSERT INTO texts VALUES (1);");
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 300; i++) {
            char text[64];
            snprintf(text, sizeof text, "SELECT id + %d FROM texts", i);
            assert_int_equal(number_of(sql, text), 1 + i);
        }
    sql_close(sql);
}

static void test_many_values(void **state)
{
    (void)state;
    struct sql *sql = open_store();
    char text[64 + 8 * SQL_VALUES_MOST] = "INSERT INTO wide VALUES ";
    struct sql_value values[SQL_VALUES_MOST];
    make_table(sql, "wide", "CREATE TABLE wide (id BIGINT PRIMARY KEY);");
    for (int i = 0; i < SQL_VALUES_MOST; i++) {
        strcat(text, i ? ",(?)" : "(?)");
        values[i] = sql_of_integer(i);
    }
    int64_t changed;
    GOOD(sql_run(sql, text, values, SQL_VALUES_MOST, &changed, &err));
    assert_int_equal(changed, SQL_VALUES_MOST);
    strcpy(text, "SELECT id");
    for (int i = 1; i < SQL_VALUES_MOST; i++)
        strcat(text, ", id");
    strcat(text, " FROM wide WHERE id = ?");
    bool found;
    GOOD(sql_find(sql, text, &values[77], 1, &found, &err));
    assert_true(found);
    assert_int_equal(sql_integer(sql, SQL_VALUES_MOST - 1), 77);
    sql_close(sql);
}

static void test_migrations(void **state)
{
    (void)state;
    static const struct sql_migration first[] = {
        {.text = "CREATE TABLE steps (id BIGINT PRIMARY KEY); INSERT INTO steps VALUES (1);"},
        {0},
    };
    static const struct sql_migration second[] = {
        {.text = "CREATE TABLE steps (id BIGINT PRIMARY KEY); INSERT INTO steps VALUES (1);"},
        {.text = "ALTER TABLE steps ADD COLUMN words TEXT; INSERT INTO steps VALUES (2, 'two');"},
        {.append_only = "steps"},
        {0},
    };
    static const struct sql_migration broken[] = {
        {.text = "CREATE TABLE steps (id BIGINT PRIMARY KEY); INSERT INTO steps VALUES (1);"},
        {.text = "ALTER TABLE steps ADD COLUMN words TEXT; INSERT INTO steps VALUES (2, 'two');"},
        {.append_only = "steps"},
        {.text = "INSERT INTO steps VALUES (3, 'three'); INSERT INTO nowhere VALUES (1);"},
        {0},
    };
    struct sql *sql = open_store();
    GOOD(sql_migrate(sql, "steps", first, &err));
    GOOD(sql_migrate(sql, "steps", first, &err));
    assert_int_equal(number_of(sql, "SELECT count(*) FROM steps"), 1);
    GOOD(sql_migrate(sql, "steps", second, &err));
    assert_int_equal(number_of(sql, "SELECT count(*) FROM steps WHERE words = 'two'"), 1);
    // Append-only.
    run(sql, "INSERT INTO steps VALUES (10, 'ten')");
    static const char *const forbidden[] = {"UPDATE steps SET words = ''", "DELETE FROM steps WHERE id = 10"};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(sql_run(sql, forbidden[i], NULL, 0, NULL, &err), STATUS_REJECTED);
    assert_int_equal(number_of(sql, "SELECT count(*) FROM steps"), 3);
    // A step that fails leaves nothing.
    assert_int_equal(sql_migrate(sql, "steps", broken, &err), STATUS_FATAL);
    assert_non_null(strstr(err.message, "step 4"));
    assert_int_equal(number_of(sql, "SELECT count(*) FROM steps"), 3);
    // Tables of a newer program.
    assert_int_equal(sql_migrate(sql, "steps", first, &err), STATUS_REJECTED);
    assert_non_null(strstr(err.message, "version 3"));
    GOOD(sql_migrate(sql, "steps", second, &err));
    sql_close(sql);
}

// Programs that start at once: each finds the tables made, once.
static void *migrate_once(void *answer)
{
    static const struct sql_migration migrations[] = {
        {.text = "CREATE TABLE once (id BIGINT PRIMARY KEY);"},
        {.text = "INSERT INTO once VALUES (1);"},
        {0},
    };
    struct sql *sql = open_store();
    *(enum status *)answer = sql_migrate(sql, "once", migrations, &err);
    if (*(enum status *)answer != STATUS_OK)
        fprintf(stderr, "%s\n", err.message);
    sql_close(sql);
    return NULL;
}

static void test_migrations_side_by_side(void **state)
{
    (void)state;
    enum { PROGRAMS = 6 };
    pthread_t threads[PROGRAMS];
    enum status answers[PROGRAMS];
    for (int i = 0; i < PROGRAMS; i++)
        pthread_create(&threads[i], NULL, migrate_once, &answers[i]);
    for (int i = 0; i < PROGRAMS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PROGRAMS; i++)
        assert_int_equal(answers[i], STATUS_OK);
    struct sql *sql = open_store();
    assert_int_equal(number_of(sql, "SELECT count(*) FROM once"), 1);
    sql_close(sql);
}

// Read, then write what was read plus one: right only where transactions run as if one after the other.
static enum status count_up(struct sql *sql, void *context, struct error *why)
{
    (void)context;
    bool found;
    enum status status = sql_find(sql, "SELECT n FROM counters WHERE id = 1", NULL, 0, &found, why);
    if (status != STATUS_OK)
        return status;
    const struct sql_value next = sql_of_integer(sql_integer(sql, 0) + 1);
    return sql_run(sql, "UPDATE counters SET n = ? WHERE id = 1", &next, 1, NULL, why);
}

enum { COUNTERS = 4, COUNTS = 25 };

static void *count_many(void *done)
{
    struct sql *sql = open_store();
    for (int i = 0; i < COUNTS; i++) {
        enum status status;
        do // all of its tries may lose
            status = sql_transaction(sql, SQL_WRITE, count_up, NULL, &err);
        while (status == STATUS_RETRY);
        *(int *)done += status == STATUS_OK;
    }
    sql_close(sql);
    return NULL;
}

static void test_transactions_side_by_side(void **state)
{
    (void)state;
    pthread_t threads[COUNTERS];
    int done[COUNTERS] = {0};
    struct sql *sql = open_store();
    make_table(sql, "counters",
               "CREATE TABLE counters (id BIGINT PRIMARY KEY, n BIGINT NOT NULL); INSERT INTO counters "
               "VALUES (1, 0);");
    for (int i = 0; i < COUNTERS; i++)
        pthread_create(&threads[i], NULL, count_many, &done[i]);
    for (int i = 0; i < COUNTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(done[i], COUNTS);
    }
    assert_int_equal(number_of(sql, "SELECT n FROM counters"), COUNTERS * COUNTS);
    sql_close(sql);
}

// Another one's lock, and a statement without an end: the call is over in time, and the connection lives on.
static void test_time_limit(void **state)
{
    (void)state;
    struct sql *holder = open_store(), *waiter = open_for(SHORT_MS);
    bool found;
    make_table(holder, "locks", "CREATE TABLE locks (id BIGINT PRIMARY KEY); INSERT INTO locks VALUES (1);");
    GOOD(sql_begin(holder, SQL_WRITE, &err));
    run(holder, "UPDATE locks SET id = 2");
    int64_t start_ms = clock_monotonic_ms();
    assert_int_equal(sql_run(waiter, "UPDATE locks SET id = 3", NULL, 0, NULL, &err), STATUS_RETRY);
    assert_in_range(clock_monotonic_ms() - start_ms, SHORT_MS * 8 / 10, TIMEOUT_MS);
    GOOD(sql_commit(holder, &err));
    start_ms = clock_monotonic_ms();
    assert_int_equal(
        sql_find(waiter,
                 "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 - (n - n) * 0 FROM "
                 "numbers WHERE n < 1000000000) SELECT count(*) FROM numbers",
                 NULL, 0, &found, &err),
        STATUS_RETRY);
    assert_in_range(clock_monotonic_ms() - start_ms, SHORT_MS * 8 / 10, TIMEOUT_MS);
    assert_int_equal(number_of(waiter, "SELECT id FROM locks"), 2);
    sql_close(waiter);
    sql_close(holder);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_values_come_back_as_they_were),
        cmocka_unit_test(test_values_that_do_not_fit),
        cmocka_unit_test(test_what_a_change_says),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_rows_left_behind),
        cmocka_unit_test(test_many_statements),
        cmocka_unit_test(test_many_values),
        cmocka_unit_test(test_migrations),
        cmocka_unit_test(test_migrations_side_by_side),
        cmocka_unit_test(test_transactions_side_by_side),
        cmocka_unit_test(test_time_limit),
    };
    return run_on_both_stores(cases, sizeof cases / sizeof *cases);
}
