// committed.c: the committed offsets and their metadata, as the group's coordinator keeps them.
#include "worker/group/committed.h"
#include "worker/metrics_rows.h"

#include <string.h>

// Not found is an offset of 0 that nothing stands at.
enum status committed_believe(struct worker *worker, const struct committed *read, struct error *err)
{
    if (assignment_went_back(&worker->assignment, read)) {
        metrics_add(METRIC_OFFSETS_REFUSED, 0, 1);
        return error_set(
            err, STATUS_REJECTED,
            "the broker gives offset %lld of %s partition %d, which has been committed past: it has not "
            "read all commits yet, or has lost some; where they were set back on purpose, restart all "
            "workers",
            (long long)read->offsets.first, job_topic_name(worker, read->topic), read->partition);
    }
    return STATUS_OK;
}

enum status committed_take(struct worker *worker, const rd_kafka_topic_partition_t *entry,
                           struct committed *committed, bool *found, struct error *err)
{
    *committed =
        (struct committed){.topic = job_topic_of(worker, entry->topic), .partition = entry->partition};
    offsets_init(&committed->offsets, 0, worker->window);
    *found = entry->err == RD_KAFKA_RESP_ERR_NO_ERROR && entry->offset >= 0;
    if (entry->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, STATUS_RETRY, "committed offset of %s partition %d: %s", entry->topic,
                         entry->partition, rd_kafka_err2str(entry->err));
    if (*found) {
        char text[OFFSETS_TEXT_SIZE];
        size_t size = entry->metadata_size < sizeof text ? entry->metadata_size : sizeof text - 1;
        memcpy(text, entry->metadata, size);
        text[size] = '\0';
        struct error foreign;
        if (offsets_decode(&committed->offsets, entry->offset, worker->window, text, &foreign) != STATUS_OK)
            return error_set(err, STATUS_REJECTED,
                             "%s partition %d: %.300s; was it written by another version?", entry->topic,
                             entry->partition, foreign.message);
    }
    return STATUS_OK;
}

enum status committed_read(struct worker *worker, struct committed *committed, bool *found, struct error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *entry = rd_kafka_topic_partition_list_add(
        list, job_topic_name(worker, committed->topic), committed->partition);
    rd_kafka_resp_err_t result =
        rd_kafka_committed(worker->consumer, list, (int)worker->transaction_timeout_ms);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
        entry->err = result;
    enum status status = committed_take(worker, entry, committed, found, err);
    if (status == STATUS_OK)
        status = committed_believe(worker, committed, err);
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

rd_kafka_topic_partition_list_t *committed_list(struct worker *worker, struct job *const *jobs, int count,
                                                enum commit_scope scope)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    struct assigned held;
    for (int i = 0; assignment_at(&worker->assignment, i, &held); i++) {
        bool touched = scope != COMMIT_ANSWERED;
        if (held.refused)
            continue;
        for (int j = 0; j < count; j++) {
            const struct job *job = jobs[j];
            if (job->topic != held.topic || job->partition != held.partition)
                continue;
            offsets_finish(&held.offsets, job->offset);
            offsets_note(&held.offsets, job->offset, job->record_digest);
            touched = true;
        }
        if (!touched)
            continue;
        char text[OFFSETS_TEXT_SIZE];
        held.offsets.owner = scope != COMMIT_RELEASED && !held.disowned ? worker->owner : 0;
        offsets_encode(&held.offsets, worker->metadata_old_form, text);
        rd_kafka_topic_partition_t *entry =
            rd_kafka_topic_partition_list_add(list, job_topic_name(worker, held.topic), held.partition);
        entry->offset = held.offsets.first;
        entry->metadata = memory_strdup(text); // freed with the list
        entry->metadata_size = strlen(text);
    }
    return list;
}

void committed_remember(struct worker *worker, const rd_kafka_topic_partition_list_t *offsets)
{
    for (int i = 0; i < offsets->cnt; i++) {
        const rd_kafka_topic_partition_t *entry = &offsets->elems[i];
        struct committed committed = {.topic = job_topic_of(worker, entry->topic),
                                      .partition = entry->partition};
        struct error ignored;
        if (offsets_decode(&committed.offsets, entry->offset, worker->window, entry->metadata, &ignored) ==
            STATUS_OK)
            assignment_remember(&worker->assignment, &committed);
    }
}
