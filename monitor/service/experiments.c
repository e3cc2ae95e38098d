// experiments.c: a report for each plan, of which the numbers are kept.
#include "monitor/service/experiments.h"

#include "common/base/log.h"
#include "monitor/archive/plans.h"
#include "monitor/report/report.h"

static const int64_t day_ms = 24 * 3600 * 1000;

static enum status read_one(struct archive *archive, const struct archive_plan *plan, int64_t now,
                            const struct archive_as_of *as_of, struct findings *findings, struct error *err)
{
    const struct report_request request = {.kind = REPORT_COMPARISON,
                                           .from = plan->registered_at - plan->registered_at % day_ms,
                                           .to = now - now % day_ms + day_ms,
                                           .model_a = plan->model_a,
                                           .model_b = plan->model_b,
                                           .as_of = as_of};
    cJSON *document = NULL;
    enum status status = report_make(archive, &request, &document, err);
    if (status == STATUS_OK)
        findings_read(document, findings);
    cJSON_Delete(document);
    if (status != STATUS_REJECTED)
        return status;
    LOG_WARN("experiment_not_compared", "plan=%s reason=\"%s\"", plan->name, err->message);
    return STATUS_OK;
}

enum status experiments_read(struct archive *archive, int64_t now, struct findings *findings,
                             struct error *err)
{
    struct archive_plan plans[EXPERIMENTS_MOST];
    struct archive_as_of as_of = {0};
    size_t count = 0;
    enum status status = archive_newest_plans(archive, plans, EXPERIMENTS_MOST, &count, err);
    if (status == STATUS_OK && count > 0)
        status = archive_now(archive, &as_of, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (plans[i].registered_at <= now && now - plans[i].registered_at < EXPERIMENT_DAYS_MOST * day_ms)
            status = read_one(archive, &plans[i], now, &as_of, findings, err);
    archive_as_of_release(&as_of);
    return status;
}
