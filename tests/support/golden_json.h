// golden_json.h: compares a JSON document of ours with the part of it that somebody else has computed:
// numbers to 1e-9, everything else exactly. What only ours has is passed over. Include after cmocka.h.
#ifndef SKINSIGHT_TESTS_SUPPORT_GOLDEN_JSON_H
#define SKINSIGHT_TESTS_SUPPORT_GOLDEN_JSON_H

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// Returns how many values were compared. path: where they stand, for the message.
static inline int golden_json_compare(const cJSON *expected, const cJSON *found, const char *path)
{
    char place[512];
    int compared = 0, index = 0;
    if (!found)
        fail_msg("%s is missing", path);
    if (cJSON_IsArray(expected) && cJSON_GetArraySize(expected) != cJSON_GetArraySize(found))
        fail_msg("%s has %d entries, not %d", path, cJSON_GetArraySize(found), cJSON_GetArraySize(expected));
    for (const cJSON *entry = expected->child; entry; entry = entry->next, index++) {
        bool named = cJSON_IsObject(expected);
        snprintf(place, sizeof place, named ? "%s.%s" : "%s[%s%d]", path, named ? entry->string : "", index);
        compared += golden_json_compare(entry,
                                        named ? cJSON_GetObjectItemCaseSensitive(found, entry->string)
                                              : cJSON_GetArrayItem(found, index),
                                        place);
    }
    if (cJSON_IsArray(expected) || cJSON_IsObject(expected))
        return compared;
    if (expected->type != found->type)
        fail_msg("%s has another type", path);
    if (cJSON_IsString(expected) && strcmp(expected->valuestring, found->valuestring) != 0)
        fail_msg("%s is \"%s\", not \"%s\"", path, found->valuestring, expected->valuestring);
    if (cJSON_IsNumber(expected) &&
        !(fabs(found->valuedouble - expected->valuedouble) <= 1e-9 * fmax(1, fabs(expected->valuedouble))))
        fail_msg("%s is %.17g, not %.17g", path, found->valuedouble, expected->valuedouble);
    return 1;
}

// path below the repository's root. Returns how many values were compared.
static inline int golden_json_check(const char *path, struct bytes ours)
{
    struct buffer text = repository_file(path);
    cJSON *expected = cJSON_ParseWithLength((const char *)text.data, text.size);
    cJSON *found = cJSON_ParseWithLength((const char *)ours.data, ours.size);
    assert_non_null(expected);
    assert_non_null(found);
    int compared = golden_json_compare(expected, found, path);
    cJSON_Delete(expected);
    cJSON_Delete(found);
    buffer_release(&text);
    return compared;
}

#endif
