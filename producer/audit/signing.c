// signing.c: Ed25519 by OpenSSL. A line is read by writing it again from what was read.
#include "producer/audit/signing.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"

enum { PEM_MOST = 4096, TEXT_MOST = 256 };

static const char purpose[] = "skinsight.audit.head.v1"; // with its zero byte in front of what is signed

#define SEQ_MOST 9007199254740991.0

struct audit_signer {
    EVP_PKEY *key;
};

struct audit_verifier {
    EVP_PKEY *key;
};

// ---- keys ----

static EVP_PKEY *key_of(const struct buffer *pem, bool private)
{
    BIO *source = BIO_new_mem_buf(pem->data, (int)pem->size);
    EVP_PKEY *key = NULL;
    if (source)
        key = private ? PEM_read_bio_PrivateKey(source, NULL, NULL, (void *)"")
                      : PEM_read_bio_PUBKEY(source, NULL, NULL, NULL);
    BIO_free(source);
    if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

static enum status read_key(const char *path, bool private, EVP_PKEY **key, struct error *err)
{
    struct buffer pem;
    buffer_init(&pem, PEM_MOST);
    enum status status = private ? file_read_secret(path, 1, &pem, err) : file_read(path, &pem, err);
    if (status == STATUS_OK && !(*key = key_of(&pem, private)))
        status = error_set(err, STATUS_REJECTED, "%s holds no %s key of Ed25519 (PEM)", path,
                           private ? "private" : "public");
    if (pem.data)
        explicit_bzero(pem.data, pem.capacity);
    buffer_release(&pem);
    return status;
}

enum status audit_signer_open(struct audit_signer **signer, const char *path, struct error *err)
{
    EVP_PKEY *key = NULL;
    *signer = NULL;
    enum status status = read_key(path, true, &key, err);
    if (status != STATUS_OK)
        return status;
    *signer = memory_alloc(sizeof **signer);
    (*signer)->key = key;
    return STATUS_OK;
}

void audit_signer_close(struct audit_signer *signer)
{
    if (signer)
        EVP_PKEY_free(signer->key);
    free(signer);
}

enum status audit_verifier_open(struct audit_verifier **verifier, const char *path, struct error *err)
{
    EVP_PKEY *key = NULL;
    *verifier = NULL;
    enum status status = read_key(path, false, &key, err);
    if (status != STATUS_OK)
        return status;
    *verifier = memory_alloc(sizeof **verifier);
    (*verifier)->key = key;
    return STATUS_OK;
}

void audit_verifier_close(struct audit_verifier *verifier)
{
    if (verifier)
        EVP_PKEY_free(verifier->key);
    free(verifier);
}

// ---- a line ----

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

static enum status write_line(const struct audit_head *head, const uint8_t signature[AUDIT_SIGNATURE_SIZE],
                              struct buffer *line, struct error *err)
{
    char text[TEXT_MOST], hex[2 * AUDIT_SIGNATURE_SIZE + 1], all[AUDIT_HEAD_LINE_MOST];
    head_text(head, text);
    hex_encode(signature, AUDIT_SIGNATURE_SIZE, hex);
    int size = snprintf(all, sizeof all, "{\"head\":%s,\"signature\":\"%s\"}\n", text, hex);
    return buffer_append(line, all, (size_t)size, err);
}

enum status audit_head_write(const struct audit_signer *signer, const struct audit_head *head,
                             struct buffer *line, struct error *err)
{
    uint8_t message[sizeof purpose + TEXT_MOST], signature[AUDIT_SIGNATURE_SIZE];
    size_t size = sizeof signature, message_size = message_of(head, message);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, signer->key) == 1 &&
                EVP_DigestSign(context, signature, &size, message, message_size) == 1;
    EVP_MD_CTX_free(context);
    if (!good)
        return error_set(err, STATUS_FATAL, "the head of the audit can't be signed");
    return write_line(head, signature, line, err);
}

static bool is_genuine(const struct audit_verifier *verifier, const struct audit_head *head,
                       const uint8_t signature[AUDIT_SIGNATURE_SIZE])
{
    uint8_t message[sizeof purpose + TEXT_MOST];
    size_t message_size = message_of(head, message);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, verifier->key) == 1 &&
                EVP_DigestVerify(context, signature, AUDIT_SIGNATURE_SIZE, message, message_size) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

static bool read_fields(const cJSON *json, struct audit_head *head, uint8_t signature[AUDIT_SIGNATURE_SIZE])
{
    double at, seq;
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(json, "head");
    const cJSON *hex = cJSON_GetObjectItemCaseSensitive(json, "signature");
    const cJSON *chain = cJSON_GetObjectItemCaseSensitive(body, "chain");
    const cJSON *hash = cJSON_GetObjectItemCaseSensitive(body, "hash");
    if (!cJSON_IsString(hex) || !hex_decode(hex->valuestring, signature, AUDIT_SIGNATURE_SIZE) ||
        !cJSON_IsString(chain) || !audit_chain_name_good(chain->valuestring) || !cJSON_IsString(hash) ||
        !digest_parse(hash->valuestring, &head->hash) ||
        !json_whole_number(cJSON_GetObjectItemCaseSensitive(body, "at"), 0.0, SEQ_MOST, &at) ||
        !json_whole_number(cJSON_GetObjectItemCaseSensitive(body, "seq"), 1.0, SEQ_MOST, &seq))
        return false;
    strcpy(head->chain, chain->valuestring);
    head->at = (int64_t)at;
    head->seq = (int64_t)seq;
    return true;
}

bool audit_head_read(const struct audit_verifier *verifier, struct bytes line, struct audit_head *head,
                     bool *genuine)
{
    static const struct json_limits limits = {.bytes = AUDIT_HEAD_LINE_MOST, .values = 16, .depth = 2};
    uint8_t signature[AUDIT_SIGNATURE_SIZE];
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
