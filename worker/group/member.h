// member.h: this worker as a member of its consumer group: the consumer, made, subscribed and made anew.
// Thread: consume; before it starts, main.
#ifndef SKINSIGHT_WORKER_GROUP_MEMBER_H
#define SKINSIGHT_WORKER_GROUP_MEMBER_H

#include "worker/worker.h"

// Makes worker->consumer, with worker->callbacks. REJECTED: a property is wrong.
enum status member_open(struct worker *worker, struct error *err) MUST_CHECK;
void member_close(struct worker *worker); // revokes, which publishes, and leaves the group

enum status member_subscribe(struct worker *worker, struct error *err) MUST_CHECK;

// Closes this member, whose partitions are dropped, and joins with a new one. On an error the old one may
// still be there.
enum status member_renew(struct worker *worker, struct error *err) MUST_CHECK;

// Whether a fatal error of the consumer is the fence that librdkafka 2.0 puts before its own return: a static
// member whose session ran out while no broker answered. Otherwise the fence was put up by another process
// with the same instance, and fighting it would stop both.
bool member_fenced_by_outage(const struct worker *worker);
// The group has just given this member partitions: it is back from whatever outage was before.
void member_is_assigned(struct worker *worker);
// The group has taken them, all of them: a rebalance has begun, or this worker is no member any more.
void member_is_revoked(struct worker *worker);
// Whether this worker has been without a broker, or no member of its group, for a whole session;
// reason says which. Any thread, while the consume thread may wait for a broker.
bool member_is_out(struct worker *worker, char *reason, size_t size);

#endif
