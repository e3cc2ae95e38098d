// places.c: one request for all committed offsets, one to each topic for the leaders, two to each leader for
// the ends of its logs.
#include "worker/group/places.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/group/committed.h"

enum {
    SILENCE_SHARE = 9, // a silent leader is asked again after so many times what all of them took
    WITNESS_MS = 2000, // with a connection to be made
    SLACK_MS = 5000,   // between two clocks, and between a topic's end and our hearing of it
    FRESH_MS = 300000  // a topic was unknown that long before its partition first came to this process
};

static const char *topic_of(const struct worker *worker, const struct place *place)
{
    return job_topic_name(worker, place->committed.topic);
}

static void refuse(const struct worker *worker, struct place *place, const char *what,
                   rd_kafka_resp_err_t result)
{
    place->status =
        error_set(&place->reason, STATUS_RETRY, "%s partition %d can't be read: its %s: %s",
                  topic_of(worker, place), place->committed.partition, what, rd_kafka_err2str(result));
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

static void ask_committed(struct worker *worker, struct place *const *asked, int count, int64_t ask_ms)
{
    rd_kafka_topic_partition_list_t *list = list_of(worker, asked, count, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_resp_err_t result = rd_kafka_committed(worker->consumer, list, (int)ask_ms);
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
static void ask_leaders(struct worker *worker, enum job_topic topic, struct place *places, int count,
                        int64_t ask_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(worker->consumer, job_topic_name(worker, topic), NULL);
    rd_kafka_resp_err_t result = handle
                                     ? rd_kafka_metadata(worker->consumer, 0, handle, &metadata, (int)ask_ms)
                                     : rd_kafka_last_error();
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt > 0)
        result = metadata->topics->err;
    if (result == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        kafka_note_unknown_topic(&worker->signs.topics[topic]);
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

static rd_kafka_resp_err_t ask_ends(struct worker *worker, struct place *const *asked, int count,
                                    int64_t ask_ms)
{
    rd_kafka_topic_partition_list_t *low = list_of(worker, asked, count, RD_KAFKA_OFFSET_BEGINNING);
    rd_kafka_topic_partition_list_t *high = list_of(worker, asked, count, RD_KAFKA_OFFSET_END);
    rd_kafka_resp_err_t result = rd_kafka_offsets_for_times(worker->consumer, low, (int)ask_ms);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR)
        result = rd_kafka_offsets_for_times(worker->consumer, high, (int)ask_ms);
    for (int i = 0; result == RD_KAFKA_RESP_ERR_NO_ERROR && i < count; i++) {
        asked[i]->low = low->elems[i].offset;
        asked[i]->high = high->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(low);
    rd_kafka_topic_partition_list_destroy(high);
    return result;
}

// A leader that has fallen silent takes ask_ms of a thread that others wait for.
static bool is_silent(const struct silent_leaders *silent, int32_t leader)
{
    for (int i = 0; i < silent->count; i++)
        if (silent->brokers[i] == leader)
            return true;
    return false;
}

static void note_silent(struct silent_leaders *silent, int32_t leader, int64_t took_ms)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t from_ms = silent->until_ms > now_ms ? silent->until_ms : now_ms;
    silent->until_ms = from_ms + SILENCE_SHARE * took_ms;
    if (silent->count < SILENT_LEADERS)
        silent->brokers[silent->count++] = leader;
}

// One refused partition fails the request for all: then each is asked for alone. A silent leader is not
// waited for again.
static void ask_leader(struct worker *worker, struct place *const *asked, int count, int64_t ask_ms)
{
    bool silent = is_silent(&worker->silent, asked[0]->leader);
    int64_t begun_ms = clock_monotonic_ms();
    rd_kafka_resp_err_t result =
        silent ? RD_KAFKA_RESP_ERR__TIMED_OUT : ask_ends(worker, asked, count, ask_ms);
    bool apart = result != RD_KAFKA_RESP_ERR_NO_ERROR && result != RD_KAFKA_RESP_ERR__TIMED_OUT && count > 1;
    for (int i = 0; i < count; i++) {
        if (apart)
            result = ask_ends(worker, &asked[i], 1, ask_ms);
        if (result != RD_KAFKA_RESP_ERR_NO_ERROR)
            refuse(worker, asked[i], "first and last offset", result);
        apart &= result != RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    if (!silent && result == RD_KAFKA_RESP_ERR__TIMED_OUT)
        note_silent(&worker->silent, asked[0]->leader, clock_monotonic_ms() - begun_ms);
}

// What must be in the log, if it is still the one that was answered: what this process has seen committed,
// where the broker gives less than that.
static void expect(struct worker *worker, const struct place *place, struct committed *expected)
{
    *expected = place->committed;
    if (assignment_went_back(&worker->assignment, &place->committed))
        assignment_recall(&worker->assignment, expected);
}

static void ask_witnesses(struct worker *worker, struct place *places, int count)
{
    struct witness *witnesses = memory_alloc((size_t)count * sizeof *witnesses);
    struct place **asked = memory_alloc((size_t)count * sizeof *asked);
    int together = 0;
    for (struct place *place = places; place < places + count; place++) {
        struct committed expected;
        place->witness.offset = -1;
        if (place->status != STATUS_OK)
            continue;
        expect(worker, place, &expected);
        int64_t offset = expected.offsets.witness;
        if (offset < place->low || offset >= place->high)
            continue;
        asked[together] = place;
        witnesses[together++] = (struct witness){.topic = expected.topic,
                                                 .partition = expected.partition,
                                                 .offset = offset,
                                                 .digest = expected.offsets.witness_digest};
    }
    witness_ask(worker, witnesses, together, WITNESS_MS);
    for (int i = 0; i < together; i++)
        asked[i]->witness = witnesses[i];
    free(asked);
    free(witnesses);
}

// Whether a log that is not the one that was answered, or not all of it, is a new topic's: some broker did
// not know the topic since this partition's log was last seen whole, and the log's first record is not older
// than that. A broker that has just started may not know its topics either, but their logs are older.
// Clients' time stamps, and a clock that is wrong, say nothing.
static bool is_made_again(struct worker *worker, const struct place *place)
{
    int64_t unknown_ms = atomic_load(&worker->signs.topics[place->committed.topic].unknown_ms);
    struct witness first = {.topic = place->committed.topic, .partition = place->committed.partition};
    int64_t seen_ms = assignment_log_seen_ms(&worker->assignment, first.topic, first.partition);
    if (unknown_ms <= seen_ms || place->low > 0 || place->high == 0 ||
        !broker_clock_agrees(&worker->broker_clock))
        return false;
    witness_ask(worker, &first, 1, WITNESS_MS);
    return first.answer == WITNESS_OTHER && first.time_ms >= unknown_ms - SLACK_MS;
}

static void begin_anew(struct worker *worker, struct place *place)
{
    LOG_WARN("topic_made_again", "topic=%s partition=%d offset=%lld", topic_of(worker, place),
             place->committed.partition, (long long)place->low);
    struct offsets replaced = place->committed.offsets;
    offsets_init(&place->committed.offsets, place->low, worker->window);
    assignment_begin_anew(&worker->assignment, &place->committed, &replaced);
}

// A log that is not the one that was answered, or not all of it, gives its offsets to records that would pass
// for answered.
static void refuse_log(struct worker *worker, struct place *place, const struct offsets *expected)
{
    const char *topic = topic_of(worker, place);
    int partition = place->committed.partition;
    metrics_add(METRIC_OFFSETS_REFUSED, 0, 1);
    if (place->witness.answer == WITNESS_OTHER) {
        place->status = error_set(
            &place->reason, STATUS_RETRY,
            "%s partition %d holds another record at offset %lld than the one that was answered: the topic "
            "was made again, or the broker has lost the end of the log, which has grown since; stop all "
            "workers, set the group's offset to the first record that has no answer, %lld if it is a new "
            "topic, with empty metadata, start them",
            topic, partition, (long long)place->witness.offset, (long long)place->low);
        return;
    }
    int64_t safe = expected->first < place->high ? expected->first : place->high;
    place->status = error_set(
        &place->reason, STATUS_RETRY,
        "%s partition %d ends at offset %lld, but records before %lld are committed as answered: the "
        "broker has not read all of its log yet, or has lost the end; if that is lost, stop all workers, "
        "set the group's offset to %lld with empty metadata, start them: records in between get no "
        "answer",
        topic, partition, (long long)place->high, (long long)expected->next, (long long)safe);
}

// What lies before the log's start is gone by retention.
static void begin_at_committed(struct worker *worker, struct place *place)
{
    struct offsets *offsets = &place->committed.offsets;
    if (!place->found)
        offsets_init(offsets, place->low, worker->window);
    else
        assignment_remember(&worker->assignment, &place->committed);
    if (!place->found && place->low < place->high)
        LOG_WARN("nothing_committed", "topic=%s partition=%d offset=%lld", topic_of(worker, place),
                 place->committed.partition, (long long)place->low);
    if (offsets->first >= place->low)
        return;
    LOG_WARN("records_expired", "topic=%s partition=%d from=%lld to=%lld", topic_of(worker, place),
             place->committed.partition, (long long)offsets->first, (long long)place->low);
    offsets_skip(offsets, place->low);
}

// RETRY: not known. A record in a damaged batch will never be: the log is believed by its ends then, and what
// can't be read behind it is unreadable.h's.
static enum status compare_witness(struct worker *worker, struct place *place)
{
    if (place->witness.offset < 0 || place->witness.answer != WITNESS_UNKNOWN)
        return STATUS_OK;
    place->status =
        error_set(&place->reason, STATUS_RETRY,
                  "the record at offset %lld of %s partition %d can't be read, which shows whether "
                  "the log is the one that was answered",
                  (long long)place->witness.offset, topic_of(worker, place), place->committed.partition);
    return place->status;
}

static bool is_other_log(const struct place *place, const struct offsets *expected)
{
    return expected->next > place->high || place->witness.answer == WITNESS_OTHER;
}

static void fit_to_log(struct worker *worker, struct place *place, int64_t begun_ms)
{
    struct committed expected;
    expect(worker, place, &expected);
    if (compare_witness(worker, place) != STATUS_OK)
        return;
    bool other = is_other_log(place, &expected.offsets);
    if (other && is_made_again(worker, place)) {
        begin_anew(worker, place);
        return;
    }
    if (other)
        refuse_log(worker, place, &expected.offsets);
    else
        place->status = committed_believe(worker, &place->committed, &place->reason);
    if (place->status != STATUS_OK)
        return;
    begin_at_committed(worker, place);
    assignment_saw_log(&worker->assignment, place->committed.topic, place->committed.partition, begun_ms);
}

static bool concerns(const struct place *places, int count, enum job_topic topic)
{
    for (int i = 0; i < count; i++)
        if (places[i].committed.topic == topic && places[i].status == STATUS_OK)
            return true;
    return false;
}

// Those that have the same leader are asked for together.
static void ask_all_ends(struct worker *worker, struct place *places, int count, struct place **asked,
                         int64_t ask_ms)
{
    if (clock_monotonic_ms() >= worker->silent.until_ms)
        worker->silent.count = 0;
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
            ask_leader(worker, asked, together, ask_ms);
    }
    free(done);
}

static void ask_logs(struct worker *worker, struct place *places, int count, struct place **asked,
                     int64_t ask_ms)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (concerns(places, count, (enum job_topic)topic))
            ask_leaders(worker, (enum job_topic)topic, places, count, ask_ms);
    ask_all_ends(worker, places, count, asked, ask_ms);
    ask_witnesses(worker, places, count);
}

static void note_first_look(struct worker *worker, const struct place *place, int64_t now_ms)
{
    enum job_topic topic = place->committed.topic;
    int32_t partition = place->committed.partition;
    if (assignment_log_seen_ms(&worker->assignment, topic, partition) == 0)
        assignment_saw_log(&worker->assignment, topic, partition, now_ms - FRESH_MS);
}

void places_find(struct worker *worker, struct place *places, int count, int64_t ask_ms)
{
    if (count == 0)
        return;
    struct place **asked = memory_alloc((size_t)count * sizeof *asked);
    int64_t begun_ms = clock_wall_ms();
    for (int i = 0; i < count; i++) {
        asked[i] = &places[i];
        note_first_look(worker, &places[i], begun_ms);
    }
    ask_committed(worker, asked, count, ask_ms);
    ask_logs(worker, places, count, asked, ask_ms);
    for (int i = 0; i < count; i++)
        if (places[i].status == STATUS_OK)
            fit_to_log(worker, &places[i], begun_ms);
    free(asked);
}

void places_verify(struct worker *worker, struct place *places, int count)
{
    if (count == 0)
        return;
    struct place **asked = memory_alloc((size_t)count * sizeof *asked);
    int64_t begun_ms = clock_wall_ms();
    ask_logs(worker, places, count, asked, PLACES_ASK_MS);
    for (struct place *place = places; place < places + count; place++) {
        if (place->status != STATUS_OK || compare_witness(worker, place) != STATUS_OK)
            continue;
        enum job_topic topic = place->committed.topic;
        int32_t partition = place->committed.partition;
        if (is_other_log(place, &place->committed.offsets))
            refuse_log(worker, place, &place->committed.offsets);
        else if (!assignment_is_anew(&worker->assignment, topic, partition))
            assignment_saw_log(&worker->assignment, topic, partition, begun_ms - SLACK_MS);
    }
    free(asked);
}
