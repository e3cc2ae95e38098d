// known_answers.c: writes and reads them.
#include "kernels/model/known_answers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"
#include "kernels/model/random_weights.h"

#define SCHEMA "skinsight.known_answers.v1"

enum { TEXT_LIMIT = 16 * 1024, VALUES_MOST = 256, DEPTH_MOST = 4 };

void known_answers_init(struct known_answers *known)
{
    *known = (struct known_answers){.count = KNOWN_ANSWERS_DEFAULT};
    for (int i = 0; i < known->count; i++)
        known->seeds[i] = (uint64_t)i + 1;
}

void known_answers_view(uint64_t seed, uint8_t *view, size_t size)
{
    for (size_t i = 0; i < size; i++)
        view[i] = (uint8_t)(random_weights_bits(seed, "known_answer", i) >> 56);
}

static enum status bad_field(const char *name, const char *rule, struct error *err)
{
    return error_set(err, STATUS_REJECTED, "'%s' must be %s", name, rule);
}

static enum status read_answer(const cJSON *json, uint64_t *seed, float logits[LESION_CLASSES],
                               struct error *err)
{
    int64_t number;
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, "logits");
    if (!json_whole_number(cJSON_GetObjectItemCaseSensitive(json, "seed"), 0, JSON_WHOLE_MOST, &number))
        return bad_field("seed", "a whole number from 0 to 2^53 - 1", err);
    *seed = (uint64_t)number;
    int count = 0;
    for (const cJSON *item = cJSON_IsArray(array) ? array->child : NULL; item; item = item->next, count++) {
        if (count == LESION_CLASSES || !cJSON_IsNumber(item) || !isfinite((float)item->valuedouble))
            return bad_field("logits", "an array of 8 finite numbers", err);
        logits[count] = (float)item->valuedouble;
    }
    return count == LESION_CLASSES ? STATUS_OK : bad_field("logits", "an array of 8 finite numbers", err);
}

static enum status read_answers(const cJSON *json, struct known_answers *known, struct error *err)
{
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(json, "schema");
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(json, "answers");
    if (!cJSON_IsString(schema) || strcmp(schema->valuestring, SCHEMA) != 0)
        return bad_field("schema", "\"" SCHEMA "\"", err);
    int count = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    if (count < 1 || count > KNOWN_ANSWERS_MOST)
        return bad_field("answers", "an array of 1 to 8 objects", err);
    for (const cJSON *item = array->child; item; item = item->next, known->count++) {
        enum status status = read_answer(item, &known->seeds[known->count], known->logits[known->count], err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status known_answers_parse(struct bytes text, struct known_answers *known, struct error *err)
{
    const struct json_limits limits = {TEXT_LIMIT, VALUES_MOST, DEPTH_MOST};
    cJSON *json = NULL;
    *known = (struct known_answers){0};
    enum status status = json_parse(text, &limits, &json, err);
    if (status == STATUS_OK)
        status = read_answers(json, known, err);
    cJSON_Delete(json);
    return status;
}

enum status known_answers_read(const char *path, const struct digest *sha256, struct known_answers *known,
                               struct error *err)
{
    struct buffer text;
    buffer_init(&text, TEXT_LIMIT);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        struct digest found = digest_of(text.data, text.size);
        status = digest_equal(&found, sha256)
                     ? known_answers_parse(buffer_bytes(&text), known, err)
                     : error_set(err, STATUS_REJECTED, "it is not the file the manifest names");
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&text);
    return status;
}

char *known_answers_text(const struct known_answers *known)
{
    struct json_writer writer;
    struct buffer text;
    struct error err;
    buffer_init(&text, TEXT_LIMIT);
    json_write_begin(&writer, &text, &err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "schema", SCHEMA);
    json_add_array(&writer, "answers");
    for (int i = 0; i < known->count; i++) {
        json_add_object(&writer, NULL);
        json_add_integer(&writer, "seed", (int64_t)known->seeds[i]);
        json_add_floats(&writer, "logits", known->logits[i], LESION_CLASSES);
        json_end_object(&writer);
    }
    json_end_array(&writer);
    json_end_object(&writer);
    if (json_write_end(&writer) != STATUS_OK || buffer_append(&text, "\n", 2, &err) != STATUS_OK)
        abort(); // no memory for a few hundred bytes
    return (char *)text.data;
}
