// request.h: one file becomes the value of one job record: read within the limit, digested, and carried
// inline or, when it is large, put into the object store first (claim check). With keep_images an inline one
// is put there too, for whoever learns from it later; the job is sent whether or not that works. Used by one
// thread.
#ifndef SKINSIGHT_PRODUCER_REQUEST_H
#define SKINSIGHT_PRODUCER_REQUEST_H

#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/program/config.h"
#include "common/records/job.h"
#include "common/services/object_store.h"

// What all jobs of a run have in common. Texts are borrowed from the config.
struct request_options {
    const char *model_version; // empty: the model in service
    const char *site;          // empty: not said
    const char *subject;       // empty: not said
    struct job_metadata metadata;
    int64_t deadline_ms; // from the moment the record is made; 0: none
    int64_t inline_limit_bytes;
    bool keep_images; // those in records are put into the object store too
    int64_t max_image_bytes;
    int64_t store_timeout_ms; // for storing one large image, retries included
    struct object_store_options store;
};

struct request_maker {
    struct request_options options;
    struct object_store *store; // opened when the first image is to be stored
    bool loss_told;             // that an image could not be kept
    struct buffer image;
    struct buffer record;
};

// Reads the options of config and the flags of submit. REJECTED names what is wrong with the metadata file.
enum status request_options_read(struct request_options *options, const struct config *config,
                                 struct error *err) MUST_CHECK;

void request_maker_init(struct request_maker *maker, const struct request_options *options);
void request_maker_release(struct request_maker *maker);

// *value is valid until the next call. REJECTED, FATAL: this file can't be sent, others may; RETRY: the
// object store stayed away for store_timeout_ms. Stops early, with RETRY, when the program is asked to stop.
enum status request_make(struct request_maker *maker, const char *path, const char *request_id,
                         struct bytes *value, struct error *err) MUST_CHECK;

#endif
