// reviews.h: what a dermatologist is asked to look at, and the models that have answered; both in the store
// of requests (requests.h), whose rules for threads, transactions and failures hold here too.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_REVIEWS_H
#define SKINSIGHT_PRODUCER_GATEWAY_REVIEWS_H

#include "common/records/feedback.h"
#include "common/services/sql.h"

enum { REVIEWS_MOST = 200 }; // in one list

// Appends {"reviews": [{"request_id", "answered_at", "due_at", "state"}]}: those of the site that are not
// closed, the most urgent first; overdue_only: whose time is over at `now`.
enum status reviews_list(struct sql *sql, const char *site, bool overdue_only, int64_t now,
                         struct buffer *out, struct error *err) MUST_CHECK;
// Somebody has looked at the feedback's request. closed: this feedback closed its review, now or when it came
// before: where the gateway died in between, the audit has no entry yet.
enum status reviews_close(struct sql *sql, const struct feedback *feedback, int64_t now, bool *closed,
                          struct error *err) MUST_CHECK;
// Of all sites.
enum status reviews_count_overdue(struct sql *sql, int64_t now, int64_t *count, struct error *err) MUST_CHECK;

struct seen_model {
    const char *model_version, *weights_sha256; // NULL: not said
    int trained;                                // 0, 1; -1: not said
};
enum status models_note(struct sql *sql, const struct seen_model *model, int64_t now,
                        struct error *err) MUST_CHECK;
// Appends {"models": [{"model_version", "weights_sha256", "trained", "last_seen"}]}, the newest first.
enum status models_list(struct sql *sql, struct buffer *out, struct error *err) MUST_CHECK;

#endif
