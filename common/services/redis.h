// redis.h: a cache that may fail. A pool of connections, each made when first needed, with one time limit on
// every call, connecting included; after a failure the connection is dropped (a late reply must never answer
// the next question) and after several failures in a row the circuit opens: calls answer RETRY at once until
// a pause has passed.
#ifndef SKINSIGHT_COMMON_SERVICES_REDIS_H
#define SKINSIGHT_COMMON_SERVICES_REDIS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

struct redis;
struct circuit_watch; // circuit.h

// REJECTED unless url is redis://[user:password@]host[:port][/database] or unix://[user:password@]/path;
// rediss:// says that TLS is not supported.
enum status redis_url_check(const char *url, struct error *err) MUST_CHECK;
// A URL of this form that names a socket, or whose host is localhost, 127.0.0.0/8 or ::1.
bool redis_url_is_local(const char *url);
// REJECTED as by redis_url_check. Does not connect. connections: how many threads may be inside a call at
// once; a further one gets RETRY.
enum status redis_open(struct redis **redis, const char *url, int64_t timeout_ms, int connections,
                       struct error *err) MUST_CHECK;
void redis_close(struct redis *redis);                                        // NULL is allowed
void redis_set_watch(struct redis *redis, const struct circuit_watch *watch); // before the first call

// Left alone after failures: calls would fail at once, but for one that tries now and then.
bool redis_is_down(struct redis *redis);

enum status redis_ping(struct redis *redis, struct error *err) MUST_CHECK;
// found false: no such key. RETRY: the service is away, slow, or answered with an error. REJECTED: the key
// holds another type, or a value larger than out's limit.
enum status redis_get(struct redis *redis, const char *key, struct buffer *out, bool *found,
                      struct error *err) MUST_CHECK;
// ttl_ms 0: the key stays until Redis needs the room.
enum status redis_set(struct redis *redis, const char *key, struct bytes value, int64_t ttl_ms,
                      struct error *err) MUST_CHECK;
// Up to REDIS_DELETE_MOST keys, there or not.
enum { REDIS_DELETE_MOST = 15 };
enum status redis_delete(struct redis *redis, const char *const *keys, int count,
                         struct error *err) MUST_CHECK;

#endif
