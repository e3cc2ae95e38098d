// desk_internal.h: the desk's insides, for desk*.c alone. Everything here runs on the desk's thread.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_DESK_INTERNAL_H
#define SKINSIGHT_PRODUCER_GATEWAY_DESK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/queue.h"
#include "common/services/record_sender.h"
#include "common/services/sql.h"
#include "common/services/topic_reader.h"
#include "producer/gateway/desk.h"
#include "producer/gateway/gateway.h"
#include "producer/gateway/waiting.h"

enum {
    DESK_BATCH = 64,         // visits in one transaction
    DESK_DELIVERY_MS = 5000, // Kafka's time for a job record
    DESK_LEASE_MS = 8000,    // longer than that, so that a living owner is not overtaken
    DESK_OVERDUE_MS = 60000, // behind the job's deadline, and of listening, the attempt is given up
};

#define DESK_AFTER_RENEWAL INT64_MAX // of next_adopt_ms: a lease's time after leases can be renewed

struct sending; // desk_feedback.c

struct desk {
    struct gateway *gateway;
    struct sql *sql;
    bool exclusive; // no other gateway shares the database
    struct record_sender sender;
    struct topic_reader *reader;
    struct topic_range *ranges; // one for each of its partitions
    int partitions;             // 0: not connected yet
    bool following;
    int64_t heard_ms;     // monotonic clock: when a broker last answered a question
    int64_t followed_at;  // Unix ms of the last start of reading
    int64_t attentive_at; // Unix ms until which an answer may have been missed or not been read yet
    bool late;            // this tick has found an attempt behind its deadline
    struct waiting_table table;
    struct waiting *delivered, *arrived; // with news to be stored
    struct sending *told;                // feedback whose verdicts have all come
    struct queue inbox;                  // visits
    int wake_fd;                         // an eventfd: something has come
    pthread_t thread;
    atomic_bool hurry, closing;
    // Monotonic clock.
    int64_t next_connect_ms, next_store_ms, next_lease_ms, next_adopt_ms, next_foreign_ms, next_forget_ms,
        next_overdue_ms, next_complaint_ms, next_probe_ms;
};

// desk_visits.c: takes what is in the inbox, and acts on it.
void desk_take_visits(struct desk *desk);
// The entry of a row, made where there is none.
struct waiting *desk_wait_for(struct desk *desk, const struct request_row *row);
// All of the entry's visits get the outcome.
void desk_answer_all(struct waiting *entry, const struct request_outcome *outcome);
void desk_refuse_all(struct waiting *entry, enum problem problem, const char *detail);
// Whether Kafka has the entry's job is not known; without visits. Anybody may take the row, and the entry
// goes.
void desk_release(struct desk *desk, struct waiting *entry);
// Reads the entry's row again, which somebody else may have changed or answered.
void desk_look_again(struct desk *desk, struct waiting *entry);
// The entry has its answer: it goes, once Kafka's verdict and what has arrived are dealt with.
void desk_end(struct desk *desk, struct waiting *entry);

// desk_connection.c: connects, where that is due; waits some seconds at most. gateway->connected says how it
// is.
void desk_stay_connected(struct desk *desk);
// The predictions are to be read again from when the oldest entry was accepted.
void desk_follow_anew(struct desk *desk);

// desk_kafka.c
// Hands the entry's job to Kafka. False: it can't be sent now.
bool desk_produce(struct desk *desk, struct waiting *entry, struct bytes record, bool urgent);
void desk_take_deliveries(struct desk *desk);
void desk_take_arrivals(struct desk *desk);
// The entry's answer, of a record or of our own making.
void desk_set_arrival(struct desk *desk, struct waiting *entry, struct arrival *arrival);

// desk_feedback.c
enum status desk_decide_feedback(struct sql *sql, struct visit *visit, struct error *err) MUST_CHECK;
void desk_send_feedback(struct desk *desk, struct visit *visit);
void desk_end_feedback(struct desk *desk);

// A transaction has failed. desk.c
void desk_store_failed(struct desk *desk, const struct error *err);

// desk_time.c: leases, rows of dead owners, visits whose time is up, attempts that are given up.
void desk_adopt(struct desk *desk, bool whatever_lease);
void desk_tick(struct desk *desk);

#endif
