// subgroups.c: melanomas and how many of them were referred, by property and value.
#include "monitor/labels/subgroups.h"

#include <math.h>
#include <string.h>

#include "common/statistics/interval.h"
#include "monitor/labels/estimates.h"

enum subgroup_property { BY_SKIN_TYPE, BY_AGE, BY_SITE, BY_DEVICE, PROPERTIES };
enum { SKIN_GROUPS = 3, UNKNOWN_SKIN = SKIN_GROUPS, AGES = 5 };

static const char *const property_names[PROPERTIES] = {"skin_type", "age", "site", "device"};
static const char *const skin_names[SKIN_GROUPS + 1] = {"1_2", "3_4", "5_6", "unknown"};
static const char *const age_names[AGES] = {"0_39", "40_59", "60_79", "80_", "unknown"};

struct subgroup_counts {
    int64_t n;
    struct share found; // melanomas, and those of them that were referred
};
struct property_counts {
    size_t values;
    struct subgroup_counts groups[LABELLED_VALUES];
};

static size_t value_of(enum subgroup_property property, const struct labelled *row)
{
    switch (property) {
    case BY_SKIN_TYPE:
        return row->fitzpatrick_type >= 1 && row->fitzpatrick_type <= 6
                   ? (size_t)(row->fitzpatrick_type - 1) / 2
                   : UNKNOWN_SKIN;
    case BY_AGE:
        return row->age_decade < 0 ? AGES - 1 : row->age_decade < 40 ? 0 : (size_t)(row->age_decade / 20 - 1);
    case BY_SITE:
        return row->site;
    case BY_DEVICE:
        return row->device;
    case PROPERTIES:
        break;
    }
    return 0;
}

static const char *name_of(enum subgroup_property property, size_t value, const struct labelled_list *list)
{
    return property == BY_SKIN_TYPE ? skin_names[value]
           : property == BY_AGE     ? age_names[value]
           : property == BY_SITE    ? list->sites.texts[value]
                                    : list->devices.texts[value];
}

static void count_property(enum subgroup_property property, const struct labelled *rows, size_t count,
                           const struct labelled_list *list, struct property_counts *counts)
{
    const size_t values[PROPERTIES] = {SKIN_GROUPS + 1, AGES, list->sites.count, list->devices.count};
    memset(counts, 0, sizeof *counts);
    counts->values = values[property];
    for (size_t i = 0; i < count; i++) {
        struct subgroup_counts *group = &counts->groups[value_of(property, &rows[i])];
        bool melanoma = rows[i].truth == LESION_MEL;
        group->n++;
        group->found.trials += melanoma;
        group->found.successes += melanoma && action_is_referral(rows[i].action);
    }
}

const char *subgroup_state(double low, double high)
{
    if (low > SUBGROUP_MARGIN || high < -SUBGROUP_MARGIN)
        return "fail";
    return low >= -SUBGROUP_MARGIN && high <= SUBGROUP_MARGIN ? "pass" : "insufficient";
}

// Of one group against everybody else, one of `tests`.
static const char *state_of(struct share group, struct share rest, size_t tests)
{
    if (group.trials < JUDGEMENT_LEAST_POSITIVES || rest.trials < JUDGEMENT_LEAST_POSITIVES)
        return "insufficient";
    struct interval interval = interval_newcombe(group, rest, 1 - (1 - ESTIMATE_LEVEL) / (double)tests);
    return subgroup_state(interval.low, interval.high);
}

static void add_property(enum subgroup_property property, const struct property_counts *counts,
                         const struct labelled_list *list, cJSON *subgroups)
{
    struct share all = {0, 0};
    size_t tests = 0;
    for (size_t i = 0; i < counts->values; i++) {
        all.successes += counts->groups[i].found.successes;
        all.trials += counts->groups[i].found.trials;
        tests += counts->groups[i].found.trials >= JUDGEMENT_LEAST_POSITIVES;
    }
    for (size_t i = 0; i < counts->values; i++) {
        const struct subgroup_counts *group = &counts->groups[i];
        if (group->n == 0)
            continue;
        struct share rest = {all.successes - group->found.successes, all.trials - group->found.trials};
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "by", property_names[property]);
        cJSON_AddStringToObject(item, "value", name_of(property, i, list));
        cJSON_AddNumberToObject(item, "n", (double)group->n);
        cJSON_AddNumberToObject(item, "melanomas", (double)group->found.trials);
        cJSON_AddItemToObject(
            item, "sensitivity",
            estimate_share(group->found, JUDGEMENT_LEAST_POSITIVES, "fewer than 10 melanomas"));
        cJSON_AddStringToObject(item, "state", state_of(group->found, rest, tests ? tests : 1));
        cJSON_AddItemToArray(subgroups, item);
    }
}

// That any of the intervals misses a model that treats all alike: once in twenty reports at most, so no run
// length stands beside it.
static enum status add_alarm(const struct property_counts *skin, const char *state, cJSON *document,
                             struct error *err)
{
    struct report_alarm alarm = {.name = "fairness",
                                 .value = NAN,
                                 .limit = SUBGROUP_MARGIN,
                                 .arl0_days = NAN,
                                 .delay_days = NAN,
                                 .since = -1};
    alarm.state = strcmp(state, "fail") == 0 ? "critical" : strcmp(state, "pass") == 0 ? "ok" : state;
    for (size_t i = 0; i < SKIN_GROUPS; i++)
        alarm.n += skin->groups[i].found.trials;
    return report_add_alarm(document, &alarm, err);
}

// [low, high], both null where a group has too few melanomas.
static cJSON *difference_json(struct share a, struct share b)
{
    const struct interval interval = interval_newcombe(a, b, 1 - (1 - ESTIMATE_LEVEL) / SKIN_GROUPS);
    const double ends[] = {interval.low, interval.high};
    bool known = a.trials >= JUDGEMENT_LEAST_POSITIVES && b.trials >= JUDGEMENT_LEAST_POSITIVES;
    cJSON *item = cJSON_CreateArray();
    for (int i = 0; i < 2; i++)
        cJSON_AddItemToArray(item, known ? cJSON_CreateNumber(ends[i]) : cJSON_CreateNull());
    return item;
}

// Each two groups of skin types; it fails with one of them, and passes with all.
static enum status add_fairness(const struct property_counts *skin, cJSON *document, struct error *err)
{
    cJSON *fairness = cJSON_AddObjectToObject(document, "fairness");
    cJSON *pairs = cJSON_CreateArray();
    size_t passed = 0, failed = 0;
    for (size_t a = 0; a < SKIN_GROUPS; a++)
        for (size_t b = a + 1; b < SKIN_GROUPS; b++) {
            struct share of_a = skin->groups[a].found, of_b = skin->groups[b].found;
            const char *state = state_of(of_a, of_b, SKIN_GROUPS);
            cJSON *item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "a", skin_names[a]);
            cJSON_AddStringToObject(item, "b", skin_names[b]);
            cJSON_AddNumberToObject(item, "melanomas_a", (double)of_a.trials);
            cJSON_AddNumberToObject(item, "melanomas_b", (double)of_b.trials);
            cJSON_AddItemToObject(item, "difference", difference_json(of_a, of_b));
            cJSON_AddStringToObject(item, "state", state);
            cJSON_AddItemToArray(pairs, item);
            passed += strcmp(state, "pass") == 0;
            failed += strcmp(state, "fail") == 0;
        }
    cJSON_AddStringToObject(fairness, "state",
                            failed                  ? "fail"
                            : passed == SKIN_GROUPS ? "pass"
                                                    : "insufficient");
    cJSON_AddNumberToObject(fairness, "margin", SUBGROUP_MARGIN);
    cJSON_AddItemToObject(fairness, "pairs", pairs);
    return add_alarm(skin, cJSON_GetObjectItem(fairness, "state")->valuestring, document, err);
}

enum status subgroups_write(const struct labelled *rows, size_t count, const struct labelled_list *list,
                            cJSON *document, struct error *err)
{
    cJSON *subgroups = cJSON_AddArrayToObject(document, "subgroups");
    struct property_counts counts, skin;
    for (int property = 0; property < PROPERTIES; property++) {
        count_property(property, rows, count, list, &counts);
        add_property(property, &counts, list, subgroups);
        if (property == BY_SKIN_TYPE)
            skin = counts;
    }
    return add_fairness(&skin, document, err);
}
