// assignment.c: a small table under a lock; a worker holds tens of partitions, so it is searched from the
// start.
#include "worker/group/assignment.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "worker/faults.h"

void assignment_init(struct assignment *assignment)
{
    *assignment = (struct assignment){.count = 0};
    pthread_mutex_init(&assignment->membership, NULL);
    pthread_mutex_init(&assignment->lock, NULL);
}

void assignment_release(struct assignment *assignment)
{
    free(assignment->partitions);
    free(assignment->known);
    assignment->partitions = NULL;
    assignment->known = NULL;
    assignment->count = 0;
    pthread_mutex_destroy(&assignment->lock);
    pthread_mutex_destroy(&assignment->membership);
}

void assignment_add(struct assignment *assignment, enum job_topic topic, int32_t partition,
                    const struct offsets *offsets)
{
    pthread_mutex_lock(&assignment->lock);
    size_t size = (size_t)(assignment->count + 1) * sizeof *assignment->partitions;
    assignment->partitions = memory_realloc(assignment->partitions, size);
    assignment->partitions[assignment->count++] = (struct assigned){.topic = topic,
                                                                    .partition = partition,
                                                                    .epoch = ++assignment->last_epoch,
                                                                    .offsets = *offsets,
                                                                    .taken = -1};
    pthread_mutex_unlock(&assignment->lock);
}

void assignment_clear(struct assignment *assignment)
{
    pthread_mutex_lock(&assignment->lock);
    assignment->count = 0;
    pthread_mutex_unlock(&assignment->lock);
}

static struct assigned *find(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    for (int i = 0; i < assignment->count; i++) {
        struct assigned *entry = &assignment->partitions[i];
        if (entry->topic == topic && entry->partition == partition)
            return entry;
    }
    return NULL;
}

void assignment_remove(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, topic, partition);
    if (entry)
        *entry = assignment->partitions[--assignment->count];
    pthread_mutex_unlock(&assignment->lock);
}

void assignment_disown(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, topic, partition);
    if (entry)
        entry->disowned = true;
    pthread_mutex_unlock(&assignment->lock);
}

uint32_t assignment_epoch(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    const struct assigned *entry = find(assignment, topic, partition);
    uint32_t epoch = entry ? entry->epoch : 0;
    pthread_mutex_unlock(&assignment->lock);
    return epoch;
}

enum assignment_take assignment_take(struct assignment *assignment, struct job *job)
{
    enum assignment_take result = TAKE_NOT_OURS;
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, job->topic, job->partition);
    if (entry && entry->epoch == job->epoch && !entry->refused) {
        bool suspected = job->offset == entry->offsets.first;
        switch (offsets_take(&entry->offsets, job->offset)) {
        case OFFSETS_NEW:
            entry->taken = job->offset;
            entry->taken_digest = job->record_digest;
            job->attempt = 1 + (suspected ? entry->offsets.deaths : 0);
            job->careful = offsets_caution(&entry->offsets) == CAUTION_CAREFUL;
            job->convicted = suspected && offsets_is_convicted(&entry->offsets);
            result = TAKE_NEW;
            break;
        case OFFSETS_ANSWERED:
            result = TAKE_ANSWERED;
            break;
        case OFFSETS_NO_ROOM:
            result = TAKE_NO_ROOM;
            break;
        }
    }
    pthread_mutex_unlock(&assignment->lock);
    return result;
}

static struct known_log *find_known(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    for (int i = 0; i < assignment->known_count; i++)
        if (assignment->known[i].committed.topic == topic &&
            assignment->known[i].committed.partition == partition)
            return &assignment->known[i];
    return NULL;
}

static struct known_log *find_or_add_known(struct assignment *assignment, enum job_topic topic,
                                           int32_t partition)
{
    struct known_log *known = find_known(assignment, topic, partition);
    if (known)
        return known;
    size_t size = (size_t)(assignment->known_count + 1) * sizeof *assignment->known;
    assignment->known = memory_realloc(assignment->known, size);
    known = &assignment->known[assignment->known_count++];
    *known = (struct known_log){.committed = {.topic = topic, .partition = partition}};
    offsets_init(&known->committed.offsets, 0, 1);
    return known;
}

void assignment_remember(struct assignment *assignment, const struct committed *committed)
{
    pthread_mutex_lock(&assignment->lock);
    struct known_log *known = find_or_add_known(assignment, committed->topic, committed->partition);
    known->committed = *committed;
    if (known->anew)
        known->seen_ms = clock_wall_ms();
    known->anew = false;
    pthread_mutex_unlock(&assignment->lock);
}

void assignment_begin_anew(struct assignment *assignment, const struct committed *committed,
                           const struct offsets *replaced)
{
    pthread_mutex_lock(&assignment->lock);
    struct known_log *known = find_or_add_known(assignment, committed->topic, committed->partition);
    known->committed = *committed;
    known->anew = true;
    known->replaced = *replaced;
    pthread_mutex_unlock(&assignment->lock);
}

bool assignment_is_anew(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    const struct known_log *known = find_known(assignment, topic, partition);
    bool anew = known && known->anew;
    pthread_mutex_unlock(&assignment->lock);
    return anew;
}

void assignment_saw_log(struct assignment *assignment, enum job_topic topic, int32_t partition, int64_t at_ms)
{
    pthread_mutex_lock(&assignment->lock);
    struct known_log *known = find_or_add_known(assignment, topic, partition);
    known->seen_ms = at_ms;
    known->anew = false;
    pthread_mutex_unlock(&assignment->lock);
}

int64_t assignment_log_seen_ms(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    const struct known_log *known = find_known(assignment, topic, partition);
    int64_t seen_ms = known ? known->seen_ms : 0;
    pthread_mutex_unlock(&assignment->lock);
    return seen_ms;
}

bool assignment_recall(struct assignment *assignment, struct committed *committed)
{
    pthread_mutex_lock(&assignment->lock);
    const struct known_log *known = find_known(assignment, committed->topic, committed->partition);
    if (known)
        *committed = known->committed;
    pthread_mutex_unlock(&assignment->lock);
    return known != NULL;
}

bool assignment_went_back(struct assignment *assignment, const struct committed *committed)
{
    bool back = false;
    pthread_mutex_lock(&assignment->lock);
    const struct known_log *known = find_known(assignment, committed->topic, committed->partition);
    if (known) {
        const struct offsets *offsets = &known->committed.offsets;
        back = committed->offsets.first < offsets->first;
        for (int64_t at = committed->offsets.first; !back && at < offsets->next; at++)
            back = offsets_is_finished(offsets, at) && !offsets_is_finished(&committed->offsets, at);
    }
    pthread_mutex_unlock(&assignment->lock);
    return back;
}

// A witness that is not answered in the entry could never be read again (offsets_decode).
static void catch_up(struct offsets *offsets, const struct offsets *committed)
{
    for (int64_t at = offsets->first; at < offsets->next; at++)
        if (offsets_is_finished(committed, at))
            offsets_finish(offsets, at);
    if (offsets_is_finished(offsets, committed->witness))
        offsets_note(offsets, committed->witness, committed->witness_digest);
}

static bool is_same(const struct offsets *one, const struct offsets *other)
{
    return one->first == other->first && one->witness == other->witness &&
           one->witness_digest == other->witness_digest;
}

bool assignment_catch_up(struct assignment *assignment, const struct committed *committed)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, committed->topic, committed->partition);
    const struct known_log *known = find_known(assignment, committed->topic, committed->partition);
    bool replaced = known && known->anew && is_same(&known->replaced, &committed->offsets);
    bool fits = !entry || (!replaced && committed->offsets.next <= entry->offsets.next);
    if (entry && fits)
        catch_up(&entry->offsets, &committed->offsets);
    pthread_mutex_unlock(&assignment->lock);
    return fits;
}

void assignment_refuse(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, topic, partition);
    if (entry) {
        entry->refused = true;
        entry->epoch = ++assignment->last_epoch;
    }
    pthread_mutex_unlock(&assignment->lock);
}

bool assignment_is_current(struct assignment *assignment, const struct job *job)
{
    pthread_mutex_lock(&assignment->lock);
    const struct assigned *entry = find(assignment, job->topic, job->partition);
    bool current = (entry && entry->epoch == job->epoch) || fault_is_on(FAULT_KEEP_STALE);
    pthread_mutex_unlock(&assignment->lock);
    return current;
}

void assignment_finish(struct assignment *assignment, const struct job *job)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, job->topic, job->partition);
    if (entry && entry->epoch == job->epoch) {
        offsets_finish(&entry->offsets, job->offset);
        offsets_note(&entry->offsets, job->offset, job->record_digest);
    }
    pthread_mutex_unlock(&assignment->lock);
}

enum offsets_caution assignment_caution(struct assignment *assignment)
{
    enum offsets_caution strongest = CAUTION_NONE;
    pthread_mutex_lock(&assignment->lock);
    for (int i = 0; i < assignment->count; i++) {
        enum offsets_caution caution = offsets_caution(&assignment->partitions[i].offsets);
        if (caution > strongest)
            strongest = caution;
    }
    pthread_mutex_unlock(&assignment->lock);
    return strongest;
}

bool assignment_reach_end(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, topic, partition);
    bool cleared = entry && offsets_reach_end(&entry->offsets);
    pthread_mutex_unlock(&assignment->lock);
    return cleared;
}

int64_t assignment_next(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    const struct assigned *entry = find(assignment, topic, partition);
    int64_t next = entry ? entry->offsets.seen : -1;
    pthread_mutex_unlock(&assignment->lock);
    return next;
}

bool assignment_holds(struct assignment *assignment, enum job_topic topic, int32_t partition)
{
    pthread_mutex_lock(&assignment->lock);
    bool holds = find(assignment, topic, partition) != NULL;
    pthread_mutex_unlock(&assignment->lock);
    return holds;
}

void assignment_set_alone(struct assignment *assignment, const struct job *job)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, job->topic, job->partition);
    if (entry && entry->epoch == job->epoch)
        entry->offsets.alone = true;
    pthread_mutex_unlock(&assignment->lock);
}

void assignment_set_reading(struct assignment *assignment, const struct assigned *held, bool reading)
{
    pthread_mutex_lock(&assignment->lock);
    struct assigned *entry = find(assignment, held->topic, held->partition);
    if (entry && entry->epoch == held->epoch)
        entry->offsets.reading = reading;
    pthread_mutex_unlock(&assignment->lock);
}

int assignment_count(struct assignment *assignment)
{
    pthread_mutex_lock(&assignment->lock);
    int count = assignment->count;
    pthread_mutex_unlock(&assignment->lock);
    return count;
}

bool assignment_at(struct assignment *assignment, int index, struct assigned *copy)
{
    pthread_mutex_lock(&assignment->lock);
    bool found = index < assignment->count;
    if (found)
        *copy = assignment->partitions[index];
    pthread_mutex_unlock(&assignment->lock);
    return found;
}
