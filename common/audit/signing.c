// signing.c: a line is read by writing it again from what was read.
#include "common/audit/signing.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/json_write.h"

enum { TEXT_MOST = 256 };

static const char purpose[] = "skinsight.audit.head.v1"; // with its zero byte in front of what is signed

// The canonical text of a head; the texts in it need no escapes.
static size_t head_text(const struct audit_head *head, char text[TEXT_MOST])
{
    char hash[DIGEST_TEXT_SIZE];
    digest_text(&head->hash, hash);
    return (size_t)snprintf(text, TEXT_MOST, "{\"at\":%lld,\"chain\":\"%s\",\"hash\":\"%s\",\"seq\":%lld}",
                            (long long)head->at, head->chain, hash, (long long)head->seq);
}

static size_t message_of(const struct audit_head *head, uint8_t message[sizeof purpose + TEXT_MOST])
{
    memcpy(message, purpose, sizeof purpose);
    return sizeof purpose + head_text(head, (char *)message + sizeof purpose);
}

static enum status write_line(const struct audit_head *head, const uint8_t signature[SIGNATURE_SIZE],
                              struct buffer *line, struct error *err)
{
    char text[TEXT_MOST], hex[2 * SIGNATURE_SIZE + 1], all[AUDIT_HEAD_LINE_MOST];
    head_text(head, text);
    hex_encode(signature, SIGNATURE_SIZE, hex);
    int size = snprintf(all, sizeof all, "{\"head\":%s,\"signature\":\"%s\"}\n", text, hex);
    return buffer_append(line, all, (size_t)size, err);
}

enum status audit_head_write(const struct signer *signer, const struct audit_head *head, struct buffer *line,
                             struct error *err)
{
    uint8_t message[sizeof purpose + TEXT_MOST], signature[SIGNATURE_SIZE];
    struct bytes signed_bytes = {message, message_of(head, message)};
    enum status status = signer_sign(signer, signed_bytes, signature, err);
    if (status != STATUS_OK)
        return status;
    return write_line(head, signature, line, err);
}

static bool is_genuine(const struct verifier *verifier, const struct audit_head *head,
                       const uint8_t signature[SIGNATURE_SIZE])
{
    uint8_t message[sizeof purpose + TEXT_MOST];
    return verifier_accepts(verifier, (struct bytes){message, message_of(head, message)}, signature);
}

static bool read_fields(const cJSON *json, struct audit_head *head, uint8_t signature[SIGNATURE_SIZE])
{
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(json, "head");
    const cJSON *hex = cJSON_GetObjectItemCaseSensitive(json, "signature");
    const cJSON *chain = cJSON_GetObjectItemCaseSensitive(body, "chain");
    const cJSON *hash = cJSON_GetObjectItemCaseSensitive(body, "hash");
    if (!cJSON_IsString(hex) || !hex_decode(hex->valuestring, signature, SIGNATURE_SIZE) ||
        !cJSON_IsString(chain) || !audit_chain_name_good(chain->valuestring) || !cJSON_IsString(hash) ||
        !digest_parse(hash->valuestring, &head->hash) ||
        !json_whole_number(cJSON_GetObjectItemCaseSensitive(body, "at"), 0, JSON_WHOLE_MOST, &head->at) ||
        !json_whole_number(cJSON_GetObjectItemCaseSensitive(body, "seq"), 1, JSON_WHOLE_MOST, &head->seq))
        return false;
    strcpy(head->chain, chain->valuestring);
    return true;
}

bool audit_head_read(const struct verifier *verifier, struct bytes line, struct audit_head *head,
                     bool *genuine)
{
    static const struct json_limits limits = {.bytes = AUDIT_HEAD_LINE_MOST, .values = 16, .depth = 2};
    uint8_t signature[SIGNATURE_SIZE];
    struct buffer again;
    struct error err;
    cJSON *json = NULL;
    buffer_init(&again, AUDIT_HEAD_LINE_MOST);
    bool good = json_parse(line, &limits, &json, &err) == STATUS_OK && read_fields(json, head, signature) &&
                write_line(head, signature, &again, &err) == STATUS_OK;
    if (good) {
        again.size--; // the '\n'
        good = bytes_equal(buffer_bytes(&again), line);
    }
    *genuine = good && verifier && is_genuine(verifier, head, signature);
    cJSON_Delete(json);
    buffer_release(&again);
    return good;
}
