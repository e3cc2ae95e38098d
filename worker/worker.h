// worker.h: what the stages of one worker share. Filled in by worker_open before any thread starts; after
// that the settings are read-only and every other part has its own lock.
#ifndef SKINSIGHT_WORKER_WORKER_H
#define SKINSIGHT_WORKER_WORKER_H

#include <stdatomic.h>

#include "common/base/queue.h"
#include "common/program/config.h"
#include "common/services/kafka.h"
#include "common/services/object_store.h"
#include "common/services/redis.h"
#include "worker/cache/unproven.h"
#include "worker/group/assignment.h"
#include "worker/group/blocked.h"
#include "worker/group/broker_clock.h"
#include "worker/group/reading.h"
#include "worker/job.h"
#include "worker/policy.h"
#include "worker/served_model.h"

struct consume;
struct publisher;
struct watchdog;

enum stage_id {
    STAGE_FETCH,
    STAGE_LOAD,
    STAGE_DECODE,
    STAGE_BATCH,
    STAGE_INFER,
    STAGE_POSTPROCESS,
    STAGE_PUBLISH,
    STAGE_COUNT,
    STAGE_NONE = STAGE_COUNT, // nowhere: the job is not finished here, its next owner does it
    STAGE_TOTAL = STAGE_COUNT // in metrics: all of them together
};

enum worker_phase {
    PHASE_STARTING,
    PHASE_NO_BROKER,
    PHASE_NO_TOPICS,
    PHASE_JOINING, // the group has not assigned this worker its share yet, which may be none
    PHASE_RUNNING,
    PHASE_STOPPING
};

// Brokers that did not answer when they were asked for the ends of their logs: none of them is asked again
// before until_ms (monotonic). More than the table holds are asked each time.
enum { SILENT_LEADERS = 8 };
struct silent_leaders {
    int32_t brokers[SILENT_LEADERS];
    int count;
    int64_t until_ms;
};

struct worker {
    const struct config *config;
    char instance[JOB_WORKER_SIZE]; // names this worker in records and logs
    uint32_t owner;                 // names this process in the commit metadata; never 0

    // settings: options that are read for each job
    size_t max_image_bytes;
    int64_t max_image_pixels;
    int64_t cache_ttl_ms;
    bool checked_again; // the device is, now and then
    int64_t job_budget_ms;
    int intake_limit_jobs;
    int64_t intake_limit_bytes;
    int64_t batch_delay_ms;
    int batch_max;
    int window;             // of each partition's offsets
    bool metadata_old_form; // commit metadata without a witness
    int64_t commit_interval_ms;
    int64_t transaction_timeout_ms;

    // what answers
    struct served_model served; // the model in service; the stages ask the job for its model
    struct policy policy;
    struct object_store *objects;
    struct redis *cache; // NULL: none
    struct unproven unproven;
    atomic_bool cache_withholds; // told: nothing is stored until the next check
    atomic_int device;           // enum device_state; set by infer

    // the group
    struct assignment assignment;
    struct publisher *publisher; // used only with assignment.membership held
    rd_kafka_t *consumer;        // whose group offsets are committed for; changes with membership held
    struct broker_clock broker_clock;
    struct reading reading;    // how far each partition is read
    struct blocked blocked;    // those that are not read for now
    struct kafka_signs signs;  // of the consumer, and of a careful worker's reader
    atomic_bool reads_again;   // records were given up that this worker has to read again
    atomic_llong out_since_ms; // monotonic: since when it is no member of its group; 0: it is one
    // the group, for the consume thread alone
    struct consume *consume;
    struct kafka_callbacks callbacks, reader_callbacks; // what the consumer and the reader tell
    bool
        reads_alone; // a careful partition is, or was, held: the consumer reads nothing, a reader each record
    bool marks_are_stale;  // that a partition runs here, or a record of it is read, is committed otherwise
    unsigned refused_seen; // of signs.refused_fetches
    int64_t look_next_ms;  // monotonic: when to look again for unknown places
    struct silent_leaders silent;

    // the jobs inside
    struct queue inboxes[STAGE_COUNT];
    atomic_int unfinished;          // jobs taken and not yet answered or dropped
    atomic_int inside[TOPIC_COUNT]; // those that have no answer yet: these fill intake_limit_jobs
    atomic_int computing;           // those from the batch that takes them to the publisher
    atomic_int device_batches;      // handed to infer and not yet done
    atomic_bool handing_over;       // a rebalance waits for those that compute: no new batch
    atomic_llong record_bytes;      // what the records hold, as last counted
    atomic_llong image_bytes;       // and the images, which jobs before load have none of
    atomic_llong picture_bytes;     // and what those may take that are being decoded
    pthread_mutex_t picture_turn;   // held by the job that waits for room to be decoded

    // how it stands, for /readyz
    atomic_int phase;                  // enum worker_phase
    pthread_mutex_t waiting_lock;      // of waiting_for and unpublished_for
    struct error waiting_for;          // what PHASE_NO_... miss
    struct error unpublished_for;      // why the last try to publish failed; empty: none did
    atomic_llong unpublished_since_ms; // monotonic: since when answers wait to be published; 0: none do
    struct watchdog *watchdog;         // NULL: the stages don't run

    // its end
    atomic_bool stopping;      // a stop was asked for: jobs not begun are dropped, the rest is finished
    atomic_bool pipeline_done; // every stage has ended
    atomic_bool failing;       // the first failure is being written down
    atomic_bool failed;        // it is
    struct error failure;      // written once, before failed is set
};

// The options that name the topics a worker reads and writes.
enum { WORKER_TOPIC_COUNT = 4 };
extern const char *const worker_topic_options[WORKER_TOPIC_COUNT];

const char *job_topic_name(const struct worker *worker, enum job_topic topic);
enum job_topic job_topic_of(const struct worker *worker, const char *name); // name: of one of the two

// REJECTED where a topic has two roles: it would feed the worker its own output, or split a partition's
// answers between two lists.
enum status worker_check_topics(const struct config *config, struct error *err) MUST_CHECK;
// Opens model, device, policy, stores. REJECTED or FATAL with the sentence.
enum status worker_open(struct worker *worker, const struct config *config, struct error *err) MUST_CHECK;
void worker_close(struct worker *worker);

// A record becomes a job of the pipeline: it counts as inside, so do its bytes, and the model in service
// answers it.
void worker_begin_job(struct worker *worker, struct job *job);
// Gives a job to a stage, waiting for room. One that goes to publish has its answer and is inside no more.
// Thread: any stage's.
void worker_pass(struct worker *worker, struct job *job, enum stage_id stage);
// The same without waiting: QUEUE_OK, or QUEUE_FULL and it stays the caller's. Thread: consume, which has to
// poll.
enum queue_result worker_offer(struct worker *worker, struct job *job, enum stage_id stage);
// The job goes to the device, or is with the publisher or ended.
void worker_begin_computing(struct worker *worker, struct job *job);
void worker_end_computing(struct worker *worker, struct job *job);
// Counts anew what the job's record, image and picture hold. worker_has_bytes: all jobs together keep within
// intake_limit_bytes, and their records and images leave a quarter of it to decoding.
void worker_count_bytes(struct worker *worker, struct job *job);
bool worker_has_bytes(struct worker *worker);
// Waits until the job's picture of this size has room within intake_limit_bytes, and counts it. One that is
// larger than all of that is decoded while no other is. Pictures come in turn, so that small ones don't keep
// a large one waiting; only those that are being decoded are waited for, so that room always appears. Thread:
// decode.
void worker_admit_picture(struct worker *worker, struct job *job, size_t size);
// Whether the job holds a prediction that must not go out, since the device was found to compute wrong. Any
// thread.
bool worker_suspects(struct worker *worker, const struct job *job);
// The job has ended: answered, or dropped because it is not ours any more.
void worker_end_job(struct worker *worker, struct job *job);
// What the worker waits for: /readyz says so at once, the log when it is something new or was told a while
// ago. told_ms: the caller's, 0 at first. Thread: consume; main's before that starts.
void worker_complain(struct worker *worker, const struct error *complaint, int64_t *told_ms);
// The process can't go on: remembers the first sentence and asks for the stop.
void worker_fail(struct worker *worker, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
