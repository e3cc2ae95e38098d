// weights_save.c: writes a set of tensors as a safetensors file (weights.h has the format).
#include "kernels/model/weights_private.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"

enum { HEADER_ALIGNMENT = 8 }; // the data begins at a multiple of it, as the format's own writer does

static void add_tensor(cJSON *header, const struct weight *weight, size_t *offset)
{
    cJSON *tensor = cJSON_AddObjectToObject(header, weight->name);
    cJSON_AddStringToObject(tensor, "dtype", dtype_infos[weight->dtype].name);
    cJSON *shape = cJSON_AddArrayToObject(tensor, "shape");
    for (int i = 0; i < weight->rank; i++)
        cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)weight->shape[i]));
    cJSON *offsets = cJSON_AddArrayToObject(tensor, "data_offsets");
    cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)*offset));
    *offset += weight->size;
    cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)*offset));
}

// The header's text, padded with spaces; the caller frees it. cJSON fails only without memory.
static char *make_header(const struct weights *weights)
{
    cJSON *header = cJSON_CreateObject();
    cJSON *metadata = cJSON_AddObjectToObject(header, "__metadata__");
    cJSON_AddStringToObject(metadata, "format", "pt"); // what other tools expect of float tensors
    size_t offset = 0;
    for (size_t i = 0; i < weights->count; i++)
        add_tensor(header, &weights->entries[i].weight, &offset);
    char *text = cJSON_PrintUnformatted(header);
    cJSON_Delete(header);
    if (!text)
        return NULL;
    size_t size = strlen(text);
    size_t padded = (size + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    char *result = memory_format("%-*s", (int)padded, text);
    cJSON_free(text);
    return result;
}

struct writing {
    const struct weights *weights;
    char *header;
};

static bool write_all(FILE *file, const void *context)
{
    const struct writing *writing = context;
    const struct weights *weights = writing->weights;
    uint8_t prefix[WEIGHTS_PREFIX_SIZE];
    size_t header_size = strlen(writing->header);
    for (int i = 0; i < WEIGHTS_PREFIX_SIZE; i++)
        prefix[i] = (uint8_t)((uint64_t)header_size >> 8 * i);
    bool good =
        fwrite(prefix, sizeof prefix, 1, file) == 1 && fwrite(writing->header, header_size, 1, file) == 1;
    for (size_t i = 0; i < weights->count && good; i++) {
        const struct weight *weight = &weights->entries[i].weight;
        good = weight->size == 0 || fwrite(weight->data, weight->size, 1, file) == 1;
    }
    return good;
}

enum status weights_save(const struct weights *weights, const char *path, struct error *err)
{
    struct writing writing = {weights, make_header(weights)};
    enum status status = writing.header
                             ? file_replace(path, write_all, &writing, err)
                             : error_set(err, STATUS_FATAL, "%s can't be written: no memory", path);
    free(writing.header);
    return status;
}
