// reply.h: what a client reads of a terminal record (common/records/prediction.h): the answer of POST
// /v2/analyze, without context and provenance, which are not for outsiders. A reply is kept as it is written
// first; only its link to the attention map is made anew at each reading. No state, any thread.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_REPLY_H
#define SKINSIGHT_PRODUCER_GATEWAY_REPLY_H

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/records/prediction.h"

// Appends the reply of a prediction (not of an error); "attention_map_url" is null in it.
enum status reply_write(const struct prediction *prediction, struct buffer *out,
                        struct error *err) MUST_CHECK;

// Appends a reply, in which url, where it is not empty, stands as "attention_map_url". REJECTED: it is none
// of reply_write's, or over the buffer's limit.
enum status reply_add_link(struct bytes reply, const char *url, struct buffer *out,
                           struct error *err) MUST_CHECK;

#endif
