// desk_kafka.c: jobs to Kafka, and what comes back of them.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/records/prediction.h"
#include "producer/gateway/desk_internal.h"
#include "producer/gateway/faults.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/reply.h"
#include "producer/gateway/reviews.h"

enum { STORE_AGAIN_MS = 500, HOUR_MS = 3600 * 1000 };

static void note_delivery(struct desk *desk, struct outgoing *outgoing, const struct delivery *delivery)
{
    struct waiting *entry = (struct waiting *)outgoing;
    entry->delivery = *delivery;
    entry->next_delivered = desk->delivered;
    desk->delivered = entry;
}

bool desk_produce(struct desk *desk, struct waiting *entry, struct bytes record, bool urgent)
{
    const struct config *config = desk->gateway->options.config;
    const char *id = entry->row.request_id;
    const struct outgoing_record outgoing = {
        .topic = config_text(config, urgent ? "urgent_jobs_topic" : "jobs_topic"),
        .key = {(const uint8_t *)id, strlen(id)},
        .value = record};
    struct error err;
    entry->outgoing.delivered = note_delivery;
    enum status status = desk->sender.client ? record_sender_send(&desk->sender, &outgoing, entry, &err)
                                             : error_set(&err, STATUS_RETRY, "no broker has answered yet");
    if (status != STATUS_OK) {
        metrics_add(GATEWAY_TROUBLE, SERVICE_KAFKA, 1);
        LOG_WARN("job_not_sent", "request_id=%s reason=\"%s\"", id, err.message);
        return false;
    }
    entry->producing = true;
    entry->ended = false;
    entry->urgent = urgent;
    fault_point(FAULT_PRODUCED);
    fault_sender(&desk->sender);
    return true;
}

// ---- delivery reports ----

static enum status store_deliveries(struct sql *sql, void *context, struct error *err)
{
    struct desk *desk = context;
    enum status status = STATUS_OK;
    for (struct waiting *entry = desk->delivered; entry && status == STATUS_OK; entry = entry->next_delivered)
        if (entry->delivery.error == RD_KAFKA_RESP_ERR_NO_ERROR)
            status = requests_queue(sql, &entry->row, &entry->queued, err);
    return status;
}

static void note_places(struct desk *desk)
{
    const struct config *config = desk->gateway->options.config;
    for (struct waiting *entry = desk->delivered; entry; entry = entry->next_delivered)
        if (entry->delivery.error == RD_KAFKA_RESP_ERR_NO_ERROR)
            requests_place(entry->row.place,
                           config_text(config, entry->urgent ? "urgent_jobs_topic" : "jobs_topic"),
                           entry->delivery.partition, entry->delivery.offset);
}

static void end_delivery(struct desk *desk, struct waiting *entry)
{
    entry->producing = false;
    if (entry->ended) {
        desk_end(desk, entry);
    } else if (entry->delivery.error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        metrics_add(GATEWAY_TROUBLE, SERVICE_KAFKA, 1);
        LOG_WARN("job_not_delivered", "request_id=%s reason=\"%s\"", entry->row.request_id,
                 rd_kafka_err2str(entry->delivery.error));
        desk_refuse_all(entry, PROBLEM_UNAVAILABLE, "it is not known whether the job was taken over");
        desk_release(desk, entry);
    } else if (entry->queued) {
        entry->row.state = REQUEST_QUEUED; // who did not want to wait is told by desk_tick
    } else {
        desk_look_again(desk, entry);
    }
}

static bool may_store(struct desk *desk)
{
    return clock_monotonic_ms() >= desk->next_store_ms;
}

static void store_later(struct desk *desk, const struct error *err)
{
    desk_store_failed(desk, err);
    desk->next_store_ms = clock_monotonic_ms() + STORE_AGAIN_MS;
    desk->attentive_at = clock_wall_ms();
}

void desk_take_deliveries(struct desk *desk)
{
    struct error err;
    if (desk->sender.client)
        record_sender_poll(&desk->sender, 0);
    desk_end_feedback(desk);
    if (!desk->delivered || !may_store(desk))
        return;
    note_places(desk);
    fault_point(FAULT_DELIVERED);
    if (sql_transaction(desk->sql, SQL_WRITE, store_deliveries, desk, &err) != STATUS_OK) {
        store_later(desk, &err);
        return;
    }
    fault_point(FAULT_QUEUED);
    for (struct waiting *entry = desk->delivered, *next; entry; entry = next) {
        next = entry->next_delivered;
        end_delivery(desk, entry);
    }
    desk->delivered = NULL;
}

// ---- terminal records ----

void desk_set_arrival(struct desk *desk, struct waiting *entry, struct arrival *arrival)
{
    entry->arrival = arrival;
    entry->next_arrived = desk->arrived;
    desk->arrived = entry;
}

static struct arrival *read_arrival(const struct prediction *prediction)
{
    struct arrival *arrival = memory_alloc(sizeof *arrival);
    struct request_outcome *outcome = &arrival->outcome;
    struct error err;
    request_outcome_init(outcome);
    arrival->times = (struct request_times){.answered_at = clock_wall_ms(), .review_due_at = -1};
    if (prediction->error.code) {
        outcome->problem = problem_of_code(prediction->error.code);
        text_cut(prediction->error.message ? prediction->error.message : "", outcome->detail,
                 sizeof outcome->detail);
    } else if (reply_write(prediction, &outcome->reply, &err) != STATUS_OK) {
        outcome->problem = PROBLEM_INTERNAL;
        snprintf(outcome->detail, sizeof outcome->detail, "the answer is too large");
    }
    if (outcome->problem == PROBLEM_NONE && prediction->result.attention_map_url)
        text_cut(prediction->result.attention_map_url, outcome->map_uri, sizeof outcome->map_uri);
    arrival->model = (struct arrived_model){.trained = prediction->model_info.trained};
    if (outcome->problem == PROBLEM_NONE && prediction->model_info.model_version)
        text_cut(prediction->model_info.model_version, arrival->model.version, sizeof arrival->model.version);
    strcpy(arrival->model.weights_sha256, prediction->provenance.model_sha256);
    if (outcome->problem == PROBLEM_NONE && prediction->result.review.within_h > 0)
        arrival->times.review_due_at =
            arrival->times.answered_at + prediction->result.review.within_h * HOUR_MS;
    return arrival;
}

static struct waiting *entry_of(struct desk *desk, const struct topic_record *record,
                                const struct prediction *prediction)
{
    char text[REQUEST_PLACE_SIZE];
    if (!prediction) {
        job_request_id_read(record->key, text);
        return text[0] ? waiting_find(&desk->table, text) : NULL;
    }
    if (!prediction->provenance.source.topic)
        return NULL;
    requests_place(text, prediction->provenance.source.topic,
                   (int32_t)prediction->provenance.source.partition, prediction->provenance.source.offset);
    return waiting_find_place(&desk->table, text);
}

// What was written before the reading began is still being read.
static void note_age(struct desk *desk, const struct topic_record *record)
{
    if (record->timestamp < desk->followed_at)
        desk->attentive_at = clock_wall_ms();
}

static bool take_record(void *context, const struct topic_record *record)
{
    struct desk *desk = context;
    struct prediction prediction;
    struct error err;
    note_age(desk, record);
    // A job that could not be read has a terminal record without a key. Others' records are most of all.
    struct waiting *entry = record->key.data ? entry_of(desk, record, NULL) : NULL;
    if ((record->key.data && !entry) || (entry && (entry->arrival || entry->ended)))
        return true;
    if (prediction_parse(record->value, &prediction, &err) != STATUS_OK) {
        LOG_WARN("no_terminal_record", "partition=%" PRId32 " offset=%" PRId64 " reason=\"%s\"",
                 record->partition, record->offset, err.message);
        return true;
    }
    if (!entry)
        entry = entry_of(desk, record, &prediction);
    if (entry && !entry->arrival && !entry->ended && request_row_fits(&entry->row, &prediction)) {
        desk_set_arrival(desk, entry, read_arrival(&prediction));
        metrics_add(GATEWAY_FLEET_ANSWERS, prediction.error.code ? FLEET_ERROR : FLEET_PREDICTION, 1);
        admission_answered(&desk->gateway->admission, &entry->place, clock_monotonic_ms());
    }
    prediction_release(&prediction);
    return true;
}

static enum status store_arrivals(struct sql *sql, void *context, struct error *err)
{
    struct desk *desk = context;
    enum status status = STATUS_OK;
    for (struct waiting *entry = desk->arrived; entry && status == STATUS_OK; entry = entry->next_arrived)
        status = requests_answer(sql, &entry->row, &entry->arrival->outcome, &entry->arrival->times,
                                 &entry->arrival->stored, err);
    // The newest stands for all of them: a fleet has one model, or two for a while.
    const struct arrived_model *model = &desk->arrived->arrival->model;
    const struct seen_model seen = {model->version, model->weights_sha256, model->trained};
    if (status == STATUS_OK && model->version[0])
        status = models_note(sql, &seen, clock_wall_ms(), err);
    return status;
}

static enum status store_arrival(struct sql *sql, void *context, struct error *err)
{
    struct waiting *entry = context;
    return requests_answer(sql, &entry->row, &entry->arrival->outcome, &entry->arrival->times,
                           &entry->arrival->stored, err);
}

// One answer that the store does not take must not keep the others from theirs.
static enum status store_each(struct desk *desk, struct error *err)
{
    enum status status = STATUS_OK;
    for (struct waiting *entry = desk->arrived; entry && status == STATUS_OK; entry = entry->next_arrived) {
        struct arrival *arrival = entry->arrival;
        status = sql_transaction(desk->sql, SQL_WRITE, store_arrival, entry, err);
        if (status != STATUS_REJECTED)
            continue;
        LOG_ERROR("answer_not_stored", "request_id=%s reason=\"%s\"", entry->row.request_id, err->message);
        request_outcome_release(&arrival->outcome);
        request_outcome_init(&arrival->outcome);
        arrival->outcome.problem = PROBLEM_INTERNAL;
        snprintf(arrival->outcome.detail, sizeof arrival->outcome.detail, "the answer can't be stored");
        arrival->times.review_due_at = -1;
        status = sql_transaction(desk->sql, SQL_WRITE, store_arrival, entry, err);
    }
    return status;
}

static void end_arrival(struct desk *desk, struct waiting *entry)
{
    struct arrival *arrival = entry->arrival;
    entry->arrival = NULL;
    if (entry->ended) {
        desk_end(desk, entry);
    } else if (arrival->stored) {
        desk_answer_all(entry, &arrival->outcome);
        desk_end(desk, entry);
    } else {
        desk_look_again(desk, entry);
    }
    request_outcome_release(&arrival->outcome);
    free(arrival);
}

void desk_take_arrivals(struct desk *desk)
{
    const struct topic_taker taker = {take_record, desk};
    struct error err;
    if (!may_store(desk)) // what is on the way waits in librdkafka, within its limits
        return;
    if (desk->following)
        topic_reader_take(desk->reader, &taker);
    if (!desk->arrived)
        return;
    fault_point(FAULT_ARRIVED);
    enum status status = sql_transaction(desk->sql, SQL_WRITE, store_arrivals, desk, &err);
    if (status == STATUS_REJECTED)
        status = store_each(desk, &err);
    if (status != STATUS_OK) {
        store_later(desk, &err);
        return;
    }
    fault_point(FAULT_STORED);
    for (struct waiting *entry = desk->arrived, *next; entry; entry = next) {
        next = entry->next_arrived;
        end_arrival(desk, entry);
    }
    desk->arrived = NULL;
}
