// visit.c: how a visit ends.
#include "producer/gateway/visit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/audit.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "producer/gateway/gateway.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/reply.h"

enum { ANSWER_LIMIT = 128 << 10, RETRY_S = 2 };

struct visit *visit_new(struct gateway *gateway, enum visit_kind kind)
{
    struct visit *visit = memory_alloc(sizeof *visit);
    visit->gateway = gateway;
    visit->kind = kind;
    request_outcome_init(&visit->outcome);
    buffer_init(&visit->answer, ANSWER_LIMIT);
    return visit;
}

void visit_defer(struct visit *visit, struct http_request *request)
{
    http_request_peer(request, visit->peer);
    visit->later = http_defer(request);
    atomic_fetch_add(&visit->gateway->visits, 1);
}

void visit_free(void *context)
{
    struct visit *visit = context;
    body_release(&visit->body);
    buffer_wipe(&visit->record);
    buffer_wipe(&visit->answer);
    if (visit->reports)
        explicit_bzero(visit->reports, visit->report_count * sizeof *visit->reports);
    free(visit->reports);
    request_outcome_release(&visit->outcome);
    (void)shares_add(&visit->gateway->bytes, visit->identity.account, -(int64_t)visit->counted_bytes);
    admission_leave(&visit->gateway->admission, &visit->place);
    if (visit->later)
        atomic_fetch_sub(&visit->gateway->visits, 1);
    explicit_bzero(visit, sizeof *visit);
    free(visit);
}

bool visit_count_bytes(struct visit *visit)
{
    size_t bytes = visit->body.image.capacity + visit->body.rest.capacity + visit->record.capacity;
    int64_t more = (int64_t)bytes - (int64_t)visit->counted_bytes;
    visit->counted_bytes = bytes;
    return shares_add(&visit->gateway->bytes, visit->identity.account, more);
}

static void send_problem(struct visit *visit, enum problem problem, const char *detail)
{
    const struct http_problem document = {.status = problem_status(problem),
                                          .code = problem_code(problem),
                                          .detail = detail,
                                          .retry_after_s = problem_status(problem) == 503 ? RETRY_S : 0};
    http_later_problem(visit->later, &document);
    visit_free(visit);
}

void visit_problem(struct visit *visit, enum problem problem, const char *detail)
{
    if (problem_status(problem) < 500)
        audit_refused(visit->gateway->audit, visit->peer, problem_code(problem));
    send_problem(visit, problem, detail);
}

static void fill_entry(const struct visit *visit, enum audit_action action, const char *outcome,
                       struct audit_entry *entry)
{
    *entry = (struct audit_entry){.action = action};
    strcpy(entry->actor, visit->identity.actor);
    strcpy(entry->request_id, visit->analysis.request_id);
    snprintf(entry->site, sizeof entry->site, "%s",
             visit->identity.site[0] ? visit->identity.site : visit->row.site); // a link is of the row's site
    snprintf(entry->outcome, sizeof entry->outcome, "%s", outcome);
}

static void submit(struct visit *visit, enum audit_action action, const char *outcome,
                   void (*done)(void *visit, enum status status))
{
    struct audit_entry entry;
    struct error err;
    fill_entry(visit, action, outcome, &entry);
    if (audit_submit(visit->gateway->audit, &entry, done, visit, &err) != STATUS_OK)
        done(visit, STATUS_RETRY);
}

static void refuse_unaudited(struct visit *visit)
{
    metrics_add(GATEWAY_TROUBLE, SERVICE_AUDIT, 1);
    send_problem(visit, PROBLEM_UNAVAILABLE, "the record of accesses is away");
}

// ---- in ----

static void entered(void *context, enum status status)
{
    struct visit *visit = context;
    if (status == STATUS_OK)
        visit->enter(visit);
    else
        refuse_unaudited(visit);
}

void visit_enter(struct visit *visit, void (*enter)(struct visit *visit))
{
    visit->enter = enter;
    submit(visit, AUDIT_REQUEST, "ok", entered);
}

// ---- out ----

static void send_answer(void *context, enum status status)
{
    struct visit *visit = context;
    static const struct http_header private = {"Cache-Control", "private, no-store"};
    bool picture = visit->kind == VISIT_MAP;
    const struct http_reply reply = {.code = 200,
                                     .type = picture ? "image/png" : "application/json",
                                     .body = buffer_bytes(&visit->answer),
                                     .headers = &private,
                                     .header_count = 1};
    if (status != STATUS_OK) {
        refuse_unaudited(visit);
    } else if (visit->outcome.problem != PROBLEM_NONE) {
        send_problem(visit, visit->outcome.problem, visit->outcome.detail);
    } else {
        http_later_answer(visit->later, &reply);
        visit_free(visit);
    }
}

static enum status write_answer(struct visit *visit, const struct request_outcome *outcome, struct error *err)
{
    const struct gateway *gateway = visit->gateway;
    char url[LINK_URL_SIZE] = "";
    if (outcome->map_uri[0])
        link_make(&gateway->links, visit->analysis.request_id,
                  clock_wall_ms() + gateway->options.link_lifetime_ms, url);
    return reply_add_link(buffer_bytes(&outcome->reply), url, &visit->answer, err);
}

void visit_answer(struct visit *visit, const struct request_outcome *outcome)
{
    struct error err;
    visit->outcome.problem = outcome->problem;
    if (outcome != &visit->outcome)
        strcpy(visit->outcome.detail, outcome->detail);
    if (outcome->problem == PROBLEM_NONE && write_answer(visit, outcome, &err) != STATUS_OK) {
        visit_problem(visit, PROBLEM_INTERNAL, err.message);
        return;
    }
    submit(visit, AUDIT_ANSWER_READ, outcome->problem == PROBLEM_NONE ? "ok" : problem_code(outcome->problem),
           send_answer);
}

void visit_picture(struct visit *visit, struct buffer *picture)
{
    visit->answer = *picture;
    *picture = (struct buffer){.limit = picture->limit};
    submit(visit, AUDIT_MAP_READ, "ok", send_answer);
}

void visit_listed(struct visit *visit)
{
    if (visit->kind == VISIT_REVIEWS)
        submit(visit, AUDIT_REVIEWS_READ, "ok", send_answer);
    else
        send_answer(visit, STATUS_OK); // nothing of patients
}

// The last of a visit's entries answers it, by the worst of them: the audit writes in groups, and one may
// fail.
static void feedback_entered(void *context, enum status status)
{
    struct visit *visit = context;
    if (status != STATUS_OK)
        atomic_store(&visit->entry_failed, true);
    if (atomic_fetch_sub(&visit->entries_left, 1) == 1)
        send_answer(visit, atomic_load(&visit->entry_failed) ? STATUS_RETRY : STATUS_OK);
}

static void submit_feedback(struct visit *visit, enum audit_action action)
{
    atomic_fetch_add(&visit->entries_left, 1);
    submit(visit, action, "ok", feedback_entered);
}

void visit_feedback_taken(struct visit *visit)
{
    struct error err;
    char text[64];
    int size = snprintf(text, sizeof text, "{\"taken\":%zu}", visit->report_count);
    if (buffer_append(&visit->answer, text, (size_t)size, &err) != STATUS_OK) {
        visit_problem(visit, PROBLEM_INTERNAL, err.message);
        return;
    }
    atomic_store(&visit->entries_left, 1); // this function's own, so that the visit stays until its end
    for (size_t i = 0; i < visit->report_count; i++) {
        strcpy(visit->analysis.request_id, visit->reports[i].feedback.request_id);
        if (visit->reports[i].closed)
            submit_feedback(visit, AUDIT_REVIEW_CLOSED);
        submit_feedback(visit, AUDIT_FEEDBACK);
    }
    feedback_entered(visit, STATUS_OK);
}

// When it makes sense to ask: once those who wait now are through.
static int64_t retry_after_s(const struct gateway *gateway)
{
    int64_t drain_s = (admission_drain_ms(&gateway->admission) + 999) / 1000;
    return drain_s < 1 ? 1 : drain_s > 30 ? 30 : drain_s;
}

void visit_queued(struct visit *visit)
{
    char location[64], retry_after[24], text[128];
    const char *id = visit->analysis.request_id;
    snprintf(location, sizeof location, "/v2/analyze/%s", id);
    snprintf(retry_after, sizeof retry_after, "%" PRId64, retry_after_s(visit->gateway));
    int size = snprintf(text, sizeof text, "{\"request_id\":\"%s\",\"status\":\"queued\"}", id);
    const struct http_header headers[] = {{"Location", location}, {"Retry-After", retry_after}};
    const struct http_reply reply = {.code = 202,
                                     .type = "application/json",
                                     .body = {(const uint8_t *)text, (size_t)size},
                                     .headers = headers,
                                     .header_count = 2};
    http_later_answer(visit->later, &reply);
    visit_free(visit);
}
