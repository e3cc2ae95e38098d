// rows.c: a record's row, column by column, into the database and out of it.
#include <endian.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "monitor/archive/archive_internal.h"

const char prediction_columns[] =
    "log, part, place, digest, at, request, image, site, subject, capture_device, lesion_location, "
    "dermatoscope, fitzpatrick, age_decade, model, precision, device, error, class, action, abstained, "
    "image_bytes, cache_hit, replayed, moments, numbers";

const char feedback_columns[] =
    "log, part, place, digest, at, feedback_id, content, request, image, label, certainty, reviewed_at, "
    "lesion_id, atypical, supersedes";

// Where the floats lie in struct analysis, in the order of numbers.
static const struct {
    size_t at;
    int count;
} number_at[] = {
    {offsetof(struct analysis, probabilities), LESION_CLASSES},
    {offsetof(struct analysis, confidence), 1},
    {offsetof(struct analysis, entropy_nats), 1},
    {offsetof(struct analysis, features), sizeof(struct features) / sizeof(float)},
    {offsetof(struct analysis, ood), sizeof(struct ood_values) / sizeof(float)},
};

_Static_assert(LESION_CLASSES + 2 + (sizeof(struct features) + sizeof(struct ood_values)) / sizeof(float) ==
                   ANALYSIS_NUMBERS,
               "every float has its place");

static struct sql_value nothing_or(const void *data, size_t size, bool is_there)
{
    return sql_of_blob(data, is_there ? size : 0);
}

static struct sql_value uuid_value(const char *text, uint8_t bytes[UUID_SIZE])
{
    char digits[2 * UUID_SIZE + 1];
    size_t count = 0;
    for (; *text && count < sizeof digits - 1; text++)
        if (*text != '-')
            digits[count++] = *text;
    digits[count] = '\0';
    return nothing_or(bytes, UUID_SIZE, hex_decode(digits, bytes, UUID_SIZE));
}

void uuid_text(struct bytes uuid, char text[JOB_REQUEST_ID_SIZE])
{
    static const uint8_t dashes[] = {8, 12, 16, 20}; // in front of these digits
    char digits[2 * UUID_SIZE + 1];
    size_t dash = 0;
    text[0] = '\0';
    if (uuid.size != UUID_SIZE)
        return;
    hex_encode(uuid.data, uuid.size, digits);
    for (size_t i = 0; i <= 2 * UUID_SIZE; i++) {
        if (dash < sizeof dashes && i == dashes[dash]) {
            *text++ = '-';
            dash++;
        }
        *text++ = digits[i];
    }
}

static struct sql_value digest_value(const char *text, uint8_t bytes[DIGEST_SIZE])
{
    return nothing_or(bytes, DIGEST_SIZE, *text && hex_decode(text, bytes, DIGEST_SIZE));
}

static struct sql_value integer_or_null(int64_t value)
{
    return value < 0 ? sql_null() : sql_of_integer(value);
}

static struct sql_value numbers_value(const struct analysis *analysis, uint8_t *bytes)
{
    bool any = false;
    uint8_t *at = bytes;
    for (size_t i = 0; i < sizeof number_at / sizeof *number_at; i++) {
        const char *from = (const char *)analysis + number_at[i].at;
        for (int j = 0; j < number_at[i].count; j++, from += sizeof(float), at += sizeof(float)) {
            float number;
            uint32_t bits;
            memcpy(&number, from, sizeof number);
            any |= !isnan(number);
            memcpy(&bits, from, sizeof bits);
            bits = htole32(bits);
            memcpy(at, &bits, sizeof bits);
        }
    }
    return nothing_or(bytes, 4 * ANALYSIS_NUMBERS, any);
}

static struct sql_value moments_value(const struct analysis *analysis, uint8_t *bytes)
{
    bool any = false;
    for (int i = 0; i < ANALYSIS_MOMENTS; i++) {
        int64_t moment = i == 0 ? analysis->submitted : analysis->moments[i - 1];
        uint64_t bits = htole64((uint64_t)moment);
        any |= moment >= 0;
        memcpy(bytes + 8 * i, &bits, sizeof bits);
    }
    return nothing_or(bytes, 8 * ANALYSIS_MOMENTS, any);
}

void prediction_row_fill(const struct prediction_row *row, int64_t offset, struct row_bytes *bytes,
                         struct sql_value values[PREDICTION_COLUMN_COUNT])
{
    const struct analysis *analysis = &row->analysis;
    const struct sql_value filled[PREDICTION_COLUMN_COUNT] = {
        sql_of_integer(row->log),
        sql_of_integer(analysis->partition),
        sql_of_integer(offset),
        integer_or_null(row->digest),
        sql_of_integer(analysis->at),
        uuid_value(analysis->request_id, bytes->request),
        digest_value(analysis->image_sha256, bytes->image),
        sql_of_text(analysis->site),
        digest_value(analysis->subject, bytes->subject),
        sql_of_text(analysis->capture_device),
        sql_of_text(analysis->lesion_location),
        sql_of_integer(analysis->dermatoscope_attached),
        sql_of_integer(analysis->fitzpatrick_type),
        sql_of_integer(analysis->age_decade),
        sql_of_text(analysis->model_version),
        sql_of_text(analysis->precision),
        sql_of_text(analysis->device),
        sql_of_text(analysis->error_code),
        sql_of_integer(analysis->class),
        sql_of_integer(analysis->action),
        sql_of_integer(analysis->abstained),
        sql_of_integer(analysis->image_bytes),
        sql_of_integer(analysis->cache_hit),
        sql_of_integer(analysis->replayed),
        moments_value(analysis, bytes->moments),
        numbers_value(analysis, bytes->numbers),
    };
    memcpy(values, filled, sizeof filled);
}

void feedback_row_fill(const struct feedback_row *row, int64_t offset, struct row_bytes *bytes,
                       struct sql_value values[FEEDBACK_COLUMN_COUNT])
{
    const struct feedback *feedback = &row->feedback;
    const struct sql_value filled[FEEDBACK_COLUMN_COUNT] = {
        sql_of_integer(row->log),
        sql_of_integer(row->partition),
        sql_of_integer(offset),
        integer_or_null(row->digest),
        sql_of_integer(row->at),
        uuid_value(feedback->feedback_id, bytes->feedback),
        sql_of_integer(row->content),
        uuid_value(feedback->request_id, bytes->request),
        digest_value(feedback->image_sha256, bytes->image),
        sql_of_integer(feedback->label),
        sql_of_integer(feedback->certainty),
        sql_of_integer(feedback->reviewed_at),
        sql_of_text(feedback->lesion_id),
        sql_of_integer(feedback->atypical),
        uuid_value(feedback->supersedes, bytes->supersedes),
    };
    memcpy(values, filled, sizeof filled);
}

// ---- reading ----

static bool read_numbers(struct bytes bytes, struct analysis *analysis)
{
    const uint8_t *at = bytes.data;
    if (bytes.size == 0)
        return true; // analysis_init has said so
    if (bytes.size != 4 * ANALYSIS_NUMBERS)
        return false;
    for (size_t i = 0; i < sizeof number_at / sizeof *number_at; i++) {
        char *to = (char *)analysis + number_at[i].at;
        for (int j = 0; j < number_at[i].count; j++, to += sizeof(float), at += sizeof(float)) {
            uint32_t bits;
            memcpy(&bits, at, sizeof bits);
            bits = le32toh(bits);
            memcpy(to, &bits, sizeof bits);
        }
    }
    return true;
}

static bool read_moments(struct bytes bytes, struct analysis *analysis)
{
    if (bytes.size == 0)
        return true;
    if (bytes.size != 8 * ANALYSIS_MOMENTS)
        return false;
    for (int i = 0; i < ANALYSIS_MOMENTS; i++) {
        uint64_t bits;
        memcpy(&bits, bytes.data + 8 * i, sizeof bits);
        int64_t moment = (int64_t)le64toh(bits);
        *(i == 0 ? &analysis->submitted : &analysis->moments[i - 1]) = moment;
    }
    return true;
}

static bool read_digest(struct bytes bytes, char text[DIGEST_TEXT_SIZE])
{
    text[0] = '\0';
    if (bytes.size != 0 && bytes.size != DIGEST_SIZE)
        return false;
    if (bytes.size != 0)
        hex_encode(bytes.data, bytes.size, text);
    return true;
}

static bool is_within(int64_t value, int64_t least, int64_t end)
{
    return value >= least && value < end;
}

bool prediction_row_holds(const struct analysis *analysis)
{
    int least = *analysis->error_code ? -1 : 0; // an error has neither class nor action
    return is_within(analysis->class, least, LESION_CLASSES) &&
           is_within(analysis->action, least, ACTION_COUNT) &&
           is_within(analysis->dermatoscope_attached, -1, 2) &&
           is_within(analysis->fitzpatrick_type, -1, 7) && is_within(analysis->age_decade, -1, 91);
}

bool prediction_row_read(const struct sql *sql, size_t first, struct analysis *analysis,
                         char subject[DIGEST_TEXT_SIZE])
{
    analysis_init(analysis);
    analysis->partition = (int32_t)sql_integer(sql, first + 1);
    analysis->offset = sql_integer(sql, first + 2);
    analysis->at = sql_integer(sql, first + 4);
    uuid_text(sql_blob(sql, first + 5), analysis->request_id);
    bool good = read_digest(sql_blob(sql, first + 6), analysis->image_sha256);
    analysis->site = sql_text(sql, first + 7);
    good = read_digest(sql_blob(sql, first + 8), subject) && good;
    analysis->subject = subject;
    analysis->capture_device = sql_text(sql, first + 9);
    analysis->lesion_location = sql_text(sql, first + 10);
    analysis->dermatoscope_attached = (int)sql_integer(sql, first + 11);
    analysis->fitzpatrick_type = sql_integer(sql, first + 12);
    analysis->age_decade = sql_integer(sql, first + 13);
    analysis->model_version = sql_text(sql, first + 14);
    analysis->precision = sql_text(sql, first + 15);
    analysis->device = sql_text(sql, first + 16);
    analysis->error_code = sql_text(sql, first + 17);
    analysis->class = (int)sql_integer(sql, first + 18);
    analysis->action = (int)sql_integer(sql, first + 19);
    analysis->abstained = sql_integer(sql, first + 20) == 1;
    analysis->image_bytes = sql_integer(sql, first + 21);
    analysis->cache_hit = sql_integer(sql, first + 22) == 1;
    analysis->replayed = sql_integer(sql, first + 23) == 1;
    good = read_moments(sql_blob(sql, first + 24), analysis) && good;
    good = read_numbers(sql_blob(sql, first + 25), analysis) && good;
    if (!*analysis->error_code && analysis->class == -1 && analysis->action == -1)
        analysis->error_code = ANALYSIS_OTHER; // an error without a code, as they were taken once
    return good && prediction_row_holds(analysis);
}
