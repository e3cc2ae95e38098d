// desk.h: the one thread that decides about requests. It alone uses the gateway's SQL connection, sends jobs,
// and reads the predictions topic, so that nothing of it needs a lock; what waits together is written in one
// transaction.
//
//     visit -> accepted in SQL -> job to Kafka -> its delivery report: queued in SQL -> terminal record:
//     answered in SQL -> every visit that waits for it is answered
//
// docs/RELIABILITY.md has what a crash at each of these points leaves behind.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_DESK_H
#define SKINSIGHT_PRODUCER_GATEWAY_DESK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

struct desk;
struct gateway;
struct visit;

// Opens SQL, makes its tables, and starts the thread, which connects to Kafka in its own time. RETRY: the
// database is away.
enum status desk_open(struct desk **desk, struct gateway *gateway, struct error *err) MUST_CHECK;
// Takes the visit. False: it has too many already, and the visit is still the caller's. Any thread.
bool desk_push(struct desk *desk, struct visit *visit);
// From now on nobody is kept waiting for the fleet. Any thread.
void desk_hurry(struct desk *desk);
// After the HTTP server is closed. What it still has stays unanswered. NULL is allowed.
void desk_close(struct desk *desk);

#endif
