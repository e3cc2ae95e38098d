// findings.h: what a report says, as samples of metrics. They are read from its document, so that a gauge
// shows what the page shows; what the document does not know has no sample. Labels are closed lists:
// features, classes, at most 50 sites and 20 devices of the reference, and the subgroups of a report. No
// state; one thread at a time for each list.
#ifndef SKINSIGHT_MONITOR_SERVICE_FINDINGS_H
#define SKINSIGHT_MONITOR_SERVICE_FINDINGS_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "monitor/service/metrics_rows.h"

enum {
    FINDINGS_MOST = 4096, // of one report; what is behind them is left out
    FINDING_LABELS_SIZE = 224,
};

struct finding {
    enum monitor_metric metric;
    double value;
    char labels[FINDING_LABELS_SIZE]; // as they stand between the braces
};

// Zeros are an empty list.
struct findings {
    struct finding *items;
    size_t count, capacity;
};

// Adds those of a report on drift or performance, or of a comparison with a registered plan; whatever the
// document holds.
void findings_read(const cJSON *document, struct findings *findings);
void findings_release(struct findings *findings);

#endif
