// chain.h: the chain in its tables: entries appended in groups, one transaction each. Thread: whoever has the
// connection.
#ifndef SKINSIGHT_COMMON_AUDIT_CHAIN_H
#define SKINSIGHT_COMMON_AUDIT_CHAIN_H

#include "common/audit/entry.h"
#include "common/audit/signing.h"
#include "common/services/sql.h"

extern const struct sql_migration audit_migrations[]; // part "audit"

enum { AUDIT_APPEND_TRIES = 4 };

// Entries that are appended together, or not at all.
struct audit_group {
    const struct audit_entry *entries;
    size_t count;
    int64_t at;
    // Places and hashes of the last entry, of tries that may have come through: a commit whose answer got
    // lost is known by them. Tries behind the fourth are not made.
    int try_count;
    struct {
        int64_t seq;
        struct digest hash;
    } tries[AUDIT_APPEND_TRIES];
};

// OK: on the disk. RETRY: it may be there all the same; called again with the same group, it is not written
// twice. A writer that was faster is no failure.
enum status audit_chain_append(struct sql *sql, const char *chain, struct audit_group *group,
                               struct error *err) MUST_CHECK;

// The newest entry; head->seq 0: there is none. at is not filled.
enum status audit_chain_newest(struct sql *sql, const char *chain, struct audit_head *head,
                               struct error *err) MUST_CHECK;
// The newest signed head, as the table has it; head->seq 0: there is none. FATAL: its line is none.
enum status audit_chain_signed(struct sql *sql, const char *chain, struct audit_head *head,
                               struct error *err) MUST_CHECK;
// FATAL unless the chain has this hash at this entry.
enum status audit_chain_check(struct sql *sql, const struct audit_head *head, struct error *err) MUST_CHECK;
// Keeps the line of a signed head. One that is there already stays.
enum status audit_chain_keep_head(struct sql *sql, const struct audit_head *head, struct bytes line,
                                  struct error *err) MUST_CHECK;

#endif
