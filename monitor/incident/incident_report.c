// incident_report.c: the walk of an incident's report.
#include "monitor/incident/incident.h"

static enum status take(void *context, const struct analysis *analysis, struct error *err)
{
    return incident_add(context, analysis, err);
}

enum status incident_report(struct archive *archive, const struct report_request *request, cJSON *document,
                            struct error *err)
{
    struct incident incident = {0};
    const struct archive_filter filter = {.from = request->from,
                                          .to = request->to,
                                          .site = request->site,
                                          .model_version = request->model_version,
                                          .as_of = request->as_of,
                                          .errors = true,
                                          .replaced = true};
    enum status status = archive_walk(archive, &filter, take, &incident, err);
    if (status == STATUS_OK)
        status = incident_write(&incident, request->model_version, document, err);
    incident_release(&incident);
    return status;
}
