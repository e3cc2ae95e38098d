// requests.h: the requests of all gateways, in SQL. A row is one request id and has three states:
//
//     accepted  its gateway is handing the job to Kafka; nobody outside has been told of it
//     queued    the job record lies at `place`; from here on clients may be told to wait
//     answered  what the fleet made of it: a reply, or a problem
//
// A row has one owner at a time, under a lease that the owner renews; a row whose lease has run out may be
// taken by anybody. An attempt is one run through the states; a problem that another try may not have ends
// the attempt, and the next POST opens another one.
//
// Every change says what it found before and does nothing where that is no longer so: whoever comes second
// reads the row again. So each attempt gets one answer, whatever gateways do at the same time. All functions
// are statements inside the caller's transaction, or alone; what their failures mean stands in sql.h. One
// thread for each struct sql.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_REQUESTS_H
#define SKINSIGHT_PRODUCER_GATEWAY_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/records/job.h"
#include "common/records/prediction.h"
#include "common/services/sql.h"
#include "producer/gateway/problem.h"

enum request_state { REQUEST_ACCEPTED = 1, REQUEST_QUEUED, REQUEST_ANSWERED };

enum {
    REQUEST_OWNER_SIZE = 37,
    REQUEST_PLACE_SIZE = 288, // "<topic>/<partition>/<offset>"
    REQUEST_DETAIL_SIZE = 512,
    REQUEST_REPLY_MOST = 64 << 10,
};

struct request_row {
    char request_id[JOB_REQUEST_ID_SIZE];
    char site[JOB_TOKEN_SIZE];
    struct digest content; // of content_digest
    char image_sha256[DIGEST_TEXT_SIZE];
    enum request_state state;
    int64_t attempt; // from 1
    char owner[REQUEST_OWNER_SIZE];
    int64_t lease_until;            // Unix ms, as all times here
    int64_t accepted_at;            // when the attempt began
    int64_t deadline_at;            // of the job
    int64_t submitted_at;           // of the attempt's first job record; 0: not known
    char place[REQUEST_PLACE_SIZE]; // empty: not known yet
};

// What an answered one was answered with.
struct request_outcome {
    enum problem problem;             // PROBLEM_NONE: there is a reply
    char detail[REQUEST_DETAIL_SIZE]; // of the problem
    char map_uri[JOB_URI_SIZE];       // empty: no map
    struct buffer reply;              // of reply_write
};
void request_outcome_init(struct request_outcome *outcome);
void request_outcome_release(struct request_outcome *outcome);

// Whether the terminal record answers the row's attempt: it is of the job at the row's place or, while that
// is not known, of a job like it that this attempt may have sent: a crash may have lost the delivery report.
bool request_row_fits(const struct request_row *row, const struct prediction *prediction);

void requests_place(char place[REQUEST_PLACE_SIZE], const char *topic, int32_t partition, int64_t offset);

// Makes the tables, or brings them up to date.
enum status requests_migrate(struct sql *sql, struct error *err) MUST_CHECK;

// outcome (NULL: not wanted) is empty before; filled in where the request is answered.
enum status requests_find(struct sql *sql, const char *request_id, struct request_row *row,
                          struct request_outcome *outcome, bool *found, struct error *err) MUST_CHECK;

// A new row, accepted. done false: there is one with this id.
enum status requests_accept(struct sql *sql, const struct request_row *row, bool *done,
                            struct error *err) MUST_CHECK;
// Begins an attempt again, or the next one: row replaces what `seen` was. done false: it has changed since.
enum status requests_take(struct sql *sql, const struct request_row *seen, const struct request_row *row,
                          bool *done, struct error *err) MUST_CHECK;
// Kafka has the job, at row->place. done false: the row is no longer this owner's, or has its answer already.
enum status requests_queue(struct sql *sql, const struct request_row *row, bool *done,
                           struct error *err) MUST_CHECK;
// Whether Kafka has the job is not known: anybody may take the row now.
enum status requests_release(struct sql *sql, const struct request_row *row, struct error *err) MUST_CHECK;

struct request_times {
    int64_t answered_at;
    int64_t review_due_at; // -1: no review is due
};
// The attempt's answer: of the first record that fits (request_row_fits).
// done false: it has one, or the attempt is another by now.
enum status requests_answer(struct sql *sql, const struct request_row *row,
                            const struct request_outcome *outcome, const struct request_times *times,
                            bool *done, struct error *err) MUST_CHECK;

// The owner is alive: its rows stay its own until then.
enum status requests_renew(struct sql *sql, const char *owner, int64_t lease_until,
                           struct error *err) MUST_CHECK;
// Rows without an answer and without a living owner (now: their lease is over by then; INT64_MAX: whatever
// their lease) become owner's; at most `most`, which are copied to rows. Where it fails, count has those that
// are owner's by then, or may be: nobody else would take them.
enum status requests_adopt(struct sql *sql, const char *owner, int64_t now, int64_t lease_until,
                           struct request_row *rows, size_t most, size_t *count,
                           struct error *err) MUST_CHECK;
// Deletes at most `most` rows whose attempt began before then.
enum status requests_forget(struct sql *sql, int64_t before, int64_t most, int64_t *deleted,
                            struct error *err) MUST_CHECK;

#endif
