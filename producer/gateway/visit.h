// visit.h: one HTTP request on its way through the gateway, from its headers to its answer.
//
// The HTTP thread makes it and fills it in; then it is given away, to an errand (errands.h) or to the desk
// (desk.h), and whoever holds it last answers it, which frees it. A client that leaves before its request is
// whole frees it too.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_VISIT_H
#define SKINSIGHT_PRODUCER_GATEWAY_VISIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/identity/identity.h"
#include "common/records/feedback.h"
#include "common/services/http_server.h"
#include "producer/gateway/admission.h"
#include "producer/gateway/body.h"
#include "producer/gateway/requests.h"

struct gateway;

enum visit_kind {
    VISIT_ANALYZE,  // POST /v2/analyze
    VISIT_READ,     // GET /v2/analyze/<id>
    VISIT_MAP,      // GET /attention/<id>.png; the link is the permission, identity is empty
    VISIT_REVIEWS,  // GET /v2/reviews
    VISIT_MODELS,   // GET /v2/models
    VISIT_FEEDBACK, // POST /v2/feedback
};

// What the desk's transaction has decided; acted on once it is committed.
enum visit_step {
    STEP_NOT_FOUND,
    STEP_CONFLICT,
    STEP_ANSWERED, // the answer is in outcome
    STEP_WAIT,     // for what somebody has begun
    STEP_PRODUCE,  // the row is ours, its job goes to Kafka
    STEP_LISTED,   // the list is in answer
    STEP_FEEDBACK, // its records go to Kafka
    STEP_REFUSED,  // why is in outcome
};

struct report {
    struct feedback feedback;
    bool closed; // it closed a review
};

enum { REPORTS_MOST = 256 };

struct visit {
    struct gateway *gateway;
    enum visit_kind kind;
    struct identity identity;
    struct body body;         // of ANALYZE, until its job record is written
    struct analysis analysis; // request_id is set in every kind
    struct digest image, content;
    struct buffer record;   // the job record; data NULL: there is none
    int64_t submitted_at;   // its time, Unix ms
    struct report *reports; // of FEEDBACK
    size_t report_count;
    bool overdue_only;    // of REVIEWS
    size_t counted_bytes; // of body and record, in gateway->bytes
    bool urgent;
    bool respond_async;       // "Prefer: respond-async"
    int place;                // in gateway->admission; 0: none
    struct http_later *later; // NULL: not deferred
    char peer[HTTP_PEER_SIZE];
    void (*enter)(struct visit *visit); // once the audit knows of it
    struct buffer answer;               // what goes out once the audit knows of that
    atomic_size_t entries_left;         // of FEEDBACK: entries that the audit has not given back yet
    atomic_bool entry_failed;           // one of them may not be on the disk
    int64_t wait_until_ms;              // monotonic clock; then 202, or why not
    // Of the desk.
    enum visit_step step;
    struct request_row row;
    struct request_outcome outcome;
    struct visit *next; // in a list that owns it
};

struct visit *visit_new(struct gateway *gateway, enum visit_kind kind);
// Suspends the request: from now on one of the functions below has to answer the visit.
void visit_defer(struct visit *visit, struct http_request *request);
void visit_free(void *visit); // without an answer; a `release` of http_request_keep

// Counts what its buffers hold by now. False: its account, or all of them together, hold too much.
bool visit_count_bytes(struct visit *visit);

// Has the audit know of the request and then calls enter, on the audit's thread, or answers it with 503.
void visit_enter(struct visit *visit, void (*enter)(struct visit *visit));

// Each answers the visit, which has been deferred, and frees it. What tells something of a patient goes out
// once the audit has its entry.
void visit_problem(struct visit *visit, enum problem problem, const char *detail);
void visit_answer(struct visit *visit, const struct request_outcome *outcome); // reply or problem
void visit_picture(struct visit *visit, struct buffer *picture);               // a PNG; takes the bytes
void visit_queued(struct visit *visit);                                        // 202
void visit_listed(struct visit *visit);                                        // with what is in answer
void visit_feedback_taken(struct visit *visit);

#endif
