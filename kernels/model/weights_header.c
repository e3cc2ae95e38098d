// weights_header.c: reads the JSON header of a safetensors file and checks every word of it before a tensor
// is believed: sizes against caps, offsets against shape and file, and the tensors against each other (they
// must cover the data from the first byte to the last, without overlap or gap).
#include "kernels/model/weights_private.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/memory.h"

enum { VALUES_PER_TENSOR = 16 }; // JSON values: the object, its members, dimensions and offsets

static bool json_size(const cJSON *json, uint64_t *value)
{
    int64_t number;
    if (!json_whole_number(json, 0, JSON_WHOLE_MOST, &number))
        return false;
    *value = (uint64_t)number;
    return true;
}

// The member of that name, NULL when it is absent. A tensor's object may hold exactly three members, so a
// repeated one leaves another missing.
static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static enum status read_dtype(const cJSON *json, struct weight *weight, struct error *err)
{
    if (!cJSON_IsString(json))
        return error_set(err, STATUS_REJECTED, "tensor '%s' has no dtype", weight->name);
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(json->valuestring, dtype_infos[i].name) == 0) {
            weight->dtype = (enum dtype)i;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_REJECTED,
                     "tensor '%s' has dtype '%.16s'; F32, F16, BF16, I8 and I64 are known", weight->name,
                     json->valuestring);
}

static enum status read_shape(const cJSON *json, struct weight *weight, struct error *err)
{
    if (!cJSON_IsArray(json))
        return error_set(err, STATUS_REJECTED, "tensor '%s' has no shape", weight->name);
    uint64_t count = 1;
    for (const cJSON *item = json->child; item; item = item->next) {
        uint64_t length;
        if (weight->rank == TENSOR_MAX_RANK)
            return error_set(err, STATUS_REJECTED, "tensor '%s' has more than %d dimensions", weight->name,
                             TENSOR_MAX_RANK);
        if (!json_size(item, &length))
            return error_set(err, STATUS_REJECTED, "tensor '%s' has a dimension that is no whole number",
                             weight->name);
        weight->shape[weight->rank++] = (int64_t)length;
        if (__builtin_mul_overflow(count, length, &count) || count > WEIGHTS_MAX_FILE_SIZE)
            return error_set(err, STATUS_REJECTED, "tensor '%s' has a shape with too many values",
                             weight->name);
    }
    weight->count = (size_t)count;
    weight->size = weight->count * dtype_infos[weight->dtype].size; // both factors are capped
    return STATUS_OK;
}

static enum status read_offsets(const cJSON *json, struct bytes data, struct weight *weight,
                                struct error *err)
{
    uint64_t begin, end;
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 2 || !json_size(json->child, &begin) ||
        !json_size(json->child->next, &end))
        return error_set(err, STATUS_REJECTED, "tensor '%s' has no pair of data_offsets", weight->name);
    if (begin > end || end > data.size)
        return error_set(err, STATUS_REJECTED,
                         "tensor '%s' lies at bytes %llu to %llu of the data, which has %zu", weight->name,
                         (unsigned long long)begin, (unsigned long long)end, data.size);
    if (end - begin != weight->size)
        return error_set(err, STATUS_REJECTED, "tensor '%s' has %llu bytes, its shape needs %zu",
                         weight->name, (unsigned long long)(end - begin), weight->size);
    weight->data = data.data + begin;
    return STATUS_OK;
}

static enum status read_tensor(const cJSON *json, struct bytes data, struct weight *weight, struct error *err)
{
    size_t length = strlen(json->string);
    if (length == 0 || length >= TENSOR_NAME_SIZE)
        return error_set(err, STATUS_REJECTED, "a tensor's name has %zu bytes, 1 to %d are allowed", length,
                         TENSOR_NAME_SIZE - 1);
    memcpy(weight->name, json->string, length + 1);
    if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) != 3)
        return error_set(err, STATUS_REJECTED,
                         "tensor '%s' is not an object of dtype, shape and data_offsets", weight->name);
    enum status status = read_dtype(member(json, "dtype"), weight, err);
    if (status == STATUS_OK)
        status = read_shape(member(json, "shape"), weight, err);
    if (status == STATUS_OK)
        status = read_offsets(member(json, "data_offsets"), data, weight, err);
    return status;
}

static enum status check_metadata(const cJSON *json, struct error *err)
{
    bool good = cJSON_IsObject(json);
    for (const cJSON *item = good ? json->child : NULL; item; item = item->next)
        good = good && cJSON_IsString(item);
    return good ? STATUS_OK : error_set(err, STATUS_REJECTED, "'__metadata__' is not an object of texts");
}

static int compare_data(const void *a, const void *b)
{
    const struct weight_entry *left = a, *right = b;
    if (left->weight.data != right->weight.data)
        return left->weight.data < right->weight.data ? -1 : 1;
    return (left->weight.size > right->weight.size) - (left->weight.size < right->weight.size);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status check_names_differ(const struct weights *weights, struct error *err)
{
    enum status status = STATUS_OK;
    const char **names = memory_alloc(weights->count * sizeof names[0]);
    for (size_t i = 0; i < weights->count; i++)
        names[i] = weights->entries[i].weight.name;
    qsort(names, weights->count, sizeof names[0], compare_names);
    for (size_t i = 1; i < weights->count && status == STATUS_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = error_set(err, STATUS_REJECTED, "tensor '%s' stands twice", names[i]);
    free(names);
    return status;
}

// Sorts the tensors by their place on the way.
static enum status check_cover(struct weights *weights, struct bytes data, struct error *err)
{
    qsort(weights->entries, weights->count, sizeof weights->entries[0], compare_data);
    const uint8_t *end = data.data;
    for (size_t i = 0; i < weights->count; i++) {
        const struct weight *weight = &weights->entries[i].weight;
        const uint8_t *begin = weight->data;
        if (begin < end)
            return error_set(err, STATUS_REJECTED, "tensor '%s' overlaps another", weight->name);
        if (begin > end)
            return error_set(err, STATUS_REJECTED, "%zu bytes before tensor '%s' belong to none",
                             (size_t)(begin - end), weight->name);
        end = begin + weight->size;
    }
    size_t left = (size_t)(data.data + data.size - end);
    if (left > 0)
        return error_set(err, STATUS_REJECTED, "%zu bytes after the last tensor belong to none", left);
    return STATUS_OK;
}

static enum status read_tensors(struct weights *weights, const cJSON *header, struct bytes data,
                                struct error *err)
{
    if (!cJSON_IsObject(header))
        return error_set(err, STATUS_REJECTED, "the header is not a JSON object");
    for (const cJSON *json = header->child; json; json = json->next) {
        enum status status;
        if (strcmp(json->string, "__metadata__") == 0)
            status = check_metadata(json, err);
        else if (weights->count == WEIGHTS_MAX_TENSORS)
            status = error_set(err, STATUS_REJECTED, "more than %d tensors", WEIGHTS_MAX_TENSORS);
        else
            status = read_tensor(json, data, weights_append(weights), err);
        if (status != STATUS_OK)
            return status;
    }
    if (weights->count == 0)
        return error_set(err, STATUS_REJECTED, "there is no tensor in it");
    enum status status = check_names_differ(weights, err);
    return status == STATUS_OK ? check_cover(weights, data, err) : status;
}

enum status weights_parse(struct weights *weights, struct bytes file, struct error *err)
{
    if (file.size < WEIGHTS_PREFIX_SIZE)
        return error_set(err, STATUS_REJECTED, "too short for a safetensors file");
    uint64_t header_size = 0;
    for (int i = 0; i < WEIGHTS_PREFIX_SIZE; i++)
        header_size |= (uint64_t)file.data[i] << 8 * i;
    if (header_size > WEIGHTS_MAX_HEADER_SIZE)
        return error_set(err, STATUS_REJECTED, "the header claims %llu bytes, %d are allowed",
                         (unsigned long long)header_size, WEIGHTS_MAX_HEADER_SIZE);
    if (header_size > file.size - WEIGHTS_PREFIX_SIZE)
        return error_set(err, STATUS_REJECTED, "the header claims %llu bytes, the file has %zu",
                         (unsigned long long)header_size, file.size);
    const struct json_limits limits = {WEIGHTS_MAX_HEADER_SIZE, WEIGHTS_MAX_TENSORS * VALUES_PER_TENSOR, 3};
    cJSON *header = NULL;
    enum status status = json_parse((struct bytes){file.data + WEIGHTS_PREFIX_SIZE, (size_t)header_size},
                                    &limits, &header, err);
    if (status != STATUS_OK) {
        error_prefix(err, "the header");
        return status;
    }
    size_t data_begin = WEIGHTS_PREFIX_SIZE + (size_t)header_size;
    struct bytes data = {file.data + data_begin, file.size - data_begin};
    status = read_tensors(weights, header, data, err);
    cJSON_Delete(header);
    return status;
}
