// jose.h: signatures of JWTs (RFC 7515 to 7519), by cjose. A set of public keys is read from a JWK set's
// text; a token is judged by the key that its header names. Of all algorithms two are known, RS256 and ES256:
// "none" is none, and HS256, for which a public key would be the secret, isn't either. The key says what it
// is for; a token can't choose.
//
// A set is read-only after it was made: any thread, as long as somebody holds it.
#ifndef SKINSIGHT_COMMON_IDENTITY_JOSE_H
#define SKINSIGHT_COMMON_IDENTITY_JOSE_H

#include <stddef.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

enum {
    JOSE_SET_BYTES = 256 << 10, // of a JWK set's text
    JOSE_KEYS_MOST = 64,
    JOSE_TOKEN_MOST = 8192,
    JOSE_KEY_ID_SIZE = 257,
};

enum jose_algorithm { JOSE_RS256, JOSE_ES256 };

struct jose_set;

// Keys that can't be used are left out: other types, RSA under 2048 bits or over 8192, other curves than
// P-256, for encryption. REJECTED: it is no JWK set, holds a private key, or no key is left.
enum status jose_set_read(struct bytes text, struct jose_set **set, struct error *err) MUST_CHECK;
void jose_set_free(struct jose_set *set); // NULL is allowed
size_t jose_set_count(const struct jose_set *set);

struct jose_header {
    enum jose_algorithm algorithm;
    char key_id[JOSE_KEY_ID_SIZE]; // "": it names none
};

// REJECTED: not three parts of base64url, not a header of RS256 or ES256, or one that asks for more (crit).
enum status jose_header_read(const char *token, size_t size, struct jose_header *header,
                             struct error *err) MUST_CHECK;

// Whether the set has a key for such a token: the one of its id; without an id, the only one of its
// algorithm.
bool jose_set_has(const struct jose_set *set, const struct jose_header *header);

// Appends the token's payload once its signature is good. REJECTED: it is not, or there is no key.
enum status jose_verify(const struct jose_set *set, const char *token, size_t size,
                        const struct jose_header *header, struct buffer *payload,
                        struct error *err) MUST_CHECK;

#endif
