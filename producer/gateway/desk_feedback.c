// desk_feedback.c: POST /v2/feedback. Its records go to Kafka first; only what lies there closes a review. A
// crash in between leaves the review open, and the client without an answer: the same POST again sends the
// same records (their readers know a feedback_id) and closes it. A crash after that leaves it closed, and the
// same POST has the audit's entries written.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "producer/gateway/desk_internal.h"
#include "producer/gateway/reviews.h"

enum { RECORD_LIMIT = 16 << 10 };

// The records of one visit on their way.
struct sending {
    struct outgoing outgoing; // first: what the sender gives back
    struct visit *visit;
    size_t left; // of which Kafka has said nothing yet
    bool failed;
    struct sending *next; // of desk->told
};

static enum status refuse(struct visit *visit, const char *sentence)
{
    visit->step = STEP_REFUSED;
    visit->outcome.problem = PROBLEM_INVALID_FIELD;
    snprintf(visit->outcome.detail, sizeof visit->outcome.detail, "%s", sentence);
    return STATUS_OK;
}

enum status desk_decide_feedback(struct sql *sql, struct visit *visit, struct error *err)
{
    visit->step = STEP_FEEDBACK;
    for (size_t i = 0; i < visit->report_count; i++) {
        struct feedback *feedback = &visit->reports[i].feedback;
        struct request_row row;
        bool found = false;
        enum status status = requests_find(sql, feedback->request_id, &row, NULL, &found, err);
        if (status != STATUS_OK)
            return status;
        if (!found || strcmp(row.site, visit->identity.site) != 0)
            return refuse(visit, "field 'request_id' must name a request of this site");
        if (feedback->image_sha256[0] && strcmp(feedback->image_sha256, row.image_sha256) != 0)
            return refuse(visit, "field 'image_sha256' must be the digest of the request's image");
        strcpy(feedback->image_sha256, row.image_sha256);
    }
    return STATUS_OK;
}

static void tell(struct desk *desk, struct sending *sending)
{
    sending->next = desk->told;
    desk->told = sending;
}

static void note_delivery(struct desk *desk, struct outgoing *outgoing, const struct delivery *delivery)
{
    struct sending *sending = (struct sending *)outgoing;
    sending->failed |= delivery->error != RD_KAFKA_RESP_ERR_NO_ERROR;
    if (--sending->left == 0)
        tell(desk, sending);
}

static bool send_one(struct desk *desk, struct sending *sending, const struct feedback *feedback)
{
    struct buffer value;
    struct error err;
    const char *key = feedback_key(feedback);
    buffer_init(&value, RECORD_LIMIT);
    enum status status = desk->sender.client ? feedback_write(feedback, &value, &err)
                                             : error_set(&err, STATUS_RETRY, "no broker has answered yet");
    if (status == STATUS_OK) {
        const struct outgoing_record record = {
            .topic = config_text(desk->gateway->options.config, "feedback_topic"),
            .key = {(const uint8_t *)key, strlen(key)},
            .value = buffer_bytes(&value)};
        status = record_sender_send(&desk->sender, &record, sending, &err);
    }
    buffer_wipe(&value);
    if (status != STATUS_OK)
        LOG_WARN("feedback_not_sent", "reason=\"%s\"", err.message);
    return status == STATUS_OK;
}

void desk_send_feedback(struct desk *desk, struct visit *visit)
{
    struct sending *sending = memory_alloc(sizeof *sending);
    sending->outgoing.delivered = note_delivery;
    sending->visit = visit;
    for (size_t i = 0; i < visit->report_count && !sending->failed; i++) {
        if (send_one(desk, sending, &visit->reports[i].feedback))
            sending->left++;
        else
            sending->failed = true;
    }
    if (sending->left == 0)
        tell(desk, sending);
}

static enum status close_reviews(struct sql *sql, void *context, struct error *err)
{
    struct visit *visit = context;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < visit->report_count && status == STATUS_OK; i++)
        status =
            reviews_close(sql, &visit->reports[i].feedback, clock_wall_ms(), &visit->reports[i].closed, err);
    return status;
}

static void end_sending(struct desk *desk, struct sending *sending)
{
    struct visit *visit = sending->visit;
    struct error err;
    if (sending->failed) {
        visit_problem(visit, PROBLEM_UNAVAILABLE, "it is not known whether the feedback was taken over");
    } else if (sql_transaction(desk->sql, SQL_WRITE, close_reviews, visit, &err) != STATUS_OK) {
        desk_store_failed(desk, &err);
        visit_problem(visit, PROBLEM_UNAVAILABLE, "the store of requests is away");
    } else {
        visit_feedback_taken(visit);
    }
    free(sending);
}

void desk_end_feedback(struct desk *desk)
{
    while (desk->told) {
        struct sending *sending = desk->told;
        desk->told = sending->next;
        end_sending(desk, sending);
    }
}
