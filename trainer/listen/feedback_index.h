// feedback_index.h: what listen has read, in a SQLite file of its own in the data set's folder: feedback, the
// image of each answered request, and how far each partition was read.
//
// Records and the offsets behind them are written in one transaction: what is read is there once, whatever
// dies when. Nothing depends on the order of arrival, so that reading a record again changes nothing. Main
// thread.
#ifndef SKINSIGHT_TRAINER_LISTEN_FEEDBACK_INDEX_H
#define SKINSIGHT_TRAINER_LISTEN_FEEDBACK_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/feedback.h"

struct feedback_index;

// Opens folder/listen.db, or makes it. Errors as sql_open's and sql_migrate's (common/services/sql.h).
enum status feedback_index_open(struct feedback_index **index, const char *folder,
                                struct error *err) MUST_CHECK;
void feedback_index_close(struct feedback_index *index); // NULL is allowed

// ---- what was read: inside a transaction; errors as sql_run's ----

enum status feedback_index_begin(struct feedback_index *index, struct error *err) MUST_CHECK;
enum status feedback_index_commit(struct feedback_index *index, struct error *err) MUST_CHECK;
void feedback_index_rollback(struct feedback_index *index);

// is_new: it was not known, byte for byte of what it means.
enum status feedback_index_add(struct feedback_index *index, const struct feedback *feedback, bool *is_new,
                               struct error *err) MUST_CHECK;

// An answer's request and its image.
struct answered_request {
    const char *request_id;
    const char *image_sha256;
    const char *site, *subject; // "": not known
    int64_t answered_at;        // Unix ms
};
// awaited: some feedback names the request.
enum status feedback_index_add_request(struct feedback_index *index, const struct answered_request *request,
                                       bool *awaited, struct error *err) MUST_CHECK;

void feedback_index_count_refused(struct feedback_index *index); // a record that is none

// How far a partition was read.
struct read_place {
    int64_t next;    // offset to read next; -1: the partition was never read
    int64_t witness; // digest of the record in front of it; 0: not known
};
enum status feedback_index_place(struct feedback_index *index, const char *topic, int32_t partition,
                                 struct read_place *place, struct error *err) MUST_CHECK;
enum status feedback_index_set_place(struct feedback_index *index, const char *topic, int32_t partition,
                                     const struct read_place *place, struct error *err) MUST_CHECK;
// Of every partition that was ever read, by topic and partition.
enum status feedback_index_offsets(struct feedback_index *index,
                                   void (*take)(void *context, const char *topic, int32_t partition,
                                                int64_t next),
                                   void *context, struct error *err) MUST_CHECK;

// ---- images ----

enum image_state {
    IMAGE_UNKNOWN, // nobody has asked for it yet
    IMAGE_HERE,    // in the data set's folder
    IMAGE_ABSENT,  // the object store has none
    IMAGE_DIFFERS, // what the store has under its name is something else, or too large
};
// tried_at: when it was asked for, Unix ms.
enum status feedback_index_set_image(struct feedback_index *index, const char *image_sha256,
                                     enum image_state state, int64_t tried_at, struct error *err) MUST_CHECK;

// ---- labels ----

// One feedback record with what is known of its image. Texts are "" where absent.
struct label_row {
    char image_sha256[DIGEST_TEXT_SIZE]; // its own, else its request's; of a request with several the least
    char feedback_id[JOB_REQUEST_ID_SIZE];
    char request_id[JOB_REQUEST_ID_SIZE];
    int label, certainty;
    int64_t reviewed_at;
    char lesion_id[FEEDBACK_NAME_SIZE];
    char subject[DIGEST_TEXT_SIZE]; // its own, else that of the image's requests
    char site[JOB_TOKEN_SIZE];      // of the image's requests
    int atypical;
    bool withdrawn;     // some record of its picture supersedes it
    bool contradictory; // another of its picture has the same feedback_id and says something else
    int64_t images;     // that its request has answers for; 0: the request is not known
    bool names_image;   // image_sha256 is its own
    bool agrees;        // image_sha256 is one of its request's
    enum image_state state;
    int64_t tried_at;
};

// Every row, by image and then by feedback_id. Until it returns the index takes no other call. Stops with
// take's status.
enum status feedback_index_walk(struct feedback_index *index,
                                enum status (*take)(void *context, const struct label_row *row,
                                                    struct error *err),
                                void *context, struct error *err) MUST_CHECK;

// ---- numbers ----

enum index_number {
    INDEX_LABELS,          // feedback records that differ
    INDEX_REPEATED,        // feedback records that were known already
    INDEX_REFUSED,         // records of either topic that are none
    INDEX_TRAINED_LABELS,  // INDEX_LABELS when the newest training began
    INDEX_TRAINED_AT,      // when it began, Unix ms; 0: never
    INDEX_TRAINED_VERSION, // on which
    INDEX_TRAINING,        // the same until it has ended; then 0
    INDEX_TRAINING_TRIES,  // how often it failed
    INDEX_NUMBERS
};
enum status feedback_index_number(struct feedback_index *index, enum index_number number, int64_t *value,
                                  struct error *err) MUST_CHECK;
enum status feedback_index_set_number(struct feedback_index *index, enum index_number number, int64_t value,
                                      struct error *err) MUST_CHECK;

// Forgets requests answered before then which no feedback names, nor their image: that has its site and
// subject from them. changed: how many.
enum status feedback_index_forget(struct feedback_index *index, int64_t answered_before, int64_t *changed,
                                  struct error *err) MUST_CHECK;

#endif
