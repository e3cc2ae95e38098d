// waiting.h: the requests that this gateway waits for, in memory: one entry for each request id without an
// answer, with the visits that want it. Found by request id or by the place of its job record. The desk's
// alone.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_WAITING_H
#define SKINSIGHT_PRODUCER_GATEWAY_WAITING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/services/record_sender.h"
#include "producer/gateway/visit.h"

struct arrived_model {
    char version[JOB_TOKEN_SIZE]; // empty: no model has answered
    char weights_sha256[DIGEST_TEXT_SIZE];
    int trained;
};

// What a terminal record says, until it is stored.
struct arrival {
    struct arrived_model model;
    struct request_outcome outcome;
    struct request_times times;
    bool stored; // by us; else somebody else was first
};

struct desk;

// What a record is sent with; the sender gives it back with Kafka's verdict.
struct outgoing {
    void (*delivered)(struct desk *desk, struct outgoing *outgoing, const struct delivery *delivery);
};

struct waiting {
    struct outgoing outgoing; // first
    struct request_row row;   // as last seen in SQL
    struct visit *visits;     // owned
    bool producing;           // Kafka's verdict on its job record is to come
    bool urgent;              // its job record is in the urgent topic
    bool queued;              // that verdict is in SQL
    bool ended;               // it has its answer, and is only here until that verdict comes
    int place;                // in gateway->admission; 0: none
    struct delivery delivery;
    struct arrival *arrival;        // owned; NULL: none
    struct waiting *next_delivered; // of the desk's lists of entries with news
    struct waiting *next_arrived;
    struct waiting *next; // of the table
};

struct waiting_table {
    struct waiting **buckets;
    size_t bucket_count; // a power of two
    size_t count;
};

void waiting_init(struct waiting_table *table, size_t expected);
void waiting_release(struct waiting_table *table); // frees the visits too, unanswered

struct waiting *waiting_find(const struct waiting_table *table, const char *request_id);  // NULL: none
struct waiting *waiting_find_place(const struct waiting_table *table, const char *place); // slow
struct waiting *waiting_add(struct waiting_table *table, const struct request_row *row);  // there is none yet
void waiting_remove(struct waiting_table *table, struct waiting *entry); // without visits; frees it

// Every entry, each of which `visit` may remove.
void waiting_each(struct waiting_table *table, void (*each)(void *context, struct waiting *entry),
                  void *context);

#endif
