// s3_sign.h: AWS signature 4 of a request to S3.
//
// The signature is a function of its arguments: no clock, no environment, no connection. object_s3.c sends it
// in a header. A presigned URL has the same signature over its query, with "UNSIGNED-PAYLOAD" as body_digest
// and host as its only header. Any thread.
#ifndef SKINSIGHT_COMMON_SERVICES_S3_SIGN_H
#define SKINSIGHT_COMMON_SERVICES_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/digest.h"

enum { S3_TIME_SIZE = 17 };

struct s3_signer {
    const char *access_key;
    const char *secret_key;
    const char *region;
};

struct s3_header {
    const char *name; // in lower case
    const char *value;
};

// The parts of a request that the signature covers, as they are sent.
struct s3_signed_parts {
    const char *time; // of s3_time, as in x-amz-date
    const char *method;
    const char *path;                // percent-encoded
    const char *query;               // percent-encoded and sorted, each name with its '='; "" for none
    const struct s3_header *headers; // sorted by name: host, content-type and all of x-amz-*
    size_t header_count;
    const char *body_digest; // SHA-256 as text, as in x-amz-content-sha256
};

// "20130524T000000Z" of Unix milliseconds.
void s3_time(int64_t wall_ms, char text[S3_TIME_SIZE]);
void s3_signature(const struct s3_signer *signer, const struct s3_signed_parts *parts,
                  char signature[DIGEST_TEXT_SIZE]);
// The value of the header Authorization; the caller frees it.
char *s3_authorization(const struct s3_signer *signer, const struct s3_signed_parts *parts);

#endif
