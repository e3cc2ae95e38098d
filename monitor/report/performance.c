// performance.c: failed analyses have no labels, but count in how the fleet worked.
#include "monitor/report/performance.h"

#include "monitor/drift/limits.h"
#include "monitor/labels/late_labels.h"
#include "monitor/service/operation.h"

struct performance {
    struct late_labels labels;
    struct operation *operation;
};

static enum status take(void *context, const struct analysis *analysis, struct error *err)
{
    struct performance *performance = context;
    operation_add(performance->operation, analysis);
    return *analysis->error_code ? STATUS_OK : late_labels_add(&performance->labels, analysis, err);
}

enum status performance_report(struct archive *archive, const struct report_request *request, cJSON *document,
                               struct error *err)
{
    const struct archive_filter filter = {.from = request->from,
                                          .to = request->to,
                                          .site = request->site,
                                          .model_version = request->model_version,
                                          .as_of = request->as_of,
                                          .errors = true};
    struct performance performance = {.operation = operation_new(request->from, request->to)};
    enum status status = late_labels_init(&performance.labels, request->from, request->to,
                                          request->as_of ? request->as_of->time : request->to, err);
    if (status == STATUS_OK)
        status = archive_walk(archive, &filter, take, &performance, err);
    if (status == STATUS_OK)
        status =
            late_labels_write(&performance.labels,
                              drift_budget_of_chart((double)request->alarm_budget_per_year), document, err);
    if (status == STATUS_OK)
        status = operation_write(performance.operation, document, err);
    late_labels_release(&performance.labels);
    operation_free(performance.operation);
    return status;
}
