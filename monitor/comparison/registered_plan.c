// registered_plan.c: the plan as JSON, and its id, which is of that JSON.
#include "monitor/comparison/registered_plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/digest.h"
#include "monitor/comparison/split_arms.h"
#include "monitor/labels/estimates.h"

// All that was planned. What its design does not have is null.
static cJSON *plan_json(const struct archive_plan *plan)
{
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "name", plan->name);
    cJSON_AddStringToObject(item, "a", plan->model_a);
    cJSON_AddStringToObject(item, "b", plan->model_b);
    cJSON_AddNumberToObject(item, "registered_at", (double)plan->registered_at);
    cJSON_AddStringToObject(item, "design", plan->paired ? "paired" : "ab");
    estimate_add_number(item, "share_b", plan->paired ? NAN : plan->share_b);
    cJSON_AddNumberToObject(item, "p0", plan->p0);
    cJSON_AddNumberToObject(item, "p1", plan->p1);
    estimate_add_number(item, "worse", plan->paired ? plan->worse : NAN);
    cJSON_AddNumberToObject(item, "margin", plan->margin);
    cJSON_AddNumberToObject(item, "alpha", plan->alpha);
    cJSON_AddNumberToObject(item, "power_wanted", plan->power_wanted);
    cJSON_AddNumberToObject(item, "power", plan->power);
    estimate_add_number(item, "looks", plan->paired ? NAN : (double)plan->looks);
    cJSON_AddNumberToObject(item, "n_a", (double)plan->n_a);
    estimate_add_number(item, "n_b", plan->paired ? NAN : (double)plan->n_b);
    return item;
}

static void set_id(struct archive_plan *plan)
{
    cJSON *item = plan_json(plan);
    char *text = cJSON_PrintUnformatted(item);
    const struct digest digest = digest_of(text, strlen(text));
    hex_encode(digest.value, (ARCHIVE_PLAN_ID_SIZE - 1) / 2, plan->id);
    cJSON_free(text);
    cJSON_Delete(item);
}

void registered_plan_make(const struct plan_subject *subject, const struct power_design *design,
                          const struct power_receipt *receipt, struct archive_plan *plan)
{
    *plan = (struct archive_plan){.registered_at = subject->registered_at,
                                  .paired = design->paired,
                                  .share_b = design->paired ? 0 : subject->share_b,
                                  .p0 = design->p0,
                                  .p1 = design->p1,
                                  .worse = design->paired ? design->worse : 0,
                                  .margin = design->margin,
                                  .alpha = design->alpha,
                                  .power_wanted = design->wanted,
                                  .power = receipt->power,
                                  .n_a = design->n_a,
                                  .n_b = design->paired ? 0 : design->n_b,
                                  .looks = design->paired ? 0 : SPLIT_LOOKS};
    snprintf(plan->name, sizeof plan->name, "%s", subject->name);
    snprintf(plan->model_a, sizeof plan->model_a, "%s", subject->model_a);
    snprintf(plan->model_b, sizeof plan->model_b, "%s", subject->model_b);
    set_id(plan);
}

void registered_plan_write(const struct archive_plan *plan, const struct plan_progress *progress,
                           cJSON *comparison)
{
    if (!plan) {
        cJSON_AddNullToObject(comparison, "plan");
        cJSON_AddStringToObject(comparison, "plan_missing", "not registered");
        return;
    }
    const struct power_design now = {.paired = plan->paired,
                                     .p0 = plan->p0,
                                     .p1 = plan->p1,
                                     .worse = plan->worse,
                                     .n_a = progress->seen_a,
                                     .n_b = progress->seen_b,
                                     .alpha = plan->alpha};
    cJSON *item = plan_json(plan);
    cJSON_AddStringToObject(item, "id", plan->id);
    cJSON_AddNumberToObject(item, "number", (double)plan->number);
    cJSON_AddItemToObject(item, "before_first_answer",
                          progress->began < 0 ? cJSON_CreateNull()
                                              : cJSON_CreateBool(plan->registered_at < progress->began));
    cJSON_AddNumberToObject(item, "seen_a", (double)progress->seen_a);
    cJSON_AddNumberToObject(item, "seen_b", (double)progress->seen_b);
    estimate_add_number(item, "power_with_seen", power_of_design(&now));
    cJSON_AddItemToObject(comparison, "plan", item);
}
