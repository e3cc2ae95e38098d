// job.h: one record's journey through the worker. The stages fill their blocks in order; a stage that
// can't do its work fails the job (code, error), and it leaves by the same door as the others. One owner at a
// time: the thread that popped it from a queue.
#ifndef SKINSIGHT_WORKER_JOB_H
#define SKINSIGHT_WORKER_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/memory.h"
#include "common/records/job.h"
#include "common/records/lesion.h"
#include "common/records/prediction.h"
#include "common/services/object_store.h"
#include "worker/metrics_rows.h"
#include "worker/policy.h"

struct served_model;

enum job_topic { TOPIC_ROUTINE, TOPIC_URGENT, TOPIC_COUNT };

enum { JOB_BATCH_ID_SIZE = 37, JOB_WORKER_SIZE = 65, JOB_ANSWER_LIMIT = 64 * 1024 };

struct job {
    enum job_code code;            // JOB_OK, or why it is answered with an error
    struct error error;            // the sentence for code
    int64_t moments[MOMENT_COUNT]; // Unix ms; 0: not reached

    // consume
    enum job_topic topic;
    int32_t partition;
    int64_t offset;
    uint32_t epoch;              // of the partition's assignment when the record arrived
    int attempt;                 // 1, and one more for each owner that died with it
    int64_t taken_us;            // monotonic
    struct served_model *served; // the model that answers it; NULL: it is not inside the pipeline yet
    struct buffer key;           // the record's, of at most a limit; empty where it is longer
    struct buffer value; // the record's, for the dead letters; released once the job can't fail any more
    bool null_key, null_value;
    bool key_omitted;                                // the record's key was too long to be sent again
    bool replayed;                                   // sent again from the dead letters
    uint64_t record_digest;                          // witness.h; 0: none
    size_t record_bytes, image_bytes, picture_bytes; // as counted in the worker's
    bool careful;   // runs alone in the process, after two owners of its partition died
    bool marked;    // the commit metadata say so
    bool convicted; // it has killed every worker that ran it alone
    bool taken;     // counted in the partition's offsets
    bool inside;    // counted in worker->inside
    bool ends_log;  // nothing lay behind it when it was held
    bool oversized; // too long for a job or for the dead letters, or not read: sent without its value

    // fetch, load
    struct job_record record;
    bool model_found;      // served is what the record asks for
    uint8_t *inline_image; // holds record.image; released after decoding
    struct buffer object;  // the claim-checked image; released after decoding
    struct bytes image;    // in inline_image or object
    bool unfetched;        // given up because the worker stops or the partition went, not because of the job
    struct digest image_sha256;
    bool has_image_sha256;
    int64_t image_file_bytes;         // with image_sha256, also where the image is released
    char cache_key[DIGEST_TEXT_SIZE]; // empty: no cache
    bool cache_hit;

    // decode
    size_t picture_size; // what decoding may take; 0: it is not being decoded
    uint8_t *view;       // plan's view_size bytes, ours
    struct features features;
    int64_t preprocessing_us;

    // batch
    char batch_id[JOB_BATCH_ID_SIZE];
    int batch_size;
    bool computing; // counted in worker->computing
    enum batch_reason batch_reason;

    struct job *next_leader; // flights.h
    struct job *next_rider;

    // infer
    float logits[LESION_CLASSES];
    float *maps;      // (heads, map_height, map_width), ours; NULL: none
    float *embedding; // (embedding_width), ours; NULL: the model has no reference
    int64_t inference_us;

    // postprocess
    float probabilities[LESION_CLASSES];
    struct decision decision;
    struct ood_values ood;               // distance and quantile NaN: the model has no reference
    char attention_key[OBJECT_KEY_SIZE]; // empty: no map was stored
    struct digest attention_sha256;
    struct error attention_error; // why there is none
    struct buffer answer;         // the terminal record, JSON, of at most JOB_ANSWER_LIMIT
};

// With room for the record's key and value.
struct job *job_new(size_t key_size, size_t value_size);
void job_free(struct job *job); // NULL is allowed

// Fails the job with a sentence; the first failure stays.
void job_fail(struct job *job, enum job_code code, const char *format, ...) PRINTF_LIKE(3, 4);
void job_stamp(struct job *job, enum job_moment moment);

#endif
