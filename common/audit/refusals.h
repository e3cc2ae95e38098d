// refusals.h: counts requests that got no further, by address and code, until they are written as entries. An
// IPv6 address counts as its /64, of which one client has all. Entries are kept for years, so a flood from
// many addresses fills a small table, and what comes beyond counts as of "others". The owner locks.
#ifndef SKINSIGHT_COMMON_AUDIT_REFUSALS_H
#define SKINSIGHT_COMMON_AUDIT_REFUSALS_H

#include <stddef.h>

#include "common/audit/entry.h"

enum { AUDIT_ADDRESSES_MOST = 64, REFUSAL_ADDRESS_SIZE = 48, REFUSAL_CODE_SIZE = 32 };

struct refusal {
    char address[REFUSAL_ADDRESS_SIZE], code[REFUSAL_CODE_SIZE];
    int64_t count;
};

struct refusals {
    size_t count;
    struct refusal rows[AUDIT_ADDRESSES_MOST + 1]; // the last one: "others", any code
};

void refusals_add(struct refusals *refusals, const char *address, const char *code);
// An entry of each row, into entries, which has room for AUDIT_ADDRESSES_MOST + 1; returns how many. Then it
// is empty.
size_t refusals_take(struct refusals *refusals, struct audit_entry *entries);

#endif
