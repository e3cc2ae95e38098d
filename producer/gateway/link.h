// link.h: links to attention maps. A browser fetches a picture without its page's key, so the link itself is
// the permission: it names one request, ends after a while, and is signed,
//
//     <public_url>/attention/<request_id>.png?expires=<Unix ms>&signature=<hex HMAC-SHA-256>
//
// over "attention ‖ 0 ‖ request_id ‖ 0 ‖ expires". Two keys may be in force: the first signs, either one is
// believed, so that a key can be changed without breaking links that are out. Read-only after the start: any
// thread.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_LINK_H
#define SKINSIGHT_PRODUCER_GATEWAY_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"
#include "common/base/status.h"

enum { LINK_KEYS_MOST = 2, LINK_KEY_LEAST = 16, LINK_URL_SIZE = 1536 };

struct link_signer {
    const char *public_url;             // borrowed; has no '/' at its end
    struct digest keys[LINK_KEYS_MOST]; // SHA-256 of the lines of the file, which may have any length
    size_t key_count;
};

// path: a file of one or two lines of at least LINK_KEY_LEAST bytes, for its owner alone; empty: a random
// key, whose links end with this process. Errors as of file_read_secret.
enum status link_signer_init(struct link_signer *signer, const char *public_url, const char *path,
                             struct error *err) MUST_CHECK;

void link_make(const struct link_signer *signer, const char *request_id, int64_t expires_at,
               char url[LINK_URL_SIZE]);

enum link_verdict { LINK_GOOD, LINK_EXPIRED, LINK_FORGED };
// expires and signature: as they came. Whatever is wrong with them is LINK_FORGED; LINK_EXPIRED was signed by
// us.
enum link_verdict link_check(const struct link_signer *signer, const char *request_id, const char *expires,
                             const char *signature, int64_t now);

#endif
