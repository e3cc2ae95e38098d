// routes.c: the public listener's routes. All of it runs on the HTTP thread and waits for nobody.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/audit/audit.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/memory.h"
#include "common/identity/gate.h"
#include "producer/gateway/content.h"
#include "producer/gateway/desk.h"
#include "producer/gateway/errands.h"
#include "producer/gateway/gateway.h"
#include "producer/gateway/job.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/routes.h"
#include "producer/gateway/visit.h"
#include "producer/identity/rate_limits.h"

enum { SIGNATURE_SIZE = 128, EXPIRES_SIZE = 32, FEEDBACK_LIMIT = 256 << 10 };

static void refuse_for(struct gateway *gateway, struct http_request *request, enum problem problem,
                       const char *detail, int retry_after_s)
{
    char peer[HTTP_PEER_SIZE];
    http_request_peer(request, peer);
    audit_refused(gateway->audit, peer, problem_code(problem));
    const struct http_problem document = {.status = problem_status(problem),
                                          .code = problem_code(problem),
                                          .detail = detail,
                                          .retry_after_s = retry_after_s};
    http_answer_problem(request, &document);
}

static void refuse(struct gateway *gateway, struct http_request *request, enum problem problem,
                   const char *detail)
{
    refuse_for(gateway, request, problem, detail, problem_status(problem) == 503 ? 2 : 0);
}

static const char too_many_bytes[] = "too many large requests are inside";

static void refuse_bytes(struct gateway *gateway, struct http_request *request)
{
    metrics_add(GATEWAY_REFUSED, REFUSED_BYTES, 1);
    refuse(gateway, request, PROBLEM_OVERLOADED, too_many_bytes);
}

// False: refused.
static bool within_rate(struct gateway *gateway, struct http_request *request,
                        const struct identity *identity)
{
    int64_t wait_ms =
        rate_limits_take(gateway->rates, identity->account, clock_monotonic_ms(), clock_wall_ms());
    if (wait_ms == 0)
        return true;
    metrics_add(GATEWAY_REFUSED, REFUSED_RATE, 1);
    refuse_for(gateway, request, PROBLEM_RATE_LIMITED, "this key has asked too often",
               (int)((wait_ms + 999) / 1000));
    return false;
}

// False: refused.
static bool identify(struct gateway *gateway, struct http_request *request, enum role least,
                     struct identity *identity)
{
    struct error err;
    const char *authorization = http_request_header(request, "Authorization");
    enum status status = identity_of(gateway->identities, authorization, identity, &err);
    if (status == STATUS_REJECTED)
        refuse(gateway, request, PROBLEM_UNAUTHORIZED, "a valid key or token is needed");
    else if (status != STATUS_OK)
        refuse(gateway, request, PROBLEM_UNAVAILABLE, "keys can't be looked at now");
    else if (identity->role < least)
        refuse(gateway, request, PROBLEM_FORBIDDEN, "the role of this key does not allow that");
    else
        return within_rate(gateway, request, identity);
    return false;
}

// RFC 7240: a list of preferences, of which this is the one that is known here.
static bool wants_no_wait(struct http_request *request)
{
    static const char known[] = "respond-async";
    for (const char *at = http_request_header(request, "Prefer"); at; at = strchr(at, ',')) {
        at += strspn(at, ", \t");
        size_t size = strcspn(at, ",;= \t");
        if (size == sizeof known - 1 && strncasecmp(at, known, size) == 0)
            return true;
    }
    return false;
}

// ---- POST /v2/analyze ----

// False: refused.
static bool read_priority(struct gateway *gateway, struct http_request *request, struct visit *visit)
{
    const char *priority = http_request_header(request, "Skinsight-Priority");
    if (!priority || strcasecmp(priority, "routine") == 0)
        return true;
    if (strcasecmp(priority, "urgent") != 0) {
        refuse(gateway, request, PROBLEM_INVALID_FIELD, "Skinsight-Priority must be routine or urgent");
        return false;
    }
    visit->urgent = visit->identity.urgent;
    if (!visit->urgent)
        refuse(gateway, request, PROBLEM_FORBIDDEN, "this key may not ask for the urgent topic");
    return visit->urgent;
}

static void refuse_late(struct gateway *gateway, struct http_request *request, int retry_after_s)
{
    metrics_add(GATEWAY_REFUSED, REFUSED_LATE, 1);
    refuse_for(gateway, request, PROBLEM_OVERLOADED,
               "it would not be answered in time, or too many of this key wait; GET /v2/analyze/<request_id> "
               "has what was accepted before",
               retry_after_s);
}

// Before the body is read. It is not counted yet: slow uploads must keep nobody else out.
static bool may_upload(struct gateway *gateway, struct http_request *request, const struct visit *visit)
{
    int retry_after_s = 0;
    if (atomic_load(&gateway->stopping) || !atomic_load(&gateway->connected)) {
        metrics_add(GATEWAY_REFUSED, REFUSED_NOT_READY, 1);
        refuse(gateway, request, PROBLEM_UNAVAILABLE, "the gateway is not ready");
        return false;
    }
    if (admission_look(&gateway->admission, visit->identity.account, &retry_after_s))
        return true;
    refuse_late(gateway, request, retry_after_s);
    return false;
}

static bool admit(struct gateway *gateway, struct http_request *request, struct visit *visit)
{
    int retry_after_s = 0;
    visit->place = admission_enter(&gateway->admission, visit->identity.account, &retry_after_s);
    if (!visit->place)
        refuse_late(gateway, request, retry_after_s);
    return visit->place != 0;
}

static void begin_analyze(void *context, struct http_request *request)
{
    struct gateway *gateway = context;
    struct visit *visit = visit_new(gateway, VISIT_ANALYZE);
    body_init(&visit->body, (size_t)gateway->options.max_image_bytes);
    if (identify(gateway, request, ROLE_ANALYST, &visit->identity) &&
        read_priority(gateway, request, visit) && may_upload(gateway, request, visit))
        http_request_keep(request, visit, visit_free);
    else
        visit_free(visit);
}

static void take_body(void *context, struct http_request *request, struct bytes part)
{
    struct gateway *gateway = context;
    struct visit *visit = http_request_state(request);
    struct error err;
    enum problem problem = body_add(&visit->body, part, &err);
    if (problem != PROBLEM_NONE)
        refuse(gateway, request, problem, err.message);
    else if (!visit_count_bytes(visit))
        refuse_bytes(gateway, request);
}

static void give_to_desk(struct visit *visit)
{
    if (!desk_push(visit->gateway->desk, visit))
        visit_problem(visit, PROBLEM_OVERLOADED, "too many requests are inside");
}

void routes_enter(struct visit *visit)
{
    visit_enter(visit, give_to_desk);
}

// Gives the visit away.
static void hand_over(struct gateway *gateway, struct visit *visit)
{
    struct buffer *image = &visit->body.image;
    if (visit->record.size == 0) {
        if (!errands_push(gateway->errands, ERRAND_STORE_IMAGE, visit)) {
            metrics_add(GATEWAY_REFUSED, REFUSED_UPLOADS, 1);
            visit_problem(visit, PROBLEM_OVERLOADED, "too many large images wait for the object store");
        }
        return;
    }
    struct digest digest = visit->image;
    struct buffer kept = *image;
    *image = (struct buffer){0};
    body_release(&visit->body);
    if (visit_count_bytes(visit)) {
        routes_enter(visit); // from here on the visit is others'
        if (gateway->options.keep_images)
            errands_keep(gateway->errands, &digest, &kept);
    } else {
        metrics_add(GATEWAY_REFUSED, REFUSED_BYTES, 1);
        visit_problem(visit, PROBLEM_OVERLOADED, too_many_bytes);
    }
    buffer_wipe(&kept);
}

static void handle_analyze(void *context, struct http_request *request)
{
    struct gateway *gateway = context;
    struct visit *visit = http_request_state(request);
    struct error err;
    enum problem problem = body_finish(&visit->body, &visit->analysis, &err);
    if (problem != PROBLEM_NONE) {
        refuse(gateway, request, problem, err.message);
        return;
    }
    if (!admit(gateway, request, visit))
        return;
    struct analysis *analysis = &visit->analysis;
    if (!analysis->request_id[0])
        job_request_id_new(analysis->request_id);
    visit->image = digest_of(visit->body.image.data, visit->body.image.size);
    visit->content =
        content_digest(&visit->image, &analysis->metadata, analysis->model_version, visit->urgent);
    bool large = visit->body.image.size > (size_t)gateway->options.inline_limit_bytes;
    if (!large && job_write(visit, false, &err) != STATUS_OK) {
        refuse(gateway, request, PROBLEM_INTERNAL, err.message);
        return;
    }
    visit->respond_async = wants_no_wait(request);
    visit->wait_until_ms = clock_monotonic_ms() + gateway->options.answer_timeout_ms;
    (void)http_request_take(request);
    visit_defer(visit, request);
    hand_over(gateway, visit);
}

// ---- reading ----

static void defer_to_desk(struct http_request *request, struct visit *visit)
{
    visit->wait_until_ms = clock_monotonic_ms() + visit->gateway->options.answer_timeout_ms;
    visit_defer(visit, request);
    give_to_desk(visit);
}

static void handle_read(void *context, struct http_request *request)
{
    struct gateway *gateway = context;
    struct identity identity;
    const char *id = http_request_part(request);
    if (!identify(gateway, request, ROLE_READER, &identity))
        return;
    struct visit *visit = visit_new(gateway, VISIT_READ);
    job_request_id_read((struct bytes){(const uint8_t *)id, strlen(id)}, visit->analysis.request_id);
    if (!visit->analysis.request_id[0]) {
        refuse(gateway, request, PROBLEM_NOT_FOUND, "there is no such request");
        visit_free(visit);
        return;
    }
    visit->identity = identity;
    visit->respond_async = wants_no_wait(request);
    defer_to_desk(request, visit);
}

static void handle_map(void *context, struct http_request *request)
{
    struct gateway *gateway = context;
    char expires[EXPIRES_SIZE], signature[SIGNATURE_SIZE], request_id[JOB_REQUEST_ID_SIZE];
    const char *id = http_request_part(request);
    job_request_id_read((struct bytes){(const uint8_t *)id, strlen(id)}, request_id);
    bool whole = http_request_query(request, "expires", expires, sizeof expires) == HTTP_FIELD_PRESENT &&
                 http_request_query(request, "signature", signature, sizeof signature) == HTTP_FIELD_PRESENT;
    // Whatever is wrong with a link, it tells nobody whether there is such a request.
    if (!request_id[0] || !whole ||
        link_check(&gateway->links, request_id, expires, signature, clock_wall_ms()) != LINK_GOOD) {
        refuse(gateway, request, PROBLEM_NOT_FOUND, "this link is not valid, or not any more");
        return;
    }
    struct visit *visit = visit_new(gateway, VISIT_MAP);
    strcpy(visit->analysis.request_id, request_id);
    defer_to_desk(request, visit);
}

static void defer_for(struct gateway *gateway, struct http_request *request, enum visit_kind kind,
                      bool overdue_only)
{
    struct identity identity;
    if (!identify(gateway, request, ROLE_READER, &identity))
        return;
    struct visit *visit = visit_new(gateway, kind);
    visit->identity = identity;
    visit->overdue_only = overdue_only;
    defer_to_desk(request, visit);
}

static void handle_models(void *context, struct http_request *request)
{
    defer_for(context, request, VISIT_MODELS, false);
}

static void handle_reviews(void *context, struct http_request *request)
{
    char state[16] = "open";
    enum http_field field = http_request_query(request, "state", state, sizeof state);
    bool overdue = strcmp(state, "overdue") == 0;
    if (field == HTTP_FIELD_BAD || (!overdue && strcmp(state, "open") != 0))
        refuse(context, request, PROBLEM_INVALID_FIELD, "state must be open or overdue");
    else
        defer_for(context, request, VISIT_REVIEWS, overdue);
}

// ---- POST /v2/feedback ----

static void begin_feedback(void *context, struct http_request *request)
{
    struct gateway *gateway = context;
    struct visit *visit = visit_new(gateway, VISIT_FEEDBACK);
    buffer_init(&visit->record, FEEDBACK_LIMIT);
    if (identify(gateway, request, ROLE_ANALYST, &visit->identity))
        http_request_keep(request, visit, visit_free);
    else
        visit_free(visit);
}

static void take_feedback(void *context, struct http_request *request, struct bytes part)
{
    struct visit *visit = http_request_state(request);
    struct error err;
    if (buffer_append(&visit->record, part.data, part.size, &err) != STATUS_OK)
        refuse(context, request, visit->record.overflowed ? PROBLEM_BODY_TOO_LARGE : PROBLEM_OVERLOADED,
               err.message);
    else if (!visit_count_bytes(visit))
        refuse_bytes(context, request);
}

static enum problem read_reports(struct visit *visit, const cJSON *json, struct error *err)
{
    int count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 1;
    const cJSON *item = cJSON_IsArray(json) ? json->child : json;
    if (count < 1 || count > REPORTS_MOST) {
        (void)error_set(err, STATUS_REJECTED, "a list must have 1 to %d records", REPORTS_MOST);
        return PROBLEM_INVALID_FIELD;
    }
    visit->reports = memory_alloc((size_t)count * sizeof *visit->reports);
    visit->report_count = (size_t)count;
    for (int i = 0; i < count; i++, item = item->next) {
        struct feedback *feedback = &visit->reports[i].feedback;
        if (feedback_read(item, clock_wall_ms(), feedback, err) != STATUS_OK)
            return PROBLEM_INVALID_FIELD;
        if (!feedback->request_id[0]) {
            (void)error_set(err, STATUS_REJECTED, "field 'request_id' is needed here");
            return PROBLEM_INVALID_FIELD;
        }
    }
    return PROBLEM_NONE;
}

static void handle_feedback(void *context, struct http_request *request)
{
    static const struct json_limits limits = {FEEDBACK_LIMIT, 32 * REPORTS_MOST, 8};
    struct visit *visit = http_request_state(request);
    struct error err;
    cJSON *json = NULL;
    enum problem problem = PROBLEM_INVALID_JSON;
    enum status status = json_parse(buffer_bytes(&visit->record), &limits, &json, &err);
    if (status == STATUS_OK)
        problem = read_reports(visit, json, &err);
    else if (status == STATUS_FATAL)
        problem = PROBLEM_OVERLOADED;
    cJSON_Delete(json);
    if (problem != PROBLEM_NONE) {
        refuse(context, request, problem, err.message);
        return;
    }
    (void)http_request_take(request);
    defer_to_desk(request, visit);
}

void routes_make(const struct gateway *gateway, struct http_route routes[ROUTE_COUNT])
{
    routes[ROUTE_ANALYZE] =
        (struct http_route){.method = "POST",
                            .path = "/v2/analyze",
                            .handle = handle_analyze,
                            .body_limit = (size_t)config_integer(gateway->options.config, "body_limit_bytes"),
                            .body_type = "application/json",
                            .begin = begin_analyze,
                            .body = take_body};
    routes[ROUTE_READ] =
        (struct http_route){.method = "GET", .path = "/v2/analyze/<id>", .handle = handle_read};
    routes[ROUTE_MAP] =
        (struct http_route){.method = "GET", .path = "/attention/<id>.png", .handle = handle_map};
    routes[ROUTE_REVIEWS] =
        (struct http_route){.method = "GET", .path = "/v2/reviews", .handle = handle_reviews};
    routes[ROUTE_MODELS] =
        (struct http_route){.method = "GET", .path = "/v2/models", .handle = handle_models};
    routes[ROUTE_FEEDBACK] = (struct http_route){.method = "POST",
                                                 .path = "/v2/feedback",
                                                 .handle = handle_feedback,
                                                 .body_limit = FEEDBACK_LIMIT,
                                                 .body_type = "application/json",
                                                 .begin = begin_feedback,
                                                 .body = take_feedback};
    memcpy(&routes[ROUTE_PAGE], page_routes, sizeof page_routes);
}
