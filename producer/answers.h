// answers.h: reads the predictions topic from "now" on, without a group, as a read_committed reader. Used by
// one thread.
#ifndef SKINSIGHT_PRODUCER_ANSWERS_H
#define SKINSIGHT_PRODUCER_ANSWERS_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/config.h"
#include "common/status.h"

struct answers;

// Makes the client, which connects in the background.
enum status answers_open(struct answers **answers, const struct config *config, struct error *err) MUST_CHECK;
// Takes the end of every partition of the predictions topic and reads from there: every answer to a job that
// is sent after this call will be seen. RETRY: a broker or the topic is away.
enum status answers_start(struct answers *answers, int64_t timeout_ms, struct error *err) MUST_CHECK;
// From now on fd (an eventfd) becomes readable when there is something to take.
void answers_wake(struct answers *answers, int fd);
// Calls take for every record that has arrived; key and value live until take returns. Does not wait.
void answers_take(struct answers *answers, void (*take)(void *context, struct bytes key, struct bytes value),
                  void *context);
void answers_close(struct answers *answers); // NULL is allowed

#endif
