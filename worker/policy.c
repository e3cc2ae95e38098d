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

_Static_assert((int)ABSTAIN_REASON_COUNT <= REASONS_MOST && (int)REVIEW_REASON_COUNT <= REASONS_MOST,
               "a record has room for all reasons");
const char *const abstain_reason_names[ABSTAIN_REASON_COUNT] = {"low_confidence", "out_of_distribution",
                                                                "image_quality"};
const char *const review_reason_names[REVIEW_REASON_COUNT] = {"low_confidence", "abstained"};

static const char built_in[] =
    "{\"schema\": \"skinsight.policy.v2\", \"version\": \"2.0.0\", "
    "\"urgent\": {\"MEL\": 0.30, \"SCC\": 0.50}, \"routine\": {\"malignant\": 0.20, \"AK\": 0.30}, "
    "\"abstain\": {\"confidence_below\": 0.50, \"ood_quantile_above\": 0.99}, "
    "\"review\": {\"within_h\": 48, \"confidence_below\": 0.60, \"abstained\": true}, "
    "\"fda_clearance\": \"none\", "
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
    if (!json_copy_text(item, text, size) || !*text)
        return error_set(err, STATUS_REJECTED, "policy: '%s' must be a text of 1 to %zu bytes", name,
                         size - 1);
    return STATUS_OK;
}

// A number of an object of version 2: from 0 to the most that it can be.
struct limit {
    const char *name;
    double most;
    float *value;
};

static enum status read_limit(const cJSON *item, const char *object, const struct limit *limits, int count,
                              struct error *err)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(item->string, limits[i].name) != 0)
            continue;
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= limits[i].most))
            return error_set(err, STATUS_REJECTED, "policy: '%s' in '%s' must be a number from 0 to %g",
                             item->string, object, limits[i].most);
        *limits[i].value = (float)item->valuedouble;
        return STATUS_OK;
    }
    return error_set(err, STATUS_REJECTED, "policy: '%s' in '%s' is not known", item->string, object);
}

static enum status read_brightness(const cJSON *range, struct policy *policy, struct error *err)
{
    const cJSON *low = cJSON_GetArrayItem(range, 0), *high = cJSON_GetArrayItem(range, 1);
    if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2 || !cJSON_IsNumber(low) ||
        !cJSON_IsNumber(high) ||
        !(low->valuedouble >= 0 && low->valuedouble <= high->valuedouble && high->valuedouble <= 1))
        return error_set(err, STATUS_REJECTED,
                         "policy: 'brightness' must be two numbers from 0 to 1, the lower one first");
    policy->abstain.brightness_low = (float)low->valuedouble;
    policy->abstain.brightness_high = (float)high->valuedouble;
    return STATUS_OK;
}

// Sharpness is 16 at most and contrast 1/2, as luma lies between 0 and 1.
static enum status read_abstention(const cJSON *abstain, struct policy *policy, struct error *err)
{
    const struct limit limits[] = {{"confidence_below", 1, &policy->abstain.confidence_below},
                                   {"ood_quantile_above", 1, &policy->abstain.ood_quantile_above},
                                   {"sharpness_below", 16, &policy->abstain.sharpness_below},
                                   {"contrast_below", 0.5, &policy->abstain.contrast_below}};
    if (!cJSON_IsObject(abstain))
        return error_set(err, STATUS_REJECTED, "policy: 'abstain' must be an object");
    enum status status = STATUS_OK;
    const cJSON *item;
    cJSON_ArrayForEach(item, abstain)
    {
        status = strcmp(item->string, "brightness") == 0
                     ? read_brightness(item, policy, err)
                     : read_limit(item, "abstain", limits, sizeof limits / sizeof *limits, err);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

static enum status read_abstention_v1(const cJSON *abstain, struct policy *policy, struct error *err)
{
    const cJSON *below = cJSON_GetObjectItemCaseSensitive(abstain, "confidence_below");
    if (!below)
        return error_set(err, STATUS_REJECTED, "policy: 'abstain' must hold 'confidence_below'");
    return read_threshold(below, &policy->abstain.confidence_below, err);
}

static enum status read_review(const cJSON *review, struct policy *policy, struct error *err)
{
    const struct limit confidence = {"confidence_below", 1, &policy->review.confidence_below};
    int64_t within_h = 0;
    enum status status = STATUS_OK;
    if (!review)
        return STATUS_OK;
    if (!cJSON_IsObject(review) || !json_whole_number(cJSON_GetObjectItemCaseSensitive(review, "within_h"), 1,
                                                      REVIEW_HOURS_MOST, &within_h))
        return error_set(err, STATUS_REJECTED,
                         "policy: 'review' must hold 'within_h', a whole number of hours from 1 to %d",
                         REVIEW_HOURS_MOST);
    policy->review.within_h = (int)within_h;
    const cJSON *item;
    cJSON_ArrayForEach(item, review)
    {
        if (strcmp(item->string, "within_h") == 0)
            continue;
        if (strcmp(item->string, "abstained") == 0 && cJSON_IsBool(item))
            policy->review.abstained = cJSON_IsTrue(item);
        else if (strcmp(item->string, "abstained") == 0)
            status = error_set(err, STATUS_REJECTED, "policy: 'abstained' must be true or false");
        else
            status = read_limit(item, "review", &confidence, 1, err);
        if (status != STATUS_OK)
            return status;
    }
    if (!policy->review.abstained && policy->review.confidence_below == 0)
        return error_set(err, STATUS_REJECTED,
                         "policy: 'review' must hold 'confidence_below' above 0 or 'abstained' as true");
    return STATUS_OK;
}

// Before anything is read: what is absent never takes effect.
static void clear_limits(struct policy *policy)
{
    memset(policy, 0, sizeof *policy);
    policy->routine_malignant = 2;
    policy->abstain.ood_quantile_above = policy->abstain.brightness_high = 1;
}

static enum status read_texts(const cJSON *root, struct policy *policy, struct error *err)
{
    enum status status = read_text(root, "version", policy->version, sizeof policy->version, err);
    if (status == STATUS_OK)
        status = read_text(root, "fda_clearance", policy->fda_clearance, sizeof policy->fda_clearance, err);
    if (status == STATUS_OK)
        status = read_text(root, "disclaimer", policy->disclaimer, sizeof policy->disclaimer, err);
    return status;
}

static bool is_known(const char *name)
{
    static const char *const known[] = {"schema",  "version", "urgent",        "routine",
                                        "abstain", "review",  "fda_clearance", "disclaimer"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

// A rule whose name is misspelt would protect nobody.
static enum status check_names(const cJSON *root, struct error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, root)
    {
        if (!is_known(item->string))
            return error_set(err, STATUS_REJECTED, "policy: '%s' is not known", item->string);
    }
    return STATUS_OK;
}

// Nor would one that version 1 does not apply. Other names it has always ignored.
static enum status check_names_v1(const cJSON *root, const cJSON *abstain, struct error *err)
{
    static const char *const later[] = {"ood_quantile_above", "sharpness_below", "contrast_below",
                                        "brightness"};
    const char *found = cJSON_GetObjectItemCaseSensitive(root, "review") ? "review" : NULL;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (cJSON_GetObjectItemCaseSensitive(abstain, later[i]))
            found = later[i];
    return found ? error_set(err, STATUS_REJECTED, "policy: '%s' needs skinsight.policy.v2", found)
                 : STATUS_OK;
}

static enum status read_policy(struct policy *policy, const cJSON *root, struct error *err)
{
    char schema[32];
    const cJSON *abstain = cJSON_GetObjectItemCaseSensitive(root, "abstain");
    enum status status = read_text(root, "schema", schema, sizeof schema, err);
    bool v1 = status == STATUS_OK && strcmp(schema, "skinsight.policy.v1") == 0;
    if (status == STATUS_OK && !v1 && strcmp(schema, "skinsight.policy.v2") != 0)
        status =
            error_set(err, STATUS_REJECTED, "policy: schema '%s' is not skinsight.policy.v1 or v2", schema);
    if (status == STATUS_OK)
        status = v1 ? check_names_v1(root, abstain, err) : check_names(root, err);
    if (status == STATUS_OK)
        status = read_texts(root, policy, err);
    if (status == STATUS_OK)
        status = read_thresholds(root, "urgent", policy->urgent, NULL, err);
    if (status == STATUS_OK)
        status = read_thresholds(root, "routine", policy->routine, &policy->routine_malignant, err);
    if (status == STATUS_OK)
        status = v1 ? read_abstention_v1(abstain, policy, err) : read_abstention(abstain, policy, err);
    if (status == STATUS_OK && !v1)
        status = read_review(cJSON_GetObjectItemCaseSensitive(root, "review"), policy, err);
    return status;
}

enum status policy_parse(struct policy *policy, const char *json, size_t size, struct error *err)
{
    static const struct json_limits limits = {POLICY_FILE_LIMIT, 1000, 8};
    cJSON *root;
    clear_limits(policy);
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

bool policy_needs_reference(const struct policy *policy)
{
    return policy->abstain.ood_quantile_above < 1;
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

static void judge_abstention(const struct policy *policy, const struct evidence *evidence,
                             struct decision *decision)
{
    const struct features *features = evidence->features;
    decision->abstains[ABSTAIN_LOW_CONFIDENCE] = decision->confidence < policy->abstain.confidence_below;
    decision->abstains[ABSTAIN_OUT_OF_DISTRIBUTION] =
        evidence->ood_quantile > policy->abstain.ood_quantile_above; // not so for NaN
    decision->abstains[ABSTAIN_IMAGE_QUALITY] = features->sharpness < policy->abstain.sharpness_below ||
                                                features->contrast < policy->abstain.contrast_below ||
                                                features->brightness < policy->abstain.brightness_low ||
                                                features->brightness > policy->abstain.brightness_high;
    decision->abstained = false;
    for (int i = 0; i < ABSTAIN_REASON_COUNT; i++)
        decision->abstained |= decision->abstains[i];
}

static void judge_review(const struct policy *policy, struct decision *decision)
{
    decision->review[REVIEW_LOW_CONFIDENCE] = decision->confidence < policy->review.confidence_below;
    decision->review[REVIEW_ABSTAINED] = decision->abstained && policy->review.abstained;
    bool asked = decision->review[REVIEW_LOW_CONFIDENCE] || decision->review[REVIEW_ABSTAINED];
    decision->review_within_h = asked ? policy->review.within_h : 0;
}

void policy_decide(const struct policy *policy, const struct evidence *evidence, struct decision *decision)
{
    const float *probabilities = evidence->probabilities;
    rank(probabilities, decision->order);
    decision->primary = decision->order[0];
    decision->confidence = probabilities[decision->primary];
    decision->malignant = probabilities[LESION_MEL] + probabilities[LESION_BCC] + probabilities[LESION_SCC];
    decision->risk_score = (int)lround(100.0 * fmin(decision->malignant, 1.0));
    judge_abstention(policy, evidence, decision);
    judge_review(policy, decision);
    bool urgent = false;
    bool routine = decision->malignant >= policy->routine_malignant || decision->abstained;
    for (int i = 0; i < LESION_CLASSES; i++) {
        urgent |= probabilities[i] >= policy->urgent[i];
        routine |= probabilities[i] >= policy->routine[i];
    }
    decision->action = urgent ? ACTION_URGENT_REFERRAL : routine ? ACTION_ROUTINE_REFERRAL : ACTION_MONITOR;
}
