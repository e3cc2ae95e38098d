// weights_save.c: writes a set of tensors as a safetensors file (weights.h has the format).
#include "kernels/model/weights_private.h"

#include <stdint.h>
#include <stdio.h>

#include "common/base/file.h"
#include "common/base/json_write.h"

enum { HEADER_ALIGNMENT = 8 }; // the data begins at a multiple of it, as the format's own writer does

static void add_tensor(struct json_writer *writer, const struct weight *weight, size_t *offset)
{
    json_add_object(writer, weight->name);
    json_add_text(writer, "dtype", dtype_infos[weight->dtype].name);
    json_add_array(writer, "shape");
    for (int i = 0; i < weight->rank; i++)
        json_add_integer(writer, NULL, weight->shape[i]);
    json_end_array(writer);
    json_add_array(writer, "data_offsets");
    json_add_integer(writer, NULL, (int64_t)*offset);
    *offset += weight->size;
    json_add_integer(writer, NULL, (int64_t)*offset);
    json_end_array(writer);
    json_end_object(writer);
}

// Padded with spaces.
static enum status write_header(const struct weights *weights, struct buffer *header, struct error *err)
{
    struct json_writer writer;
    size_t offset = 0;
    json_write_begin(&writer, header, err);
    json_add_object(&writer, NULL);
    json_add_object(&writer, "__metadata__");
    json_add_text(&writer, "format", "pt"); // what other tools expect of float tensors
    json_end_object(&writer);
    for (size_t i = 0; i < weights->count; i++)
        add_tensor(&writer, &weights->entries[i].weight, &offset);
    json_end_object(&writer);
    enum status status = json_write_end(&writer);
    while (status == STATUS_OK && header->size % HEADER_ALIGNMENT != 0)
        status = buffer_append(header, " ", 1, err);
    return status;
}

struct writing {
    const struct weights *weights;
    struct buffer header;
};

static bool write_all(FILE *file, const void *context)
{
    const struct writing *writing = context;
    const struct weights *weights = writing->weights;
    uint8_t prefix[WEIGHTS_PREFIX_SIZE];
    size_t size = writing->header.size;
    for (int i = 0; i < WEIGHTS_PREFIX_SIZE; i++)
        prefix[i] = (uint8_t)((uint64_t)size >> 8 * i);
    bool good =
        fwrite(prefix, sizeof prefix, 1, file) == 1 && fwrite(writing->header.data, size, 1, file) == 1;
    for (size_t i = 0; i < weights->count && good; i++) {
        const struct weight *weight = &weights->entries[i].weight;
        good = weight->size == 0 || fwrite(weight->data, weight->size, 1, file) == 1;
    }
    return good;
}

enum status weights_save(const struct weights *weights, const char *path, struct error *err)
{
    struct writing writing = {.weights = weights};
    buffer_init(&writing.header, SIZE_MAX);
    enum status status = write_header(weights, &writing.header, err);
    if (status == STATUS_OK)
        status = file_replace(path, write_all, &writing, err);
    else
        error_prefix(err, "%s", path);
    buffer_release(&writing.header);
    return status;
}
