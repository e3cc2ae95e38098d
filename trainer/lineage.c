// lineage.c: copies records of trainings and looks through the data that they name.
#include "trainer/lineage.h"

#include <cjson/cJSON.h>
#include <string.h>

static const char learnt_from[] = "learnt_from", own_data[] = "data_sha256";

void origin_take(struct origin *origin, const struct manifest *manifest)
{
    digest_text(&manifest->weights_sha256, origin->weights_sha256);
    origin->record = manifest->training ? cJSON_Duplicate(manifest->training, true) : cJSON_CreateObject();
    cJSON_DeleteItemFromObjectCaseSensitive(origin->record, "init");
    cJSON_DeleteItemFromObjectCaseSensitive(origin->record, "teacher");
    if (manifest->trained && !cJSON_GetObjectItemCaseSensitive(origin->record, own_data))
        cJSON_AddStringToObject(origin->record, own_data, "unknown"); // an import's
    cJSON_AddStringToObject(origin->record, "weights_sha256", origin->weights_sha256);
    cJSON_AddStringToObject(origin->record, "model_version", manifest->model_version);
}

void origin_release(struct origin *origin)
{
    cJSON_Delete(origin->record);
    *origin = (struct origin){0};
}

// To the list, unless it is there.
static void add_data(cJSON *list, const cJSON *digest)
{
    const cJSON *item;
    if (!cJSON_IsString(digest))
        return;
    cJSON_ArrayForEach(item, list) if (strcmp(item->valuestring, digest->valuestring) == 0) return;
    cJSON_AddItemToArray(list, cJSON_CreateString(digest->valuestring));
}

void lineage_add(cJSON *training, const char *name, const struct origin *origin)
{
    const cJSON *item;
    if (!origin->record)
        return;
    cJSON *copy = cJSON_Duplicate(origin->record, true),
          *list = cJSON_GetObjectItemCaseSensitive(training, learnt_from);
    if (!list)
        list = cJSON_AddArrayToObject(training, learnt_from);
    cJSON *before = cJSON_DetachItemFromObjectCaseSensitive(copy, learnt_from);
    add_data(list, cJSON_GetObjectItemCaseSensitive(copy, own_data));
    cJSON_ArrayForEach(item, before) add_data(list, item);
    cJSON_Delete(before);
    cJSON_AddItemToObject(training, name, copy);
}

bool lineage_has_others(const struct manifest *manifest, const struct digest *data)
{
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(manifest->training, own_data);
    return (manifest->trained && !own) || lineage_names_others(manifest->training, data);
}

bool lineage_names_others(const cJSON *training, const struct digest *data)
{
    char wanted[DIGEST_TEXT_SIZE];
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(training, own_data), *item;
    digest_text(data, wanted);
    bool others = cJSON_IsString(own) && strcmp(own->valuestring, wanted) != 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(training, learnt_from))
    {
        others = others || (cJSON_IsString(item) && strcmp(item->valuestring, wanted) != 0);
    }
    return others;
}
