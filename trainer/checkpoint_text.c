// checkpoint_text.c: checkpoint.json, written and read.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/json_write.h"
#include "trainer/checkpoint_private.h"

static const char schema[] = "skinsight.checkpoint.v1";

// Exact, and also what is not finite.
static void add_exact(struct json_writer *json, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%a", value);
    json_add_text(json, name, text);
}

static void add_history(struct json_writer *json, const struct history *history)
{
    json_add_integer(json, "best", history->best);
    json_add_array(json, "history");
    for (int i = 0; i < history->epochs; i++) {
        const struct history_row *row = &history->rows[i];
        json_add_array(json, NULL);
        add_exact(json, NULL, row->train_loss);
        add_exact(json, NULL, row->validation_loss);
        add_exact(json, NULL, row->validation_balanced_accuracy);
        add_exact(json, NULL, row->rate);
        add_exact(json, NULL, row->images_per_s);
        json_end_array(json);
    }
    json_end_array(json);
}

enum status checkpoint_format(const struct checkpoint *checkpoint, struct buffer *text, struct error *err)
{
    struct json_writer json;
    json_write_begin(&json, text, err);
    json_add_object(&json, NULL);
    json_add_text(&json, "schema", schema);
    json_add_text(&json, "build", checkpoint->build);
    json_add_text(&json, "architecture", checkpoint->architecture);
    json_add_integer(&json, "image_size", checkpoint->image_size);
    json_add_digest(&json, "data_sha256", &checkpoint->data);
    json_add_text(&json, "recipe", checkpoint->recipe);
    json_add_integer(&json, "epoch", checkpoint->epoch);
    json_add_integer(&json, "batch", checkpoint->batch);
    json_add_integer(&json, "steps", checkpoint->steps);
    add_exact(&json, "loss_sum", checkpoint->loss_sum);
    add_exact(&json, "seconds", checkpoint->seconds);
    json_add_integer(&json, "waiting", checkpoint->waiting);
    json_add_integer(&json, "values", checkpoint->values);
    json_add_array(&json, "parts");
    for (int i = 0; i < CHECKPOINT_PARTS; i++) {
        if (!checkpoint->parts[i].file[0])
            continue;
        json_add_object(&json, NULL);
        json_add_text(&json, "part", checkpoint_part_names[i]);
        json_add_text(&json, "file", checkpoint->parts[i].file);
        json_add_digest(&json, "sha256", &checkpoint->parts[i].sha256);
        json_end_object(&json);
    }
    json_end_array(&json);
    add_history(&json, &checkpoint->history);
    json_end_object(&json);
    return json_write_end(&json);
}

static enum status refuse(struct error *err, const char *name)
{
    return error_set(err, STATUS_REJECTED, "'%s' is missing or of the wrong kind", name);
}

static bool read_text(const cJSON *json, const char *name, char *text, size_t size)
{
    return json_copy_text(cJSON_GetObjectItemCaseSensitive(json, name), text, size);
}

static bool read_exact(const cJSON *value, double *number)
{
    const char *text = cJSON_GetStringValue(value);
    char *end;
    if (!text || !*text)
        return false;
    *number = strtod(text, &end);
    return *end == '\0';
}

static bool read_digest(const cJSON *json, const char *name, struct digest *digest)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return text && digest_parse(text, digest);
}

static bool read_whole(const cJSON *json, const char *name, int64_t least, int64_t most, int64_t *value)
{
    return json_whole_number(cJSON_GetObjectItemCaseSensitive(json, name), least, most, value);
}

static enum status read_identity(const cJSON *json, struct checkpoint *checkpoint, struct error *err)
{
    int64_t image_size = 0;
    if (!read_text(json, "build", checkpoint->build, sizeof checkpoint->build))
        return refuse(err, "build");
    if (!read_text(json, "architecture", checkpoint->architecture, sizeof checkpoint->architecture))
        return refuse(err, "architecture");
    if (!read_whole(json, "image_size", 1, 4096, &image_size))
        return refuse(err, "image_size");
    if (!read_digest(json, "data_sha256", &checkpoint->data))
        return refuse(err, "data_sha256");
    if (!read_text(json, "recipe", checkpoint->recipe, sizeof checkpoint->recipe))
        return refuse(err, "recipe");
    checkpoint->image_size = (int)image_size;
    return STATUS_OK;
}

static enum status read_place(const cJSON *json, struct checkpoint *checkpoint, struct error *err)
{
    const int64_t most = (int64_t)1 << 53;
    int64_t epoch = 0, waiting = 0;
    if (!read_whole(json, "epoch", 0, HISTORY_MOST_EPOCHS, &epoch))
        return refuse(err, "epoch");
    if (!read_whole(json, "batch", 0, most, &checkpoint->batch))
        return refuse(err, "batch");
    if (!read_whole(json, "steps", 0, most, &checkpoint->steps))
        return refuse(err, "steps");
    if (!read_whole(json, "waiting", 0, HISTORY_MOST_EPOCHS, &waiting))
        return refuse(err, "waiting");
    if (!read_whole(json, "values", 1, (int64_t)1 << 40, &checkpoint->values))
        return refuse(err, "values");
    if (!read_exact(cJSON_GetObjectItemCaseSensitive(json, "loss_sum"), &checkpoint->loss_sum))
        return refuse(err, "loss_sum");
    if (!read_exact(cJSON_GetObjectItemCaseSensitive(json, "seconds"), &checkpoint->seconds))
        return refuse(err, "seconds");
    checkpoint->epoch = (int)epoch;
    checkpoint->waiting = (int)waiting;
    return STATUS_OK;
}

// A name of ours: it is opened in the folder, and never outside of it.
static bool is_plain_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

static enum status read_parts(const cJSON *json, struct checkpoint *checkpoint, struct error *err)
{
    const cJSON *parts = cJSON_GetObjectItemCaseSensitive(json, "parts"), *part;
    if (!cJSON_IsArray(parts))
        return refuse(err, "parts");
    cJSON_ArrayForEach(part, parts)
    {
        char name[CHECKPOINT_NAME_SIZE];
        int index = 0;
        if (!read_text(part, "part", name, sizeof name))
            return refuse(err, "part");
        while (index < CHECKPOINT_PARTS && strcmp(name, checkpoint_part_names[index]) != 0)
            index++;
        if (index == CHECKPOINT_PARTS)
            return refuse(err, "part");
        char *file = checkpoint->parts[index].file;
        if (!read_text(part, "file", file, CHECKPOINT_NAME_SIZE) || !is_plain_name(file))
            return refuse(err, "file");
        if (!read_digest(part, "sha256", &checkpoint->parts[index].sha256))
            return refuse(err, "sha256");
    }
    for (int i = 0; i <= CHECKPOINT_SECOND; i++)
        if (!checkpoint->parts[i].file[0])
            return refuse(err, checkpoint_part_names[i]);
    return STATUS_OK;
}

static enum status read_history(const cJSON *json, struct checkpoint *checkpoint, struct error *err)
{
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(json, "history"), *row;
    struct history *history = &checkpoint->history;
    int64_t best = -1;
    if (!cJSON_IsArray(rows))
        return refuse(err, "history");
    cJSON_ArrayForEach(row, rows)
    {
        struct history_row *to = &history->rows[history->epochs];
        double *const columns[] = {&to->train_loss, &to->validation_loss, &to->validation_balanced_accuracy,
                                   &to->rate, &to->images_per_s};
        int count = 0;
        const cJSON *value;
        if (history->epochs++ == checkpoint->epoch || !cJSON_IsArray(row))
            return refuse(err, "history");
        cJSON_ArrayForEach(value, row)
        {
            if (count == 5 || !read_exact(value, columns[count++]))
                return refuse(err, "history");
        }
        if (count != 5)
            return refuse(err, "history");
    }
    if (history->epochs != checkpoint->epoch)
        return refuse(err, "history");
    if (!read_whole(json, "best", -1, history->epochs - 1, &best))
        return refuse(err, "best");
    history->best = (int)best;
    return STATUS_OK;
}

enum status checkpoint_parse(struct bytes text, struct checkpoint *checkpoint, struct error *err)
{
    static const struct json_limits limits = {.bytes = CHECKPOINT_MOST_BYTES, .values = 1 << 17, .depth = 4};
    char stored[CHECKPOINT_NAME_SIZE];
    cJSON *json = NULL;
    memset(checkpoint, 0, sizeof *checkpoint);
    enum status status = json_parse(text, &limits, &json, err);
    if (status != STATUS_OK)
        return status;
    if (!read_text(json, "schema", stored, sizeof stored) || strcmp(stored, schema) != 0)
        status = error_set(err, STATUS_REJECTED, "'schema' is not %s", schema);
    if (status == STATUS_OK && json_repeated_name(json))
        status = error_set(err, STATUS_REJECTED, "'%s' stands in it twice", json_repeated_name(json));
    if (status == STATUS_OK)
        status = read_identity(json, checkpoint, err);
    if (status == STATUS_OK)
        status = read_place(json, checkpoint, err);
    if (status == STATUS_OK)
        status = read_parts(json, checkpoint, err);
    if (status == STATUS_OK)
        status = read_history(json, checkpoint, err);
    cJSON_Delete(json);
    return status;
}
