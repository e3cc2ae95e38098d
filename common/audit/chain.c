// chain.c: each group reads the newest entry in its own transaction and goes on from there, so the database,
// which runs transactions as if one after the other, keeps the chain from forking.
#include "common/audit/chain.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"

enum { APPEND_LIMIT_MS = 5000, COLUMNS = 5, ROWS_MOST = 25 };
static_assert(COLUMNS * ROWS_MOST <= SQL_VALUES_MOST, "values of a statement");

const struct sql_migration audit_migrations[] = {
    {.text = "CREATE TABLE audit (chain TEXT NOT NULL, seq BIGINT NOT NULL, at BIGINT NOT NULL, entry TEXT "
             "NOT NULL, "
             "hash BYTEA NOT NULL, PRIMARY KEY (chain, seq));"
             "CREATE TABLE audit_heads (chain TEXT NOT NULL, seq BIGINT NOT NULL, line TEXT NOT NULL, "
             "PRIMARY KEY (chain, seq));"},
    {.append_only = "audit"},
    {.append_only = "audit_heads"},
    {0},
};

static enum status hash_of(const struct sql *sql, size_t column, struct digest *hash, struct error *err)
{
    struct bytes bytes = sql_blob(sql, column);
    if (bytes.size != sizeof hash->value)
        return error_set(err, STATUS_FATAL, "a hash of the audit in %s has %zu bytes", sql_name(sql),
                         bytes.size);
    memcpy(hash->value, bytes.data, sizeof hash->value);
    return STATUS_OK;
}

enum status audit_chain_newest(struct sql *sql, const char *chain, struct audit_head *head, struct error *err)
{
    const struct sql_value value = sql_of_text(chain);
    bool found;
    *head = (struct audit_head){.seq = 0};
    snprintf(head->chain, sizeof head->chain, "%s", chain);
    enum status status = sql_find(
        sql, "SELECT seq, hash FROM audit WHERE chain = ? ORDER BY seq DESC LIMIT 1", &value, 1, &found, err);
    if (status != STATUS_OK || !found)
        return status;
    head->seq = sql_integer(sql, 0);
    return hash_of(sql, 1, &head->hash, err);
}

// ---- append ----

struct append {
    const char *chain;
    struct audit_group *group;
    struct audit_head last; // of the present try; seq 0: it has not come to its end
};

// Rows of one statement: a server far away answers once for all of them.
struct rows {
    size_t count;
    char texts[ROWS_MOST][AUDIT_TEXT_MOST + 1];
    struct digest hashes[ROWS_MOST];
    struct sql_value values[ROWS_MOST * COLUMNS];
};

static enum status is_there(struct sql *sql, const struct append *append, bool *there, struct error *err)
{
    enum status status = STATUS_OK;
    *there = false;
    for (int i = 0; status == STATUS_OK && !*there && i < append->group->try_count; i++) {
        const struct sql_value values[] = {sql_of_text(append->chain),
                                           sql_of_integer(append->group->tries[i].seq)};
        struct digest hash;
        bool found;
        status = sql_find(sql, "SELECT hash FROM audit WHERE chain = ? AND seq = ?", values, 2, &found, err);
        if (status == STATUS_OK && found)
            status = hash_of(sql, 0, &hash, err);
        *there = status == STATUS_OK && found && digest_equal(&hash, &append->group->tries[i].hash);
    }
    return status;
}

static enum status add_row(struct rows *rows, const struct audit_entry *entry,
                           const struct audit_place *place, struct digest *hash, struct error *err)
{
    size_t row = rows->count++;
    struct sql_value *values = &rows->values[row * COLUMNS];
    struct buffer text;
    buffer_init(&text, AUDIT_TEXT_MOST);
    enum status status = audit_entry_write(entry, place, &text, err);
    if (status == STATUS_OK) {
        *hash = audit_link(hash, buffer_bytes(&text));
        rows->hashes[row] = *hash;
        memcpy(rows->texts[row], text.data, text.size);
        rows->texts[row][text.size] = '\0';
        values[0] = sql_of_text(place->chain);
        values[1] = sql_of_integer(place->seq);
        values[2] = sql_of_integer(place->at);
        values[3] = sql_of_text(rows->texts[row]);
        values[4] = sql_of_blob(rows->hashes[row].value, DIGEST_SIZE);
    }
    buffer_release(&text);
    return status;
}

// One text for each number of rows; the connection keeps them prepared.
static enum status insert(struct sql *sql, const struct rows *rows, struct error *err)
{
    static const char start[] = "INSERT INTO audit (chain, seq, at, entry, hash) VALUES ";
    static const char row[] = "(?, ?, ?, ?, ?)";
    char text[sizeof start + ROWS_MOST * sizeof row]; // a row and its comma
    size_t size = (size_t)sprintf(text, "%s", start);
    for (size_t i = 0; i < rows->count; i++)
        size += (size_t)sprintf(text + size, "%s%s", i ? "," : "", row);
    return sql_run(sql, text, rows->values, rows->count * COLUMNS, NULL, err);
}

static enum status append_group(struct sql *sql, void *context, struct error *err)
{
    struct append *append = context;
    const struct audit_group *group = append->group;
    struct rows *rows = memory_alloc(sizeof *rows);
    struct audit_head head;
    bool there;
    append->last.seq = 0;
    enum status status = is_there(sql, append, &there, err);
    if (status == STATUS_OK && !there)
        status = audit_chain_newest(sql, append->chain, &head, err);
    for (size_t i = 0; status == STATUS_OK && !there && i < group->count; i++) {
        head.seq++;
        const struct audit_place place = {.chain = append->chain, .seq = head.seq, .at = group->at};
        status = add_row(rows, &group->entries[i], &place, &head.hash, err);
        if (status == STATUS_OK && (rows->count == ROWS_MOST || i + 1 == group->count)) {
            status = insert(sql, rows, err);
            rows->count = 0;
        }
    }
    if (status == STATUS_OK && !there)
        append->last = head;
    free(rows);
    return status;
}

// Of a try that has, or may have, come through.
static void remember_try(struct append *append)
{
    struct audit_group *group = append->group;
    if (append->last.seq == 0)
        return;
    group->tries[group->try_count].seq = append->last.seq;
    group->tries[group->try_count++].hash = append->last.hash;
}

// RETRY: where nothing tells that another one came between, the commit may have come through, which the next
// try sees. REJECTED: another writer has taken the number, and the next try goes on behind it.
enum status audit_chain_append(struct sql *sql, const char *chain, struct audit_group *group,
                               struct error *err)
{
    struct append append = {.chain = chain, .group = group};
    int64_t deadline_ms = clock_monotonic_ms() + APPEND_LIMIT_MS;
    enum status status = error_set(err, STATUS_RETRY, "the audit was tried %d times", AUDIT_APPEND_TRIES);
    for (int try = 0; try < AUDIT_APPEND_TRIES && group->try_count < AUDIT_APPEND_TRIES; try++) {
        status = sql_transaction(sql, SQL_WRITE, append_group, &append, err);
        if (status == STATUS_OK || (status == STATUS_RETRY && !sql_is_conflict(sql)))
            remember_try(&append);
        if (status == STATUS_OK || status == STATUS_FATAL || clock_monotonic_ms() >= deadline_ms)
            break;
    }
    return status == STATUS_REJECTED ? STATUS_RETRY : status;
}

// ---- heads ----

enum status audit_chain_signed(struct sql *sql, const char *chain, struct audit_head *head, struct error *err)
{
    const struct sql_value value = sql_of_text(chain);
    bool found, genuine;
    head->seq = 0;
    enum status status =
        sql_find(sql, "SELECT seq, line FROM audit_heads WHERE chain = ? ORDER BY seq DESC LIMIT 1", &value,
                 1, &found, err);
    if (status != STATUS_OK || !found)
        return status;
    const char *line = sql_text(sql, 1);
    if (!audit_head_read(NULL, (struct bytes){(const uint8_t *)line, strlen(line)}, head, &genuine) ||
        strcmp(head->chain, chain) != 0 || head->seq != sql_integer(sql, 0))
        return error_set(err, STATUS_FATAL, "the newest signed head of chain %s in %s was changed", chain,
                         sql_name(sql));
    return STATUS_OK;
}

enum status audit_chain_check(struct sql *sql, const struct audit_head *head, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(head->chain), sql_of_integer(head->seq)};
    struct digest hash;
    bool found;
    enum status status =
        sql_find(sql, "SELECT hash FROM audit WHERE chain = ? AND seq = ?", values, 2, &found, err);
    if (status == STATUS_OK && found)
        status = hash_of(sql, 0, &hash, err);
    if (status == STATUS_OK && (!found || !digest_equal(&hash, &head->hash)))
        status = error_set(err, STATUS_FATAL,
                           "chain %s in %s was changed: entry %lld is not the one whose head was signed",
                           head->chain, sql_name(sql), (long long)head->seq);
    return status;
}

enum status audit_chain_keep_head(struct sql *sql, const struct audit_head *head, struct bytes line,
                                  struct error *err)
{
    const struct sql_value values[] = {
        sql_of_text(head->chain), sql_of_integer(head->seq), {.type = SQL_TEXT, .bytes = line}};
    return sql_run(sql, "INSERT INTO audit_heads (chain, seq, line) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                   values, 3, NULL, err);
}
