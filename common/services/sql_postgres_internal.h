// sql_postgres_internal.h: the connection to a PostgreSQL server as sql_postgres.c uses it: sending and
// waiting against one deadline, failures, connecting. Of a call that fails with the connection gone,
// postgres->connection is NULL.
#ifndef SKINSIGHT_COMMON_SERVICES_SQL_POSTGRES_INTERNAL_H
#define SKINSIGHT_COMMON_SERVICES_SQL_POSTGRES_INTERNAL_H

#include <libpq-fe.h>

#include "common/services/sql_internal.h"

struct sql_postgres {
    struct sql sql;
    char *url;
    PGconn *connection;                    // NULL: not connected
    int64_t deadline_ms;                   // of the present call
    size_t oldest;                         // statement: the next one to give way
    char *statements[SQL_STATEMENTS_MOST]; // texts of those prepared on this connection, as s<place>
};

// ---- time ----

void postgres_start_clock(struct sql_postgres *postgres); // of a call

// ---- the connection ----

enum status postgres_connect(struct sql_postgres *postgres, struct error *err) MUST_CHECK;
void postgres_disconnect(struct sql_postgres *postgres);
// Outside a transaction a connection that is gone is made anew.
enum status postgres_stay_connected(struct sql_postgres *postgres, struct error *err) MUST_CHECK;
void postgres_name_store(struct sql *sql, const char *url); // host, port and database, no password

// ---- an exchange ----

enum status postgres_flush(struct sql_postgres *postgres, struct error *err) MUST_CHECK; // what was sent
// The next result, the caller's (PQclear); NULL: there is none left.
enum status postgres_receive(struct sql_postgres *postgres, PGresult **result, struct error *err) MUST_CHECK;
// Of what was just sent: all results up to the last; the first failure counts. last: the last result, the
// caller's; NULL is allowed.
enum status postgres_finish(struct sql_postgres *postgres, PGresult **last, struct error *err) MUST_CHECK;
// Sends a text, and drops what rows come.
enum status postgres_run_script(struct sql_postgres *postgres, const char *text,
                                struct error *err) MUST_CHECK;

// ---- many rows at once (sql_postgres_load.c) ----

enum status postgres_load(struct sql *sql, const struct sql_load *load, int64_t *changed,
                          struct error *err) MUST_CHECK;

// ---- failures ----

bool postgres_is_success(const PGresult *result);
// Of a result that is no success.
enum status postgres_fail(struct sql_postgres *postgres, const PGresult *result, struct error *err);
enum status postgres_fail_connection(struct sql_postgres *postgres, struct error *err);
enum status postgres_fail_late(struct sql_postgres *postgres, struct error *err); // disconnects

#endif
