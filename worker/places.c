// places.c: one request for all committed offsets, one to each topic for the leaders, two to each leader for
// the ends of its logs.
#include "worker/places.h"

#include <stdlib.h>

#include "common/log.h"
#include "worker/committed.h"

enum { ASK_MS = 1000 };

static const char *topic_of(const struct worker *worker, const struct place *place)
{
    return job_topic_name(worker, place->committed.topic);
}

static void refuse(const struct worker *worker, struct place *place, const char *what,
                   rd_kafka_resp_err_t result)
{
    place->status = error_set(&place->reason, STATUS_RETRY, "%s of %s partition %d: %s", what,
                              topic_of(worker, place), place->committed.partition, rd_kafka_err2str(result));
}

static rd_kafka_topic_partition_list_t *list_of(const struct worker *worker, struct place *const *asked,
                                                int count, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic_of(worker, asked[i]), asked[i]->committed.partition)
            ->offset = offset;
    return list;
}

static void ask_committed(struct worker *worker, struct place *const *asked, int count)
{
    rd_kafka_topic_partition_list_t *list = list_of(worker, asked, count, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_resp_err_t result = rd_kafka_committed(worker->consumer, list, ASK_MS);
    for (int i = 0; i < count; i++) {
        struct place *place = asked[i];
        if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
            list->elems[i].err = result;
        place->status =
            committed_take(worker, &list->elems[i], &place->committed, &place->found, &place->reason);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static int32_t leader_in(const struct rd_kafka_metadata *metadata, int32_t partition)
{
    for (int i = 0; metadata->topic_cnt > 0 && i < metadata->topics->partition_cnt; i++)
        if (metadata->topics->partitions[i].id == partition)
            return metadata->topics->partitions[i].leader;
    return -1;
}

// Without this a question about a partition that has no leader would wait for one.
static void ask_leaders(struct worker *worker, enum job_topic topic, struct place *places, int count)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(worker->consumer, job_topic_name(worker, topic), NULL);
    rd_kafka_resp_err_t result =
        handle ? rd_kafka_metadata(worker->consumer, 0, handle, &metadata, ASK_MS) : rd_kafka_last_error();
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt > 0)
        result = metadata->topics->err;
    for (struct place *place = places; place < places + count; place++) {
        if (place->committed.topic != topic || place->status != STATUS_OK)
            continue;
        if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
            refuse(worker, place, "leader", result);
        else if ((place->leader = leader_in(metadata, place->committed.partition)) < 0)
            refuse(worker, place, "leader", RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (handle)
        rd_kafka_topic_destroy(handle);
}

static rd_kafka_resp_err_t ask_ends(struct worker *worker, struct place *const *asked, int count)
{
    rd_kafka_topic_partition_list_t *low = list_of(worker, asked, count, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_topic_partition_list_t *high = list_of(worker, asked, count, RD_KAFKA_OFFSET_END);
    rd_kafka_resp_err_t result = rd_kafka_offsets_for_times(worker->consumer, low, ASK_MS);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        result = rd_kafka_offsets_for_times(worker->consumer, high, ASK_MS);
    for (int i = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
        asked[i]->low = low->elems[i].offset;
        asked[i]->high = high->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(low);
    rd_kafka_topic_partition_list_destroy(high);
    return result;
}

// One refused partition fails the request for all: then each is asked for alone. A silent leader is not
// waited for again.
static void ask_leader(struct worker *worker, struct place *const *asked, int count)
{
    rd_kafka_resp_err_t result = ask_ends(worker, asked, count);
    bool apart = result != RD_KAFKA_RESP_ERR_NO_ERROR && result != RD_KAFKA_RESP_ERR__TIMED_OUT && count > 1;
    for (int i = 0; i < count; i++) {
        if (apart)
            result = ask_ends(worker, &asked[i], 1);
        if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
            refuse(worker, asked[i], "first and last offset", result);
        apart &= result != RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
}

// Whether the log holds what is committed. A broker that has lost the end of its log, or not read it yet,
// gives offsets again: to records that would pass for answered. What lies before the log's start is gone by
// retention.
static void fit_to_log(struct worker *worker, struct place *place)
{
    struct offsets *offsets = &place->committed.offsets;
    const char *topic = topic_of(worker, place);
    if (!place->found)
        offsets_init(offsets, place->low, worker->window);
    if (offsets->next > place->high) {
        int64_t safe = offsets->first < place->high ? offsets->first : place->high;
        metrics_add(METRIC_OFFSETS_REFUSED, 0, 1);
        place->status = error_set(
            &place->reason, STATUS_RETRY,
            "%s partition %d ends at offset %lld, but records before %lld are committed as answered: the "
            "broker has not read all of its log yet, or has lost the end; if that is lost, stop all workers, "
            "set the group's offset to %lld with empty metadata, start them: records in between get no "
            "answer",
            topic, place->committed.partition, (long long)place->high, (long long)offsets->next,
            (long long)safe);
        return;
    }
    if (place->found)
        assignment_remember(&worker->assignment, &place->committed);
    if (offsets->first < place->low) {
        LOG_WARN("records_expired", "topic=%s partition=%d from=%lld to=%lld", topic,
                 place->committed.partition, (long long)offsets->first, (long long)place->low);
        offsets_skip(offsets, place->low);
    }
}

static bool concerns(const struct place *places, int count, enum job_topic topic)
{
    for (int i = 0; i < count; i++)
        if (places[i].committed.topic == topic && places[i].status == STATUS_OK)
            return true;
    return false;
}

// Those that have the same leader are asked for together.
static void ask_all_ends(struct worker *worker, struct place *places, int count, struct place **asked)
{
    bool *done = memory_alloc((size_t)count * sizeof *done);
    for (int i = 0; i < count; i++) {
        int together = 0;
        for (int k = i; k < count && places[i].status == STATUS_OK; k++) {
            if (done[k] || places[k].status != STATUS_OK || places[k].leader != places[i].leader)
                continue;
            asked[together++] = &places[k];
            done[k] = true;
        }
        if (together > 0)
            ask_leader(worker, asked, together);
    }
    free(done);
}

void places_find(struct worker *worker, struct place *places, int count)
{
    if (count == 0)
        return;
    struct place **asked = memory_alloc((size_t)count * sizeof *asked);
    for (int i = 0; i < count; i++)
        asked[i] = &places[i];
    ask_committed(worker, asked, count);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (concerns(places, count, (enum job_topic)topic))
            ask_leaders(worker, (enum job_topic)topic, places, count);
    ask_all_ends(worker, places, count, asked);
    for (int i = 0; i < count; i++)
        if (places[i].status == STATUS_OK)
            fit_to_log(worker, &places[i]);
    free(asked);
}
