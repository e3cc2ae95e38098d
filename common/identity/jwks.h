// jwks.h: where an issuer's keys come from, and when they are read again. A file is read when it has changed.
// A URL is read by a thread of its own: at the start, every ten minutes, and when a token names a key that is
// not there, but not more often than twice a minute, whatever tokens come. Where the issuer can't be reached
// its last keys stay good for a day: a rotation that was missed is one of hours, and an outage there is none
// here.
//
// Any thread; no call waits for the issuer.
#ifndef SKINSIGHT_COMMON_IDENTITY_JWKS_H
#define SKINSIGHT_COMMON_IDENTITY_JWKS_H

#include "common/identity/jose.h"

struct jwks_options {
    const char *source;      // file or https:// URL
    const char *authorities; // of the URL's certificate (https_get.h)
    int64_t refresh_ms;      // 0: ten minutes
    int64_t pause_ms;        // 0: half a minute; between two requests to the issuer
    int64_t keep_ms;         // 0: a day; how long keys stay good that can't be read again
};

struct jwks;

// REJECTED: the source is a URL of another kind, or a file without a set of keys. A URL is not waited for.
enum status jwks_open(struct jwks **jwks, const struct jwks_options *options, struct error *err) MUST_CHECK;
void jwks_close(struct jwks *jwks); // NULL is allowed

// jose_header_read's header. RETRY: no keys can be read now, or the one that is named may be among those that
// are just being fetched. REJECTED: as by jose_verify.
enum status jwks_verify(struct jwks *jwks, const char *token, size_t size, const struct jose_header *header,
                        struct buffer *payload, struct error *err) MUST_CHECK;

#endif
