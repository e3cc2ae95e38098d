// experiments.c: a report for each plan, of which the numbers are kept.
#include "monitor/service/experiments.h"

#include "common/base/log.h"
#include "monitor/report/report.h"

static const int64_t day_ms = 24 * 3600 * 1000;

enum status experiments_begin(struct archive *archive, int64_t now, struct experiments *experiments,
                              struct error *err)
{
    struct archive_plan plans[EXPERIMENTS_MOST];
    size_t count = 0;
    experiments_release(experiments);
    enum status status = archive_newest_plans(archive, plans, EXPERIMENTS_MOST, &count, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (plans[i].registered_at <= now && now - plans[i].registered_at < EXPERIMENT_DAYS_MOST * day_ms)
            experiments->plans[experiments->count++] = plans[i];
    return status;
}

enum status experiments_compare(struct archive *archive, int64_t now, struct experiments *experiments,
                                struct error *err)
{
    const struct archive_plan *plan = &experiments->plans[experiments->done];
    struct archive_as_of as_of;
    const struct report_request request = {.kind = REPORT_COMPARISON,
                                           .from = plan->registered_at - plan->registered_at % day_ms,
                                           .to = now - now % day_ms + day_ms,
                                           .model_a = plan->model_a,
                                           .model_b = plan->model_b,
                                           .as_of = &as_of};
    cJSON *document = NULL;
    enum status status = archive_now(archive, &as_of, err);
    if (status != STATUS_OK)
        return status;
    status = report_make(archive, &request, &document, err);
    if (status == STATUS_OK)
        findings_read(document, &experiments->findings);
    cJSON_Delete(document);
    archive_as_of_release(&as_of);
    if (status == STATUS_REJECTED) {
        LOG_WARN("experiment_not_compared", "plan=%s reason=\"%s\"", plan->name, err->message);
        status = STATUS_OK;
    }
    experiments->done += status == STATUS_OK;
    return status;
}

void experiments_release(struct experiments *experiments)
{
    findings_release(&experiments->findings);
    *experiments = (struct experiments){.count = 0};
}
