// errands.h: what has to wait for the object store, on a few threads of its own: nobody else waits for it.
// Somebody waits for a visit's errand; pictures that are only to be kept come after those.
#ifndef SKINSIGHT_PRODUCER_GATEWAY_ERRANDS_H
#define SKINSIGHT_PRODUCER_GATEWAY_ERRANDS_H

#include <stdbool.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"

struct errands;
struct gateway;
struct visit;

enum errand_kind {
    ERRAND_STORE_IMAGE, // a large image; then the visit goes on
    ERRAND_FETCH_MAP,   // answers the visit with the picture that its outcome names
};

// stored: takes a visit whose image is stored and whose job is written.
enum status errands_open(struct errands **errands, struct gateway *gateway,
                         void (*stored)(struct visit *visit), struct error *err) MUST_CHECK;
// Takes the visit. False: too many are waiting, of its account or of all (shares.h), and the visit is still
// the caller's. Any thread.
bool errands_push(struct errands *errands, enum errand_kind kind, struct visit *visit);
// Keeps an image whose job carries it: takes the buffer, which is empty afterwards. Where too many wait, all
// that is inside has too many bytes, or the store is away, the image is not kept, and the metric says so. Any
// thread.
void errands_keep(struct errands *errands, const struct digest *image, struct buffer *bytes);
// How many errands wait for a thread. Any thread.
int errands_waiting(struct errands *errands);
void errands_close(struct errands *errands); // finishes those that somebody waits for; NULL is allowed

#endif
