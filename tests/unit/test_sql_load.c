// test_sql_load.c: many rows at once, on both databases: as if each were inserted.
#include "common/services/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "tests/support/both_stores.h"

enum { TIMEOUT_MS = 5000 };

static struct error err; // of the last call that failed

static struct sql *open_store(void)
{
    const struct sql_options options = {.url = store_url, .timeout_ms = TIMEOUT_MS};
    struct sql *sql;
    if (sql_open(&sql, &options, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return sql;
}

// Fails with the database's sentence.
#define GOOD(call)                                                                                           \
    do {                                                                                                     \
        if ((call) != STATUS_OK)                                                                             \
            fail_msg("line %d: %s", __LINE__, err.message);                                                  \
    } while (0)

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

struct loaded {
    const int64_t *ids;
    const uint8_t *data;
    char words[64];
    size_t bad; // row whose text holds a zero byte; SIZE_MAX: none
};

static void fill_loaded(void *context, size_t row, struct sql_value *values)
{
    struct loaded *loaded = context;
    snprintf(loaded->words, sizeof loaded->words, "row %zu, a comma and a \\ and \xc3\xa9", row);
    values[0] = sql_of_integer(loaded->ids[row]);
    values[1] = sql_of_text(loaded->words);
    values[2] = row % 3 ? sql_of_real((double)row / 8) : sql_null();
    values[3] = sql_of_blob(loaded->data, row * 1000 % 70000);
    if (row == loaded->bad)
        values[1].bytes = (struct bytes){(const uint8_t *)"a\0b", 3};
}

static enum status load_some(struct sql *sql, struct loaded *loaded, size_t rows, int64_t *changed)
{
    const struct sql_load load = {.table = "loaded",
                                  .columns = "id, words, number, data",
                                  .column_count = 4,
                                  .rows = rows,
                                  .fill = fill_loaded,
                                  .context = loaded};
    return sql_load(sql, &load, changed, &err);
}

static void test_many_rows_at_once(void **state)
{
    (void)state;
    enum { ROWS = 200 };
    struct sql *sql = open_store();
    make_table(sql, "loaded",
               "CREATE TABLE loaded (id BIGINT PRIMARY KEY, words TEXT NOT NULL, number DOUBLE PRECISION,"
               " data BYTEA NOT NULL);");
    int64_t ids[ROWS], changed;
    uint8_t *data = memory_alloc(70000);
    for (size_t i = 0; i < ROWS; i++)
        ids[i] = (int64_t)i - 100;
    for (size_t i = 0; i < 70000; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    struct loaded loaded = {.ids = ids, .data = data, .bad = SIZE_MAX};
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    GOOD(load_some(sql, &loaded, 100, &changed));
    assert_int_equal(changed, 100);
    ids[150] = 3; // three times in this load; below row 100 is what is known
    ids[151] = 3;
    GOOD(load_some(sql, &loaded, ROWS, &changed));
    assert_int_equal(changed, 98);
    GOOD(load_some(sql, &loaded, 0, &changed));
    assert_int_equal(changed, 0);
    GOOD(sql_commit(sql, &err));
    assert_int_equal(number_of(sql, "SELECT count(*) FROM loaded"), 198);
    // What went in comes out.
    bool found;
    const struct sql_value id = sql_of_integer(-100 + 77);
    GOOD(sql_find(sql, "SELECT words, number, data FROM loaded WHERE id = ?", &id, 1, &found, &err));
    assert_true(found);
    assert_string_equal(sql_text(sql, 0), "row 77, a comma and a \\ and \xc3\xa9");
    assert_true(sql_real(sql, 1) == 77.0 / 8);
    assert_int_equal(sql_blob(sql, 2).size, 7000);
    assert_memory_equal(sql_blob(sql, 2).data, data, 7000);
    assert_int_equal(number_of(sql, "SELECT count(*) FROM loaded WHERE number IS NULL"), 66);
    // A row that can't be stored ends the transaction, and not the connection.
    ids[0] = 1000;
    loaded.bad = 60;
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    assert_int_equal(load_some(sql, &loaded, 100, &changed), STATUS_REJECTED);
    assert_int_equal(load_some(sql, &loaded, 100, &changed), STATUS_REJECTED);
    sql_rollback(sql);
    assert_int_equal(number_of(sql, "SELECT count(*) FROM loaded"), 198);
    loaded.bad = SIZE_MAX;
    GOOD(sql_begin(sql, SQL_WRITE, &err));
    GOOD(load_some(sql, &loaded, 100, &changed));
    assert_int_equal(changed, 1);
    GOOD(sql_commit(sql, &err));
    free(data);
    sql_close(sql);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(test_many_rows_at_once),
    };
    return run_on_both_stores(cases, sizeof cases / sizeof *cases);
}
