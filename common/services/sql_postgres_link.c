// sql_postgres_link.c: libpq without its blocking calls: each call waits against one deadline, connecting
// included. The server's own limit (statement_timeout) is a little shorter, so that a slow statement fails
// alone and the connection lives on; only a server that doesn't answer at all costs the connection. Sentences
// of class 22 of SQLSTATE quote values, so they are told by their number.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/sql_postgres_internal.h"

enum { SENTENCE_MOST = 300 };

// ---- failures ----

void postgres_disconnect(struct sql_postgres *postgres)
{
    PQfinish(postgres->connection); // NULL is allowed
    postgres->connection = NULL;
    for (size_t i = 0; i < SQL_STATEMENTS_MOST; i++) {
        free(postgres->statements[i]);
        postgres->statements[i] = NULL;
    }
    postgres->oldest = 0;
}

enum status postgres_fail_connection(struct sql_postgres *postgres, struct error *err)
{
    char sentence[SENTENCE_MOST];
    const char *text = postgres->connection ? PQerrorMessage(postgres->connection) : "it is lost";
    snprintf(sentence, sizeof sentence, "%.*s", (int)strcspn(text, "\n"), text);
    postgres_disconnect(postgres);
    return error_set(err, STATUS_RETRY, "no connection to PostgreSQL at %s: %s", postgres->sql.name,
                     sentence);
}

enum status postgres_fail_late(struct sql_postgres *postgres, struct error *err)
{
    postgres_disconnect(postgres); // what it still answers belongs to no later call
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

enum status postgres_fail(struct sql_postgres *postgres, const PGresult *result, struct error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!state || PQstatus(postgres->connection) == CONNECTION_BAD)
        return postgres_fail_connection(postgres, err);
    postgres->sql.conflict = strncmp(state, "40", 2) == 0;
    enum status status = status_of(state);
    if (strncmp(state, "22", 2) == 0 || !text)
        return error_set(err, status, "PostgreSQL at %s: SQLSTATE %s", postgres->sql.name, state);
    return error_set(err, status, "PostgreSQL at %s: %.*s (SQLSTATE %s)", postgres->sql.name, SENTENCE_MOST,
                     text, state);
}

// ---- waiting ----

void postgres_start_clock(struct sql_postgres *postgres)
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

enum status postgres_flush(struct sql_postgres *postgres, struct error *err)
{
    int left;
    while ((left = PQflush(postgres->connection)) > 0) {
        if (!wait_for(postgres, POLLIN | POLLOUT))
            return postgres_fail_late(postgres, err);
        if (!PQconsumeInput(postgres->connection))
            return postgres_fail_connection(postgres, err);
    }
    return left == 0 ? STATUS_OK : postgres_fail_connection(postgres, err);
}

enum status postgres_receive(struct sql_postgres *postgres, PGresult **result, struct error *err)
{
    *result = NULL;
    while (PQisBusy(postgres->connection)) {
        if (!wait_for(postgres, POLLIN))
            return postgres_fail_late(postgres, err);
        if (!PQconsumeInput(postgres->connection))
            return postgres_fail_connection(postgres, err);
    }
    *result = PQgetResult(postgres->connection);
    return STATUS_OK;
}

bool postgres_is_success(const PGresult *result)
{
    ExecStatusType kind = PQresultStatus(result);
    return kind == PGRES_COMMAND_OK || kind == PGRES_TUPLES_OK;
}

// Of what was just sent: all results up to the last; the first failure counts. last: the last result, the
// caller's; NULL is allowed.
enum status postgres_finish(struct sql_postgres *postgres, PGresult **last, struct error *err)
{
    PGresult *result = NULL, *kept = NULL;
    enum status first = STATUS_OK;
    enum status status = postgres_flush(postgres, err);
    while (status == STATUS_OK && (status = postgres_receive(postgres, &result, err)) == STATUS_OK &&
           result) {
        PQclear(kept);
        kept = result;
        if (first == STATUS_OK && !postgres_is_success(result))
            first = postgres_fail(postgres, result, err);
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

enum status postgres_run_script(struct sql_postgres *postgres, const char *text, struct error *err)
{
    if (!PQsendQuery(postgres->connection, text))
        return postgres_fail_connection(postgres, err);
    return postgres_finish(postgres, NULL, err);
}

static void say_nothing(void *context, const char *notice)
{
    (void)context, (void)notice;
}

static enum status set_up(struct sql_postgres *postgres, struct error *err)
{
    // A tenth less than a call's limit: the server gives up first, and the connection stays good. Of tables
    // that it knows nothing of yet it expects the worst and compiles for longer than the statement takes.
    long long limit_ms = postgres->sql.timeout_ms - postgres->sql.timeout_ms / 10;
    char *text = memory_format("SET statement_timeout = %lld; SET lock_timeout = %lld; "
                               "SET idle_in_transaction_session_timeout = %lld; "
                               "SET synchronous_commit = on; SET jit = off",
                               limit_ms, limit_ms, 10 * limit_ms);
    PQsetNoticeProcessor(postgres->connection, say_nothing, NULL);
    enum status status = PQsetnonblocking(postgres->connection, 1) == 0
                             ? postgres_run_script(postgres, text, err)
                             : postgres_fail_connection(postgres, err);
    free(text);
    return status;
}

enum status postgres_connect(struct sql_postgres *postgres, struct error *err)
{
    const char *const names[] = {"dbname", "client_encoding", "fallback_application_name", NULL};
    const char *const values[] = {postgres->url, "UTF8", "skinsight", NULL};
    postgres->connection = PQconnectStartParams(names, values, 1);
    if (!postgres->connection)
        return error_set(err, STATUS_RETRY, "no memory for a connection to PostgreSQL");
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED || PQstatus(postgres->connection) == CONNECTION_BAD)
            return postgres_fail_connection(postgres, err);
        if (!wait_for(postgres, next == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return postgres_fail_late(postgres, err);
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

enum status postgres_stay_connected(struct sql_postgres *postgres, struct error *err)
{
    if (postgres->sql.in_transaction)
        return postgres->connection ? STATUS_OK : postgres_fail_connection(postgres, err);
    if (postgres->connection && !is_quiet(postgres))
        postgres_disconnect(postgres);
    return postgres->connection ? STATUS_OK : postgres_connect(postgres, err);
}

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

void postgres_name_store(struct sql *sql, const char *url)
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
