// sql_internal.h: what sql.c asks of a database. sql.c keeps the rules of sql.h (limits, order of calls, a
// transaction that has failed), so that a database only has to do as it is told.
#ifndef SKINSIGHT_COMMON_SERVICES_SQL_INTERNAL_H
#define SKINSIGHT_COMMON_SERVICES_SQL_INTERNAL_H

#include "common/services/sql.h"

enum { SQL_STATEMENTS_MOST = 128, SQL_NAME_SIZE = 512, SQL_ROW_BYTES = 4 * SQL_VALUE_BYTES };

struct sql_ops {
    // Starts a statement. changed NULL: rows follow. Else it gives none and is over.
    enum status (*start)(struct sql *sql, const char *text, const struct sql_value *values, size_t count,
                         int64_t *changed, struct error *err);
    // The next row, through the three calls below.
    enum status (*next)(struct sql *sql, bool *more, struct error *err);
    // Of the rows; the last one stays readable. The failure is one of rows that nobody has read.
    enum status (*end)(struct sql *sql, struct error *err);
    // Each row by sql_load_row.
    enum status (*load)(struct sql *sql, const struct sql_load *load, int64_t *changed, struct error *err);
    // Several statements without parameters or rows.
    enum status (*script)(struct sql *sql, const char *text, struct error *err);
    enum status (*begin)(struct sql *sql, enum sql_access access, struct error *err);
    enum status (*commit)(struct sql *sql, struct error *err);
    void (*rollback)(struct sql *sql);
    // Holds off whoever else wants to migrate, until migrate_end or the connection's end.
    enum status (*migrate_begin)(struct sql *sql, struct error *err);
    void (*migrate_end)(struct sql *sql);
    enum status (*append_only)(struct sql *sql, const char *table, struct error *err);
    void (*close)(struct sql *sql); // frees sql
};

// The first member of each database's own struct.
struct sql {
    const struct sql_ops *ops;
    char name[SQL_NAME_SIZE];
    int64_t timeout_ms;
    bool in_rows, in_transaction;
    bool failed;   // a statement of this transaction
    bool conflict; // the last failure: another transaction came between, and nothing is changed
    size_t columns;
    struct sql_value row[SQL_VALUES_MOST]; // its bytes lie in row_bytes
    struct buffer row_bytes;
};

// A row, column by column, copied: it outlives the statement it came from. A text gets a zero byte behind it.
// False: it has too many columns or bytes, and *err says so.
void sql_row_begin(struct sql *sql);
bool sql_row_add(struct sql *sql, struct sql_value value, struct error *err);
void sql_row_end(struct sql *sql);

// The values of a row to be loaded, checked.
enum status sql_load_row(struct sql *sql, const struct sql_load *load, size_t row,
                         struct sql_value values[SQL_VALUES_MOST], struct error *err) MUST_CHECK;

enum status sql_sqlite_open(struct sql **sql, const struct sql_options *options,
                            struct error *err) MUST_CHECK;
enum status sql_postgres_open(struct sql **sql, const struct sql_options *options,
                              struct error *err) MUST_CHECK;
enum status sql_postgres_url_check(const char *url, struct error *err) MUST_CHECK;

#endif
