// part.c: chooses the reference, counts the report's analyses in its bins, and has the pieces written.
#include "monitor/drift/part.h"

#include <math.h>
#include <string.h>

#include "monitor/drift/references.h"

cJSON *drift_json(double value)
{
    return isfinite(value) ? cJSON_CreateNumber(value) : cJSON_CreateNull();
}

static enum status add_reference(const struct drift_reference *reference, cJSON *document, struct error *err)
{
    char sha256[DIGEST_TEXT_SIZE];
    cJSON *object = cJSON_AddObjectToObject(document, "reference");
    digest_text(&reference->sha256, sha256);
    if (cJSON_AddStringToObject(object, "id", reference->id) &&
        cJSON_AddStringToObject(object, "sha256", sha256) &&
        cJSON_AddNumberToObject(object, "n", (double)reference->strata[0].tally.output.n) &&
        cJSON_AddNumberToObject(object, "from", (double)reference->from) &&
        cJSON_AddNumberToObject(object, "to", (double)reference->to) &&
        cJSON_AddNumberToObject(object, "seed", (double)reference->limits.seed))
        return STATUS_OK;
    return error_set(err, STATUS_FATAL, "no memory for the report's reference");
}

static enum status without_reference(const char *reason, cJSON *document, struct error *err)
{
    if (cJSON_AddNullToObject(document, "reference") &&
        cJSON_AddStringToObject(document, "reference_missing", reason) &&
        cJSON_AddArrayToObject(document, "drift"))
        return STATUS_OK;
    return error_set(err, STATUS_FATAL, "no memory for the report's reference");
}

static enum status count(void *windows, const struct analysis *analysis, struct error *err)
{
    (void)err;
    drift_windows_add(windows, analysis);
    return STATUS_OK;
}

// A report of one site is judged by that site's stratum alone; charts and run lengths are of all together.
static void keep_site(struct drift_reference *reference, const char *site)
{
    int stratum = drift_stratum_find(reference, STRATUM_SITE, site);
    if (stratum >= 0)
        reference->strata[0] = reference->strata[stratum];
    else
        reference->strata[0].tally = (struct drift_tally){0};
    reference->strata[0].kind = STRATUM_ALL;
    reference->strata[0].name[0] = '\0';
    reference->stratum_count = 1;
    memset(reference->truth, 0, sizeof reference->truth); // labels of all sites say nothing of its actions
    if (stratum < 0)
        reference->strata[0].input = (struct drift_limit){NAN, NAN, NAN};
    for (int i = 0; i < DRIFT_CHARTS; i++)
        reference->limits.charts[i] = (struct drift_limit){NAN, NAN, NAN};
    for (int i = 0; i < DRIFT_PLAIN_RULES; i++)
        reference->limits.plain[i].arl0_days = reference->limits.plain[i].delay_days = NAN;
}

static enum status write_all(struct archive *archive, const struct report_request *request,
                             const struct drift_reference *reference, cJSON *document, struct error *err)
{
    const struct archive_filter filter = {.from = request->from,
                                          .to = request->to,
                                          .site = request->site,
                                          .model_version = request->model_version,
                                          .as_of = request->as_of};
    struct drift_windows *windows;
    enum status status = drift_windows_new(&windows, reference, request->from, request->to, err);
    if (status == STATUS_OK)
        status = archive_walk(archive, &filter, count, windows, err);
    if (status == STATUS_OK)
        status = drift_write_input(windows, reference, document, err);
    if (status == STATUS_OK)
        status = drift_write_output(windows, reference, document, err);
    if (status == STATUS_OK)
        status = drift_write_case_mix(windows, reference, document, err);
    if (status == STATUS_OK)
        status = drift_write_alarms(windows, reference, document, err);
    drift_windows_free(windows);
    return status;
}

static enum status check_budget(const struct report_request *request, const struct drift_reference *reference,
                                struct error *err)
{
    if ((double)request->alarm_budget_per_year == reference->limits.budget)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "the limits of reference %s are for %.10g false alarms a year, alarm_budget_per_year is "
                     "%lld: make a reference for it",
                     reference->id, reference->limits.budget, (long long)request->alarm_budget_per_year);
}

enum status drift_add(struct archive *archive, const struct report_request *request, cJSON *document,
                      struct error *err)
{
    // A reference may lie inside of the report, as in a clinic's first weeks.
    const struct drift_wanted wanted = {.model_version = request->model_version,
                                        .sha256 = request->reference_sha256,
                                        .before = request->to,
                                        .verifying_key = request->reference_key};
    bool found = false;
    if (request->reference_missing)
        return without_reference(request->reference_missing, document, err);
    if (!request->references || !*request->references)
        return without_reference("no folder of references is set", document, err);
    struct drift_reference *reference = drift_reference_new();
    enum status status = drift_references_find(request->references, &wanted, reference, &found, err);
    if (status == STATUS_OK && found) {
        status = check_budget(request, reference, err);
        if (status == STATUS_OK)
            status = add_reference(reference, document, err);
        if (status == STATUS_OK && request->site)
            keep_site(reference, request->site);
        if (status == STATUS_OK)
            status = write_all(archive, request, reference, document, err);
    } else if (status == STATUS_OK) {
        status = without_reference("no signed reference ends in time and fits the model", document, err);
    }
    drift_reference_free(reference);
    return status;
}
