// weights.c: the mapping of a safetensors file and what is asked of its tensors. The checks of its header
// are in weights_header.c, writing in weights_save.c.
//
// Tensors lie in the mapping at any alignment: values are read through weight_to_float or memcpy.
#include "kernels/model/weights_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"

const struct dtype_info dtype_infos[DTYPE_COUNT] = {
    [DTYPE_F32] = {"F32", 4}, [DTYPE_F16] = {"F16", 2}, [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_I8] = {"I8", 1},   [DTYPE_I64] = {"I64", 8},
};

struct weights *weights_new(void)
{
    return memory_alloc(sizeof(struct weights));
}

void weights_close(struct weights *weights)
{
    if (!weights)
        return;
    for (size_t i = 0; i < weights->count; i++)
        free(weights->entries[i].owned);
    if (weights->map) {
        weights_unwatch(weights);
        munmap(weights->map, weights->map_size);
        close(weights->file);
    }
    free(weights->path);
    free(weights->entries);
    free(weights);
}

struct weight *weights_append(struct weights *weights)
{
    assert(weights->count < WEIGHTS_MAX_TENSORS);
    if (weights->count == weights->capacity) {
        weights->capacity = weights->capacity ? 2 * weights->capacity : 64;
        weights->entries = memory_realloc(weights->entries, weights->capacity * sizeof weights->entries[0]);
    }
    struct weight_entry *entry = &weights->entries[weights->count++];
    memset(entry, 0, sizeof *entry);
    return &entry->weight;
}

static enum status map_file(struct weights *weights, const char *path, struct error *err)
{
    enum status status = STATUS_FATAL;
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hold us up
    if (file < 0)
        return error_set(err, STATUS_FATAL, "can't be opened: %s", strerror(errno));
    if (fstat(file, &info) != 0) {
        error_set(err, STATUS_FATAL, "can't be read: %s", strerror(errno));
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        status = error_set(err, STATUS_REJECTED, "is not a regular file");
        goto done;
    }
    if (info.st_size < WEIGHTS_PREFIX_SIZE || (uint64_t)info.st_size > WEIGHTS_MAX_FILE_SIZE) {
        status = error_set(err, STATUS_REJECTED, "has %lld bytes, which no safetensors file of ours has",
                           (long long)info.st_size);
        goto done;
    }
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (map == MAP_FAILED) {
        error_set(err, STATUS_FATAL, "can't be mapped: %s", strerror(errno));
        goto done;
    }
    weights->map = map;
    weights->map_size = (size_t)info.st_size;
    weights->path = memory_format("%s", path);
    weights->file = file; // stays open for weights_check_unchanged
    weights->opened = info;
    weights_watch(weights);
    return STATUS_OK;
done:
    close(file);
    return status;
}

enum status weights_open(struct weights **result, const char *path, struct error *err)
{
    struct weights *weights = weights_new();
    enum status status = map_file(weights, path, err);
    if (status == STATUS_OK)
        status = weights_parse(weights, (struct bytes){weights->map, weights->map_size}, err);
    if (status != STATUS_OK) {
        error_prefix(err, "%s", path);
        weights_close(weights);
        weights = NULL;
    }
    *result = weights;
    return status;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

enum status weights_check_unchanged(const struct weights *weights, struct error *err)
{
    struct stat now;
    if (!weights->map)
        return STATUS_OK;
    if (fstat(weights->file, &now) != 0)
        return error_set(err, STATUS_FATAL, "%s can't be read: %s", weights->path, strerror(errno));
    if (now.st_size == weights->opened.st_size && same_time(&now.st_mtim, &weights->opened.st_mtim) &&
        same_time(&now.st_ctim, &weights->opened.st_ctim)) // the other time can be set back
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "%s: the file changed while it was read", weights->path);
}

// Gives the tensor a copy of the values, which it returns.
static void *set_values(struct weight *weight, int rank, const int64_t *shape, const float *values)
{
    assert(rank >= 0 && rank <= TENSOR_MAX_RANK);
    memset(weight->shape, 0, sizeof weight->shape);
    weight->dtype = DTYPE_F32;
    weight->rank = rank;
    weight->count = 1;
    for (int i = 0; i < rank; i++) {
        assert(shape[i] >= 0);
        weight->shape[i] = shape[i];
        weight->count *= (size_t)shape[i];
    }
    weight->size = weight->count * sizeof(float);
    float *copy = memory_alloc(weight->size);
    memcpy(copy, values, weight->size);
    weight->data = copy;
    return copy;
}

void weights_add(struct weights *weights, const char *name, int rank, const int64_t *shape,
                 const float *values)
{
    assert(strlen(name) < TENSOR_NAME_SIZE && !weights_find(weights, name));
    struct weight *weight = weights_append(weights);
    strcpy(weight->name, name);
    weights->entries[weights->count - 1].owned = set_values(weight, rank, shape, values);
}

static struct weight_entry *find_entry(struct weights *weights, const char *name)
{
    size_t i = 0;
    while (i < weights->count && strcmp(weights->entries[i].weight.name, name) != 0)
        i++;
    assert(i < weights->count);
    return &weights->entries[i];
}

void weights_replace(struct weights *weights, const char *name, int rank, const int64_t *shape,
                     const float *values)
{
    struct weight_entry *entry = find_entry(weights, name);
    void *old = entry->owned;
    entry->owned = set_values(&entry->weight, rank, shape, values);
    free(old);
}

static uint16_t bf16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value)
        return (uint16_t)(bits >> 16 | 0x40); // quiet: the bits that are dropped may be all that made it one
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void weights_round_to_bf16(struct weights *weights, const char *name)
{
    struct weight_entry *entry = find_entry(weights, name);
    struct weight *weight = &entry->weight;
    float *values = memory_alloc(weight->count * sizeof *values);
    uint16_t *rounded = memory_alloc(weight->count * sizeof *rounded);
    weight_to_float(weight, values);
    for (size_t i = 0; i < weight->count; i++)
        rounded[i] = bf16_from_float(values[i]);
    free(values);
    free(entry->owned);
    entry->owned = rounded;
    weight->data = rounded;
    weight->dtype = DTYPE_BF16;
    weight->size = weight->count * sizeof *rounded;
}

size_t weights_count(const struct weights *weights)
{
    return weights->count;
}

const struct weight *weights_at(const struct weights *weights, size_t index)
{
    assert(index < weights->count);
    return &weights->entries[index].weight;
}

const struct weight *weights_find(const struct weights *weights, const char *name)
{
    for (size_t i = 0; i < weights->count; i++)
        if (strcmp(weights->entries[i].weight.name, name) == 0)
            return &weights->entries[i].weight;
    return NULL;
}

const char *weights_dtype(const struct weights *weights)
{
    enum dtype common = DTYPE_COUNT;
    for (size_t i = 0; i < weights->count; i++) {
        enum dtype dtype = weights->entries[i].weight.dtype;
        if (dtype != DTYPE_F32 && dtype != DTYPE_F16 && dtype != DTYPE_BF16)
            continue;
        if (common != DTYPE_COUNT && common != dtype)
            return dtype_infos[DTYPE_F32].name;
        common = dtype;
    }
    return dtype_infos[common == DTYPE_COUNT ? DTYPE_F32 : common].name;
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float float_from_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31;
    uint32_t fraction = half & 0x3ff;
    if (exponent == 31) // infinity, NaN
        return float_from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent == 0) { // zero, subnormal: fraction * 2^-24, exact
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    return float_from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

void weight_to_float(const struct weight *weight, float *values)
{
    assert(weight->dtype == DTYPE_F32 || weight->dtype == DTYPE_F16 || weight->dtype == DTYPE_BF16);
    if (weight->dtype == DTYPE_F32) {
        memcpy(values, weight->data, weight->size);
        return;
    }
    const uint8_t *data = weight->data;
    for (size_t i = 0; i < weight->count; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        values[i] =
            weight->dtype == DTYPE_F16 ? float_from_half(bits) : float_from_bits((uint32_t)bits << 16);
    }
}

void weights_discard_pages(const struct weights *weights, const struct weight *weight)
{
    uintptr_t begin = (uintptr_t)weight->data;
    // A tensor of weights_add has no other copy: its pages stay.
    uintptr_t map = (uintptr_t)weights->map;
    if (!weights->map || weight->size == 0 || begin < map || begin >= map + weights->map_size)
        return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (begin + page - 1) / page * page; // only pages that are wholly this tensor's
    uintptr_t last = (begin + weight->size) / page * page;
    if (first < last)
        madvise((void *)first, last - first, MADV_DONTNEED); // advice: a refusal changes nothing
}
