// queue.c: a ring under one lock.
#include "common/queue.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/memory.h"

void queue_init(struct queue *queue, size_t capacity)
{
    *queue = (struct queue){.capacity = capacity, .items = memory_alloc(capacity * sizeof(void *))};
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->not_empty, &monotonic);
    pthread_cond_init(&queue->not_full, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void queue_release(struct queue *queue)
{
    if (!queue->items)
        return;
    pthread_cond_destroy(&queue->not_full);
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->lock);
    free(queue->items);
    queue->items = NULL;
}

static void append(struct queue *queue, void *item)
{
    queue->items[(queue->head + queue->count) % queue->capacity] = item;
    queue->count++;
    pthread_cond_signal(&queue->not_empty);
}

enum queue_result queue_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    while (!queue->closed && queue->count == queue->capacity)
        pthread_cond_wait(&queue->not_full, &queue->lock);
    enum queue_result result = queue->closed ? QUEUE_CLOSED : QUEUE_OK;
    if (result == QUEUE_OK)
        append(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return result;
}

enum queue_result queue_try_push(struct queue *queue, void *item)
{
    pthread_mutex_lock(&queue->lock);
    enum queue_result result = queue->closed                     ? QUEUE_CLOSED
                               : queue->count == queue->capacity ? QUEUE_FULL
                                                                 : QUEUE_OK;
    if (result == QUEUE_OK)
        append(queue, item);
    pthread_mutex_unlock(&queue->lock);
    return result;
}

static void wait_for_item(struct queue *queue, int64_t timeout_ms)
{
    struct timespec until = {0};
    if (timeout_ms > 0)
        until = clock_monotonic_after_ms(timeout_ms);
    while (queue->count == 0 && !queue->closed && timeout_ms != 0) {
        if (timeout_ms < 0)
            pthread_cond_wait(&queue->not_empty, &queue->lock);
        else if (pthread_cond_timedwait(&queue->not_empty, &queue->lock, &until) == ETIMEDOUT)
            return;
    }
}

enum queue_result queue_pop(struct queue *queue, void **item, int64_t timeout_ms)
{
    pthread_mutex_lock(&queue->lock);
    wait_for_item(queue, timeout_ms);
    enum queue_result result = QUEUE_OK;
    if (queue->count > 0) {
        *item = queue->items[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
        queue->count--;
        pthread_cond_signal(&queue->not_full);
    } else {
        result = queue->closed ? QUEUE_CLOSED : QUEUE_TIMEOUT;
    }
    pthread_mutex_unlock(&queue->lock);
    return result;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->lock);
}

size_t queue_count(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}

bool queue_is_full(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool full = queue->count == queue->capacity;
    pthread_mutex_unlock(&queue->lock);
    return full;
}
