// sql_postgres.c: PostgreSQL behind sql.h.
#include "common/services/sql_internal.h"

enum status sql_postgres_url_check(const char *url, struct error *err)
{
    (void)url, (void)err;
    return STATUS_OK;
}

enum status sql_postgres_open(struct sql **sql, const struct sql_options *options, struct error *err)
{
    (void)options;
    *sql = NULL;
    return error_set(err, STATUS_REJECTED, "PostgreSQL is not supported yet: use sqlite:///path/of/a/file");
}
