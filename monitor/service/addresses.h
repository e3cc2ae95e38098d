// addresses.h: whom a scrape asks, and who has been silent for how long. Several targets may name one
// address; it is one worker, and asked once. Time is what the caller says. One thread.
//
//     addresses_begin, then for each address addresses_next and address_tell; addresses_count
//
// A silent worker may be at work, so the advice waits for it. Silent for ADDRESSES_GONE_MS, while workers
// that answer have every partition, it is not, and counts as gone, until it answers. One that has never
// answered is not yet known, and never counts as gone: it may have partitions that nobody has told of.
#ifndef SKINSIGHT_MONITOR_SERVICE_ADDRESSES_H
#define SKINSIGHT_MONITOR_SERVICE_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ADDRESSES_MOST = 256,
    ADDRESS_SIZE = 264,             // of "host:port"
    ADDRESSES_GONE_MS = 120 * 1000, // longer than a group takes to give a dead member's partitions away
};

struct addresses {
    struct address {
        char name[ADDRESS_SIZE];
        int64_t scrape;       // in which it was asked last
        int64_t silent_since; // -1: it answered
        bool known;           // it has answered once
    } items[ADDRESSES_MOST];
    size_t count;
    int64_t scrape;
};

// Zeros are no addresses.
void addresses_begin(struct addresses *addresses);
// NULL: it was asked in this scrape already, or there are too many. It is the addresses', until the next
// call.
struct address *addresses_next(struct addresses *addresses, const char *name);
void address_tell(struct address *address, bool answers, int64_t now_ms);
struct addresses_count {
    int asked;   // in this scrape, but for those that are gone
    int unknown; // of them, silent ones that are not yet known
    int gone;
};
// others_have_all: every partition has an owner that answers.
struct addresses_count addresses_count(const struct addresses *addresses, int64_t now_ms,
                                       bool others_have_all);

#endif
