// incident.h: the list to look back over when a model or a device turns out to be at fault: every answer that
// was given between two moments, with what was advised. Who was told to wait comes first: nobody has looked
// at those lesions since. An answer that a later one to the same request replaced is in the list, and says
// so: somebody may have read it. Request ids alone, no word about a patient.
//
// A list with holes would be taken for whole, so there is none where more than INCIDENT_ANSWERS_MOST answers
// were given: the report is refused, and says so. One thread.
#ifndef SKINSIGHT_MONITOR_INCIDENT_INCIDENT_H
#define SKINSIGHT_MONITOR_INCIDENT_INCIDENT_H

#include "monitor/report/report.h"

enum { INCIDENT_ANSWERS_MOST = 50000 };

struct incident {
    struct incident_answer {
        char request_id[JOB_REQUEST_ID_SIZE];
        int64_t at;
        int8_t action, class, label; // label: -1: not known yet
        bool failed;                 // it was an error: action and class are -1
        bool replaced;
        size_t number; // as it came
    } * answers;
    size_t count, capacity;
};

// Zeros are an empty list. REJECTED: it is full.
enum status incident_add(struct incident *incident, const struct analysis *analysis,
                         struct error *err) MUST_CHECK;
void incident_release(struct incident *incident);
// Adds "incident" and the table of answers: by what was advised, monitor first and failures last, then by
// time, then as they came.
enum status incident_write(struct incident *incident, const char *model_version, cJSON *document,
                           struct error *err) MUST_CHECK;

// The part of a report (struct report_part).
enum status incident_report(struct archive *archive, const struct report_request *request, cJSON *document,
                            struct error *err) MUST_CHECK;

#endif
