// preprocess_command.c: the network's input of one file as raw little-endian float32: channel, row, column. A
// model's manifest says how large, and how it is made.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/picture/image.h"
#include "kernels/image/preprocess.h"
#include "kernels/model/model.h"
#include "worker/commands/commands.h"

const struct option preprocess_flags[] = {
    {"output", OPTION_TEXT, .initial = "", .max = 1023, .value = "FILE", .help = "where the floats go"},
    {.name = NULL},
};

// Without a model: what import writes where no other size was asked for.
static const struct preprocessing preprocessing_v1 = {.version = "v1",
                                                      .resize = 256,
                                                      .crop = 224,
                                                      .mean = {0.485f, 0.456f, 0.406f},
                                                      .std = {0.229f, 0.224f, 0.225f}};

static enum status write_floats(const char *path, const float *values, size_t count, struct error *err)
{
    FILE *file = file_open_private(path);
    bool written = file && fwrite(values, sizeof *values, count, file) == count;
    bool closed = file && fclose(file) == 0;
    if (written && closed)
        return STATUS_OK;
    return error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
}

static enum status read_settings(const char *model, struct preprocessing *settings, struct error *err)
{
    struct manifest manifest = {.preprocessing = preprocessing_v1};
    enum status status = *model ? manifest_read(model, &manifest, err) : STATUS_OK;
    *settings = manifest.preprocessing;
    manifest_release(&manifest);
    return status;
}

static enum status preprocess(const struct config *config, const struct preprocessing *settings,
                              struct buffer *bytes, struct error *err)
{
    const char *path = config_argument(config, 0);
    size_t pixels = (size_t)(settings->crop * settings->crop);
    uint8_t *view = memory_alloc(3 * pixels);
    float *values = memory_alloc(3 * pixels * sizeof *values);
    float table[3 * 256];
    struct image image = {0};
    enum status status = file_read(path, bytes, err);
    if (status == STATUS_OK) {
        status = jpeg_decode(buffer_bytes(bytes), config_integer(config, "max_image_pixels"), &image, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    if (status == STATUS_OK)
        status = preprocess_view(&image, settings, view, err);
    if (status == STATUS_OK) {
        preprocess_table(settings->mean, settings->std, table);
        preprocess_normalise(view, settings->crop, table, values);
        status = write_floats(config_text(config, "output"), values, 3 * pixels, err);
    }
    image_release(&image);
    free(view);
    free(values);
    return status;
}

enum status preprocess_command(struct config *config, struct error *err)
{
    struct buffer bytes;
    struct preprocessing settings;
    buffer_init(&bytes, (size_t)config_integer(config, "max_image_bytes"));
    enum status status = read_settings(config_text(config, "model"), &settings, err);
    if (status == STATUS_OK)
        status = preprocess(config, &settings, &bytes, err);
    buffer_release(&bytes);
    return status;
}
