// policy.c: reads the policy file and applies it.
#include "worker/policy.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/json.h"

enum { POLICY_FILE_LIMIT = 64 * 1024 };

static const char built_in[] =
    "{\"schema\": \"skinsight.policy.v1\", \"version\": \"1.0.0\", "
    "\"urgent\": {\"MEL\": 0.30, \"SCC\": 0.50}, \"routine\": {\"malignant\": 0.20, \"AK\": 0.30}, "
    "\"abstain\": {\"confidence_below\": 0.50}, \"fda_clearance\": \"none\", "
    "\"disclaimer\": \"Decision support for physicians; not a diagnosis. "
    "The treating physician decides.\"}";

static enum status read_threshold(const cJSON *item, float *threshold, struct error *err)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 1))
        return error_set(err, STATUS_REJECTED, "policy: '%s' must be a probability from 0 to 1",
                         item->string);
    *threshold = (float)item->valuedouble;
    return STATUS_OK;
}

// An object of class code -> threshold; "malignant" goes to *sum where that is allowed.
static enum status read_thresholds(const cJSON *root, const char *name, float thresholds[LESION_CLASSES],
                                   float *sum, struct error *err)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        thresholds[i] = 2; // never reached
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, name);
    if (!cJSON_IsObject(object))
        return error_set(err, STATUS_REJECTED, "policy: '%s' must be an object of thresholds", name);
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        int lesion = lesion_from_code(item->string);
        float *place = lesion >= 0 ? &thresholds[lesion] : NULL;
        if (sum && strcmp(item->string, "malignant") == 0)
            place = sum;
        if (!place)
            return error_set(err, STATUS_REJECTED, "policy: '%s' in '%s' is not a class code", item->string,
                             name);
        enum status status = read_threshold(item, place, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status read_text(const cJSON *root, const char *name, char *text, size_t size, struct error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, name);
    if (!cJSON_IsString(item) || strlen(item->valuestring) >= size || !*item->valuestring)
        return error_set(err, STATUS_REJECTED, "policy: '%s' must be a text of 1 to %zu bytes", name,
                         size - 1);
    strcpy(text, item->valuestring);
    return STATUS_OK;
}

static enum status read_policy(struct policy *policy, const cJSON *root, struct error *err)
{
    char schema[32];
    enum status status = read_text(root, "schema", schema, sizeof schema, err);
    if (status == STATUS_OK && strcmp(schema, "skinsight.policy.v1") != 0)
        status = error_set(err, STATUS_REJECTED, "policy: schema '%s' is not skinsight.policy.v1", schema);
    if (status == STATUS_OK)
        status = read_text(root, "version", policy->version, sizeof policy->version, err);
    if (status == STATUS_OK)
        status = read_text(root, "fda_clearance", policy->fda_clearance, sizeof policy->fda_clearance, err);
    if (status == STATUS_OK)
        status = read_text(root, "disclaimer", policy->disclaimer, sizeof policy->disclaimer, err);
    policy->routine_malignant = 2;
    if (status == STATUS_OK)
        status = read_thresholds(root, "urgent", policy->urgent, NULL, err);
    if (status == STATUS_OK)
        status = read_thresholds(root, "routine", policy->routine, &policy->routine_malignant, err);
    const cJSON *abstain = cJSON_GetObjectItemCaseSensitive(root, "abstain");
    const cJSON *below = cJSON_GetObjectItemCaseSensitive(abstain, "confidence_below");
    if (status == STATUS_OK && !below)
        status = error_set(err, STATUS_REJECTED, "policy: 'abstain' must hold 'confidence_below'");
    if (status == STATUS_OK)
        status = read_threshold(below, &policy->abstain_below, err);
    return status;
}

enum status policy_parse(struct policy *policy, const char *json, size_t size, struct error *err)
{
    static const struct json_limits limits = {POLICY_FILE_LIMIT, 1000, 8};
    cJSON *root;
    memset(policy, 0, sizeof *policy);
    enum status status = json_parse((struct bytes){(const uint8_t *)json, size}, &limits, &root, err);
    const char *repeated = root ? json_repeated_name(root) : NULL;
    if (status != STATUS_OK)
        error_prefix(err, "policy");
    else if (repeated)
        status = error_set(err, STATUS_REJECTED, "policy: field '%s' stands there twice", repeated);
    else if (!cJSON_IsObject(root))
        status = error_set(err, STATUS_REJECTED, "policy: not a JSON object");
    else
        status = read_policy(policy, root, err);
    policy->sha256 = digest_of(json, size);
    cJSON_Delete(root);
    return status;
}

enum status policy_load(struct policy *policy, const char *path, struct error *err)
{
    if (!*path)
        return policy_parse(policy, built_in, sizeof built_in - 1, err);
    struct buffer text;
    buffer_init(&text, POLICY_FILE_LIMIT);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK)
        status = policy_parse(policy, (const char *)text.data, text.size, err);
    else
        error_prefix(err, "policy file");
    buffer_release(&text);
    return status;
}

void policy_probabilities(const float logits[LESION_CLASSES], float temperature,
                          float probabilities[LESION_CLASSES])
{
    double largest = logits[0], sum = 0, powers[LESION_CLASSES];
    for (int i = 1; i < LESION_CLASSES; i++)
        largest = fmax(largest, logits[i]);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += powers[i] = exp((logits[i] - largest) / temperature);
    for (int i = 0; i < LESION_CLASSES; i++)
        probabilities[i] = (float)(powers[i] / sum);
}

static void rank(const float probabilities[LESION_CLASSES], enum lesion_class order[LESION_CLASSES])
{
    for (int i = 0; i < LESION_CLASSES; i++) {
        int place = i;
        while (place > 0 && probabilities[i] > probabilities[order[place - 1]]) {
            order[place] = order[place - 1];
            place--;
        }
        order[place] = (enum lesion_class)i;
    }
}

void policy_decide(const struct policy *policy, const float probabilities[LESION_CLASSES],
                   struct decision *decision)
{
    rank(probabilities, decision->order);
    decision->primary = decision->order[0];
    decision->confidence = probabilities[decision->primary];
    decision->malignant = probabilities[LESION_MEL] + probabilities[LESION_BCC] + probabilities[LESION_SCC];
    decision->risk_score = (int)lround(100.0 * fmin(decision->malignant, 1.0));
    decision->low_confidence = decision->confidence < policy->abstain_below;
    bool urgent = false;
    bool routine = decision->malignant >= policy->routine_malignant || decision->low_confidence;
    for (int i = 0; i < LESION_CLASSES; i++) {
        urgent |= probabilities[i] >= policy->urgent[i];
        routine |= probabilities[i] >= policy->routine[i];
    }
    decision->action = urgent ? ACTION_URGENT_REFERRAL : routine ? ACTION_ROUTINE_REFERRAL : ACTION_MONITOR;
}
