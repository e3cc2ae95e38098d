// addresses.c: a short list that is searched from its beginning.
#include "monitor/service/addresses.h"

#include <stdio.h>
#include <string.h>

void addresses_begin(struct addresses *addresses)
{
    addresses->scrape++;
}

// One that was left out of a scrape is nobody's any more: its silence is forgotten, its room is another's.
static bool is_left(const struct addresses *addresses, const struct address *address)
{
    return address->scrape < addresses->scrape - 1;
}

static struct address *find(struct addresses *addresses, const char *name)
{
    struct address *left = NULL;
    for (size_t i = 0; i < addresses->count; i++) {
        struct address *address = &addresses->items[i];
        if (strcmp(address->name, name) == 0)
            return address;
        if (is_left(addresses, address))
            left = address;
    }
    if (!left && addresses->count < ADDRESSES_MOST)
        left = &addresses->items[addresses->count++];
    if (left) {
        *left = (struct address){.silent_since = -1};
        snprintf(left->name, sizeof left->name, "%s", name);
    }
    return left;
}

struct address *addresses_next(struct addresses *addresses, const char *name)
{
    struct address *address = find(addresses, name);
    if (!address || address->scrape == addresses->scrape)
        return NULL;
    if (is_left(addresses, address))
        address->silent_since = -1;
    address->scrape = addresses->scrape;
    return address;
}

void address_tell(struct address *address, bool answers, int64_t now_ms)
{
    address->known |= answers;
    if (answers)
        address->silent_since = -1;
    else if (address->silent_since < 0)
        address->silent_since = now_ms;
}

struct addresses_count addresses_count(const struct addresses *addresses, int64_t now_ms,
                                       bool others_have_all)
{
    struct addresses_count count = {0};
    for (size_t i = 0; i < addresses->count; i++) {
        const struct address *address = &addresses->items[i];
        if (address->scrape != addresses->scrape)
            continue;
        bool silent = address->silent_since >= 0;
        bool is_gone = silent && address->known && others_have_all &&
                       now_ms - address->silent_since >= ADDRESSES_GONE_MS;
        count.gone += is_gone;
        count.asked += !is_gone;
        count.unknown += silent && !address->known;
    }
    return count;
}
