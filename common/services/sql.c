// sql.c: the rules of sql.h, the same for both databases: in which order calls come, what a transaction that
// has failed still may do, values and rows, migrations.
#include "common/services/sql.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/services/sql_internal.h"

static const char sqlite_scheme[] = "sqlite://"; // an absolute path follows
static const char *const postgres_schemes[] = {"postgresql://", "postgres://"};

static bool is_postgres(const char *url)
{
    for (size_t i = 0; i < sizeof postgres_schemes / sizeof *postgres_schemes; i++)
        if (strncmp(url, postgres_schemes[i], strlen(postgres_schemes[i])) == 0)
            return true;
    return false;
}

static bool is_sqlite(const char *url)
{
    size_t scheme = sizeof sqlite_scheme - 1;
    return strncmp(url, sqlite_scheme, scheme) == 0 && url[scheme] == '/' && url[strlen(url) - 1] != '/' &&
           strlen(url) - scheme < SQL_NAME_SIZE;
}

enum status sql_url_check(const char *url, struct error *err)
{
    if (is_postgres(url))
        return sql_postgres_url_check(url, err);
    if (is_sqlite(url))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, // it may hold a password: it is not quoted
                     "the URL of the store must be sqlite:///path/of/a/file or "
                     "postgresql://[user[:password]@]host[:port]/database");
}

enum status sql_open(struct sql **sql, const struct sql_options *options, struct error *err)
{
    *sql = NULL;
    enum status status = sql_url_check(options->url, err);
    if (status == STATUS_OK && options->timeout_ms < 1)
        status = error_set(err, STATUS_REJECTED, "the store needs a time limit");
    if (status != STATUS_OK)
        return status;
    if (is_postgres(options->url))
        return sql_postgres_open(sql, options, err);
    struct sql_options path = *options;
    path.url += sizeof sqlite_scheme - 1;
    return sql_sqlite_open(sql, &path, err);
}

void sql_close(struct sql *sql)
{
    if (!sql)
        return;
    sql_rollback(sql);
    buffer_release(&sql->row_bytes);
    sql->ops->close(sql);
}

const char *sql_name(const struct sql *sql)
{
    return sql->name;
}

// ---- values ----

struct sql_value sql_null(void)
{
    return (struct sql_value){.type = SQL_NULL};
}

struct sql_value sql_of_integer(int64_t integer)
{
    return (struct sql_value){.type = SQL_INTEGER, .integer = integer};
}

struct sql_value sql_of_real(double real)
{
    return (struct sql_value){.type = SQL_REAL, .real = real};
}

struct sql_value sql_of_text(const char *text)
{
    if (!text)
        return sql_null();
    return (struct sql_value){.type = SQL_TEXT,
                              .bytes = {.data = (const uint8_t *)text, .size = strlen(text)}};
}

struct sql_value sql_of_blob(const void *data, size_t size)
{
    static const uint8_t nothing[1];
    return (struct sql_value){.type = SQL_BLOB, .bytes = {.data = size ? data : nothing, .size = size}};
}

void sql_row_begin(struct sql *sql)
{
    sql->columns = 0;
    if (sql->row_bytes.limit == 0)
        buffer_init(&sql->row_bytes, SQL_ROW_BYTES);
    buffer_clear(&sql->row_bytes);
}

bool sql_row_add(struct sql *sql, struct sql_value value, struct error *err)
{
    assert(sql->columns < SQL_VALUES_MOST); // the program's own text asked for them
    if (value.type == SQL_TEXT || value.type == SQL_BLOB) {
        size_t start = sql->row_bytes.size;
        if (buffer_append(&sql->row_bytes, value.bytes.data, value.bytes.size, err) != STATUS_OK ||
            buffer_append(&sql->row_bytes, "", 1, err) != STATUS_OK) {
            error_prefix(err, "a row of %s", sql->name);
            return false;
        }
        value.integer = (int64_t)start; // the buffer may still move: sql_row_end makes a pointer of it
    }
    sql->row[sql->columns++] = value;
    return true;
}

void sql_row_end(struct sql *sql)
{
    for (size_t i = 0; i < sql->columns; i++) {
        struct sql_value *value = &sql->row[i];
        if (value->type != SQL_TEXT && value->type != SQL_BLOB)
            continue;
        value->bytes.data = sql->row_bytes.data + value->integer;
        value->integer = 0;
    }
}

static const struct sql_value *column_of(const struct sql *sql, size_t column)
{
    assert(column < sql->columns);
    return &sql->row[column];
}

bool sql_is_null(const struct sql *sql, size_t column)
{
    return column_of(sql, column)->type == SQL_NULL;
}

int64_t sql_integer(const struct sql *sql, size_t column)
{
    const struct sql_value *value = column_of(sql, column);
    return value->type == SQL_INTEGER ? value->integer : 0;
}

double sql_real(const struct sql *sql, size_t column)
{
    const struct sql_value *value = column_of(sql, column);
    return value->type == SQL_INTEGER ? (double)value->integer : value->type == SQL_REAL ? value->real : 0.0;
}

const char *sql_text(const struct sql *sql, size_t column)
{
    const struct sql_value *value = column_of(sql, column);
    return value->type == SQL_TEXT ? (const char *)value->bytes.data : "";
}

struct bytes sql_blob(const struct sql *sql, size_t column)
{
    const struct sql_value *value = column_of(sql, column);
    return value->type == SQL_BLOB ? value->bytes : (struct bytes){.data = NULL, .size = 0};
}

// ---- statements ----

static bool is_text(struct bytes bytes)
{
    for (size_t at = 0; at < bytes.size;) {
        size_t length = bytes.data[at] ? text_utf8_length(bytes.data + at, bytes.size - at) : 0;
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

static enum status check_values(const struct sql *sql, const struct sql_value *values, size_t count,
                                struct error *err)
{
    assert(count <= SQL_VALUES_MOST);
    for (size_t i = 0; i < count; i++) {
        bool has_bytes = values[i].type == SQL_TEXT || values[i].type == SQL_BLOB;
        if (has_bytes && values[i].bytes.size > SQL_VALUE_BYTES)
            return error_set(err, STATUS_REJECTED, "a value for %s has %zu bytes, the limit is %d", sql->name,
                             values[i].bytes.size, SQL_VALUE_BYTES);
        if (values[i].type == SQL_TEXT && !is_text(values[i].bytes))
            return error_set(err, STATUS_REJECTED, "a text for %s is no UTF-8, or holds a zero byte",
                             sql->name);
    }
    return STATUS_OK;
}

static enum status start(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                         int64_t *changed, struct error *err)
{
    assert(!sql->in_rows);
    if (sql->failed)
        return error_set(err, STATUS_REJECTED, "the transaction in %s has failed already", sql->name);
    enum status status = check_values(sql, values, count, err);
    sql->conflict = false;
    if (status == STATUS_OK)
        status = sql->ops->start(sql, text, values, count, changed, err);
    sql->failed = sql->in_transaction && status != STATUS_OK;
    return status;
}

enum status sql_run(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                    int64_t *changed, struct error *err)
{
    int64_t unasked;
    return start(sql, text, values, count, changed ? changed : &unasked, err);
}

enum status sql_query(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                      struct error *err)
{
    enum status status = start(sql, text, values, count, NULL, err);
    sql->in_rows = status == STATUS_OK;
    return status;
}

enum status sql_next(struct sql *sql, bool *more, struct error *err)
{
    assert(sql->in_rows);
    *more = false;
    enum status status = sql->ops->next(sql, more, err);
    if (status != STATUS_OK)
        sql->failed = sql->in_transaction;
    return status;
}

static enum status end_rows(struct sql *sql, struct error *err)
{
    enum status status = sql->in_rows ? sql->ops->end(sql, err) : STATUS_OK;
    sql->in_rows = false;
    if (status != STATUS_OK)
        sql->failed = sql->in_transaction;
    return status;
}

void sql_end(struct sql *sql)
{
    struct error err;
    (void)end_rows(sql, &err);
}

enum status sql_find(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                     bool *found, struct error *err)
{
    *found = false;
    enum status status = sql_query(sql, text, values, count, err);
    if (status == STATUS_OK)
        status = sql_next(sql, found, err);
    if (status == STATUS_OK)
        status = end_rows(sql, err);
    else
        sql_end(sql);
    return status;
}

enum status sql_load_row(struct sql *sql, const struct sql_load *load, size_t row,
                         struct sql_value values[SQL_VALUES_MOST], struct error *err)
{
    load->fill(load->context, row, values);
    return check_values(sql, values, load->column_count, err);
}

enum status sql_load(struct sql *sql, const struct sql_load *load, int64_t *changed, struct error *err)
{
    int64_t unasked;
    assert(!sql->in_rows && sql->in_transaction && load->column_count <= SQL_VALUES_MOST);
    if (sql->failed)
        return error_set(err, STATUS_REJECTED, "the transaction in %s has failed already", sql->name);
    sql->conflict = false;
    enum status status = sql->ops->load(sql, load, changed ? changed : &unasked, err);
    sql->failed = status != STATUS_OK;
    return status;
}

// ---- transactions ----

enum status sql_begin(struct sql *sql, enum sql_access access, struct error *err)
{
    assert(!sql->in_rows && !sql->in_transaction);
    sql->conflict = false;
    enum status status = sql->ops->begin(sql, access, err);
    sql->in_transaction = status == STATUS_OK;
    sql->failed = false;
    return status;
}

enum status sql_commit(struct sql *sql, struct error *err)
{
    assert(!sql->in_rows && sql->in_transaction);
    if (sql->failed) {
        sql_rollback(sql);
        return error_set(err, STATUS_REJECTED, "the transaction in %s had failed and is rolled back",
                         sql->name);
    }
    sql->conflict = false;
    enum status status = sql->ops->commit(sql, err);
    if (status != STATUS_OK)
        sql->ops->rollback(sql); // SQLite's is still open where it found the file locked
    sql->in_transaction = false;
    return status;
}

void sql_rollback(struct sql *sql)
{
    sql_end(sql);
    if (sql->in_transaction)
        sql->ops->rollback(sql);
    sql->in_transaction = false;
    sql->failed = false;
}

bool sql_is_conflict(const struct sql *sql)
{
    return sql->conflict;
}

enum status sql_transaction(struct sql *sql, enum sql_access access,
                            enum status (*work)(struct sql *sql, void *context, struct error *err),
                            void *context, struct error *err)
{
    enum status status = STATUS_RETRY;
    for (int try = 0; try < SQL_TRIES; try++) {
        if (try > 0)
            clock_sleep_ms(1 << try); // 2 to 128 ms: the other one needs a moment to end
        status = sql_begin(sql, access, err);
        if (status == STATUS_OK) {
            status = work(sql, context, err);
            if (status == STATUS_OK)
                status = sql_commit(sql, err);
            else
                sql_rollback(sql);
        }
        if (status != STATUS_RETRY || !sql->conflict)
            break;
    }
    return status;
}

// ---- migrations ----

static const char versions_table[] =
    "CREATE TABLE IF NOT EXISTS sql_versions (part TEXT PRIMARY KEY, version BIGINT NOT NULL);";

struct migration {
    const char *part;
    const struct sql_migration *rows;
    int64_t last;
};

static enum status migrate_from(struct sql *sql, const struct migration *migration, int64_t version,
                                struct error *err)
{
    for (; version < migration->last; version++) {
        const struct sql_migration *row = &migration->rows[version];
        enum status status = row->text ? sql->ops->script(sql, row->text, err)
                                       : sql->ops->append_only(sql, row->append_only, err);
        if (status != STATUS_OK) {
            error_prefix(err, "step %lld of the tables of '%s'", (long long)version + 1, migration->part);
            return status;
        }
    }
    const struct sql_value values[] = {sql_of_text(migration->part), sql_of_integer(version)};
    return sql_run(sql,
                   "INSERT INTO sql_versions (part, version) VALUES (?, ?) "
                   "ON CONFLICT (part) DO UPDATE SET version = excluded.version",
                   values, 2, NULL, err);
}

static enum status migrate(struct sql *sql, void *context, struct error *err)
{
    const struct migration *migration = context;
    const struct sql_value part = sql_of_text(migration->part);
    bool found = false;
    enum status status = sql->ops->script(sql, versions_table, err);
    if (status == STATUS_OK)
        status = sql_find(sql, "SELECT version FROM sql_versions WHERE part = ?", &part, 1, &found, err);
    if (status != STATUS_OK)
        return status;
    int64_t version = found ? sql_integer(sql, 0) : 0;
    if (version < 0 || version > migration->last)
        return error_set(
            err, STATUS_REJECTED,
            "the tables of '%s' in %s have version %lld, this program knows them up to %lld: it is "
            "older than the one that made them",
            migration->part, sql->name, (long long)version, (long long)migration->last);
    return version < migration->last ? migrate_from(sql, migration, version, err) : STATUS_OK;
}

enum status sql_migrate(struct sql *sql, const char *part, const struct sql_migration *migrations,
                        struct error *err)
{
    struct migration migration = {.part = part, .rows = migrations};
    while (migrations[migration.last].text || migrations[migration.last].append_only)
        migration.last++;
    enum status status = sql->ops->migrate_begin(sql, err);
    if (status != STATUS_OK)
        return status;
    status = sql_transaction(sql, SQL_WRITE, migrate, &migration, err);
    sql->ops->migrate_end(sql);
    return status;
}
