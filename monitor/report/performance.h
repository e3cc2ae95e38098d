// performance.h: the part of performance reports: late labels, and how the fleet worked, of one walk.
#ifndef SKINSIGHT_MONITOR_REPORT_PERFORMANCE_H
#define SKINSIGHT_MONITOR_REPORT_PERFORMANCE_H

#include "monitor/report/report.h"

// A struct report_part's. Errors as archive_walk's and the two parts'.
enum status performance_report(struct archive *archive, const struct report_request *request, cJSON *document,
                               struct error *err) MUST_CHECK;

#endif
