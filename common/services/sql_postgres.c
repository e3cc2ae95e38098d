// sql_postgres.c: PostgreSQL behind sql.h, by libpq without its blocking calls: each call waits against one
// deadline, connecting included. The server's own limit (statement_timeout) is a little shorter, so that a
// slow statement fails alone and the connection lives on; only a server that doesn't answer at all costs the
// connection.
//
// Rows come one at a time (single-row mode): memory does not depend on how many there are. Statements are
// prepared once for each connection. Sentences of class 22 of SQLSTATE quote values, so they are told by
// their number.
#include <assert.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/sql_internal.h"

enum {
    NUMBER_SIZE = 32,
    STATE_SIZE = 6, // SQLSTATE and a zero byte
    SENTENCE_MOST = 300,
    MIGRATION_LOCK = 0x534b5351,
};

// Types of columns, from PostgreSQL's catalogue.
enum { TYPE_BOOL = 16, TYPE_BYTEA = 17, TYPE_INT8 = 20, TYPE_INT2 = 21, TYPE_INT4 = 23, TYPE_FLOAT4 = 700 };
enum { TYPE_FLOAT8 = 701, TYPE_NUMERIC = 1700 };

struct sql_postgres {
    struct sql sql;
    char *url;
    PGconn *connection;                    // NULL: not connected
    int64_t deadline_ms;                   // of the present call
    size_t oldest;                         // statement: the next one to give way
    char *statements[SQL_STATEMENTS_MOST]; // texts of those prepared on this connection, as s<place>
};

static struct sql_postgres *postgres_of(struct sql *sql)
{
    return (struct sql_postgres *)sql;
}

// ---- failures ----

static void disconnect(struct sql_postgres *postgres)
{
    PQfinish(postgres->connection); // NULL is allowed
    postgres->connection = NULL;
    for (size_t i = 0; i < SQL_STATEMENTS_MOST; i++) {
        free(postgres->statements[i]);
        postgres->statements[i] = NULL;
    }
    postgres->oldest = 0;
}

static enum status fail_connection(struct sql_postgres *postgres, struct error *err)
{
    char sentence[SENTENCE_MOST];
    const char *text = postgres->connection ? PQerrorMessage(postgres->connection) : "it is lost";
    snprintf(sentence, sizeof sentence, "%.*s", (int)strcspn(text, "\n"), text);
    disconnect(postgres);
    return error_set(err, STATUS_RETRY, "no connection to PostgreSQL at %s: %s", postgres->sql.name,
                     sentence);
}

static enum status fail_too_late(struct sql_postgres *postgres, struct error *err)
{
    disconnect(postgres); // what it still answers belongs to no later call
    return error_set(err, STATUS_RETRY, "PostgreSQL at %s did not answer within %lld ms", postgres->sql.name,
                     (long long)postgres->sql.timeout_ms);
}

static enum status status_of(const char *state)
{
    static const struct {
        const char *start; // of SQLSTATE
        enum status status;
    } classes[] = {
        {"40", STATUS_RETRY},    // another transaction came between
        {"55P03", STATUS_RETRY}, // locked
        {"57", STATUS_RETRY},    // cancelled, shutting down
        {"53", STATUS_RETRY},    // no room, no memory, too many connections
        {"58", STATUS_RETRY},    // its disk
        {"08", STATUS_RETRY},    // its connection
        {"25006", STATUS_RETRY}, // a standby that may become the primary
        {"22", STATUS_REJECTED}, // a value does not fit
        {"23", STATUS_REJECTED}, // a rule of a table
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(state, classes[i].start, strlen(classes[i].start)) == 0)
            return classes[i].status;
    return STATUS_FATAL;
}

// Of a result that is no success.
static enum status fail(struct sql_postgres *postgres, const PGresult *result, struct error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!state || PQstatus(postgres->connection) == CONNECTION_BAD)
        return fail_connection(postgres, err);
    postgres->sql.conflict = strncmp(state, "40", 2) == 0;
    enum status status = status_of(state);
    if (strncmp(state, "22", 2) == 0 || !text)
        return error_set(err, status, "PostgreSQL at %s: SQLSTATE %s", postgres->sql.name, state);
    return error_set(err, status, "PostgreSQL at %s: %.*s (SQLSTATE %s)", postgres->sql.name, SENTENCE_MOST,
                     text, state);
}

// ---- waiting ----

static void start_clock(struct sql_postgres *postgres)
{
    postgres->deadline_ms = clock_monotonic_ms() + postgres->sql.timeout_ms;
}

// Whether the socket is ready before the deadline.
static bool wait_for(struct sql_postgres *postgres, short events)
{
    struct pollfd socket = {.fd = PQsocket(postgres->connection), .events = events};
    for (;;) {
        int64_t left_ms = postgres->deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0)
            return false;
        int ready = poll(&socket, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

static enum status flush(struct sql_postgres *postgres, struct error *err)
{
    int left;
    while ((left = PQflush(postgres->connection)) > 0) {
        if (!wait_for(postgres, POLLIN | POLLOUT))
            return fail_too_late(postgres, err);
        if (!PQconsumeInput(postgres->connection))
            return fail_connection(postgres, err);
    }
    return left == 0 ? STATUS_OK : fail_connection(postgres, err);
}

// The next result, the caller's (PQclear); NULL: there is none left.
static enum status receive(struct sql_postgres *postgres, PGresult **result, struct error *err)
{
    *result = NULL;
    while (PQisBusy(postgres->connection)) {
        if (!wait_for(postgres, POLLIN))
            return fail_too_late(postgres, err);
        if (!PQconsumeInput(postgres->connection))
            return fail_connection(postgres, err);
    }
    *result = PQgetResult(postgres->connection);
    return STATUS_OK;
}

static bool is_success(const PGresult *result)
{
    ExecStatusType kind = PQresultStatus(result);
    return kind == PGRES_COMMAND_OK || kind == PGRES_TUPLES_OK;
}

// Of what was just sent: all results up to the last; the first failure counts. last: the last result, the
// caller's; NULL is allowed.
static enum status finish(struct sql_postgres *postgres, PGresult **last, struct error *err)
{
    PGresult *result = NULL, *kept = NULL;
    enum status first = STATUS_OK;
    enum status status = flush(postgres, err);
    while (status == STATUS_OK && (status = receive(postgres, &result, err)) == STATUS_OK && result) {
        PQclear(kept);
        kept = result;
        if (first == STATUS_OK && !is_success(result))
            first = fail(postgres, result, err);
        if (!postgres->connection)
            break;
    }
    if (status == STATUS_OK)
        status = first;
    if (status == STATUS_OK && last) {
        *last = kept;
        kept = NULL;
    }
    PQclear(kept); // NULL is allowed
    return status;
}

// ---- the connection ----

static enum status run_script(struct sql_postgres *postgres, const char *text, struct error *err)
{
    if (!PQsendQuery(postgres->connection, text))
        return fail_connection(postgres, err);
    return finish(postgres, NULL, err);
}

static void say_nothing(void *context, const char *notice)
{
    (void)context, (void)notice;
}

static enum status set_up(struct sql_postgres *postgres, struct error *err)
{
    // A tenth less than a call's limit: the server gives up first, and the connection stays good.
    long long limit_ms = postgres->sql.timeout_ms - postgres->sql.timeout_ms / 10;
    char *text = memory_format("SET statement_timeout = %lld; SET lock_timeout = %lld; "
                               "SET idle_in_transaction_session_timeout = %lld; SET synchronous_commit = on",
                               limit_ms, limit_ms, 10 * limit_ms);
    PQsetNoticeProcessor(postgres->connection, say_nothing, NULL);
    enum status status = PQsetnonblocking(postgres->connection, 1) == 0 ? run_script(postgres, text, err)
                                                                        : fail_connection(postgres, err);
    free(text);
    return status;
}

static enum status connect_now(struct sql_postgres *postgres, struct error *err)
{
    const char *const names[] = {"dbname", "client_encoding", "fallback_application_name", NULL};
    const char *const values[] = {postgres->url, "UTF8", "skinsight", NULL};
    postgres->connection = PQconnectStartParams(names, values, 1);
    if (!postgres->connection)
        return error_set(err, STATUS_RETRY, "no memory for a connection to PostgreSQL");
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED || PQstatus(postgres->connection) == CONNECTION_BAD)
            return fail_connection(postgres, err);
        if (!wait_for(postgres, next == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return fail_too_late(postgres, err);
        next = PQconnectPoll(postgres->connection);
    }
    return set_up(postgres, err);
}

// Between two calls the server sends nothing but its goodbye and, now and then, news of its settings. Either
// way the connection is made anew.
static bool is_quiet(struct sql_postgres *postgres)
{
    struct pollfd socket = {.fd = PQsocket(postgres->connection), .events = POLLIN};
    return PQstatus(postgres->connection) == CONNECTION_OK && poll(&socket, 1, 0) == 0;
}

static enum status stay_connected(struct sql_postgres *postgres, struct error *err)
{
    if (postgres->sql.in_transaction)
        return postgres->connection ? STATUS_OK : fail_connection(postgres, err);
    if (postgres->connection && !is_quiet(postgres))
        disconnect(postgres);
    return postgres->connection ? STATUS_OK : connect_now(postgres, err);
}

// ---- statements ----

// "?" becomes "$1", "$2" ...; the caller frees it.
static char *translate(const char *text, size_t *parameters)
{
    char *out = memory_alloc(strlen(text) + SQL_VALUES_MOST * 2 + 1), *at = out;
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
    free(postgres->statements[place]);
    postgres->statements[place] = NULL;
    snprintf(text, sizeof text, "DEALLOCATE s%zu", place);
    return run_script(postgres, text, err);
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
    status = PQsendPrepare(postgres->connection, name, translated, 0, NULL) ? finish(postgres, NULL, err)
                                                                            : fail_connection(postgres, err);
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
    start_clock(postgres);
    enum status status = stay_connected(postgres, err);
    if (status == STATUS_OK)
        status = prepare(postgres, text, count, name, err);
    if (status != STATUS_OK)
        return status;
    if (!send(postgres, name, values, count))
        return fail_connection(postgres, err);
    if (!changed) {
        PQsetSingleRowMode(postgres->connection);
        return flush(postgres, err);
    }
    status = finish(postgres, &result, err);
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
    start_clock(postgres);
    if (!postgres->connection)
        return fail_connection(postgres, err);
    enum status status = receive(postgres, &result, err);
    if (status != STATUS_OK || !result)
        return status;
    if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
        status = take_row(sql, result, err);
        *more = status == STATUS_OK;
    } else if (!is_success(result)) {
        status = fail(postgres, result, err);
    }
    PQclear(result);
    return status;
}

// Rows that nobody reads are thrown away, up to the time limit; then the connection is.
static void postgres_end(struct sql *sql)
{
    struct sql_postgres *postgres = postgres_of(sql);
    struct error err;
    PGresult *result;
    start_clock(postgres);
    while (postgres->connection && receive(postgres, &result, &err) == STATUS_OK && result) {
        PQclear(result);
        if (clock_monotonic_ms() >= postgres->deadline_ms)
            disconnect(postgres);
    }
}

static enum status postgres_script(struct sql *sql, const char *text, struct error *err)
{
    struct sql_postgres *postgres = postgres_of(sql);
    start_clock(postgres);
    enum status status = stay_connected(postgres, err);
    return status == STATUS_OK ? run_script(postgres, text, err) : status;
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
    start_clock(postgres);
    if (!postgres->connection || !PQsendQuery(postgres->connection, "COMMIT"))
        return fail_connection(postgres, err);
    enum status status = finish(postgres, &result, err);
    if (status == STATUS_OK && strcmp(PQcmdStatus(result), "COMMIT") != 0)
        status = error_set(err, STATUS_FATAL, "PostgreSQL at %s rolled a transaction back", sql->name);
    PQclear(result);
    return status;
}

static void postgres_rollback(struct sql *sql)
{
    struct sql_postgres *postgres = postgres_of(sql);
    struct error err;
    start_clock(postgres);
    if (postgres->connection && PQtransactionStatus(postgres->connection) != PQTRANS_IDLE &&
        run_script(postgres, "ROLLBACK", &err) != STATUS_OK)
        disconnect(postgres);
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
    start_clock(postgres);
    if (postgres->connection && run_script(postgres, text, &err) != STATUS_OK)
        disconnect(postgres); // which unlocks too
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
    disconnect(postgres);
    explicit_bzero(postgres->url, strlen(postgres->url));
    free(postgres->url);
    free(postgres);
}

static const struct sql_ops postgres_ops = {
    .start = postgres_start,
    .next = postgres_next,
    .end = postgres_end,
    .script = postgres_script,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .migrate_begin = postgres_migrate_begin,
    .migrate_end = postgres_migrate_end,
    .append_only = postgres_append_only,
    .close = postgres_close,
};

enum status sql_postgres_url_check(const char *url, struct error *err)
{
    const char *query = strchr(url, '?');
    PQconninfoOption *parts = PQconninfoParse(url, NULL);
    PQconninfoFree(parts);
    if (!parts)
        return error_set(
            err, STATUS_REJECTED, // it may hold a password: it is not quoted
            "the URL of the store must be postgresql://[user[:password]@]host[:port]/database[?name=value]");
    if (query && strstr(query, "password="))
        return error_set(
            err, STATUS_REJECTED,
            "a password stands in front of the store's host, user:password@host, or in the file of "
            "PGPASSFILE: elsewhere --print-config would show it");
    return STATUS_OK;
}

// Host, port and database as the URL has them.
static void name_store(struct sql *sql, const char *url)
{
    const char *host = "", *port = "5432", *database = "";
    PQconninfoOption *parts = PQconninfoParse(url, NULL);
    for (const PQconninfoOption *part = parts; part && part->keyword; part++) {
        if (!part->val)
            continue;
        if (strcmp(part->keyword, "host") == 0)
            host = part->val;
        else if (strcmp(part->keyword, "port") == 0)
            port = part->val;
        else if (strcmp(part->keyword, "dbname") == 0)
            database = part->val;
    }
    snprintf(sql->name, sizeof sql->name, "%s:%s/%s", host, port, database);
    PQconninfoFree(parts);
}

enum status sql_postgres_open(struct sql **sql, const struct sql_options *options, struct error *err)
{
    struct sql_postgres *postgres = memory_alloc(sizeof *postgres);
    postgres->sql.ops = &postgres_ops;
    postgres->sql.timeout_ms = options->timeout_ms;
    postgres->url = memory_strdup(options->url);
    name_store(&postgres->sql, options->url);
    start_clock(postgres);
    enum status status = connect_now(postgres, err);
    if (status != STATUS_OK) {
        postgres_close(&postgres->sql);
        return status;
    }
    *sql = &postgres->sql;
    return STATUS_OK;
}
