// json_same.h: whether two cJSON trees are the same to the last bit, links between items included.
#ifndef SKINSIGHT_TESTS_SUPPORT_JSON_SAME_H
#define SKINSIGHT_TESTS_SUPPORT_JSON_SAME_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <string.h>

static inline bool json_same_text(const char *a, const char *b)
{
    return !a == !b && (!a || strcmp(a, b) == 0);
}

static inline bool json_same(const cJSON *a, const cJSON *b)
{
    if (a->type != b->type || a->valueint != b->valueint || !json_same_text(a->string, b->string) ||
        !json_same_text(a->valuestring, b->valuestring) ||
        memcmp(&a->valuedouble, &b->valuedouble, sizeof a->valuedouble) != 0)
        return false;
    const cJSON *one = a->child, *other = b->child, *last = NULL;
    for (; one && other; last = one, one = one->next, other = other->next)
        if ((last && one->prev != last) || !json_same(one, other))
            return false;
    return !one && !other && (!last || a->child->prev == last);
}

#endif
