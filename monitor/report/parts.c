// parts.c: what reports are made of, in the order of their pages.
#include "monitor/comparison/arms_report.h"
#include "monitor/drift/part.h"
#include "monitor/incident/incident.h"
#include "monitor/report/performance.h"

const struct report_part report_parts[] = {
    {"drift", 1u << REPORT_DRIFT, drift_add},
    {"performance", 1u << REPORT_PERFORMANCE, performance_report},
    {"comparison", 1u << REPORT_COMPARISON, arms_report},
    {"incident", 1u << REPORT_INCIDENT, incident_report},
    {0},
};

enum status report_make(struct archive *archive, const struct report_request *request, cJSON **document,
                        struct error *err)
{
    return report_make_of(report_parts, archive, request, document, err);
}
