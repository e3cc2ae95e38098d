// blocked.c: a small table under a lock; searched from the start, as assignment.c is.
#include "worker/group/blocked.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"

enum { NEWS_PAUSE_MS = 5000 };

void blocked_init(struct blocked *blocked)
{
    *blocked = (struct blocked){.count = 0};
    pthread_mutex_init(&blocked->lock, NULL);
}

void blocked_release(struct blocked *blocked)
{
    free(blocked->partitions);
    pthread_mutex_destroy(&blocked->lock);
}

void blocked_clear(struct blocked *blocked)
{
    pthread_mutex_lock(&blocked->lock);
    blocked->count = 0;
    pthread_mutex_unlock(&blocked->lock);
}

static struct blocked_partition *find(struct blocked *blocked, enum job_topic topic, int32_t partition)
{
    for (int i = 0; i < blocked->count; i++)
        if (blocked->partitions[i].topic == topic && blocked->partitions[i].partition == partition)
            return &blocked->partitions[i];
    return NULL;
}

static struct blocked_partition *append(struct blocked *blocked)
{
    size_t size = (size_t)(blocked->count + 1) * sizeof *blocked->partitions;
    blocked->partitions = memory_realloc(blocked->partitions, size);
    return &blocked->partitions[blocked->count++];
}

bool blocked_add(struct blocked *blocked, enum job_topic topic, int32_t partition, enum blocked_cause cause,
                 const struct error *reason)
{
    pthread_mutex_lock(&blocked->lock);
    struct blocked_partition *entry = find(blocked, topic, partition);
    int64_t now_ms = clock_monotonic_ms();
    bool begins = !entry || entry->cause != cause;
    bool news = begins || (strcmp(entry->told.message, reason->message) != 0 &&
                           now_ms - entry->told_ms >= NEWS_PAUSE_MS);
    if (!entry)
        entry = append(blocked);
    if (begins)
        *entry = (struct blocked_partition){
            .topic = topic, .partition = partition, .cause = cause, .since_ms = now_ms};
    entry->reason = *reason;
    if (news) {
        entry->told = *reason;
        entry->told_ms = now_ms;
    }
    pthread_mutex_unlock(&blocked->lock);
    return news;
}

bool blocked_remove(struct blocked *blocked, enum job_topic topic, int32_t partition,
                    enum blocked_cause cause)
{
    pthread_mutex_lock(&blocked->lock);
    struct blocked_partition *entry = find(blocked, topic, partition);
    bool removed = entry && entry->cause == cause;
    if (removed)
        *entry = blocked->partitions[--blocked->count];
    pthread_mutex_unlock(&blocked->lock);
    return removed;
}

bool blocked_holds(struct blocked *blocked, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&blocked->lock);
    bool holds = find(blocked, topic, partition) != NULL;
    pthread_mutex_unlock(&blocked->lock);
    return holds;
}

bool blocked_at(struct blocked *blocked, int index, struct blocked_partition *copy)
{
    pthread_mutex_lock(&blocked->lock);
    bool found = index < blocked->count;
    if (found)
        *copy = blocked->partitions[index];
    pthread_mutex_unlock(&blocked->lock);
    return found;
}
