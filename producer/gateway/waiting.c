// waiting.c: a table of lists. Request ids come from clients, so a bucket is chosen by a digest that they
// can't know: else one of them could have all entries in one list.
#include "producer/gateway/waiting.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

static uint64_t secret; // the same for all tables of the process

void waiting_init(struct waiting_table *table, size_t expected)
{
    char text[JOB_REQUEST_ID_SIZE];
    if (!secret) {
        job_request_id_new(text); // 122 random bits
        struct digest digest = digest_of(text, sizeof text);
        memcpy(&secret, digest.value, sizeof secret);
    }
    table->bucket_count = 64;
    while (table->bucket_count < expected)
        table->bucket_count *= 2;
    table->buckets = memory_alloc(table->bucket_count * sizeof *table->buckets);
    table->count = 0;
}

static struct waiting **bucket_of(const struct waiting_table *table, const char *request_id)
{
    struct digest digest =
        digest_keyed((struct bytes){(const uint8_t *)&secret, sizeof secret}, request_id, strlen(request_id));
    uint64_t hash;
    memcpy(&hash, digest.value, sizeof hash);
    return &table->buckets[hash & (table->bucket_count - 1)];
}

struct waiting *waiting_find(const struct waiting_table *table, const char *request_id)
{
    for (struct waiting *entry = *bucket_of(table, request_id); entry; entry = entry->next)
        if (strcmp(entry->row.request_id, request_id) == 0)
            return entry;
    return NULL;
}

struct waiting *waiting_find_place(const struct waiting_table *table, const char *place)
{
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct waiting *entry = table->buckets[i]; entry; entry = entry->next)
            if (strcmp(entry->row.place, place) == 0)
                return entry;
    return NULL;
}

struct waiting *waiting_add(struct waiting_table *table, const struct request_row *row)
{
    struct waiting *entry = memory_alloc(sizeof *entry);
    struct waiting **bucket = bucket_of(table, row->request_id);
    entry->row = *row;
    entry->next = *bucket;
    *bucket = entry;
    table->count++;
    return entry;
}

static void free_entry(struct waiting *entry)
{
    if (entry->arrival)
        request_outcome_release(&entry->arrival->outcome);
    free(entry->arrival);
    free(entry);
}

void waiting_remove(struct waiting_table *table, struct waiting *entry)
{
    assert(!entry->visits && !entry->producing);
    struct waiting **at = bucket_of(table, entry->row.request_id);
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    table->count--;
    free_entry(entry);
}

void waiting_each(struct waiting_table *table, void (*each)(void *context, struct waiting *entry),
                  void *context)
{
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct waiting *entry = table->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            each(context, entry);
        }
}

void waiting_release(struct waiting_table *table)
{
    for (size_t i = 0; table->buckets && i < table->bucket_count; i++)
        for (struct waiting *entry = table->buckets[i], *next; entry; entry = next) {
            for (struct visit *visit = entry->visits, *behind; visit; visit = behind) {
                behind = visit->next;
                visit_free(visit);
            }
            next = entry->next;
            free_entry(entry);
        }
    free(table->buckets);
    *table = (struct waiting_table){0};
}
