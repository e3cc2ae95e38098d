// object_store.h: immutable objects under one root, file:///folder or s3://bucket/prefix.
//
// A key is a relative path of [A-Za-z0-9._/-] without empty or dot-only parts; everything else is refused, so
// that a URI from a job record can never leave the root. An object's URI is root + "/" + key. Writing the
// same key again with the same bytes is harmless; a reader sees a whole object or none (files: temporary name
// and rename). s3 talks to s3_endpoint (path style) with AWS signature 4; the credentials
// come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Any thread may call; each call
// has a time limit.
#ifndef SKINSIGHT_COMMON_SERVICES_OBJECT_STORE_H
#define SKINSIGHT_COMMON_SERVICES_OBJECT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

struct object_store;
struct circuit_watch; // circuit.h

struct object_store_options {
    const char *root;        // option objects
    const char *s3_endpoint; // "http://127.0.0.1:7070"; empty: https://s3.<region>.amazonaws.com
    const char *s3_region;
    int64_t timeout_ms; // of one request, connecting included
};

enum { OBJECT_KEY_SIZE = 256, OBJECT_URI_SIZE = 1024 }; // file systems take no name longer than such a key

// REJECTED: an option whose text object_store_open would refuse; s3_endpoint must be set.
enum status object_root_check(const char *root, struct error *err) MUST_CHECK;
enum status object_endpoint_check(const char *endpoint, struct error *err) MUST_CHECK;
enum status object_region_check(const char *region, struct error *err) MUST_CHECK;

// REJECTED: one of these, or missing credentials. The folder or bucket itself is first touched by put, get
// and check.
enum status object_store_open(struct object_store **store, const struct object_store_options *options,
                              struct error *err) MUST_CHECK;
void object_store_close(struct object_store *store); // NULL is allowed
// Before the first call.
void object_store_set_watches(struct object_store *store, const struct circuit_watch *reads,
                              const struct circuit_watch *writes);

// One try each. RETRY: time-out, 5xx, connection trouble, full disk. REJECTED: no such object, access denied,
// a bad key.
enum status object_store_put(struct object_store *store, const char *key, struct bytes data,
                             const char *content_type, struct error *err) MUST_CHECK;
// Replaces what out held; an object larger than out's limit is REJECTED and
// sets out->overflowed.
enum status object_store_get(struct object_store *store, const char *key, struct buffer *out,
                             struct error *err) MUST_CHECK;
// Several writes in a row have failed: they answer RETRY at once for a while (circuit.h). Reads have a
// circuit of their own.
bool object_store_is_down(struct object_store *store);
// Whether the store can be reached and written, for doctor: writes and reads a small probe object.
enum status object_store_check(struct object_store *store, struct error *err) MUST_CHECK;

// The URI of a key; and the key of a URI under this root, REJECTED for every other URI.
void object_store_uri(const struct object_store *store, const char *key, char uri[OBJECT_URI_SIZE]);
enum status object_store_key(const struct object_store *store, const char *uri, char key[OBJECT_KEY_SIZE],
                             struct error *err) MUST_CHECK;

#endif
