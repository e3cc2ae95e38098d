// body.c: finds the text of the image in the stream of bytes. The scanner knows only as much JSON as it needs
// for that: texts, nesting, and which text of the outermost object is a name. Whether the whole is JSON is
// for json_parse to say, which gets every byte but the image's, and two quotes in their place.
#include "producer/gateway/body.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"

// Fields are short, metadata has a few; the rest is for what clients add of their own.
enum { REST_LIMIT = 64 << 10, VALUES_MOST = 1024, DEPTH_MOST = 16 };

static const char field_image[] = "image";

void body_init(struct body *body, size_t max_image_bytes)
{
    *body = (struct body){0};
    buffer_init(&body->rest, REST_LIMIT);
    buffer_init(&body->image, max_image_bytes);
}

int64_t body_bytes_most(int64_t max_image_bytes)
{
    int64_t capacity = 1024; // the first of buffer_append
    while (capacity < max_image_bytes)
        capacity *= 2;
    return capacity + REST_LIMIT;
}

void body_release(struct body *body)
{
    buffer_wipe(&body->rest);
    buffer_wipe(&body->image);
    explicit_bzero(body->chunk, sizeof body->chunk);
}

static enum problem refuse(struct body *body, enum problem problem, struct error *err, const char *sentence)
{
    (void)error_set(err, STATUS_REJECTED, "%s", sentence);
    return body->problem = problem;
}

static enum problem too_large(struct body *body, struct error *err)
{
    (void)error_set(err, STATUS_REJECTED, "the image has more than %zu bytes", body->image.limit);
    return body->problem = PROBLEM_IMAGE_TOO_LARGE;
}

// Decodes the chunk, whose size is a multiple of four but at the end of the text.
static enum problem decode_chunk(struct body *body, struct error *err)
{
    uint8_t bytes[BODY_CHUNK];
    size_t size = 0;
    if (!base64_decode(body->chunk, body->chunk_size, bytes, &size)) {
        body->bad_text = true;
        return PROBLEM_NONE;
    }
    body->padded = body->chunk_size > 0 && body->chunk[body->chunk_size - 1] == '=';
    body->chunk_size = 0;
    if (buffer_append(&body->image, bytes, size, err) == STATUS_OK)
        return PROBLEM_NONE;
    if (body->image.overflowed)
        return too_large(body, err);
    return refuse(body, PROBLEM_OVERLOADED, err, "there is no memory for the image");
}

static enum problem add_character(struct body *body, char character, struct error *err)
{
    body->bad_text |= body->padded;
    if (body->bad_text)
        return PROBLEM_NONE;
    body->chunk[body->chunk_size++] = character;
    return body->chunk_size < BODY_CHUNK ? PROBLEM_NONE : decode_chunk(body, err);
}

// Of "\uXXXX": writers escape what they like, '+' for one.
static enum problem add_unit_digit(struct body *body, uint8_t byte, struct error *err)
{
    struct body_scan *scan = &body->scan;
    const char text[] = {(char)byte, '\0'};
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *digit = byte ? strpbrk(digits, text) : NULL;
    body->bad_json |= !digit;
    scan->unit = scan->unit << 4 | (digit ? (unsigned)(digit - digits) & 15 : 0);
    if (--scan->unit_digits > 0)
        return PROBLEM_NONE;
    body->bad_text |= scan->unit > 0x7f;
    return add_character(body, (char)(scan->unit & 0x7f), err);
}

static enum problem add_escape(struct body *body, uint8_t byte, struct error *err)
{
    body->scan.escaped = false;
    if (byte == '/')
        return add_character(body, '/', err);
    if (byte == 'u') {
        body->scan.unit_digits = 4;
        body->scan.unit = 0;
        return PROBLEM_NONE;
    }
    body->bad_text = true;
    body->bad_json |= byte == '\0' || !strchr("\"\\bfnrt", byte);
    return PROBLEM_NONE;
}

static enum problem end_image(struct body *body, struct error *err)
{
    body->scan.in_image = body->scan.in_text = false;
    if (body->bad_text)
        return PROBLEM_NONE;
    return decode_chunk(body, err);
}

// One byte of the image's text.
static enum problem add_to_image(struct body *body, uint8_t byte, struct error *err)
{
    struct body_scan *scan = &body->scan;
    if (scan->unit_digits > 0 && byte != '"')
        return add_unit_digit(body, byte, err);
    body->bad_json |= scan->unit_digits > 0 || byte < 0x20 || byte >= 0x80;
    scan->unit_digits = 0;
    if (scan->escaped)
        return add_escape(body, byte, err);
    if (byte == '"')
        return end_image(body, err);
    scan->escaped = byte == '\\';
    return scan->escaped ? PROBLEM_NONE : add_character(body, (char)byte, err);
}

static void begin_text(struct body *body)
{
    struct body_scan *scan = &body->scan;
    bool outermost = scan->object && scan->depth == 1;
    scan->in_text = true;
    scan->name_size = 0;
    scan->in_image = outermost && scan->names_image && !scan->expects_name;
    scan->names_image = false;
    if (!scan->in_image)
        return;
    body->images++;
    body->chunk_size = 0;
}

static void go_through_text(struct body_scan *scan, uint8_t byte)
{
    if (scan->escaped) {
        scan->escaped = false;
    } else if (byte == '\\') {
        scan->escaped = true;
    } else if (byte == '"') {
        scan->in_text = false;
        scan->names_image = scan->expects_name && scan->depth == 1 &&
                            scan->name_size == sizeof field_image - 1 &&
                            memcmp(scan->name, field_image, scan->name_size) == 0;
        scan->expects_name = false;
        return;
    }
    if (scan->name_size < sizeof scan->name)
        scan->name[scan->name_size++] = (char)byte;
}

static void go_between_texts(struct body *body, uint8_t byte)
{
    struct body_scan *scan = &body->scan;
    switch (byte) {
    case '"':
        begin_text(body);
        break;
    case '{':
    case '[':
        scan->object |= scan->depth == 0 && byte == '{';
        scan->expects_name = scan->depth++ == 0 && scan->object;
        scan->names_image = false;
        break;
    case '}':
    case ']':
        scan->depth--;
        break;
    case ',':
        scan->expects_name = scan->depth == 1;
        scan->names_image = false;
        break;
    default:
        break;
    }
}

static enum problem add_to_rest(struct body *body, uint8_t byte, struct error *err)
{
    if (buffer_append(&body->rest, &byte, 1, err) == STATUS_OK)
        return PROBLEM_NONE;
    if (body->rest.overflowed)
        return refuse(body, PROBLEM_BODY_TOO_LARGE, err,
                      "the fields besides the image have more than 65536 bytes");
    return refuse(body, PROBLEM_OVERLOADED, err, "there is no memory for the body");
}

enum problem body_add(struct body *body, struct bytes bytes, struct error *err)
{
    for (size_t i = 0; i < bytes.size && body->problem == PROBLEM_NONE; i++) {
        uint8_t byte = bytes.data[i];
        bool in_image = body->scan.in_image;
        if (in_image)
            (void)add_to_image(body, byte, err);
        else if (body->scan.in_text)
            go_through_text(&body->scan, byte);
        else
            go_between_texts(body, byte);
        if (in_image && body->scan.in_image)
            continue; // both of its quotes are for json_parse
        if (body->problem == PROBLEM_NONE)
            (void)add_to_rest(body, byte, err);
    }
    return body->problem;
}

static bool read_patient_ref(const cJSON *field, char *target)
{
    const char *text = cJSON_GetStringValue(field);
    if (!text || !*text || strlen(text) >= BODY_PATIENT_REF_SIZE)
        return false;
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    strcpy(target, text);
    return true;
}

static enum problem read_field(struct body *body, const cJSON *field, struct analysis *analysis,
                               struct error *err)
{
    const char *text = cJSON_GetStringValue(field);
    if (strcmp(field->string, "request_id") == 0) {
        if (text)
            job_request_id_read((struct bytes){(const uint8_t *)text, strlen(text)}, analysis->request_id);
        if (!analysis->request_id[0])
            return refuse(body, PROBLEM_INVALID_FIELD, err, "field 'request_id' must be a UUID (RFC 4122)");
    } else if (strcmp(field->string, "model_version") == 0) {
        if (!text || !job_name_valid(text))
            return refuse(body, PROBLEM_INVALID_FIELD, err,
                          "field 'model_version' must be 1 to 64 characters of A-Z a-z 0-9 _ . -");
        strcpy(analysis->model_version, text);
    } else if (strcmp(field->string, "patient_ref") == 0) {
        if (!read_patient_ref(field, analysis->patient_ref))
            return refuse(body, PROBLEM_INVALID_FIELD, err,
                          "field 'patient_ref' must be 1 to 64 bytes without control characters");
    } else if (strcmp(field->string, "metadata") == 0) {
        if (job_metadata_read(field, &analysis->metadata, err) != STATUS_OK)
            return body->problem = PROBLEM_INVALID_FIELD;
    }
    return PROBLEM_NONE;
}

static enum problem check_image(struct body *body, const cJSON *field, struct error *err)
{
    if (!field)
        return refuse(body, PROBLEM_INVALID_FIELD, err, "field 'image' is needed");
    if (!cJSON_IsString(field))
        return refuse(body, PROBLEM_INVALID_FIELD, err, "field 'image' must be a base64 string");
    if (body->images == 0) // json_parse has found the name, the scanner has not
        return refuse(body, PROBLEM_INVALID_FIELD, err, "the name 'image' must stand there without escapes");
    if (body->bad_text)
        return refuse(body, PROBLEM_INVALID_FIELD, err,
                      "field 'image' must be base64 without line breaks (RFC 4648)");
    if (body->image.size == 0)
        return refuse(body, PROBLEM_IMAGE_UNDECODABLE, err, "the image has 0 bytes");
    return PROBLEM_NONE;
}

static enum problem read_fields(struct body *body, const cJSON *json, struct analysis *analysis,
                                struct error *err)
{
    if (!cJSON_IsObject(json))
        return refuse(body, PROBLEM_INVALID_JSON, err, "the body is no JSON object");
    if (json_repeated_name(json))
        return refuse(body, PROBLEM_INVALID_FIELD, err, "a field stands there twice");
    enum problem problem = PROBLEM_NONE;
    for (const cJSON *field = json->child; field && problem == PROBLEM_NONE; field = field->next)
        problem = read_field(body, field, analysis, err);
    if (problem != PROBLEM_NONE)
        return problem;
    return check_image(body, cJSON_GetObjectItemCaseSensitive(json, field_image), err);
}

enum problem body_finish(struct body *body, struct analysis *analysis, struct error *err)
{
    static const struct json_limits limits = {REST_LIMIT, VALUES_MOST, DEPTH_MOST};
    cJSON *json;
    *analysis = (struct analysis){0};
    job_metadata_init(&analysis->metadata);
    if (body->problem != PROBLEM_NONE)
        return body->problem;
    if (body->bad_json)
        return refuse(body, PROBLEM_INVALID_JSON, err, "the text of the image is no JSON string");
    enum status status = json_parse(buffer_bytes(&body->rest), &limits, &json, err);
    if (status != STATUS_OK)
        return body->problem = status == STATUS_FATAL ? PROBLEM_OVERLOADED : PROBLEM_INVALID_JSON;
    enum problem problem = read_fields(body, json, analysis, err);
    cJSON_Delete(
        json); // its texts are in freed memory for a while: the process keeps that to itself (privacy.h)
    return problem;
}
