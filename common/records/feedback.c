// feedback.c: the table of a feedback record's fields, and the two that walk it.
#include "common/records/feedback.h"

#include <stddef.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/text.h"

const char *const feedback_label_names[FEEDBACK_LABELS] = {
    "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "OTHER", "UNGRADABLE",
};

const char *const certainty_names[CERTAINTY_COUNT] = {
    "histopathology", "confocal", "consensus", "follow_up", "clinician",
};

enum kind { UUID, HEX, NAME, LABEL, CERTAINTY, TIME, TRUTH };

static const char *const kind_rules[] = {
    [UUID] = "a UUID (RFC 4122)",
    [HEX] = "64 lower-case hexadecimal digits",
    [NAME] = "1 to 64 characters without control characters",
    [LABEL] = "one of the eight codes, OTHER or UNGRADABLE",
    [CERTAINTY] = "histopathology, confocal, consensus, follow_up or clinician",
    [TIME] = "Unix milliseconds, a whole number below 2^53",
    [TRUTH] = "true or false",
};

struct field {
    const char *name;
    enum kind kind;
    size_t at; // in struct feedback
    bool needed;
};

#define AT(member) .at = offsetof(struct feedback, member)

// Behind "schema".
static const struct field fields[] = {
    {"feedback_id", UUID, AT(feedback_id), .needed = true},
    {"request_id", UUID, AT(request_id)},
    {"image_sha256", HEX, AT(image_sha256)},
    {"label", LABEL, AT(label), .needed = true},
    {"certainty", CERTAINTY, AT(certainty), .needed = true},
    {"reviewed_by", NAME, AT(reviewed_by)},
    {"reviewed_at", TIME, AT(reviewed_at), .needed = true},
    {"lesion_id", NAME, AT(lesion_id)},
    {"subject", HEX, AT(subject)},
    {"atypical", TRUTH, AT(atypical)},
    {"supersedes", UUID, AT(supersedes)},
};

enum { FIELDS = sizeof fields / sizeof *fields };

static bool is_hex(const char *text)
{
    return strlen(text) == DIGEST_TEXT_SIZE - 1 && strspn(text, "0123456789abcdef") == DIGEST_TEXT_SIZE - 1;
}

static bool is_name(const char *text)
{
    size_t characters = 0;
    const uint8_t *at = (const uint8_t *)text;
    for (size_t left = strlen(text); left > 0; characters++) {
        size_t length = text_utf8_length(at, left);
        bool control = *at < 0x20 || *at == 0x7f || (length == 2 && at[0] == 0xc2 && at[1] < 0xa0);
        if (length == 0 || control)
            return false;
        at += length;
        left -= length;
    }
    return characters >= 1 && characters <= FEEDBACK_NAME_MOST;
}

static int find_name(const char *text, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

static bool read_text(enum kind kind, const char *text, char *target)
{
    switch (kind) {
    case UUID:
        job_request_id_read((struct bytes){(const uint8_t *)text, strlen(text)}, target);
        return target[0] != '\0';
    case HEX:
        if (!is_hex(text))
            return false;
        memcpy(target, text, DIGEST_TEXT_SIZE);
        return true;
    default:
        if (!is_name(text))
            return false;
        strcpy(target, text); // is_name bounds the length
        return true;
    }
}

static bool read_value(const cJSON *json, enum kind kind, void *target)
{
    const char *text = cJSON_GetStringValue(json);
    switch (kind) {
    case UUID:
    case HEX:
    case NAME:
        return text && read_text(kind, text, target);
    case LABEL:
        *(int *)target = text ? find_name(text, feedback_label_names, FEEDBACK_LABELS) : -1;
        return *(int *)target >= 0;
    case CERTAINTY:
        *(int *)target = text ? find_name(text, certainty_names, CERTAINTY_COUNT) : -1;
        return *(int *)target >= 0;
    case TIME:
        return json_whole_number(json, 0, JSON_WHOLE_MOST, target);
    case TRUTH:
        *(int *)target = cJSON_IsTrue(json);
        return cJSON_IsBool(json);
    }
    return false;
}

// What no field alone can say.
static enum status check_together(const struct feedback *feedback, struct error *err)
{
    if (!feedback->request_id[0] && !feedback->image_sha256[0])
        return error_set(err, STATUS_REJECTED, "one of the fields 'request_id' and 'image_sha256' is needed");
    if (strcmp(feedback->feedback_id, feedback->supersedes) == 0)
        return error_set(err, STATUS_REJECTED, "field 'supersedes' names the record itself");
    return STATUS_OK;
}

bool feedback_has_field(const char *name)
{
    for (int i = 0; i < FIELDS; i++)
        if (strcmp(fields[i].name, name) == 0)
            return true;
    return strcmp(name, "schema") == 0;
}

// A name that the sender chose may say something of a patient: it is in no sentence.
static enum status check_names(const cJSON *json, struct error *err)
{
    const char *twice = json_repeated_name(json);
    if (!twice)
        return STATUS_OK;
    if (feedback_has_field(twice))
        return error_set(err, STATUS_REJECTED, "field '%s' stands there twice", twice);
    return error_set(err, STATUS_REJECTED, "a field that is none of the record's stands there twice");
}

void feedback_init(struct feedback *feedback)
{
    *feedback = (struct feedback){.label = -1, .certainty = -1, .reviewed_at = -1, .atypical = -1};
}

enum status feedback_read(const cJSON *json, int64_t received_at, struct feedback *feedback,
                          struct error *err)
{
    feedback_init(feedback);
    if (!cJSON_IsObject(json))
        return error_set(err, STATUS_REJECTED, "a feedback record must be a JSON object");
    enum status status = check_names(json, err);
    if (status != STATUS_OK)
        return status;
    const char *schema = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "schema"));
    if (!schema || strcmp(schema, FEEDBACK_SCHEMA) != 0)
        return error_set(err, STATUS_REJECTED, "field 'schema' must be \"" FEEDBACK_SCHEMA "\"");
    for (int i = 0; i < FIELDS; i++) {
        const struct field *field = &fields[i];
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, field->name);
        if (!item && field->needed)
            return error_set(err, STATUS_REJECTED, "field '%s' is missing", field->name);
        if (item && !read_value(item, field->kind, (char *)feedback + field->at))
            return error_set(err, STATUS_REJECTED, "field '%s' must be %s", field->name,
                             kind_rules[field->kind]);
    }
    if (feedback->reviewed_at - FEEDBACK_CLOCK_TOLERANCE_MS > received_at)
        return error_set(err, STATUS_REJECTED, "field 'reviewed_at' lies in the future");
    return check_together(feedback, err);
}

enum status feedback_parse(struct bytes value, int64_t received_at, struct feedback *feedback,
                           struct error *err)
{
    static const struct json_limits limits = {.bytes = 64 << 10, .values = 256, .depth = 16};
    cJSON *json;
    feedback_init(feedback);
    enum status status = json_parse(value, &limits, &json, err);
    if (status != STATUS_OK)
        return status;
    status = feedback_read(json, received_at, feedback, err);
    cJSON_Delete(json);
    return status;
}

static bool is_given(const struct field *field, const struct feedback *feedback)
{
    const void *at = (const char *)feedback + field->at;
    switch (field->kind) {
    case UUID:
    case HEX:
    case NAME:
        return *(const char *)at != '\0';
    case TIME:
        return *(const int64_t *)at != -1;
    default:
        return *(const int *)at != -1;
    }
}

static bool is_valid(const struct field *field, const struct feedback *feedback)
{
    const void *at = (const char *)feedback + field->at;
    switch (field->kind) {
    case UUID:
        return job_request_id_valid(at) && strpbrk(at, "ABCDEF") == NULL;
    case HEX:
        return is_hex(at);
    case NAME:
        return is_name(at);
    case LABEL:
        return *(const int *)at >= 0 && *(const int *)at < FEEDBACK_LABELS;
    case CERTAINTY:
        return *(const int *)at >= 0 && *(const int *)at < CERTAINTY_COUNT;
    case TIME:
        return *(const int64_t *)at >= 0 && *(const int64_t *)at <= JSON_WHOLE_MOST;
    case TRUTH:
        return *(const int *)at == 0 || *(const int *)at == 1;
    }
    return false;
}

static enum status check(const struct feedback *feedback, struct error *err)
{
    for (int i = 0; i < FIELDS; i++) {
        bool given = is_given(&fields[i], feedback);
        if (given ? !is_valid(&fields[i], feedback) : fields[i].needed)
            return error_set(err, STATUS_REJECTED, "field '%s' must be %s", fields[i].name,
                             kind_rules[fields[i].kind]);
    }
    return check_together(feedback, err);
}

static void add_field(struct json_writer *writer, const struct field *field, const struct feedback *feedback)
{
    const void *at = (const char *)feedback + field->at;
    switch (field->kind) {
    case UUID:
    case HEX:
    case NAME:
        json_add_text(writer, field->name, at);
        break;
    case LABEL:
        json_add_text(writer, field->name, feedback_label_names[*(const int *)at]);
        break;
    case CERTAINTY:
        json_add_text(writer, field->name, certainty_names[*(const int *)at]);
        break;
    case TIME:
        json_add_integer(writer, field->name, *(const int64_t *)at);
        break;
    case TRUTH:
        json_add_bool(writer, field->name, *(const int *)at);
        break;
    }
}

enum status feedback_write(const struct feedback *feedback, struct buffer *out, struct error *err)
{
    struct json_writer writer;
    enum status status = check(feedback, err);
    if (status != STATUS_OK)
        return status;
    json_write_begin(&writer, out, err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "schema", FEEDBACK_SCHEMA);
    for (int i = 0; i < FIELDS; i++)
        if (is_given(&fields[i], feedback))
            add_field(&writer, &fields[i], feedback);
    json_end_object(&writer);
    return json_write_end(&writer);
}

const char *feedback_key(const struct feedback *feedback)
{
    return feedback->request_id[0] ? feedback->request_id : feedback->image_sha256;
}
