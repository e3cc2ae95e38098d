// export.c: pages of a few hundred rows, each a statement of its own: a transaction over years of entries
// would keep the database from tidying up. Entries that come meanwhile are exported too, or not; rows never
// change.
#include "producer/audit/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "producer/audit/entry.h"
#include "producer/audit/signing.h"

enum { PAGE = 500 };

struct export
{
    struct sql *sql;
    FILE *out;
    const char *chain;
    int64_t next;      // entry
    int64_t head_next; // number of the next head's entry
    char head[AUDIT_HEAD_LINE_MOST];
    int64_t entries;
};

static enum status check_file(const struct export *export, struct error *err)
{
    if (ferror(export->out))
        return error_set(err, STATUS_FATAL, "the export can't be written: %s", strerror(errno));
    return STATUS_OK;
}

// The first head at or behind a number, into export->head; head_next INT64_MAX where there is none.
static enum status find_head(struct export *export, int64_t seq, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(export->chain), sql_of_integer(seq)};
    bool found;
    enum status status = sql_find(
        export->sql, "SELECT seq, line FROM audit_heads WHERE chain = ? AND seq >= ? ORDER BY seq LIMIT 1",
        values, 2, &found, err);
    export->head_next = INT64_MAX;
    if (status == STATUS_OK && found) {
        export->head_next = sql_integer(export->sql, 0);
        snprintf(export->head, sizeof export->head, "%s", sql_text(export->sql, 1));
    }
    return status;
}

// Where a part begins: behind the newest head below from.
static enum status find_start(struct export *export, int64_t from, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(export->chain), sql_of_integer(from)};
    bool found;
    enum status status =
        sql_find(export->sql,
                 "SELECT seq, line FROM audit_heads WHERE chain = ? AND seq < ? ORDER BY seq DESC LIMIT 1",
                 values, 2, &found, err);
    export->next = 1;
    if (status == STATUS_OK && found) {
        export->next = sql_integer(export->sql, 0) + 1;
        fprintf(export->out, "%s\n", sql_text(export->sql, 1));
    }
    return status == STATUS_OK ? find_head(export, export->next, err) : status;
}

// Rows up to the next head, so that its line can stand behind the entry it is of.
static enum status write_page(struct export *export, int64_t *rows, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(export->chain), sql_of_integer(export->next),
                                       sql_of_integer(export->head_next), sql_of_integer(PAGE)};
    bool more = true;
    *rows = 0;
    enum status status = sql_query(
        export->sql,
        "SELECT seq, entry, hash FROM audit WHERE chain = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?",
        values, 4, err);
    while (status == STATUS_OK && (status = sql_next(export->sql, &more, err)) == STATUS_OK && more) {
        struct bytes hash = sql_blob(export->sql, 2);
        char hex[DIGEST_TEXT_SIZE] = "";
        if (hash.size == DIGEST_SIZE)
            hex_encode(hash.data, hash.size, hex);
        fprintf(export->out, "{\"entry\":%s,\"hash\":\"%s\"}\n", sql_text(export->sql, 1), hex);
        export->next = sql_integer(export->sql, 0) + 1;
        ++*rows;
    }
    sql_end(export->sql);
    export->entries += *rows;
    return status == STATUS_OK ? check_file(export, err) : status;
}

static enum status write_chain(struct export *export, int64_t from, struct error *err)
{
    int64_t rows = 1;
    enum status status = find_start(export, from, err);
    while (status == STATUS_OK && (rows > 0 || export->next > export->head_next)) {
        status = write_page(export, &rows, err);
        if (status == STATUS_OK && export->next > export->head_next) {
            fprintf(export->out, "%s\n", export->head);
            status = find_head(export, export->head_next + 1, err);
        }
    }
    return status;
}

// The names of all chains, or the one that was asked for; the caller frees them.
static enum status list_chains(struct sql *sql, const char *chain, char **chains, size_t *count,
                               struct error *err)
{
    bool more = true;
    enum status status = sql_query(sql, "SELECT DISTINCT chain FROM audit ORDER BY chain", NULL, 0, err);
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more) {
        if (*chain && strcmp(chain, sql_text(sql, 0)) != 0)
            continue;
        if (*count == AUDIT_CHAINS_MOST) {
            status = error_set(err, STATUS_REJECTED, "more than %d chains: export one at a time",
                               AUDIT_CHAINS_MOST);
            break;
        }
        chains[(*count)++] = memory_strdup(sql_text(sql, 0));
    }
    sql_end(sql);
    if (status == STATUS_OK && *chain && *count == 0)
        status = error_set(err, STATUS_REJECTED, "there is no chain '%s' in %s", chain, sql_name(sql));
    return status;
}

enum status audit_export(struct sql *sql, const char *chain, int64_t from, FILE *out, int64_t *entries,
                         struct error *err)
{
    struct export export = {.sql = sql, .out = out};
    char **chains = memory_alloc(AUDIT_CHAINS_MOST * sizeof *chains);
    size_t count = 0;
    enum status status = list_chains(sql, chain, chains, &count, err);
    if (status == STATUS_OK)
        fputs(AUDIT_EXPORT_FIRST_LINE "\n", out);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        export.chain = chains[i];
        status = write_chain(&export, from, err);
    }
    fflush(out);
    if (status == STATUS_OK)
        status = check_file(&export, err);
    *entries = export.entries;
    for (size_t i = 0; i < count; i++)
        free(chains[i]);
    free(chains);
    return status;
}
