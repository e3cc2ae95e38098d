// publisher.h: answers that go out together, with the offsets that they answer.
//
// Used by the publish thread and, inside a rebalance, by the consume thread; never by both at once: every
// call below wants assignment.membership held. Answers stay in the publisher until a transaction with them is
// known to be committed. Where an outcome is unknown (worker/group/transactions.h), what the committed
// offsets already name is not published again.
#ifndef SKINSIGHT_WORKER_GROUP_PUBLISHER_H
#define SKINSIGHT_WORKER_GROUP_PUBLISHER_H

#include "worker/group/committed.h"

struct publisher;

// Offsets go to the group of worker->consumer. Connects when first used.
struct publisher *publisher_new(struct worker *worker);
void publisher_free(struct publisher *publisher); // ends what it still holds; NULL is allowed

bool publisher_has_room(const struct publisher *publisher);
// Takes the job, for which there has to be room. False: it was the last one, by number or by the bytes of
// what goes to Kafka; publish before the next.
bool publisher_add(struct publisher *publisher, struct job *job);
// Publishes everything it holds in one transaction, with the offsets of these partitions; without an answer
// COMMIT_ANSWERED does nothing. RETRY: nothing is known to be published, everything is kept; call again.
// REJECTED, FATAL: it would be so again (a Kafka property is wrong, no memory for an answer), so worker_fail
// was called; everything is kept.
enum status publisher_publish(struct publisher *publisher, enum commit_scope scope,
                              struct error *err) MUST_CHECK;
// Drops every answer: the partitions are lost.
void publisher_drop(struct publisher *publisher);

#endif
