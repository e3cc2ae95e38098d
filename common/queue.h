// queue.h: the one bounded queue between threads. Many producers, many consumers, first in first out.
//
// Pushing gives the item away; popping takes it. Full is an answer, not an accident: queue_try_push says
// so, queue_push waits. Closing is how everything stops: pushes are refused, pops hand out what is left
// and then say closed.
#ifndef SKINSIGHT_COMMON_QUEUE_H
#define SKINSIGHT_COMMON_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum queue_result { QUEUE_OK, QUEUE_FULL, QUEUE_TIMEOUT, QUEUE_CLOSED };

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    pthread_cond_t not_full;
    void **items;
    size_t capacity;
    size_t head; // index of the oldest item
    size_t count;
    bool closed;
};

enum { QUEUE_WAIT_FOREVER = -1 };

void queue_init(struct queue *queue, size_t capacity);
void queue_release(struct queue *queue); // must be empty or its items owned elsewhere

enum queue_result queue_push(struct queue *queue, void *item);     // waits for room: OK or CLOSED
enum queue_result queue_try_push(struct queue *queue, void *item); // OK, FULL or CLOSED
// OK, TIMEOUT, or CLOSED once it is closed and empty. timeout_ms 0 only looks; QUEUE_WAIT_FOREVER waits.
enum queue_result queue_pop(struct queue *queue, void **item, int64_t timeout_ms);

void queue_close(struct queue *queue);
size_t queue_count(struct queue *queue);
bool queue_is_full(struct queue *queue);

#endif
