// request.h: what a report is made from, as a text that is stored when it is published: its parameters and
// the offsets that it may know. The same text gives the same report again.
//
// {"schema": "skinsight.report_request.v1", "kind", "from", "to", "model_version", "site", "model_a",
// "model_b", "alarm_budget_per_year", "reference_sha256", "reference_missing", "as_of": {"time", "offsets":
// [{"topic", "partition", "next"}]}}; what is not asked for is null. No state, any thread.
#ifndef SKINSIGHT_MONITOR_REPORT_REQUEST_H
#define SKINSIGHT_MONITOR_REPORT_REQUEST_H

#include "monitor/report/report.h"

enum {
    REPORT_ID_SIZE = 33,                             // 32 hexadecimal digits
    REPORT_NAME_SIZE = 129,                          // of a model version or a site
    REPORT_REQUEST_MOST = 512 * ARCHIVE_PLACES_MOST, // bytes of the text
};

// The start of the text's digest: who asks the same of the same records gets the same id.
void report_request_id(struct bytes text, char id[REPORT_ID_SIZE]);

// Appends the text. REJECTED: over out's limit.
enum status report_request_write(const struct report_request *request, struct buffer *out,
                                 struct error *err) MUST_CHECK;

// A request with the texts and offsets that it points to.
struct stored_request {
    struct report_request request;
    struct archive_as_of as_of;
    char model_version[REPORT_NAME_SIZE], site[REPORT_NAME_SIZE];
    char model_a[REPORT_NAME_SIZE], model_b[REPORT_NAME_SIZE];
    char reference_sha256[DIGEST_TEXT_SIZE], reference_missing[REPORT_NAME_SIZE];
};
// Fills everything but id and references. REJECTED: it is no such text; then there is nothing to release.
enum status report_request_read(struct bytes text, struct stored_request *stored,
                                struct error *err) MUST_CHECK;
void stored_request_release(struct stored_request *stored);

#endif
