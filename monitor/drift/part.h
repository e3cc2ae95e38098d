// part.h: what drift adds to a report: "reference", "drift", "output", "budget", series, tables and alarms.
#ifndef SKINSIGHT_MONITOR_DRIFT_PART_H
#define SKINSIGHT_MONITOR_DRIFT_PART_H

#include "monitor/drift/window.h"
#include "monitor/report/report.h"

// A row of report_parts. Without a reference that fits, "reference" is null with the reason and nothing is
// compared.
enum status drift_add(struct archive *archive, const struct report_request *request, cJSON *document,
                      struct error *err) MUST_CHECK;

// null where it is not finite.
cJSON *drift_json(double value);

// Its pieces, of analyses that are counted already.
enum status drift_write_input(const struct drift_windows *windows, const struct drift_reference *reference,
                              cJSON *document, struct error *err) MUST_CHECK;
enum status drift_write_output(const struct drift_windows *windows, const struct drift_reference *reference,
                               cJSON *document, struct error *err) MUST_CHECK;
enum status drift_write_case_mix(const struct drift_windows *windows, const struct drift_reference *reference,
                                 cJSON *document, struct error *err) MUST_CHECK; // into "output"
enum status drift_write_alarms(const struct drift_windows *windows, const struct drift_reference *reference,
                               cJSON *document, struct error *err) MUST_CHECK;

#endif
