// publish.h: a report that people may cite: its request is kept in the archive, so that it can be made again,
// byte for byte, however many labels have come since.
#ifndef SKINSIGHT_MONITOR_REPORT_PUBLISH_H
#define SKINSIGHT_MONITOR_REPORT_PUBLISH_H

#include "monitor/report/request.h"

enum { REPORT_MOST_BYTES = 64 << 20 }; // of a report's JSON, and of its page

struct published {
    cJSON *document;    // the struct's
    struct buffer json; // its bytes
};

// Makes the report and keeps its request, with the reference that was used. request->id is not read. made_at:
// Unix ms. Errors as report_make's and the archive's. published is to be released, also after a failure.
enum status report_publish(struct archive *archive, const struct report_request *request, int64_t made_at,
                           struct published *published, struct error *err) MUST_CHECK;
// Makes a kept one again. references, reference_key: as report_request's. REJECTED also: there is none of
// that id, or what comes out is not what was published, as the records, the reference or the program are
// others.
enum status report_publish_again(struct archive *archive, const char *id, const char *references,
                                 const char *reference_key, struct published *published,
                                 struct error *err) MUST_CHECK;
void published_release(struct published *published);

#endif
