// tokens.h: an identity provider for tests: keys, JWK sets and signed tokens, made with OpenSSL, not with
// what is tested.
#ifndef SKINSIGHT_TESTS_SUPPORT_TOKENS_H
#define SKINSIGHT_TESTS_SUPPORT_TOKENS_H

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"

#define TOKEN_HELPER __attribute__((unused)) static

enum { TOKEN_SIZE = 12000, TOKEN_PART = 6000, JWK_SIZE = 4000 };

TOKEN_HELPER void base64url(const void *data, size_t size, char *text)
{
    base64_encode(data, size, text);
    for (char *at = text; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    text[strcspn(text, "=")] = '\0';
}

TOKEN_HELPER void jwk_number(EVP_PKEY *key, const char *name, int size, char *text)
{
    uint8_t bytes[1100];
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &number) != 1)
        abort();
    size = size ? size : BN_num_bytes(number);
    if (BN_bn2binpad(number, bytes, size) != size)
        abort();
    base64url(bytes, (size_t)size, text);
    BN_free(number);
}

// An object for a JWK set; more: further members, as ",\"use\":\"sig\"".
TOKEN_HELPER void jwk_of(EVP_PKEY *key, const char *id, const char *more, char jwk[JWK_SIZE])
{
    char one[1500], other[1500];
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        jwk_number(key, OSSL_PKEY_PARAM_RSA_N, 0, one);
        jwk_number(key, OSSL_PKEY_PARAM_RSA_E, 0, other);
        snprintf(jwk, JWK_SIZE, "{\"kty\":\"RSA\",\"kid\":\"%s\",\"n\":\"%s\",\"e\":\"%s\"%s}", id, one,
                 other, more);
    } else {
        int bits = EVP_PKEY_get_bits(key);
        jwk_number(key, OSSL_PKEY_PARAM_EC_PUB_X, (bits + 7) / 8, one);
        jwk_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, (bits + 7) / 8, other);
        snprintf(jwk, JWK_SIZE,
                 "{\"kty\":\"EC\",\"crv\":\"P-%d\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s}", bits, id,
                 one, other, more);
    }
}

// The signature of the first two parts: RSA PKCS #1 or ECDSA as r and s, with SHA-256.
TOKEN_HELPER size_t token_signature(EVP_PKEY *key, const char *input, uint8_t *signature)
{
    uint8_t der[1100];
    size_t size = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(context, der, &size, (const uint8_t *)input, strlen(input)) != 1)
        abort();
    EVP_MD_CTX_free(context);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        memcpy(signature, der, size);
        return size;
    }
    const uint8_t *at = der;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
    int half = (EVP_PKEY_get_bits(key) + 7) / 8;
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, half);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + half, half);
    ECDSA_SIG_free(pair);
    return 2 * (size_t)half;
}

TOKEN_HELPER void token_begin(const char *header, const char *claims, char token[TOKEN_SIZE])
{
    char part[TOKEN_PART];
    base64url(header, strlen(header), part);
    size_t size = (size_t)sprintf(token, "%s.", part);
    base64url(claims, strlen(claims), part);
    strcpy(token + size, part);
}

TOKEN_HELPER void token_end(const void *signature, size_t size, char token[TOKEN_SIZE])
{
    char part[TOKEN_PART];
    base64url(signature, size, part);
    sprintf(token + strlen(token), ".%s", part);
}

TOKEN_HELPER void token_make(EVP_PKEY *key, const char *header, const char *claims, char token[TOKEN_SIZE])
{
    uint8_t signature[1100];
    token_begin(header, claims, token);
    token_end(signature, token_signature(key, token, signature), token);
}

#endif
