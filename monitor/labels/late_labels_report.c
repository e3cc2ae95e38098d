// late_labels_report.c: the walk of a performance report.
#include "monitor/drift/limits.h"
#include "monitor/labels/late_labels.h"

static enum status take(void *context, const struct analysis *analysis, struct error *err)
{
    return late_labels_add(context, analysis, err);
}

enum status late_labels_report(struct archive *archive, const struct report_request *request, cJSON *document,
                               struct error *err)
{
    struct late_labels labels;
    const struct archive_filter filter = {.from = request->from,
                                          .to = request->to,
                                          .site = request->site,
                                          .model_version = request->model_version,
                                          .as_of = request->as_of};
    enum status status = late_labels_init(&labels, request->from, request->to,
                                          request->as_of ? request->as_of->time : request->to, err);
    if (status == STATUS_OK)
        status = archive_walk(archive, &filter, take, &labels, err);
    if (status == STATUS_OK)
        status = late_labels_write(&labels, drift_budget_of_chart((double)request->alarm_budget_per_year),
                                   document, err);
    late_labels_release(&labels);
    return status;
}
