// job.h: the job record on Kafka ("skinsight.job.v1"), read and written. docs/FORMATS.md describes it field
// by field.
#ifndef SKINSIGHT_COMMON_RECORDS_JOB_H
#define SKINSIGHT_COMMON_RECORDS_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/memory.h"
#include "common/base/status.h"

// Why a job was answered with an error; job_code_name gives the wire name ("image_undecodable").
enum job_code {
    JOB_OK,
    JOB_INVALID_JSON,
    JOB_UNSUPPORTED_SCHEMA,
    JOB_INVALID_FIELD,
    JOB_IMAGE_TOO_LARGE,
    JOB_IMAGE_UNDECODABLE,
    JOB_IMAGE_UNAVAILABLE,
    JOB_IMAGE_DIGEST_MISMATCH,
    JOB_UNKNOWN_MODEL,
    JOB_DEADLINE_EXCEEDED,
    JOB_WORKER_KILLED,
    JOB_RECORD_UNREADABLE,
    JOB_INTERNAL,
    JOB_CODE_COUNT
};

enum {
    JOB_REQUEST_ID_SIZE = 37,
    JOB_TOKEN_SIZE = 65, // model_version and metadata strings: up to 64 of [A-Za-z0-9_.-]
    JOB_SUBJECT_SIZE = 65,
    JOB_URI_SIZE = 1024,
    JOB_TRACEPARENT_SIZE = 56,
};

// All fields are optional: text is empty, numbers are -1 when absent.
struct job_metadata {
    int patient_age;           // 0..130
    int fitzpatrick_type;      // 1..6
    int dermatoscope_attached; // 0, 1
    char lesion_location[JOB_TOKEN_SIZE];
    char capture_device[JOB_TOKEN_SIZE];
};

struct cJSON;

struct job_record {
    char request_id[JOB_REQUEST_ID_SIZE]; // lower case; empty when none could be read
    char model_version[JOB_TOKEN_SIZE];   // empty: the model in service
    char site[JOB_TOKEN_SIZE];            // the clinic; empty: absent
    char subject[JOB_SUBJECT_SIZE];       // keyed hash of the patient, 64 hexadecimal digits; empty: absent
    struct bytes image;                   // decoded bytes; size 0 when image_uri is used
    char image_uri[JOB_URI_SIZE];
    struct digest image_sha256; // of image_uri's object, or of image where the record gave one
    bool has_image_sha256;
    struct job_metadata metadata;
    int64_t submitted_at; // Unix ms; -1 absent
    int64_t deadline_at;  // Unix ms; -1 absent
    char traceparent[JOB_TRACEPARENT_SIZE];
};

// The bytes that a job record may have, from those that its image may have. The limit on a record's size
// stands here alone: consume.c does not copy what is longer, and job_record_parse does not read it.
size_t job_record_most_bytes(size_t max_image_bytes);

// Reads value. *memory (NULL before) becomes what holds the image's bytes, or stays NULL; the caller frees
// it, whatever is returned. JOB_OK, or the code and a sentence in err; *record then still holds the request
// id if one could be read. max_image_bytes bounds the decoded image.
enum job_code job_record_parse(struct bytes value, size_t max_image_bytes, uint8_t **memory,
                               struct job_record *record, struct error *err) MUST_CHECK;

// Appends the JSON of *record (image as base64 when it has bytes).
enum status job_record_write(const struct job_record *record, struct buffer *out,
                             struct error *err) MUST_CHECK;

// Reads a metadata object ("--metadata FILE.json"). REJECTED names the field.
enum status job_metadata_parse(struct bytes json, struct job_metadata *metadata,
                               struct error *err) MUST_CHECK;
// The same of an object that has been parsed; what it does not name stays as it was.
enum status job_metadata_read(const struct cJSON *object, struct job_metadata *metadata,
                              struct error *err) MUST_CHECK;
void job_metadata_init(struct job_metadata *metadata); // everything absent
bool job_name_valid(const char *text);                 // 1 to 64 of [A-Za-z0-9_.-]: site, model_version

void job_request_id_new(char text[JOB_REQUEST_ID_SIZE]); // random UUID version 4
bool job_request_id_valid(const char *text);             // any RFC 4122 UUID, either case
// Takes such a text over in lower case; request_id is empty where it is none.
void job_request_id_read(struct bytes text, char request_id[JOB_REQUEST_ID_SIZE]);

const char *job_code_name(enum job_code code);

#endif
