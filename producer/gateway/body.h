// body.h: the body of POST /v2/analyze, read while it arrives.
//
//     {"image": "<base64>", "metadata": {...}, "request_id": "...", "model_version": "...", "patient_ref":
//     "..."}
//
// The text of the image is decoded as its bytes come and kept once, as bytes; everything else is a few
// hundred bytes, which are kept as they are and parsed at the end by json_parse. So a body costs the memory
// of its image, whatever stands where in it, and a body that is too large is refused when it is, not at its
// end. Unknown fields are ignored. Used by one thread.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_BODY_H
#define SKINSIGHT_PRODUCER_GATEWAY_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/records/job.h"
#include "producer/gateway/problem.h"

enum { BODY_PATIENT_REF_SIZE = 65, BODY_CHUNK = 1024 };

// What the body asks for. Texts are empty, and metadata absent, where they were not given.
struct analysis {
    char request_id[JOB_REQUEST_ID_SIZE]; // lower case
    char model_version[JOB_TOKEN_SIZE];
    char patient_ref[BODY_PATIENT_REF_SIZE]; // whoever uses it wipes it at once
    struct job_metadata metadata;
};

// Where the bytes of the body stand. Only body.c looks inside.
struct body_scan {
    int depth;   // objects and arrays around
    bool object; // the outermost value is one
    bool in_text, escaped;
    bool expects_name; // the next text of the outermost object is a name
    bool names_image, in_image;
    char name[8];
    size_t name_size;
    int unit_digits; // of "\uXXXX" in the image: still to come
    unsigned unit;
};

struct body {
    struct buffer rest;  // the body without the image's text
    struct buffer image; // its bytes; whoever needs it longer takes it away and leaves an empty buffer
    struct body_scan scan;
    char chunk[BODY_CHUNK]; // text of the image that is not decoded yet
    size_t chunk_size;
    int images;    // texts named "image" that have begun
    bool padded;   // the text of the image has ended with '='
    bool bad_text; // it is no base64
    bool bad_json; // it is no text of JSON's
    enum problem problem;
};

void body_init(struct body *body, size_t max_image_bytes);
// What the buffers of one body hold at most, in bytes, as they grow by doubling.
int64_t body_bytes_most(int64_t max_image_bytes);
// Wipes what is patient data. Safe on a zeroed body.
void body_release(struct body *body);

// The next bytes. PROBLEM_NONE: go on. Else it is refused, more bytes change nothing, and err says why.
enum problem body_add(struct body *body, struct bytes bytes, struct error *err) MUST_CHECK;
// After the last byte. PROBLEM_NONE: *analysis is filled in, and body->image has at least one byte.
enum problem body_finish(struct body *body, struct analysis *analysis, struct error *err) MUST_CHECK;

#endif
