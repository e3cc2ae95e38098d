// export.c: pages of a few hundred rows, each a statement of its own: a transaction over years of entries
// would keep the database from tidying up. Entries that come meanwhile are exported too, or not; rows never
// change.
#include "common/audit/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/entry.h"
#include "common/audit/signing.h"
#include "common/base/memory.h"

enum { PAGE = 500 };

struct exporter {
    struct sql *sql;
    FILE *out;
    const char *chain;
    int64_t next;      // entry
    int64_t head_next; // number of the next head's entry
    char head[AUDIT_HEAD_LINE_MOST];
    int64_t entries;
};

static enum status check_file(const struct exporter *exporter, struct error *err)
{
    if (ferror(exporter->out))
        return error_set(err, STATUS_FATAL, "the export can't be written: %s", strerror(errno));
    return STATUS_OK;
}

// The first head at or behind a number, into exporter->head; head_next INT64_MAX where there is none.
static enum status find_head(struct exporter *exporter, int64_t seq, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(exporter->chain), sql_of_integer(seq)};
    bool found;
    enum status status = sql_find(
        exporter->sql, "SELECT seq, line FROM audit_heads WHERE chain = ? AND seq >= ? ORDER BY seq LIMIT 1",
        values, 2, &found, err);
    exporter->head_next = INT64_MAX;
    if (status == STATUS_OK && found) {
        exporter->head_next = sql_integer(exporter->sql, 0);
        snprintf(exporter->head, sizeof exporter->head, "%s", sql_text(exporter->sql, 1));
    }
    return status;
}

// Where a part begins: behind the newest head below from that has an entry behind it.
static enum status find_start(struct exporter *exporter, int64_t from, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(exporter->chain), sql_of_integer(from),
                                       sql_of_text(exporter->chain)};
    bool found;
    enum status status =
        sql_find(exporter->sql,
                 "SELECT seq, line FROM audit_heads WHERE chain = ? AND seq < ? AND seq < (SELECT "
                 "coalesce(max(seq), 0) FROM audit WHERE chain = ?) ORDER BY seq DESC LIMIT 1",
                 values, 3, &found, err);
    exporter->next = 1;
    if (status == STATUS_OK && found) {
        exporter->next = sql_integer(exporter->sql, 0) + 1;
        fprintf(exporter->out, "%s\n", sql_text(exporter->sql, 1));
    }
    return status == STATUS_OK ? find_head(exporter, exporter->next, err) : status;
}

// Rows up to the next head, so that its line can stand behind the entry it is of.
static enum status write_page(struct exporter *exporter, int64_t *rows, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(exporter->chain), sql_of_integer(exporter->next),
                                       sql_of_integer(exporter->head_next), sql_of_integer(PAGE)};
    bool more = true;
    *rows = 0;
    enum status status = sql_query(
        exporter->sql,
        "SELECT seq, entry, hash FROM audit WHERE chain = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?",
        values, 4, err);
    while (status == STATUS_OK && (status = sql_next(exporter->sql, &more, err)) == STATUS_OK && more) {
        struct bytes hash = sql_blob(exporter->sql, 2);
        char hex[DIGEST_TEXT_SIZE] = "";
        if (hash.size == DIGEST_SIZE)
            hex_encode(hash.data, hash.size, hex);
        fprintf(exporter->out, "{\"entry\":%s,\"hash\":\"%s\"}\n", sql_text(exporter->sql, 1), hex);
        exporter->next = sql_integer(exporter->sql, 0) + 1;
        ++*rows;
    }
    sql_end(exporter->sql);
    exporter->entries += *rows;
    return status == STATUS_OK ? check_file(exporter, err) : status;
}

// A head whose entry is not there is written all the same: it tells that the entry was there.
static enum status write_chain(struct exporter *exporter, int64_t from, struct error *err)
{
    int64_t rows;
    bool over = false;
    enum status status = find_start(exporter, from, err);
    while (status == STATUS_OK && !over) {
        status = write_page(exporter, &rows, err);
        if (status != STATUS_OK || (rows > 0 && exporter->next <= exporter->head_next))
            continue;
        over = exporter->head_next == INT64_MAX;
        if (!over) {
            fprintf(exporter->out, "%s\n", exporter->head);
            status = find_head(exporter, exporter->head_next + 1, err);
        }
    }
    return status;
}

// ---- names ----

static enum status check_chain(struct sql *sql, const char *chain, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(chain), sql_of_text(chain)};
    bool found;
    enum status status = sql_find(sql,
                                  "SELECT chain FROM audit WHERE chain = ? UNION ALL "
                                  "SELECT chain FROM audit_heads WHERE chain = ? LIMIT 1",
                                  values, 2, &found, err);
    if (status == STATUS_OK && !found)
        status = error_set(err, STATUS_REJECTED, "there is no chain '%s' in %s", chain, sql_name(sql));
    return status;
}

// The names of all chains, also of those that have heads alone; the caller frees them. Each step is one look
// into the indexes, however many entries a chain has.
static enum status list_chains(struct sql *sql, char **chains, size_t *count, struct error *err)
{
    const char *last = "";
    bool found;
    for (;;) {
        const struct sql_value values[] = {sql_of_text(last), sql_of_text(last)};
        enum status status = sql_find(sql,
                                      "SELECT min(chain) FROM (SELECT min(chain) AS chain FROM audit WHERE "
                                      "chain > ? UNION ALL SELECT min(chain) FROM audit_heads WHERE "
                                      "chain > ?) AS names",
                                      values, 2, &found, err);
        if (status != STATUS_OK || !found || sql_is_null(sql, 0))
            return status;
        if (*count == AUDIT_CHAINS_MOST)
            return error_set(err, STATUS_REJECTED, "more than %d chains: export one at a time",
                             AUDIT_CHAINS_MOST);
        last = chains[(*count)++] = memory_strdup(sql_text(sql, 0));
    }
}

enum status audit_export(struct sql *sql, const char *chain, int64_t from, FILE *out, int64_t *entries,
                         struct error *err)
{
    struct exporter exporter = {.sql = sql, .out = out};
    char **chains = memory_alloc(AUDIT_CHAINS_MOST * sizeof *chains);
    size_t count = 0;
    enum status status = *chain ? check_chain(sql, chain, err) : list_chains(sql, chains, &count, err);
    if (status == STATUS_OK && *chain)
        chains[count++] = memory_strdup(chain);
    if (status == STATUS_OK)
        fputs(AUDIT_EXPORT_FIRST_LINE "\n", out);
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        exporter.chain = chains[i];
        status = write_chain(&exporter, from, err);
    }
    fflush(out);
    if (status == STATUS_OK)
        status = check_file(&exporter, err);
    *entries = exporter.entries;
    for (size_t i = 0; i < count; i++)
        free(chains[i]);
    free(chains);
    return status;
}
