// chain.c: each group reads the newest entry in its own transaction and goes on from there, so the database,
// which runs transactions as if one after the other, keeps the chain from forking.
#include "producer/audit/chain.h"

#include <stdio.h>
#include <string.h>

enum { APPEND_TRIES = 4 };

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
};

static enum status is_there(struct sql *sql, const struct append *append, bool *there, struct error *err)
{
    const struct sql_value values[] = {sql_of_text(append->chain), sql_of_integer(append->group->last_seq)};
    struct digest hash;
    *there = false;
    if (append->group->last_seq == 0)
        return STATUS_OK;
    enum status status =
        sql_find(sql, "SELECT hash FROM audit WHERE chain = ? AND seq = ?", values, 2, there, err);
    if (status != STATUS_OK || !*there)
        return status;
    status = hash_of(sql, 0, &hash, err);
    *there = status == STATUS_OK && digest_equal(&hash, &append->group->last_hash);
    return status;
}

static enum status insert(struct sql *sql, const struct audit_entry *entry, const struct audit_place *place,
                          struct digest *hash, struct error *err)
{
    struct buffer text;
    buffer_init(&text, AUDIT_TEXT_MOST);
    enum status status = audit_entry_write(entry, place, &text, err);
    if (status == STATUS_OK)
        status = buffer_append(&text, "", 1, err);
    if (status == STATUS_OK) {
        *hash = audit_link(hash, (struct bytes){.data = text.data, .size = text.size - 1});
        const struct sql_value values[] = {sql_of_text(place->chain), sql_of_integer(place->seq),
                                           sql_of_integer(place->at), sql_of_text((const char *)text.data),
                                           sql_of_blob(hash->value, sizeof hash->value)};
        status = sql_run(sql, "INSERT INTO audit (chain, seq, at, entry, hash) VALUES (?, ?, ?, ?, ?)",
                         values, 5, NULL, err);
    }
    buffer_release(&text);
    return status;
}

static enum status append_group(struct sql *sql, void *context, struct error *err)
{
    const struct append *append = context;
    struct audit_group *group = append->group;
    struct audit_head head;
    bool there;
    enum status status = is_there(sql, append, &there, err);
    if (status != STATUS_OK || there)
        return status;
    group->last_seq = 0;
    status = audit_chain_newest(sql, append->chain, &head, err);
    for (size_t i = 0; status == STATUS_OK && i < group->count; i++) {
        head.seq++;
        const struct audit_place place = {.chain = append->chain, .seq = head.seq, .at = group->at};
        status = insert(sql, &group->entries[i], &place, &head.hash, err);
    }
    group->last_seq = head.seq;
    group->last_hash = head.hash;
    return status;
}

enum status audit_chain_append(struct sql *sql, const char *chain, struct audit_group *group,
                               struct error *err)
{
    struct append append = {.chain = chain, .group = group};
    enum status status = STATUS_RETRY;
    for (int try = 0; try < APPEND_TRIES; try++) {
        status = sql_transaction(sql, SQL_WRITE, append_group, &append, err);
        if (status == STATUS_OK || status == STATUS_FATAL)
            break;
        // RETRY: the commit may have come through, which the next try sees. REJECTED: another writer has
        // taken the number, and the next try goes on behind it.
    }
    return status == STATUS_REJECTED ? STATUS_RETRY : status;
}

// ---- heads ----

enum status audit_chain_signed_seq(struct sql *sql, const char *chain, int64_t *seq, struct error *err)
{
    const struct sql_value value = sql_of_text(chain);
    bool found;
    *seq = 0;
    enum status status = sql_find(sql, "SELECT coalesce(max(seq), 0) FROM audit_heads WHERE chain = ?",
                                  &value, 1, &found, err);
    if (status == STATUS_OK && found)
        *seq = sql_integer(sql, 0);
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
