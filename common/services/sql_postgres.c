// sql_postgres.c: PostgreSQL behind sql.h: statements, rows, transactions, over the connection of
// sql_postgres_link.c. Rows come one at a time (single-row mode): memory does not depend on how many there
// are. Statements are prepared once for each connection.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/sql_postgres_internal.h"

enum { NUMBER_SIZE = 32, MIGRATION_LOCK = 0x534b5351 };

// Types of columns, from PostgreSQL's catalogue.
enum { TYPE_BOOL = 16, TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_FLOAT4 = 700 };
enum { TYPE_FLOAT8 = 701, TYPE_NUMERIC = 1700 };

static struct sql_postgres *postgres_of(struct sql *sql)
{
    return (struct sql_postgres *)sql;
}

// ---- statements ----

// "?" becomes "$1", "$2" ...; the caller frees it.
static char *translate(const char *text, size_t *parameters)
{
    static_assert(SQL_VALUES_MOST < 1000, "a parameter's number has three digits");
    char *out = memory_alloc(strlen(text) + SQL_VALUES_MOST * 3 + 1), *at = out;
    *parameters = 0;
    for (; *text; text++) {
        if (*text != '?') {
            *at++ = *text;
            continue;
        }
        assert(*parameters < SQL_VALUES_MOST);
        at += sprintf(at, "$%zu", ++*parameters);
    }
    *at = '\0';
    return out;
}

static void name_statement(size_t place, char name[NUMBER_SIZE])
{
    snprintf(name, NUMBER_SIZE, "s%zu", place);
}

static enum status give_way(struct sql_postgres *postgres, size_t place, struct error *err)
{
    char text[64];
    if (!postgres->statements[place])
        return STATUS_OK;
    snprintf(text, sizeof text, "DEALLOCATE s%zu", place);
    enum status status = postgres_run_script(postgres, text, err);
    if (status == STATUS_OK) { // else the server still has it
        free(postgres->statements[place]);
        postgres->statements[place] = NULL;
    }
    return status;
}

// The name of a text's statement, prepared now or before.
static enum status prepare(struct sql_postgres *postgres, const char *text, size_t count,
                           char name[NUMBER_SIZE], struct error *err)
{
    for (size_t i = 0; i < SQL_STATEMENTS_MOST && postgres->statements[i]; i++)
        if (strcmp(postgres->statements[i], text) == 0) {
            name_statement(i, name);
            return STATUS_OK;
        }
    size_t place = postgres->oldest, parameters;
    enum status status = give_way(postgres, place, err);
    if (status != STATUS_OK)
        return status;
    name_statement(place, name);
    char *translated = translate(text, &parameters);
    assert(parameters == count);
    (void)count;
    status = PQsendPrepare(postgres->connection, name, translated, 0, NULL)
                 ? postgres_finish(postgres, NULL, err)
                 : postgres_fail_connection(postgres, err);
    free(translated);
    if (status == STATUS_OK) {
        postgres->statements[place] = memory_strdup(text);
        postgres->oldest = (place + 1) % SQL_STATEMENTS_MOST;
    }
    return status;
}

// Numbers go as text, whatever the column's type is; bytes as they are.
static bool send(struct sql_postgres *postgres, const char *name, const struct sql_value *values,
                 size_t count)
{
    const char *parts[SQL_VALUES_MOST];
    int sizes[SQL_VALUES_MOST], formats[SQL_VALUES_MOST];
    char numbers[SQL_VALUES_MOST][NUMBER_SIZE];
    for (size_t i = 0; i < count; i++) {
        parts[i] = numbers[i];
        formats[i] = sizes[i] = 0;
        if (values[i].type == SQL_NULL) {
            parts[i] = NULL;
        } else if (values[i].type == SQL_INTEGER) {
            snprintf(numbers[i], NUMBER_SIZE, "%lld", (long long)values[i].integer);
        } else if (values[i].type == SQL_REAL) {
            snprintf(numbers[i], NUMBER_SIZE, "%.17g", values[i].real);
        } else {
            parts[i] = (const char *)values[i].bytes.data;
            sizes[i] = (int)values[i].bytes.size;
            formats[i] = 1;
        }
    }
    return PQsendQueryPrepared(postgres->connection, name, (int)count, parts, sizes, formats, 0);
}

static enum status postgres_start(struct sql *sql, const char *text, const struct sql_value *values,
                                  size_t count, int64_t *changed, struct error *err)
{
    struct sql_postgres *postgres = postgres_of(sql);
    char name[NUMBER_SIZE];
    PGresult *result = NULL;
    postgres_start_clock(postgres);
    enum status status = postgres_stay_connected(postgres, err);
    if (status == STATUS_OK)
        status = prepare(postgres, text, count, name, err);
    if (status != STATUS_OK)
        return status;
    if (!send(postgres, name, values, count))
        return postgres_fail_connection(postgres, err);
    if (!changed) {
        PQsetSingleRowMode(postgres->connection);
        return postgres_flush(postgres, err);
    }
    status = postgres_finish(postgres, &result, err);
    if (status == STATUS_OK) {
        assert(PQntuples(result) == 0); // sql_run of what gives rows
        *changed = strtoll(PQcmdTuples(result), NULL, 10);
    }
    PQclear(result);
    return status;
}

// ---- rows ----

// "\x" and hexadecimal digits. False: it is none.
static bool add_bytes(struct sql *sql, const char *text, size_t size, struct error *err)
{
    size_t bytes = size >= 2 ? (size - 2) / 2 : 0;
    uint8_t *data = memory_try_alloc(bytes + 1);
    bool good = data && size >= 2 && text[0] == '\\' && text[1] == 'x' && hex_decode(text + 2, data, bytes);
    if (!good)
        (void)error_set(err, STATUS_FATAL, "PostgreSQL at %s gave bytes of an unknown form", sql->name);
    good = good && sql_row_add(sql, sql_of_blob(data, bytes), err);
    free(data);
    return good;
}

static bool add_column(struct sql *sql, const PGresult *result, int column, struct error *err)
{
    const char *text = PQgetvalue(result, 0, column);
    if (PQgetisnull(result, 0, column))
        return sql_row_add(sql, sql_null(), err);
    switch (PQftype(result, column)) {
    case TYPE_BOOL:
        return sql_row_add(sql, sql_of_integer(*text == 't'), err);
    case TYPE_NUMERIC: // of sum()
        if (strchr(text, '.'))
            return sql_row_add(sql, sql_of_real(strtod(text, NULL)), err);
        return sql_row_add(sql, sql_of_integer(strtoll(text, NULL, 10)), err);
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_INT8:
        return sql_row_add(sql, sql_of_integer(strtoll(text, NULL, 10)), err);
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
        return sql_row_add(sql, sql_of_real(strtod(text, NULL)), err);
    case TYPE_BYTEA:
        return add_bytes(sql, text, (size_t)PQgetlength(result, 0, column), err);
    default:
        return sql_row_add(sql, sql_of_text(text), err);
    }
}

static enum status take_row(struct sql *sql, const PGresult *result, struct error *err)
{
    sql_row_begin(sql);
    for (int i = 0; i < PQnfields(result); i++)
        if (!add_column(sql, result, i, err))
            return STATUS_REJECTED;
    sql_row_end(sql);
    return STATUS_OK;
}

static enum status postgres_next(struct sql *sql, bool *more, struct error *err)
{
    struct sql_postgres *postgres = postgres_of(sql);
    PGresult *result;
    postgres_start_clock(postgres);
    if (!postgres->connection)
        return postgres_fail_connection(postgres, err);
    enum status status = postgres_receive(postgres, &result, err);
    if (status != STATUS_OK || !result)
        return status;
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
        status = take_row(sql, result, err);
        *more = status == STATUS_OK;
    } else if (!postgres_is_success(result)) {
        status = postgres_fail(postgres, result, err);
    }
    PQclear(result);
    return status;
}

// Rows that nobody reads are thrown away, up to the time limit; then the connection is.
static enum status postgres_end(struct sql *sql, struct error *err)
{
    struct sql_postgres *postgres = postgres_of(sql);
    PGresult *result = NULL;
    enum status status = STATUS_OK;
    postgres_start_clock(postgres);
    while (postgres->connection) {
        enum status received = postgres_receive(postgres, &result, err);
        if (received != STATUS_OK)
            return received;
        if (!result)
            break;
        if (PQresultStatus(result) != PGRES_SINGLE_TUPLE && !postgres_is_success(result))
            status = postgres_fail(postgres, result, err);
        PQclear(result);
        if (clock_monotonic_ms() >= postgres->deadline_ms)
            return postgres_fail_late(postgres, err);
    }
    return status;
}

static enum status postgres_script(struct sql *sql, const char *text, struct error *err)
{
    struct sql_postgres *postgres = postgres_of(sql);
    postgres_start_clock(postgres);
    enum status status = postgres_stay_connected(postgres, err);
    return status == STATUS_OK ? postgres_run_script(postgres, text, err) : status;
}

// ---- transactions ----

static enum status postgres_begin(struct sql *sql, enum sql_access access, struct error *err)
{
    return postgres_script(sql,
                           access == SQL_WRITE ? "BEGIN ISOLATION LEVEL SERIALIZABLE"
                                               : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                           err);
}

// The server answers COMMIT of a transaction that has failed with ROLLBACK, and no error; sql.c does not let
// it come to that.
static enum status postgres_commit(struct sql *sql, struct error *err)
{
    struct sql_postgres *postgres = postgres_of(sql);
    PGresult *result = NULL;
    postgres_start_clock(postgres);
    if (!postgres->connection || !PQsendQuery(postgres->connection, "COMMIT"))
        return postgres_fail_connection(postgres, err);
    enum status status = postgres_finish(postgres, &result, err);
    if (status == STATUS_OK && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        status = error_set(err, STATUS_FATAL, "PostgreSQL at %s rolled a transaction back", sql->name);
    PQclear(result);
    return status;
}

static void postgres_rollback(struct sql *sql)
{
    struct sql_postgres *postgres = postgres_of(sql);
    struct error err;
    postgres_start_clock(postgres);
    if (postgres->connection && PQtransactionStatus(postgres->connection) != PQTRANS_IDLE &&
        postgres_run_script(postgres, "ROLLBACK", &err) != STATUS_OK)
        postgres_disconnect(postgres);
}

// ---- tables ----

// For the session: the transaction behind it then sees what the other one has made.
static enum status postgres_migrate_begin(struct sql *sql, struct error *err)
{
    char text[64];
    snprintf(text, sizeof text, "SELECT pg_advisory_lock(%d)", MIGRATION_LOCK);
    return postgres_script(sql, text, err);
}

static void postgres_migrate_end(struct sql *sql)
{
    struct sql_postgres *postgres = postgres_of(sql);
    char text[64];
    struct error err;
    snprintf(text, sizeof text, "SELECT pg_advisory_unlock(%d)", MIGRATION_LOCK);
    postgres_start_clock(postgres);
    if (postgres->connection && postgres_run_script(postgres, text, &err) != STATUS_OK)
        postgres_disconnect(postgres); // which unlocks too
}

static enum status postgres_append_only(struct sql *sql, const char *table, struct error *err)
{
    char *text = memory_format(
        "CREATE OR REPLACE FUNCTION sql_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'rows of %% are never changed or deleted', TG_TABLE_NAME USING ERRCODE = '23001'; "
        "END $$;"
        "CREATE TRIGGER %s_append_only BEFORE UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION "
        "sql_append_only();"
        "CREATE TRIGGER %s_no_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION "
        "sql_append_only();",
        table, table, table, table);
    enum status status = postgres_script(sql, text, err);
    free(text);
    return status;
}

// ---- open and close ----

static void postgres_close(struct sql *sql)
{
    struct sql_postgres *postgres = postgres_of(sql);
    postgres_disconnect(postgres);
    explicit_bzero(postgres->url, strlen(postgres->url));
    free(postgres->url);
    free(postgres);
}

static const struct sql_ops postgres_ops = {
    .start = postgres_start,
    .next = postgres_next,
    .end = postgres_end,
    .load = postgres_load,
    .script = postgres_script,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .migrate_begin = postgres_migrate_begin,
    .migrate_end = postgres_migrate_end,
    .append_only = postgres_append_only,
    .close = postgres_close,
};

enum status sql_postgres_open(struct sql **sql, const struct sql_options *options, struct error *err)
{
    struct sql_postgres *postgres = memory_alloc(sizeof *postgres);
    postgres->sql.ops = &postgres_ops;
    postgres->sql.timeout_ms = options->timeout_ms;
    postgres->url = memory_strdup(options->url);
    postgres_name_store(&postgres->sql, options->url);
    postgres_start_clock(postgres);
    enum status status = postgres_connect(postgres, err);
    if (status != STATUS_OK) {
        postgres_close(&postgres->sql);
        return status;
    }
    *sql = &postgres->sql;
    return STATUS_OK;
}
