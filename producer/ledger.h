// ledger.h: the jobs of one run of submit: what was sent, acknowledged, answered. Found by request id.
#ifndef SKINSIGHT_PRODUCER_LEDGER_H
#define SKINSIGHT_PRODUCER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/records/job.h"

enum ledger_state { LEDGER_SENT, LEDGER_ACKNOWLEDGED, LEDGER_ANSWERED, LEDGER_FAILED };

// One job. Stays where it is in memory until the ledger is released.
struct ledger_entry {
    const char *file; // borrowed from the file list
    char request_id[JOB_REQUEST_ID_SIZE];
    enum ledger_state state;
    int32_t partition; // of the job record; -1 until it is known
    int64_t offset;    // -1 until it is known
    int64_t sent_us;   // monotonic clock
};

// One thread. About 120 bytes a job.
struct ledger {
    struct ledger_entry *entries; // in the order they were sent
    size_t count;
    size_t capacity;
    uint32_t *slots; // open addressing: index of an entry + 1, 0 for an empty slot
    size_t slot_mask;
    size_t counts[LEDGER_FAILED + 1]; // entries in each state
};

void ledger_init(struct ledger *ledger, size_t capacity); // at most UINT32_MAX / 4 jobs
void ledger_release(struct ledger *ledger);

// A new job in state LEDGER_SENT; the request id is new and well formed, the ledger not full.
struct ledger_entry *ledger_add(struct ledger *ledger, const char *file, const char *request_id);
void ledger_set_state(struct ledger *ledger, struct ledger_entry *entry, enum ledger_state state);
// The entry with this request id; NULL for every other text of any length.
struct ledger_entry *ledger_find(const struct ledger *ledger, struct bytes request_id);
// Jobs of which more is to come: an acknowledgement, or an answer where answers are waited for.
size_t ledger_open_count(const struct ledger *ledger, bool waiting);

#endif
