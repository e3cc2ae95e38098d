// signature.c: Ed25519 by OpenSSL.
#include "common/base/signature.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/memory.h"

enum { PEM_MOST = 4096 };

struct signer {
    EVP_PKEY *key;
};

struct verifier {
    EVP_PKEY *key;
};

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

enum status signer_open(struct signer **signer, const char *path, struct error *err)
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

void signer_close(struct signer *signer)
{
    if (signer)
        EVP_PKEY_free(signer->key);
    free(signer);
}

enum status signer_sign(const struct signer *signer, struct bytes message, uint8_t signature[SIGNATURE_SIZE],
                        struct error *err)
{
    size_t size = SIGNATURE_SIZE;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestSignInit(context, NULL, NULL, NULL, signer->key) == 1 &&
                EVP_DigestSign(context, signature, &size, message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    return good ? STATUS_OK : error_set(err, STATUS_FATAL, "OpenSSL does not sign");
}

enum status verifier_open(struct verifier **verifier, const char *path, struct error *err)
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

void verifier_close(struct verifier *verifier)
{
    if (verifier)
        EVP_PKEY_free(verifier->key);
    free(verifier);
}

bool verifier_accepts(const struct verifier *verifier, struct bytes message,
                      const uint8_t signature[SIGNATURE_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, verifier->key) == 1 &&
                EVP_DigestVerify(context, signature, SIGNATURE_SIZE, message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    return good;
}
