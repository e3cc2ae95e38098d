// visit.c: how a visit ends.
#include "producer/gateway/visit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"
#include "producer/gateway/gateway.h"
#include "producer/gateway/reply.h"

enum { ANSWER_LIMIT = 128 << 10, RETRY_S = 2 };

struct visit *visit_new(struct gateway *gateway, enum visit_kind kind)
{
    struct visit *visit = memory_alloc(sizeof *visit);
    visit->gateway = gateway;
    visit->kind = kind;
    request_outcome_init(&visit->outcome);
    return visit;
}

void visit_free(void *context)
{
    struct visit *visit = context;
    body_release(&visit->body);
    buffer_release(&visit->record);
    request_outcome_release(&visit->outcome);
    atomic_fetch_sub(&visit->gateway->bytes_inside, (long long)visit->counted_bytes);
    if (visit->admitted)
        admission_leave(&visit->gateway->admission);
    explicit_bzero(visit, sizeof *visit);
    free(visit);
}

bool visit_count_bytes(struct visit *visit)
{
    size_t bytes = visit->body.image.capacity + visit->body.rest.capacity + visit->record.capacity;
    long long more = (long long)bytes - (long long)visit->counted_bytes;
    visit->counted_bytes = bytes;
    return atomic_fetch_add(&visit->gateway->bytes_inside, more) + more <=
           visit->gateway->options.bytes_limit;
}

void visit_retry(struct visit *visit, enum problem problem, const char *detail, int retry_after_s)
{
    const struct http_problem document = {.status = problem_status(problem),
                                          .code = problem_code(problem),
                                          .detail = detail,
                                          .retry_after_s = retry_after_s};
    http_later_problem(visit->later, &document);
    visit_free(visit);
}

void visit_problem(struct visit *visit, enum problem problem, const char *detail)
{
    visit_retry(visit, problem, detail, problem_status(problem) == 503 ? RETRY_S : 0);
}

void visit_answer(struct visit *visit, const struct request_outcome *outcome)
{
    struct gateway *gateway = visit->gateway;
    char url[LINK_URL_SIZE] = "";
    struct buffer body;
    struct error err;
    if (outcome->problem != PROBLEM_NONE) {
        visit_problem(visit, outcome->problem, outcome->detail);
        return;
    }
    if (outcome->map_uri[0])
        link_make(&gateway->links, visit->analysis.request_id,
                  clock_wall_ms() + gateway->options.link_lifetime_ms, url);
    buffer_init(&body, ANSWER_LIMIT);
    if (reply_add_link(buffer_bytes(&outcome->reply), url, &body, &err) == STATUS_OK) {
        const struct http_reply reply = {
            .code = 200, .type = "application/json", .body = buffer_bytes(&body)};
        http_later_answer(visit->later, &reply);
        visit_free(visit);
    } else {
        visit_problem(visit, PROBLEM_INTERNAL, err.message);
    }
    buffer_release(&body);
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
