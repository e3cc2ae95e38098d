// desk_visits.c: what becomes of a visit. A batch of them is decided in one transaction, which may be run
// again from its beginning and so changes nothing but the visits' own fields; it is acted on once that is on
// the disk.
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "producer/gateway/desk_internal.h"
#include "producer/gateway/errands.h"
#include "producer/gateway/faults.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/reviews.h"

enum { BATCHES_MOST = 4 };

struct batch {
    struct desk *desk;
    struct visit *visits[DESK_BATCH];
    size_t count;
};

void desk_answer_all(struct waiting *entry, const struct request_outcome *outcome)
{
    while (entry->visits) {
        struct visit *visit = entry->visits;
        entry->visits = visit->next;
        visit_answer(visit, outcome);
    }
}

void desk_end(struct desk *desk, struct waiting *entry)
{
    entry->ended = true;
    admission_leave(&desk->gateway->admission, &entry->place);
    if (!entry->producing && !entry->arrival)
        waiting_remove(&desk->table, entry);
}

void desk_refuse_all(struct waiting *entry, enum problem problem, const char *detail)
{
    while (entry->visits) {
        struct visit *visit = entry->visits;
        entry->visits = visit->next;
        visit_problem(visit, problem, detail);
    }
}

// Where the row can't be released it stays ours, and so does its entry: the next POST takes both.
void desk_release(struct desk *desk, struct waiting *entry)
{
    struct error err;
    if (requests_release(desk->sql, &entry->row, &err) == STATUS_OK)
        desk_end(desk, entry);
    else
        desk_store_failed(desk, &err);
}

void desk_look_again(struct desk *desk, struct waiting *entry)
{
    struct request_outcome outcome;
    struct request_row row;
    struct error err;
    bool found = false;
    request_outcome_init(&outcome);
    enum status status = requests_find(desk->sql, entry->row.request_id, &row, &outcome, &found, &err);
    if (status != STATUS_OK) {
        desk_store_failed(desk, &err);
    } else if (!found) {
        desk_refuse_all(entry, PROBLEM_NOT_FOUND, "the request is not kept any more");
        desk_end(desk, entry);
    } else if (row.state == REQUEST_ANSWERED) {
        desk_answer_all(entry, &outcome);
        desk_end(desk, entry);
    } else if (!entry->producing) {
        entry->row = row;
    }
    request_outcome_release(&outcome);
}

struct waiting *desk_wait_for(struct desk *desk, const struct request_row *row)
{
    struct waiting *entry = waiting_find(&desk->table, row->request_id);
    if (!entry)
        return waiting_add(&desk->table, row);
    if (!entry->producing)
        entry->row = *row;
    return entry;
}

// ---- in the transaction ----

static void begin_attempt(struct desk *desk, const struct visit *visit, int64_t attempt,
                          struct request_row *row)
{
    int64_t now = clock_wall_ms();
    *row = (struct request_row){.content = visit->content,
                                .state = REQUEST_ACCEPTED,
                                .attempt = attempt,
                                .lease_until = now + DESK_LEASE_MS,
                                .accepted_at = now,
                                .deadline_at = now + desk->gateway->options.job_deadline_ms,
                                .submitted_at = visit->submitted_at};
    strcpy(row->request_id, visit->analysis.request_id);
    strcpy(row->owner, desk->gateway->owner);
    snprintf(row->site, sizeof row->site, "%.64s", visit->identity.site);
    digest_text(&visit->image, row->image_sha256);
}

// Kafka still owes a verdict on the attempt before.
static bool is_producing(struct desk *desk, const char *request_id)
{
    const struct waiting *entry = waiting_find(&desk->table, request_id);
    return entry && entry->producing;
}

// Whether nobody is at work on this accepted row.
static bool is_abandoned(struct desk *desk, const struct request_row *row)
{
    if (is_producing(desk, row->request_id))
        return false;
    if (strcmp(row->owner, desk->gateway->owner) != 0)
        return row->lease_until < clock_wall_ms();
    // Without an entry it was accepted a moment ago, in this very batch; or its commit failed and was done
    // after all, and it gets its entry now, with which try_again of desk_time.c finds it abandoned.
    return waiting_find(&desk->table, row->request_id);
}

static enum status decide_known(struct desk *desk, struct sql *sql, struct visit *visit, struct error *err)
{
    struct request_row seen = visit->row, *row = &visit->row;
    bool done = false;
    if (strcmp(seen.site, visit->identity.site) != 0 || !digest_equal(&seen.content, &visit->content)) {
        visit->step = STEP_CONFLICT;
        return STATUS_OK;
    }
    if (seen.state == REQUEST_ANSWERED &&
        (problem_is_final(visit->outcome.problem) || is_producing(desk, seen.request_id))) {
        visit->step = STEP_ANSWERED;
        return STATUS_OK;
    }
    visit->step = STEP_WAIT;
    if (seen.state == REQUEST_QUEUED || (seen.state == REQUEST_ACCEPTED && !is_abandoned(desk, &seen)))
        return STATUS_OK;
    bool next = seen.state == REQUEST_ANSWERED;
    begin_attempt(desk, visit, seen.attempt + next, row);
    if (!next) { // the record of the try before may have its answer already
        row->accepted_at = seen.accepted_at;
        row->submitted_at = seen.submitted_at < row->submitted_at ? seen.submitted_at : row->submitted_at;
    }
    visit->step = STEP_PRODUCE;
    enum status status = requests_take(sql, &seen, row, &done, err);
    if (status == STATUS_OK && !done)
        return error_set(err, STATUS_RETRY, "a request changed while it was looked at");
    return status;
}

static enum status decide_analyze(struct desk *desk, struct sql *sql, struct visit *visit, bool found,
                                  struct error *err)
{
    bool done = false;
    if (found)
        return decide_known(desk, sql, visit, err);
    begin_attempt(desk, visit, 1, &visit->row);
    visit->step = STEP_PRODUCE;
    enum status status = requests_accept(sql, &visit->row, &done, err);
    if (status == STATUS_OK && !done)
        return error_set(err, STATUS_RETRY, "a request came twice at the same moment");
    return status;
}

static void decide_read(struct visit *visit, bool found)
{
    bool own = found && (visit->kind == VISIT_MAP || strcmp(visit->row.site, visit->identity.site) == 0);
    if (!own)
        visit->step = STEP_NOT_FOUND;
    else if (visit->row.state == REQUEST_ANSWERED)
        visit->step = STEP_ANSWERED;
    else
        visit->step = visit->kind == VISIT_MAP ? STEP_NOT_FOUND : STEP_WAIT;
}

static enum status decide_list(struct sql *sql, struct visit *visit, struct error *err)
{
    visit->step = STEP_LISTED;
    buffer_clear(&visit->answer);
    if (visit->kind == VISIT_MODELS)
        return models_list(sql, &visit->answer, err);
    return reviews_list(sql, visit->identity.site, visit->overdue_only, clock_wall_ms(), &visit->answer, err);
}

static enum status decide_request(struct desk *desk, struct sql *sql, struct visit *visit, struct error *err)
{
    bool found = false;
    buffer_clear(&visit->outcome.reply);
    enum status status =
        requests_find(sql, visit->analysis.request_id, &visit->row, &visit->outcome, &found, err);
    if (status == STATUS_OK && visit->kind == VISIT_ANALYZE)
        return decide_analyze(desk, sql, visit, found, err);
    decide_read(visit, found);
    return status;
}

static enum status decide(struct sql *sql, void *context, struct error *err)
{
    struct batch *batch = context;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < batch->count && status == STATUS_OK; i++) {
        struct visit *visit = batch->visits[i];
        if (visit->kind == VISIT_FEEDBACK)
            status = desk_decide_feedback(sql, visit, err);
        else if (visit->kind == VISIT_REVIEWS || visit->kind == VISIT_MODELS)
            status = decide_list(sql, visit, err);
        else
            status = decide_request(batch->desk, sql, visit, err);
    }
    return status;
}

// ---- after it ----

static void join(struct waiting *entry, struct visit *visit)
{
    visit->next = entry->visits;
    entry->visits = visit;
    entry->ended = false; // an answer of the attempt before is not this visit's
}

static void produce(struct desk *desk, struct visit *visit)
{
    struct waiting *entry = desk_wait_for(desk, &visit->row);
    if (entry->producing) { // the same request came twice in this batch
        join(entry, visit);
        return;
    }
    if (!entry->place) { // from now on the request counts, not the visit
        entry->place = visit->place;
        visit->place = 0;
    }
    fault_point(FAULT_ACCEPTED);
    bool sent = desk_produce(desk, entry, buffer_bytes(&visit->record), visit->urgent);
    buffer_wipe(&visit->record);
    (void)visit_count_bytes(visit);
    join(entry, visit);
    if (sent)
        return;
    desk_refuse_all(entry, PROBLEM_UNAVAILABLE, "the job can't be handed over now");
    desk_release(desk, entry);
}

static void wait_for(struct desk *desk, struct visit *visit)
{
    if (visit->row.state == REQUEST_QUEUED) { // nothing new is asked of the fleet
        admission_leave(&desk->gateway->admission, &visit->place);
        buffer_wipe(&visit->record);
        (void)visit_count_bytes(visit);
    } // else its gateway may die, and the job is needed: try_again of desk_time.c
    if (visit->respond_async && visit->row.state == REQUEST_QUEUED) {
        visit_queued(visit);
        return;
    }
    join(desk_wait_for(desk, &visit->row), visit);
}

static void fetch_map(struct desk *desk, struct visit *visit)
{
    if (!visit->outcome.map_uri[0]) {
        visit_problem(visit, PROBLEM_NOT_FOUND, "this answer has no map");
    } else if (!errands_push(desk->gateway->errands, ERRAND_FETCH_MAP, visit)) {
        metrics_add(GATEWAY_REFUSED, REFUSED_MAPS, 1);
        visit_problem(visit, PROBLEM_OVERLOADED, "too many maps are asked for at once");
    }
}

static void act(struct desk *desk, struct visit *visit)
{
    switch (visit->step) {
    case STEP_NOT_FOUND:
        visit_problem(visit, PROBLEM_NOT_FOUND, "there is no such request");
        break;
    case STEP_CONFLICT:
        visit_problem(visit, PROBLEM_CONFLICT, "this request id belongs to another request");
        break;
    case STEP_ANSWERED:
        if (visit->kind == VISIT_MAP)
            fetch_map(desk, visit);
        else
            visit_answer(visit, &visit->outcome);
        break;
    case STEP_WAIT:
        wait_for(desk, visit);
        break;
    case STEP_PRODUCE:
        produce(desk, visit);
        break;
    case STEP_LISTED:
        visit_listed(visit);
        break;
    case STEP_FEEDBACK:
        desk_send_feedback(desk, visit);
        break;
    case STEP_REFUSED:
        visit_problem(visit, visit->outcome.problem, visit->outcome.detail);
        break;
    }
}

// False: the store is away.
static bool serve(struct batch *batch)
{
    struct desk *desk = batch->desk;
    struct error err;
    enum status status = sql_transaction(desk->sql, SQL_WRITE, decide, batch, &err);
    if (status != STATUS_OK)
        desk_store_failed(desk, &err);
    for (size_t i = 0; i < batch->count; i++) {
        if (status == STATUS_OK)
            act(desk, batch->visits[i]);
        else
            visit_problem(batch->visits[i], PROBLEM_UNAVAILABLE, "the store of requests is away");
    }
    return status == STATUS_OK;
}

// False: the inbox is empty, or the store is away.
static bool serve_next(struct desk *desk)
{
    struct batch batch = {.desk = desk};
    void *visit;
    while (batch.count < DESK_BATCH && queue_pop(&desk->inbox, &visit, 0) == QUEUE_OK)
        batch.visits[batch.count++] = visit;
    return batch.count > 0 && serve(&batch);
}

// Some batches, and then what Kafka has brought: where the store is slow, visits would come for ever.
void desk_take_visits(struct desk *desk)
{
    int batches = 0;
    while (batches < BATCHES_MOST && serve_next(desk))
        batches++;
    if (queue_count(&desk->inbox) > 0)
        eventfd_write(desk->wake_fd, 1);
}
