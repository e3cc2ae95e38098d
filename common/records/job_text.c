// job_text.c: request ids, tokens, URIs and trace contexts of job records. Any thread.
#include "common/records/job_text.h"

#include <ctype.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/records/job.h"

static const char letters_and_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static bool consists_of(const char *text, const char *others)
{
    for (; *text; text++)
        if (!strchr(letters_and_digits, *text) && !strchr(others, *text))
            return false;
    return true;
}

bool job_text_token(const char *text)
{
    return strnlen(text, JOB_TOKEN_SIZE) < JOB_TOKEN_SIZE && consists_of(text, "_.-");
}

bool job_name_valid(const char *text)
{
    return text[0] && job_text_token(text);
}

static bool lower_hex(const char *text, size_t length)
{
    return strspn(text, "0123456789abcdef") >= length;
}

bool job_text_subject(const char *text)
{
    return strnlen(text, JOB_SUBJECT_SIZE) == JOB_SUBJECT_SIZE - 1 && lower_hex(text, JOB_SUBJECT_SIZE - 1);
}

bool job_text_uri(const char *text)
{
    size_t length = strnlen(text, JOB_URI_SIZE);
    return length > 0 && length < JOB_URI_SIZE && consists_of(text, "-._~:/?#[]@!$&'()*+,;=%");
}

static bool only_zeros(const char *text, size_t length)
{
    return strspn(text, "0") >= length;
}

// version "-" trace id (32) "-" parent id (16) "-" flags; version ff and ids of zeros only are invalid.
bool job_text_traceparent(const char *text)
{
    if (strnlen(text, JOB_TRACEPARENT_SIZE) != JOB_TRACEPARENT_SIZE - 1)
        return false;
    if (text[2] != '-' || text[35] != '-' || text[52] != '-')
        return false;
    if (!lower_hex(text, 2) || !lower_hex(text + 3, 32) || !lower_hex(text + 36, 16) ||
        !lower_hex(text + 53, 2))
        return false;
    return strncmp(text, "ff", 2) != 0 && !only_zeros(text + 3, 32) && !only_zeros(text + 36, 16);
}

bool job_request_id_valid(const char *text)
{
    if (strnlen(text, JOB_REQUEST_ID_SIZE) != JOB_REQUEST_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < JOB_REQUEST_ID_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    }
    return true;
}

void job_request_id_read(struct bytes text, char request_id[JOB_REQUEST_ID_SIZE])
{
    request_id[0] = '\0';
    if (text.size != JOB_REQUEST_ID_SIZE - 1)
        return;
    for (size_t i = 0; i < text.size; i++)
        request_id[i] = (char)tolower(text.data[i]);
    request_id[text.size] = '\0';
    if (!job_request_id_valid(request_id))
        request_id[0] = '\0';
}

void job_request_id_new(char text[JOB_REQUEST_ID_SIZE])
{
    uint8_t value[16];
    char hex[33];
    if (RAND_bytes(value, sizeof value) != 1) {
        fputs("no random numbers from OpenSSL\n", stderr);
        abort();
    }
    value[6] = (uint8_t)((value[6] & 0x0f) | 0x40); // version 4
    value[8] = (uint8_t)((value[8] & 0x3f) | 0x80); // the variant of RFC 4122
    hex_encode(value, sizeof value, hex);
    snprintf(text, JOB_REQUEST_ID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
             hex + 20);
}

const char *job_code_name(enum job_code code)
{
    static const char *const names[JOB_CODE_COUNT] = {
        [JOB_OK] = "ok",
        [JOB_INVALID_JSON] = "invalid_json",
        [JOB_UNSUPPORTED_SCHEMA] = "unsupported_schema",
        [JOB_INVALID_FIELD] = "invalid_field",
        [JOB_IMAGE_TOO_LARGE] = "image_too_large",
        [JOB_IMAGE_UNDECODABLE] = "image_undecodable",
        [JOB_IMAGE_UNAVAILABLE] = "image_unavailable",
        [JOB_IMAGE_DIGEST_MISMATCH] = "image_digest_mismatch",
        [JOB_UNKNOWN_MODEL] = "unknown_model",
        [JOB_DEADLINE_EXCEEDED] = "deadline_exceeded",
        [JOB_WORKER_KILLED] = "worker_killed",
        [JOB_RECORD_UNREADABLE] = "record_unreadable",
        [JOB_INTERNAL] = "internal",
    };
    return names[code];
}
