// sql_sqlite.c: SQLite behind sql.h. The file has a write-ahead log, so that readers never wait for a writer,
// and every commit is flushed to the disk before it answers. One connection is one sqlite3 handle; several of
// one process or of many may have the same file open on one machine (not over a network file system).
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/sql_internal.h"

enum {
    BUSY_PAUSE_MS = 2,
    STEPS_BETWEEN_LOOKS = 20000, // of SQLite's machine: a fraction of a millisecond
};

struct statement {
    char *text;
    sqlite3_stmt *prepared;
};

struct sql_sqlite {
    struct sql sql;
    sqlite3 *db;
    int64_t deadline_ms; // of the present call
    bool reading;        // the transaction is a SQL_READ
    sqlite3_stmt *rows;
    size_t oldest; // statement: the next one to give way
    struct statement statements[SQL_STATEMENTS_MOST];
};

static struct sql_sqlite *sqlite_of(struct sql *sql)
{
    return (struct sql_sqlite *)sql;
}

// ---- failures ----

static enum status status_of(int code, bool *conflict)
{
    *conflict = code == SQLITE_BUSY_SNAPSHOT;
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_INTERRUPT: // by too_late
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL: // too many began at once
        return STATUS_RETRY;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
        return STATUS_REJECTED;
    default:
        return STATUS_FATAL;
    }
}

// SQLite's sentences name tables and columns, never values.
static enum status fail(struct sql_sqlite *sqlite, int code, struct error *err)
{
    enum status status = status_of(code, &sqlite->sql.conflict);
    if ((code & 0xff) == SQLITE_INTERRUPT || (code & 0xff) == SQLITE_BUSY)
        return error_set(err, status, "%s is in use and did not answer within %lld ms", sqlite->sql.name,
                         (long long)sqlite->sql.timeout_ms);
    return error_set(err, status, "%s: %s", sqlite->sql.name, sqlite3_errmsg(sqlite->db));
}

static void start_clock(struct sql_sqlite *sqlite)
{
    sqlite->deadline_ms = clock_monotonic_ms() + sqlite->sql.timeout_ms;
}

static int too_late(void *context)
{
    const struct sql_sqlite *sqlite = context;
    return clock_monotonic_ms() >= sqlite->deadline_ms;
}

static int wait_for_lock(void *context, int tries)
{
    (void)tries;
    if (too_late(context))
        return 0;
    clock_sleep_ms(BUSY_PAUSE_MS);
    return 1;
}

// ---- statements ----

// The statement of a text, prepared now or before; the connection's.
static int prepare(struct sql_sqlite *sqlite, const char *text, sqlite3_stmt **prepared)
{
    for (size_t i = 0; i < SQL_STATEMENTS_MOST && sqlite->statements[i].text; i++)
        if (strcmp(sqlite->statements[i].text, text) == 0) {
            *prepared = sqlite->statements[i].prepared;
            return SQLITE_OK;
        }
    int code = sqlite3_prepare_v3(sqlite->db, text, -1, SQLITE_PREPARE_PERSISTENT, prepared, NULL);
    if (code != SQLITE_OK)
        return code;
    struct statement *statement = &sqlite->statements[sqlite->oldest];
    sqlite->oldest = (sqlite->oldest + 1) % SQL_STATEMENTS_MOST;
    free(statement->text);
    sqlite3_finalize(statement->prepared); // NULL is allowed
    *statement = (struct statement){.text = memory_strdup(text), .prepared = *prepared};
    return SQLITE_OK;
}

// lifetime: SQLITE_STATIC where the statement is over before the caller's bytes go, else SQLITE_TRANSIENT.
static int bind(sqlite3_stmt *prepared, int place, const struct sql_value *value,
                sqlite3_destructor_type lifetime)
{
    switch (value->type) {
    case SQL_INTEGER:
        return sqlite3_bind_int64(prepared, place, value->integer);
    case SQL_REAL:
        return sqlite3_bind_double(prepared, place, value->real);
    case SQL_TEXT:
        return sqlite3_bind_text(prepared, place, (const char *)value->bytes.data, (int)value->bytes.size,
                                 lifetime);
    case SQL_BLOB:
        return sqlite3_bind_blob(prepared, place, value->bytes.data, (int)value->bytes.size, lifetime);
    default:
        return sqlite3_bind_null(prepared, place);
    }
}

static void finish(sqlite3_stmt *prepared)
{
    sqlite3_reset(prepared);
    sqlite3_clear_bindings(prepared);
}

static enum status sqlite_start(struct sql *sql, const char *text, const struct sql_value *values,
                                size_t count, int64_t *changed, struct error *err)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    sqlite3_stmt *prepared = NULL;
    start_clock(sqlite);
    int code = prepare(sqlite, text, &prepared);
    if (code != SQLITE_OK)
        return fail(sqlite, code, err);
    assert((size_t)sqlite3_bind_parameter_count(prepared) == count);
    if (sqlite->reading && !sqlite3_stmt_readonly(prepared))
        return error_set(err, STATUS_FATAL, "%s: a change in a transaction that only reads", sql->name);
    for (size_t i = 0; i < count && code == SQLITE_OK; i++)
        code = bind(prepared, (int)i + 1, &values[i], changed ? SQLITE_STATIC : SQLITE_TRANSIENT);
    if (code == SQLITE_OK && !changed) {
        sqlite->rows = prepared;
        return STATUS_OK;
    }
    if (code == SQLITE_OK)
        code = sqlite3_step(prepared);
    enum status status = STATUS_OK;
    if (code == SQLITE_DONE)
        *changed = sqlite3_changes64(sqlite->db);
    else
        status = fail(sqlite, code, err);
    assert(code != SQLITE_ROW); // sql_run of what gives rows
    finish(prepared);
    return status;
}

static struct sql_value column_value(sqlite3_stmt *rows, int column)
{
    switch (sqlite3_column_type(rows, column)) {
    case SQLITE_INTEGER:
        return sql_of_integer(sqlite3_column_int64(rows, column));
    case SQLITE_FLOAT:
        return sql_of_real(sqlite3_column_double(rows, column));
    case SQLITE_TEXT: { // a damaged file may hold a zero byte: sql_text ends there
        const unsigned char *text = sqlite3_column_text(rows, column);
        size_t size = (size_t)sqlite3_column_bytes(rows, column);
        return (struct sql_value){.type = SQL_TEXT, .bytes = {.data = text, .size = size}};
    }
    case SQLITE_BLOB: {
        const void *data = sqlite3_column_blob(rows, column);
        return sql_of_blob(data, (size_t)sqlite3_column_bytes(rows, column));
    }
    default:
        return sql_null();
    }
}

static enum status sqlite_next(struct sql *sql, bool *more, struct error *err)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    start_clock(sqlite);
    int code = sqlite3_step(sqlite->rows);
    if (code == SQLITE_DONE)
        return STATUS_OK;
    if (code != SQLITE_ROW)
        return fail(sqlite, code, err);
    sql_row_begin(sql);
    for (int i = 0; i < sqlite3_column_count(sqlite->rows); i++)
        if (!sql_row_add(sql, column_value(sqlite->rows, i), err))
            return STATUS_REJECTED;
    sql_row_end(sql);
    *more = true;
    return STATUS_OK;
}

// Rows that nobody has read have not been computed.
static enum status sqlite_end(struct sql *sql, struct error *err)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    (void)err;
    finish(sqlite->rows);
    sqlite->rows = NULL;
    return STATUS_OK;
}

// "INSERT ... VALUES (?, ?)"; the caller frees it.
static char *insert_text(const struct sql_load *load)
{
    char marks[3 * SQL_VALUES_MOST], *at = marks;
    for (size_t i = 0; i < load->column_count; i++)
        at += sprintf(at, i ? ", ?" : "?");
    return memory_format("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT DO NOTHING", load->table, load->columns,
                         marks);
}

static enum status insert_row(struct sql_sqlite *sqlite, sqlite3_stmt *prepared,
                              const struct sql_value *values, size_t count, int64_t *changed,
                              struct error *err)
{
    int code = SQLITE_OK;
    start_clock(sqlite);
    for (size_t i = 0; i < count && code == SQLITE_OK; i++)
        code = bind(prepared, (int)i + 1, &values[i], SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(prepared);
    if (code != SQLITE_DONE)
        return fail(sqlite, code, err);
    *changed += sqlite3_changes64(sqlite->db);
    sqlite3_reset(prepared);
    return STATUS_OK;
}

static enum status sqlite_load(struct sql *sql, const struct sql_load *load, int64_t *changed,
                               struct error *err)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    struct sql_value values[SQL_VALUES_MOST];
    sqlite3_stmt *prepared = NULL;
    char *text = insert_text(load);
    *changed = 0;
    int code = prepare(sqlite, text, &prepared);
    enum status status = code == SQLITE_OK ? STATUS_OK : fail(sqlite, code, err);
    for (size_t row = 0; row < load->rows && status == STATUS_OK; row++) {
        status = sql_load_row(sql, load, row, values, err);
        if (status == STATUS_OK)
            status = insert_row(sqlite, prepared, values, load->column_count, changed, err);
    }
    if (prepared)
        finish(prepared);
    free(text);
    return status;
}

static enum status sqlite_script(struct sql *sql, const char *text, struct error *err)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    start_clock(sqlite);
    int code = sqlite3_exec(sqlite->db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : fail(sqlite, code, err);
}

// ---- transactions ----

// IMMEDIATE takes the one writer's lock now, so that no transaction finds out at its first change that
// another one has written since it read.
static enum status sqlite_begin(struct sql *sql, enum sql_access access, struct error *err)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    int64_t changed;
    enum status status =
        sqlite_start(sql, access == SQL_WRITE ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED", NULL, 0, &changed, err);
    sqlite->reading = status == STATUS_OK && access == SQL_READ;
    return status;
}

static enum status sqlite_commit(struct sql *sql, struct error *err)
{
    int64_t changed;
    sqlite_of(sql)->reading = false;
    return sqlite_start(sql, "COMMIT", NULL, 0, &changed, err);
}

static void sqlite_rollback(struct sql *sql)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    sqlite->reading = false;
    if (!sqlite3_get_autocommit(sqlite->db)) // a full disk has rolled it back already
        (void)sqlite3_exec(sqlite->db, "ROLLBACK", NULL, NULL, NULL);
}

// A transaction that writes holds off every other one.
static enum status sqlite_migrate_begin(struct sql *sql, struct error *err)
{
    (void)sql, (void)err;
    return STATUS_OK;
}

static void sqlite_migrate_end(struct sql *sql)
{
    (void)sql;
}

static enum status sqlite_append_only(struct sql *sql, const char *table, struct error *err)
{
    char *text = memory_format("CREATE TRIGGER %s_no_update BEFORE UPDATE ON %s BEGIN "
                               "SELECT RAISE(ABORT, 'rows of %s are never changed'); END;"
                               "CREATE TRIGGER %s_no_delete BEFORE DELETE ON %s BEGIN "
                               "SELECT RAISE(ABORT, 'rows of %s are never deleted'); END;",
                               table, table, table, table, table, table);
    enum status status = sqlite_script(sql, text, err);
    free(text);
    return status;
}

// ---- the connection ----

// PostgreSQL's collation "C", of the same name.
static int compare_bytes(void *context, int left_size, const void *left, int right_size, const void *right)
{
    (void)context;
    int order = memcmp(left, right, (size_t)(left_size < right_size ? left_size : right_size));
    return order ? order : left_size - right_size;
}

static void sqlite_close(struct sql *sql)
{
    struct sql_sqlite *sqlite = sqlite_of(sql);
    for (size_t i = 0; i < SQL_STATEMENTS_MOST; i++) {
        free(sqlite->statements[i].text);
        sqlite3_finalize(sqlite->statements[i].prepared);
    }
    sqlite3_close(sqlite->db); // NULL is allowed
    free(sqlite);
}

static const struct sql_ops sqlite_ops = {
    .start = sqlite_start,
    .next = sqlite_next,
    .end = sqlite_end,
    .load = sqlite_load,
    .script = sqlite_script,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .migrate_begin = sqlite_migrate_begin,
    .migrate_end = sqlite_migrate_end,
    .append_only = sqlite_append_only,
    .close = sqlite_close,
};

// SQLite would make it readable for others; its log gets the file's mode. O_EXCL: closing a file that SQLite
// has open elsewhere in this process would drop its locks.
static enum status make_private(const char *path, struct error *err)
{
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file >= 0) {
        close(file);
        return STATUS_OK;
    }
    if (errno == EEXIST)
        return STATUS_OK;
    return error_set(err, errno == ENOSPC ? STATUS_RETRY : STATUS_FATAL, "can't make the database %s: %s",
                     path, strerror(errno));
}

static const char settings[] = "PRAGMA synchronous = FULL;" // a commit is on the disk
                               "PRAGMA foreign_keys = ON;"
                               "PRAGMA recursive_triggers = ON;" // append_only also against INSERT OR REPLACE
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA analysis_limit = 1000;" // rows of an index that ANALYZE reads
                               "PRAGMA journal_size_limit = 67108864;";

// The file must not be in use by others while it changes to a write-ahead log, and SQLite doesn't always
// wait.
static enum status set_up(struct sql_sqlite *sqlite, int64_t cache_bytes, struct error *err)
{
    char cache[64];
    enum status status;
    sqlite3_extended_result_codes(sqlite->db, 1);
    sqlite3_limit(sqlite->db, SQLITE_LIMIT_LENGTH, SQL_ROW_BYTES);
    sqlite3_create_collation(sqlite->db, "C", SQLITE_UTF8, NULL, compare_bytes);
    sqlite3_busy_handler(sqlite->db, wait_for_lock, sqlite);
    sqlite3_progress_handler(sqlite->db, STEPS_BETWEEN_LOOKS, too_late, sqlite);
    int64_t deadline_ms = clock_monotonic_ms() + sqlite->sql.timeout_ms;
    while ((status = sqlite_script(&sqlite->sql, "PRAGMA journal_mode = WAL;", err)) == STATUS_RETRY &&
           clock_monotonic_ms() < deadline_ms)
        clock_sleep_ms(BUSY_PAUSE_MS);
    if (status == STATUS_OK)
        status = sqlite_script(&sqlite->sql, settings, err);
    if (status != STATUS_OK || cache_bytes == 0)
        return status;
    snprintf(cache, sizeof cache, "PRAGMA cache_size = -%lld;", (long long)cache_bytes / 1024);
    return sqlite_script(&sqlite->sql, cache, err);
}

enum status sql_sqlite_open(struct sql **sql, const struct sql_options *options, struct error *err)
{
    static pthread_mutex_t opening =
        PTHREAD_MUTEX_INITIALIZER; // make_private's close comes before others' locks
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    struct sql_sqlite *sqlite = memory_alloc(sizeof *sqlite);
    sqlite->sql.ops = &sqlite_ops;
    sqlite->sql.timeout_ms = options->timeout_ms;
    snprintf(sqlite->sql.name, sizeof sqlite->sql.name, "%s", options->url);
    pthread_mutex_lock(&opening);
    enum status status = make_private(options->url, err);
    int code = status == STATUS_OK ? sqlite3_open_v2(options->url, &sqlite->db, flags, NULL) : SQLITE_OK;
    pthread_mutex_unlock(&opening);
    if (code != SQLITE_OK)
        status = error_set(err, STATUS_FATAL, "can't open the database %s: %s", options->url,
                           sqlite3_errstr(code));
    if (status == STATUS_OK)
        status = set_up(sqlite, options->cache_bytes, err);
    if (status != STATUS_OK) {
        sqlite_close(&sqlite->sql);
        return status;
    }
    *sql = &sqlite->sql;
    return STATUS_OK;
}
