// arms_report.c: the walks of a comparison, one for each arm, and what was planned for it.
#include "monitor/comparison/arms_report.h"

struct arm_walk {
    struct arms *arms;
    int arm;
};

static enum status take(void *context, const struct analysis *analysis, struct error *err)
{
    const struct arm_walk *walk = context;
    return arms_add(walk->arms, walk->arm, analysis, err);
}

enum status arms_report(struct archive *archive, const struct report_request *request, cJSON *document,
                        struct error *err)
{
    struct arms arms = {0};
    const char *const versions[ARMS] = {request->model_a, request->model_b};
    enum status status = STATUS_OK;
    for (int arm = 0; arm < ARMS && status == STATUS_OK; arm++) {
        const struct archive_filter filter = {.from = request->from,
                                              .to = request->to,
                                              .site = request->site,
                                              .model_version = versions[arm],
                                              .as_of = request->as_of,
                                              .errors = true};
        struct arm_walk walk = {&arms, arm};
        status = archive_walk(archive, &filter, take, &walk, err);
    }
    struct archive_plan plan;
    bool planned = false;
    if (status == STATUS_OK)
        status = archive_find_plan(archive, request->model_a, request->model_b, request->as_of, &plan,
                                   &planned, err);
    if (status == STATUS_OK) {
        struct arms_comparison comparison;
        arms_compare(&arms, planned ? &plan : NULL, &comparison);
        status = arms_comparison_write(&comparison, request->model_a, request->model_b,
                                       planned ? &plan : NULL, document, err);
        arms_comparison_release(&comparison);
    }
    arms_release(&arms);
    return status;
}
