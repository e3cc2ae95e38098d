// gateway.h: what the parts of "serve" share. The command (serve.c) makes it, opens the parts in the order in
// which they stand here and closes them in the other; it is read-only in between but for what is atomic and
// what has its own lock.
//
//     HTTP thread       headers, who asks, the body as it comes, the job record (routes.c)
//       | visit         large images first go to the object store (errands.c, some threads)
//     desk              requests in SQL, jobs to Kafka, answers from Kafka (desk.c, one thread)
//       | answer
//     HTTP thread
#ifndef SKINSIGHT_PRODUCER_GATEWAY_GATEWAY_H
#define SKINSIGHT_PRODUCER_GATEWAY_GATEWAY_H

#include <stdatomic.h>

#include "common/program/config.h"
#include "common/services/http_server.h"
#include "common/services/object_store.h"
#include "producer/gateway/admission.h"
#include "producer/gateway/link.h"
#include "producer/gateway/requests.h"
#include "producer/gateway/shares.h"

struct audit;
struct signer;
struct desk;
struct errands;
struct identity_gate;
struct rate_limits;

struct gateway_options {
    const struct config *config;
    int64_t answer_timeout_ms;
    int64_t job_deadline_ms;
    int64_t inline_limit_bytes;
    int64_t max_image_bytes;
    int64_t link_lifetime_ms;
    int64_t retention_ms;
    bool keep_images; // those in records too go to the object store
};

struct gateway {
    struct gateway_options options;
    char owner[REQUEST_OWNER_SIZE]; // this process, in rows of requests
    struct buffer subject_key;      // empty: no subjects
    struct link_signer links;
    struct admission admission;
    struct shares bytes;   // of all bodies and records inside
    atomic_int visits;     // deferred and not answered yet
    atomic_bool connected; // the desk has Kafka and SQL
    atomic_bool stopping;  // no new requests
    struct signer *signer; // NULL: heads of the audit are not signed
    struct audit *audit;
    struct identity_gate *identities;
    struct rate_limits *rates;
    struct object_store *objects;
    struct errands *errands;
    struct desk *desk;
    const struct http_route *routes; // of the server
    struct http_server *server;
};

#endif
