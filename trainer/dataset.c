// dataset.c: the steps of opening a data set in their order, and what others ask of it.
#include "trainer/dataset.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "trainer/dataset_private.h"

const char *const dataset_part_names[DATASET_PARTS] = {"train", "validation", "test"};

void dataset_tell(const struct dataset_options *options, const char *format, ...)
{
    char *sentence = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&sentence, format, arguments) < 0)
        abort(); // as memory.h
    va_end(arguments);
    if (options->complaints.complain)
        options->complaints.complain(options->complaints.context, sentence);
    free(sentence);
}

struct sample *dataset_add(struct dataset *dataset, const char *file)
{
    if ((dataset->count & (dataset->count - 1)) == 0) // 0, 1, 2, 4 ...: full
        dataset->samples = memory_realloc(dataset->samples, (dataset->count ? 2 * dataset->count : 1) *
                                                                sizeof *dataset->samples);
    struct sample *sample = &dataset->samples[dataset->count++];
    *sample = (struct sample){.file = memory_strdup(file),
                              .path = memory_format("%s/%s", dataset->folder, file),
                              .lesion = memory_strdup(""),
                              .patient = memory_strdup(""),
                              .image_id = memory_strdup(""),
                              .sex = memory_strdup(""),
                              .location = memory_strdup(""),
                              .skin_type = memory_strdup(""),
                              .age = NAN,
                              .ita = NAN,
                              .atypical = -1};
    return sample;
}

static void sample_release(struct sample *sample)
{
    free(sample->file);
    free(sample->path);
    free(sample->lesion);
    free(sample->patient);
    free(sample->image_id);
    free(sample->sex);
    free(sample->location);
    free(sample->skin_type);
}

// What can't be decoded goes; the others keep their order.
static void drop_unreadable(struct dataset *dataset)
{
    size_t kept = 0;
    for (size_t i = 0; i < dataset->count; i++) {
        if (dataset->samples[i].readable)
            dataset->samples[kept++] = dataset->samples[i];
        else
            sample_release(&dataset->samples[i]);
    }
    dataset->left_out = dataset->count - kept;
    dataset->count = kept;
}

static struct digest digest_samples(const struct dataset *dataset)
{
    struct digest_stream *stream = digest_stream_new();
    for (size_t i = 0; i < dataset->count; i++) {
        const struct sample *sample = &dataset->samples[i];
        const uint8_t what[2] = {(uint8_t)sample->label, (uint8_t)sample->part};
        digest_stream_add(stream, sample->sha256.value, DIGEST_SIZE);
        digest_stream_add(stream, what, sizeof what);
        digest_stream_add(stream, sample->lesion, strlen(sample->lesion) + 1);
    }
    return digest_stream_finish(stream);
}

enum status dataset_open(struct dataset **dataset, const struct dataset_options *options, struct error *err)
{
    struct dataset *opened = memory_alloc(sizeof *opened);
    enum status status = dataset_read(opened, options, err);
    if (status == STATUS_OK)
        status = dataset_look(opened, options, err);
    if (status == STATUS_OK) {
        drop_unreadable(opened);
        if (opened->count == 0)
            status = error_set(err, STATUS_REJECTED, "%s: none of its images can be decoded", options->data);
    }
    if (status == STATUS_OK && !opened->split_given)
        status = dataset_split(opened, options, err);
    if (status != STATUS_OK) {
        dataset_free(opened);
        return status;
    }
    dataset_judge(opened, options);
    opened->sha256 = digest_samples(opened);
    *dataset = opened;
    return STATUS_OK;
}

void dataset_free(struct dataset *dataset)
{
    if (!dataset)
        return;
    for (size_t i = 0; i < dataset->count; i++)
        sample_release(&dataset->samples[i]);
    free(dataset->samples);
    free(dataset->folder);
    free(dataset);
}

enum status dataset_picture(const struct dataset *dataset, size_t sample, struct image *image,
                            struct error *err)
{
    const char *path = dataset->samples[sample].path;
    struct buffer file;
    *image = (struct image){0};
    buffer_init(&file, DATASET_MOST_FILE_BYTES);
    enum status status = file_read(path, &file, err);
    if (status == STATUS_OK) {
        status = jpeg_decode(buffer_bytes(&file), DATASET_MOST_PIXELS, image, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&file);
    return status;
}

void dataset_count(const struct dataset *dataset, enum dataset_part part, size_t counts[LESION_CLASSES])
{
    memset(counts, 0, LESION_CLASSES * sizeof *counts);
    for (size_t i = 0; i < dataset->count; i++)
        if (dataset->samples[i].part == part)
            counts[dataset->samples[i].label]++;
}

size_t *dataset_part_samples(const struct dataset *dataset, enum dataset_part part, size_t *count)
{
    size_t *samples = memory_alloc((dataset->count + 1) * sizeof *samples);
    *count = 0;
    for (size_t i = 0; i < dataset->count; i++)
        if (dataset->samples[i].part == part)
            samples[(*count)++] = i;
    return samples;
}

// RFC 4180: in quotes where it has to be.
static void write_field(FILE *file, const char *text, char behind)
{
    if (strpbrk(text, ",\"\r\n")) {
        fputc('"', file);
        for (; *text; text++) {
            if (*text == '"')
                fputc('"', file);
            fputc(*text, file);
        }
        fputc('"', file);
    } else {
        fputs(text, file);
    }
    fputc(behind, file);
}

static bool write_split(FILE *file, const void *context)
{
    const struct dataset *dataset = context;
    fputs("file,label,lesion_id,patient_id,image_id,split\n", file);
    for (size_t i = 0; i < dataset->count; i++) {
        const struct sample *sample = &dataset->samples[i];
        write_field(file, sample->file, ',');
        write_field(file, lesion_codes[sample->label], ',');
        write_field(file, sample->lesion, ',');
        write_field(file, sample->patient, ',');
        write_field(file, sample->image_id, ',');
        write_field(file, dataset_part_names[sample->part], '\n');
    }
    return !ferror(file);
}

enum status dataset_write_split(const struct dataset *dataset, const char *path, struct error *err)
{
    return file_replace_private(path, write_split, dataset, err);
}

enum status dataset_parse_split(const char *text, double split[DATASET_PARTS], struct error *err)
{
    const char *at = text;
    double sum = 0;
    bool good = true;
    for (int i = 0; i < DATASET_PARTS && good; i++) {
        char *end;
        split[i] = strtod(at, &end);
        good = end != at && split[i] >= 0 && split[i] <= 1 && *end == (i + 1 < DATASET_PARTS ? ',' : '\0');
        sum += split[i];
        at = end + 1;
    }
    if (good && split[PART_TRAIN] > 0 && fabs(sum - 1) < 1e-6)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "'%s' is no split: three shares with the sum 1 are wanted, as 0.70,0.15,0.15", text);
}
