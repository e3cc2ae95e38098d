// audit.h: the record of who saw what. A gateway, and the monitor, has one chain of entries (entry.h) in a
// table of its store, which lets nobody change or delete a row. An entry is on the disk before the answer it
// tells of goes out.
//
// One thread writes: all entries that came while it wrote the last ones go into one transaction, so that a
// thousand a second cost some fifty. The order of entries is the order of audit_submit. Two writers of one
// chain do no harm: the slower one begins again behind the other's entries.
//
// Refusals are counted for each address and code, and written once a minute: a flood of them costs a few
// entries. A process that is killed loses the refusals of its last minute, and nothing else.
//
// Once an hour, and at the end, the head of the chain is signed (signing.h), stored beside it, and put into
// the object store: who can rewrite the database can't rewrite that. A thread and a connection of their own
// do it, so that no entry waits for the object store. A chain that has another hash where a head was signed
// is not signed any more, and the log says so.
#ifndef SKINSIGHT_COMMON_AUDIT_AUDIT_H
#define SKINSIGHT_COMMON_AUDIT_AUDIT_H

#include <stddef.h>

#include "common/audit/entry.h"
#include "common/base/status.h"
#include "common/services/sql.h"

struct object_store;
struct signer; // common/base/signature.h
struct audit;

enum { AUDIT_WAITING_MOST = 8192 }; // entries

struct audit_options {
    struct sql_options store;
    const char *chain;
    const struct signer *signer;  // borrowed; NULL: heads are not signed
    struct object_store *objects; // borrowed; NULL: heads are not exported
    int64_t sign_interval_ms;
};

// Opens connections of its own, makes the tables, starts the threads. REJECTED: the chain's name is none.
enum status audit_open(struct audit **audit, const struct audit_options *options,
                       struct error *err) MUST_CHECK;
// Writes what waits, the refusals and a signed head; NULL is allowed. No other call may be under way.
void audit_close(struct audit *audit);

// Gives an entry to the writing thread, which calls done once it is on the disk (OK) or could not be put
// there (RETRY, the store is away: it may be there all the same). Any thread; done is called by that thread
// and must be brief. RETRY: too many wait already, REJECTED: a text is none; done is not called then.
enum status audit_submit(struct audit *audit, const struct audit_entry *entry,
                         void (*done)(void *context, enum status status), void *context,
                         struct error *err) MUST_CHECK;
// The same, and waits for it.
enum status audit_append(struct audit *audit, const struct audit_entry *entry, struct error *err) MUST_CHECK;

// Counts a request that got no further. address: of the client, without a port. Any thread; never waits for
// the store.
void audit_refused(struct audit *audit, const char *address, const char *code);

// Entries on the disk, and those that could not be put there.
struct audit_counts {
    int64_t written, failed;
};
struct audit_counts audit_counts(struct audit *audit);

#endif
