// ledger.c: an array of jobs and a hash table of their request ids over it. One thread.
#include "producer/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

void ledger_init(struct ledger *ledger, size_t capacity)
{
    size_t slots = 16;
    while (slots < 2 * capacity)
        slots *= 2;
    *ledger = (struct ledger){.capacity = capacity, .slot_mask = slots - 1};
    ledger->entries = memory_alloc((capacity ? capacity : 1) * sizeof *ledger->entries);
    ledger->slots = memory_alloc(slots * sizeof *ledger->slots);
}

void ledger_release(struct ledger *ledger)
{
    free(ledger->entries);
    free(ledger->slots);
    *ledger = (struct ledger){0};
}

// FNV-1a: request ids are random and our own, so nobody can choose them to collide.
static size_t hash(const uint8_t *data, size_t size)
{
    uint64_t value = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        value = (value ^ data[i]) * 0x100000001b3u;
    return (size_t)(value ^ value >> 32);
}

struct ledger_entry *ledger_add(struct ledger *ledger, const char *file, const char *request_id)
{
    assert(ledger->count < ledger->capacity);
    struct ledger_entry *entry = &ledger->entries[ledger->count++];
    *entry = (struct ledger_entry){.file = file, .state = LEDGER_SENT, .partition = -1, .offset = -1};
    memcpy(entry->request_id, request_id, sizeof entry->request_id);
    ledger->counts[LEDGER_SENT]++;
    size_t slot = hash((const uint8_t *)entry->request_id, strlen(entry->request_id)) & ledger->slot_mask;
    while (ledger->slots[slot])
        slot = (slot + 1) & ledger->slot_mask;
    ledger->slots[slot] = (uint32_t)ledger->count;
    return entry;
}

void ledger_set_state(struct ledger *ledger, struct ledger_entry *entry, enum ledger_state state)
{
    ledger->counts[entry->state]--;
    ledger->counts[state]++;
    entry->state = state;
}

struct ledger_entry *ledger_find(const struct ledger *ledger, struct bytes request_id)
{
    if (request_id.size != JOB_REQUEST_ID_SIZE - 1)
        return NULL;
    size_t slot = hash(request_id.data, request_id.size) & ledger->slot_mask;
    for (; ledger->slots[slot]; slot = (slot + 1) & ledger->slot_mask) {
        struct ledger_entry *entry = &ledger->entries[ledger->slots[slot] - 1];
        if (memcmp(entry->request_id, request_id.data, request_id.size) == 0)
            return entry;
    }
    return NULL;
}

size_t ledger_open_count(const struct ledger *ledger, bool waiting)
{
    return ledger->counts[LEDGER_SENT] + (waiting ? ledger->counts[LEDGER_ACKNOWLEDGED] : 0);
}
