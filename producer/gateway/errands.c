// errands.c: a queue with two lanes, and the threads that take from it.
#include "producer/gateway/errands.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/queue.h"
#include "producer/gateway/gateway.h"
#include "producer/gateway/job.h"
#include "producer/gateway/metrics_rows.h"
#include "producer/gateway/visit.h"

enum { THREADS = 4, WAITING_MOST = 256, URGENT_SHARE = 99, MAP_LIMIT = 4 << 20 };

struct errand {
    struct visit *visit; // NULL: an image is to be kept
    enum errand_kind kind;
    char account[IDENTITY_ACCOUNT_SIZE]; // of the visit, in errands->visits
    struct digest image;
    struct buffer bytes; // counted in gateway->bytes
};

struct errands {
    struct gateway *gateway;
    void (*stored)(struct visit *visit);
    struct queue queue;
    struct shares visits; // that wait, or are served; those who fetch maps have one share
    pthread_t threads[THREADS];
    int started;
};

static void not_kept(const char *reason)
{
    metrics_add(GATEWAY_NOT_KEPT, 0, 1);
    LOG_WARN("image_not_kept", "reason=\"%s\"", reason);
}

static enum status put_image(struct errands *errands, const struct digest *image, struct bytes bytes,
                             struct error *err)
{
    char key[OBJECT_KEY_SIZE];
    job_image_key(image, key);
    enum status status = object_store_put(errands->gateway->objects, key, bytes, "image/jpeg", err);
    metrics_add(GATEWAY_TROUBLE, SERVICE_OBJECTS, status != STATUS_OK);
    return status;
}

static void store_image(struct errands *errands, struct visit *visit)
{
    struct error err;
    enum status status = put_image(errands, &visit->image, buffer_bytes(&visit->body.image), &err);
    if (status == STATUS_OK)
        status = job_write(visit, true, &err);
    if (status != STATUS_OK) {
        LOG_WARN("image_not_stored", "request_id=%s reason=\"%s\"", visit->analysis.request_id, err.message);
        visit_problem(visit, PROBLEM_UNAVAILABLE, "the image can't be stored now");
    } else {
        body_release(&visit->body); // the store has the image
        (void)visit_count_bytes(visit);
        errands->stored(visit);
    }
}

static void fetch_map(struct errands *errands, struct visit *visit)
{
    char key[OBJECT_KEY_SIZE];
    struct buffer map;
    struct error err;
    buffer_init(&map, MAP_LIMIT);
    enum status status = object_store_key(errands->gateway->objects, visit->outcome.map_uri, key, &err);
    if (status == STATUS_OK)
        status = object_store_get(errands->gateway->objects, key, &map, &err);
    if (status == STATUS_OK) {
        visit_picture(visit, &map);
    } else if (status == STATUS_RETRY) {
        metrics_add(GATEWAY_TROUBLE, SERVICE_OBJECTS, 1);
        visit_problem(visit, PROBLEM_UNAVAILABLE, "the store of maps is away");
    } else {
        LOG_WARN("map_not_there", "request_id=%s reason=\"%s\"", visit->analysis.request_id, err.message);
        visit_problem(visit, PROBLEM_NOT_FOUND, "the map is not kept any more");
    }
    buffer_wipe(&map);
}

// Images that are only to be kept have one share together.
static bool count_image(struct errands *errands, const struct errand *errand)
{
    return shares_add(&errands->gateway->bytes, "", (int64_t)errand->bytes.capacity);
}

static void drop_image(struct errands *errands, struct errand *errand)
{
    (void)shares_add(&errands->gateway->bytes, "", -(int64_t)errand->bytes.capacity);
    buffer_wipe(&errand->bytes);
}

static void keep_image(struct errands *errands, struct errand *errand)
{
    struct error err;
    if (put_image(errands, &errand->image, buffer_bytes(&errand->bytes), &err) != STATUS_OK)
        not_kept(err.message);
    drop_image(errands, errand);
}

// Gives the visit away.
static void serve_visit(struct errands *errands, const struct errand *errand)
{
    if (errand->kind == ERRAND_STORE_IMAGE)
        store_image(errands, errand->visit);
    else
        fetch_map(errands, errand->visit);
    (void)shares_add(&errands->visits, errand->account, -1);
}

static void *run(void *context)
{
    struct errands *errands = context;
    void *item;
    pthread_setname_np(pthread_self(), "errands");
    while (queue_pop(&errands->queue, &item, QUEUE_WAIT_FOREVER) == QUEUE_OK) {
        struct errand *errand = item;
        if (errand->visit)
            serve_visit(errands, errand);
        else
            keep_image(errands, errand);
        free(errand);
    }
    return NULL;
}

enum status errands_open(struct errands **errands, struct gateway *gateway,
                         void (*stored)(struct visit *visit), struct error *err)
{
    struct errands *made = memory_alloc(sizeof *made);
    made->gateway = gateway;
    made->stored = stored;
    queue_init(&made->queue, WAITING_MOST, URGENT_SHARE);
    shares_init(&made->visits, WAITING_MOST);
    while (made->started < THREADS && pthread_create(&made->threads[made->started], NULL, run, made) == 0)
        made->started++;
    *errands = made;
    if (made->started == THREADS)
        return STATUS_OK;
    errands_close(made);
    *errands = NULL;
    return error_set(err, STATUS_FATAL, "the threads for the object store can't be started");
}

bool errands_push(struct errands *errands, enum errand_kind kind, struct visit *visit)
{
    struct errand *errand = memory_alloc(sizeof *errand);
    errand->visit = visit;
    errand->kind = kind;
    strcpy(errand->account, visit->identity.account);
    if (shares_add(&errands->visits, errand->account, 1) &&
        queue_try_push(&errands->queue, QUEUE_URGENT, errand) == QUEUE_OK)
        return true;
    (void)shares_add(&errands->visits, errand->account, -1);
    free(errand);
    return false;
}

void errands_keep(struct errands *errands, const struct digest *image, struct buffer *bytes)
{
    struct errand *errand = memory_alloc(sizeof *errand);
    errand->image = *image;
    errand->bytes = *bytes;
    *bytes = (struct buffer){.limit = bytes->limit};
    if (count_image(errands, errand) && queue_try_push(&errands->queue, QUEUE_ROUTINE, errand) == QUEUE_OK)
        return;
    not_kept("too many images wait to be kept");
    drop_image(errands, errand);
    free(errand);
}

int errands_waiting(struct errands *errands)
{
    return (int)queue_count(&errands->queue);
}

void errands_close(struct errands *errands)
{
    if (!errands)
        return;
    queue_close(&errands->queue);
    for (int i = 0; i < errands->started; i++)
        pthread_join(errands->threads[i], NULL);
    queue_release(&errands->queue);
    free(errands);
}
