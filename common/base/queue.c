// queue.c: two rings under one lock. Who is woken finds the lock free: it is signalled behind it, and only
// one thread for each item or place.
#include "common/base/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"

void queue_init(struct queue *queue, size_t capacity, unsigned urgent_share)
{
    *queue = (struct queue){.capacity = capacity, .urgent_share = urgent_share};
    for (int lane = 0; lane < QUEUE_LANES; lane++)
        queue->lanes[lane].items = memory_alloc(capacity * sizeof(void *));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->not_empty, &monotonic);
    for (int lane = 0; lane < QUEUE_LANES; lane++)
        pthread_cond_init(&queue->not_full[lane], &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void queue_release(struct queue *queue)
{
    if (!queue->lanes[0].items)
        return;
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->lock);
    for (int lane = 0; lane < QUEUE_LANES; lane++) {
        pthread_cond_destroy(&queue->not_full[lane]);
        free(queue->lanes[lane].items);
        queue->lanes[lane].items = NULL;
    }
}

static void append(struct queue *queue, enum queue_lane lane, void *item)
{
    struct queue_ring *ring = &queue->lanes[lane];
    ring->items[(ring->head + ring->count) % queue->capacity] = item;
    ring->count++;
}

enum queue_result queue_push(struct queue *queue, enum queue_lane lane, void *item)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->lanes[lane].count == queue->capacity)
        pthread_cond_wait(&queue->not_full[lane], &queue->lock);
    enum queue_result result = queue->closed ? QUEUE_CLOSED : QUEUE_OK;
    if (result == QUEUE_OK)
        append(queue, lane, item);
    pthread_mutex_unlock(&queue->lock);
    if (result == QUEUE_OK)
        pthread_cond_signal(&queue->not_empty);
    return result;
}

enum queue_result queue_try_push(struct queue *queue, enum queue_lane lane, void *item)
{
    enum queue_result result = QUEUE_OK;
    pthread_mutex_lock(&queue->lock);
    if (queue->closed)
        result = QUEUE_CLOSED;
    else if (queue->lanes[lane].count == queue->capacity)
        result = QUEUE_FULL;
    else
        append(queue, lane, item);
    pthread_mutex_unlock(&queue->lock);
    if (result == QUEUE_OK)
        pthread_cond_signal(&queue->not_empty);
    return result;
}

static size_t total(const struct queue *queue)
{
    return queue->lanes[QUEUE_ROUTINE].count + queue->lanes[QUEUE_URGENT].count;
}

static void wait_for_item(struct queue *queue, int64_t timeout_ms)
{
    struct timespec until = {0};
    if (timeout_ms > 0)
        until = clock_monotonic_after_ms(timeout_ms);
    while (total(queue) == 0 && !queue->closed && timeout_ms != 0) {
        if (timeout_ms < 0)
            pthread_cond_wait(&queue->not_empty, &queue->lock);
        else if (pthread_cond_timedwait(&queue->not_empty, &queue->lock, &until) == ETIMEDOUT)
            return;
    }
}

// Each urgent turn taken over waiting routine items earns these 100 - urgent_share; 100 saved buy a turn.
static enum queue_lane choose_lane(struct queue *queue)
{
    if (queue->lanes[QUEUE_URGENT].count == 0)
        return QUEUE_ROUTINE;
    if (queue->lanes[QUEUE_ROUTINE].count == 0)
        return QUEUE_URGENT;
    queue->credit += 100 - queue->urgent_share;
    if (queue->credit < 100)
        return QUEUE_URGENT;
    queue->credit -= 100;
    return QUEUE_ROUTINE;
}

enum queue_result queue_pop(struct queue *queue, void **item, int64_t timeout_ms)
{
    pthread_mutex_lock(&queue->lock);
    wait_for_item(queue, timeout_ms);
    enum queue_result result = QUEUE_OK;
    enum queue_lane lane = QUEUE_ROUTINE;
    if (total(queue) > 0) {
        lane = choose_lane(queue);
        struct queue_ring *ring = &queue->lanes[lane];
        *item = ring->items[ring->head];
        ring->head = (ring->head + 1) % queue->capacity;
        ring->count--;
    } else {
        result = queue->closed ? QUEUE_CLOSED : QUEUE_TIMEOUT;
    }
    pthread_mutex_unlock(&queue->lock);
    if (result == QUEUE_OK)
        pthread_cond_signal(&queue->not_full[lane]); // one place, one waiter
    return result;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    for (int lane = 0; lane < QUEUE_LANES; lane++)
        pthread_cond_broadcast(&queue->not_full[lane]);
    pthread_mutex_unlock(&queue->lock);
}

size_t queue_count(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = total(queue);
    pthread_mutex_unlock(&queue->lock);
    return count;
}
