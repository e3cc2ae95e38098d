// sql.h: a database behind one interface: SQLite in a file, or a PostgreSQL server. The URL chooses:
//     sqlite:///var/lib/skinsight/store.db
//     postgresql://user:password@host:port/database?sslmode=verify-full     (as libpq takes it)
//
// A struct sql is one connection. One thread at a time uses it; threads that work side by side have one each.
// Every call is over within timeout_ms, waiting for others' locks and connecting included (the system's
// resolver keeps its own limits). A connection that broke is made anew by the next call outside a
// transaction.
//
// Texts are constants of the program and in the language that both databases speak:
//   - types BIGINT, DOUBLE PRECISION, TEXT, BYTEA; keys are given by the program, none is counted up;
//   - a parameter is ? and stands where a column says its type (a = ?, VALUES (?), LIMIT ?), not SELECT ?;
//   - INSERT ... ON CONFLICT ... DO NOTHING or DO UPDATE, RETURNING, indexes with WHERE are there;
//     functions are count, sum, min, max, coalesce, length, abs;
//   - no two connections see one order of rows without ORDER BY, and no two databases one of texts without
//     COLLATE "C", which is by bytes.
// A text holds no ? but its parameters. Values travel beside it, never in it.
//
// What a call's failure means:
//   RETRY     the database is away, locked, full, or another's transaction came between (sql_transaction
//   tries
//             that again by itself). After RETRY of a change outside a transaction, or of sql_commit, it may
//             be done or not: write changes that can be made twice (ON CONFLICT, WHERE state = ...).
//   REJECTED  a rule of a table forbids it (unique, not null, append-only), or a value does not fit.
//   FATAL     the file is no database, damaged or closed to us, or the text is wrong. A server that refuses
//             the login is RETRY, as one that is away.
// Sentences name the database without its password, and no value.
#ifndef SKINSIGHT_COMMON_SERVICES_SQL_H
#define SKINSIGHT_COMMON_SERVICES_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

enum {
    SQL_VALUES_MOST = 128,      // parameters of a statement, and columns of a row
    SQL_VALUE_BYTES = 16 << 20, // of one text or blob
};

struct sql;

struct sql_options {
    const char *url;
    int64_t timeout_ms;  // of one call
    int64_t cache_bytes; // of SQLite's pages; 0: its own choice, 2 MB
};

// REJECTED unless url has one of the two forms. Looks at the text alone.
enum status sql_url_check(const char *url, struct error *err) MUST_CHECK;

// Connects; a SQLite file that is not there is made, for its owner alone. REJECTED: as by sql_url_check.
enum status sql_open(struct sql **sql, const struct sql_options *options, struct error *err) MUST_CHECK;
void sql_close(struct sql *sql);             // NULL is allowed; what is open is rolled back
const char *sql_name(const struct sql *sql); // for sentences: no password

// ---- tables ----

// One step from a version of a program's tables to the next. Exactly one of the two is set.
struct sql_migration {
    const char *text;        // statements, each ended by ';'; no parameters
    const char *append_only; // a table whose rows the database lets nobody change or delete from now on
};

// Brings the tables of `part` ("gateway", "listen"; parts share a database) to the last of the migrations,
// whose numbers are their places, from 1; ends with a row of NULLs. All or nothing; of two programs that
// start at once the second waits. REJECTED: the tables are of a newer program.
enum status sql_migrate(struct sql *sql, const char *part, const struct sql_migration *migrations,
                        struct error *err) MUST_CHECK;

// ---- statements ----

enum sql_type { SQL_NULL, SQL_INTEGER, SQL_REAL, SQL_TEXT, SQL_BLOB };

// The bytes are the caller's and are read during the call alone. A text is UTF-8 without a zero byte.
struct sql_value {
    enum sql_type type;
    int64_t integer;
    double real;
    struct bytes bytes; // SQL_TEXT and SQL_BLOB
};

struct sql_value sql_null(void);
struct sql_value sql_of_integer(int64_t integer);
struct sql_value sql_of_real(double real);
struct sql_value sql_of_text(const char *text); // NULL becomes SQL_NULL
struct sql_value sql_of_blob(const void *data, size_t size);

// Runs a statement that gives no rows. changed (NULL is allowed): rows inserted, updated or deleted.
// A text is prepared once per connection and then found again.
enum status sql_run(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                    int64_t *changed, struct error *err) MUST_CHECK;

// Starts a statement that gives rows. Until sql_end the connection is its alone:
//     status = sql_query(sql, "SELECT id, at FROM t WHERE site = ? ORDER BY id", &site, 1, err);
//     while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more)
//         ... sql_text(sql, 0) ...
//     sql_end(sql);
enum status sql_query(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                      struct error *err) MUST_CHECK;
enum status sql_next(struct sql *sql, bool *more, struct error *err) MUST_CHECK;
// Also where nothing is open. Rows not yet read are dropped, and a failure among them is told by nothing but
// the transaction they are in; a statement that changes something and gives rows (RETURNING) is to be read to
// its end.
void sql_end(struct sql *sql);

// Columns of the present row, from 0. Bytes live until the next call. NULL is 0, 0.0, "" or no bytes; ask
// sql_is_null where that is not the same. A text has no zero byte behind it but the last.
bool sql_is_null(const struct sql *sql, size_t column);
int64_t sql_integer(const struct sql *sql, size_t column);
double sql_real(const struct sql *sql, size_t column);
const char *sql_text(const struct sql *sql, size_t column);
struct bytes sql_blob(const struct sql *sql, size_t column);

// sql_query, at most one row, sql_end: found tells whether there was one, and its columns stay readable until
// the next call. What fails behind that row is a failure too.
enum status sql_find(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                     bool *found, struct error *err) MUST_CHECK;

// ---- many rows at once ----

// Rows for one table. A row that a unique index knows already, of the table or of this load, is left out.
struct sql_load {
    const char *table;
    const char *columns; // "id, at, site": as many as column_count
    size_t column_count;
    size_t rows;
    // Fills in the values of one row; their bytes live until the next one is asked for. In order from 0, and
    // perhaps all of them once more.
    void (*fill)(void *context, size_t row, struct sql_value *values);
    void *context;
};
// In a SQL_WRITE transaction. The same as an INSERT for each row, at the speed of a COPY where the database
// has one. changed: rows that are new; NULL is allowed.
enum status sql_load(struct sql *sql, const struct sql_load *load, int64_t *changed,
                     struct error *err) MUST_CHECK;

// ---- transactions ----

enum sql_access {
    SQL_READ, // one state of the database, whatever others write meanwhile
    SQL_WRITE // and as if no other transaction ran beside it
};

// After a failed statement inside a transaction only sql_rollback is left; sql_commit then rolls back and
// answers REJECTED.
enum status sql_begin(struct sql *sql, enum sql_access access, struct error *err) MUST_CHECK;
enum status sql_commit(struct sql *sql, struct error *err) MUST_CHECK; // OK: on the disk
void sql_rollback(struct sql *sql);                                    // also where no transaction is open

// Of the last failure that was RETRY: another's transaction came between, and nothing is changed. Else it is
// not known whether anything is.
bool sql_is_conflict(const struct sql *sql);

// begin, work, commit. Where another's transaction came between, all of it again, up to SQL_TRIES times; work
// then starts from the beginning. Where work fails: rolled back, its status.
enum { SQL_TRIES = 8 };
enum status sql_transaction(struct sql *sql, enum sql_access access,
                            enum status (*work)(struct sql *sql, void *context, struct error *err),
                            void *context, struct error *err) MUST_CHECK;

#endif
