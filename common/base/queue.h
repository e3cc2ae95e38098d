// queue.h: the one bounded queue between threads. Many producers, many consumers, first in first out in each
// of two lanes. Pops prefer the urgent lane, but leave the routine one its share of turns, so that neither
// starves.
//
// Pushing gives the item away; popping takes it. Full is an answer, not an accident: queue_try_push says
// so, queue_push waits. Closing is how everything stops: pushes are refused, pops hand out what is left
// and then say closed. A queue is released when no thread is inside a call any more.
#ifndef SKINSIGHT_COMMON_BASE_QUEUE_H
#define SKINSIGHT_COMMON_BASE_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum queue_result { QUEUE_OK, QUEUE_FULL, QUEUE_TIMEOUT, QUEUE_CLOSED };
enum queue_lane { QUEUE_ROUTINE, QUEUE_URGENT, QUEUE_LANES };

struct queue_ring {
    void **items;
    size_t head; // index of the oldest item
    size_t count;
};

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty;
    pthread_cond_t not_full[QUEUE_LANES];
    struct queue_ring lanes[QUEUE_LANES];
    size_t capacity;       // of each lane
    unsigned urgent_share; // percent of the turns the urgent lane may take while routine items wait
    unsigned credit;       // turns the routine lane has saved up, in percent
    bool closed;
};

enum { QUEUE_WAIT_FOREVER = -1 };

// capacity is that of each lane; urgent_share 1..99, or 100 where every item is of one lane.
void queue_init(struct queue *queue, size_t capacity, unsigned urgent_share);
void queue_release(struct queue *queue); // must be empty or its items owned elsewhere

// Waits for room in the lane: OK or CLOSED.
enum queue_result queue_push(struct queue *queue, enum queue_lane lane, void *item);
// OK, FULL or CLOSED.
enum queue_result queue_try_push(struct queue *queue, enum queue_lane lane, void *item);
// OK, TIMEOUT, or CLOSED once it is closed and empty. timeout_ms 0 only looks; QUEUE_WAIT_FOREVER waits.
enum queue_result queue_pop(struct queue *queue, void **item, int64_t timeout_ms);

void queue_close(struct queue *queue);
size_t queue_count(struct queue *queue); // of both lanes

#endif
