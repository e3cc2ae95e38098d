// consume.h: the consume thread: Kafka records in, jobs out; joins the group, serves rebalances, keeps
// polling while the pipeline is full. The thread that calls consume_run is the consume thread.
#ifndef SKINSIGHT_WORKER_STAGES_CONSUME_H
#define SKINSIGHT_WORKER_STAGES_CONSUME_H

#include "worker/worker.h"

struct consume;

// Makes the consumer. REJECTED: a Kafka property is wrong.
enum status consume_open(struct consume **consume, struct worker *worker, struct error *err) MUST_CHECK;

// Waits until the broker answers and every topic exists, saying what is missing; false: a stop was asked for
// meanwhile.
bool consume_wait_for_topics(struct consume *consume);

// Takes records until a stop is asked for, then serves rebalances until worker->pipeline_done. On any fatal
// error of the group calls worker_fail.
void consume_run(struct consume *consume);

// Leaves the group: the last answers and offsets go out inside the revoke.
void consume_close(struct consume *consume); // NULL is allowed

#endif
