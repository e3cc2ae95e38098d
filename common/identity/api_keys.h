// api_keys.h: the file of API keys. A key is "ssk_" and 256 random bits in base64url (43 characters); it is
// shown once, when it is made. The file holds SHA-256 of the whole text, which is enough to know it again:
// nobody finds 256 random bits from their hash. {"schema": "skinsight.api_keys.v1", "keys": [{"id", "sha256",
// "actor", "site", "role", "urgent", "created_at", "revoked_at"}]}; revoked_at is null while the key is good.
// Revoked ones stay, so that the audit's names keep their meaning.
//
// The file is its owner's alone (0600), written whole and renamed. Two commands at once wait for each other.
#ifndef SKINSIGHT_COMMON_IDENTITY_API_KEYS_H
#define SKINSIGHT_COMMON_IDENTITY_API_KEYS_H

#include <stddef.h>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/identity/identity.h"

enum {
    API_KEY_ID_SIZE = 13, // 12 hexadecimal digits
    API_KEY_SIZE = 48,    // "ssk_" and 43 characters
    API_KEYS_MOST = 10000,
};

struct api_key {
    char id[API_KEY_ID_SIZE];
    struct digest hash;
    char actor[IDENTITY_NAME_SIZE], site[IDENTITY_NAME_SIZE];
    enum role role;
    bool urgent;
    int64_t created_at;
    int64_t revoked_at; // 0: good
};

struct api_keys {
    struct api_key *keys;
    size_t count;
};

// keys is to be released, also after a failure. A file that is not there holds none. REJECTED: it is open to
// others, or no such file in every detail.
enum status api_keys_read(const char *path, struct api_keys *keys, struct error *err) MUST_CHECK;
void api_keys_release(struct api_keys *keys);

// The good key whose text this is, or NULL.
const struct api_key *api_keys_find(const struct api_keys *keys, const char *text, size_t size);

// Makes a key. key: actor, site, role and urgent given, the rest filled. text: the secret; wipe it.
enum status api_key_make(struct api_key *key, char text[API_KEY_SIZE], struct error *err) MUST_CHECK;
// Puts it into the file. REJECTED: the file is full, or none.
enum status api_keys_add(const char *path, const struct api_key *key, struct error *err) MUST_CHECK;
// The key with this id. REJECTED: there is none.
enum status api_keys_look(const char *path, const char *id, struct api_key *key,
                          struct error *err) MUST_CHECK;
// REJECTED: there is no such key, or it is revoked already.
enum status api_keys_revoke(const char *path, const char *id, struct error *err) MUST_CHECK;

#endif
