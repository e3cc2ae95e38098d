// flights.h: the same image asked for several times at once is computed once. The first job of an image
// leads; equal ones that reach the batch stage before its results are out ride along and are answered from
// them.
//
// A rider belongs to its leader: the stage that ends the leader takes the riders off. A leader whose
// partition is not ours any more may have riders that are, even of the same record where that has come again.
// They would not come another time: the batch stage has one of them lead, and postprocess answers them from
// what the leader had computed.
#ifndef SKINSIGHT_WORKER_CACHE_FLIGHTS_H
#define SKINSIGHT_WORKER_CACHE_FLIGHTS_H

#include <pthread.h>
#include <stdbool.h>

#include "worker/job.h"

enum { FLIGHTS_LISTS = 64 };

struct flights {
    pthread_mutex_t lock;
    struct job *leaders[FLIGHTS_LISTS]; // by their images' digests, linked by next_leader
};

void flights_init(struct flights *flights);
void flights_release(struct flights *flights);

// True: the job rides with a leader and is off the caller's hands. False: the job leads.
bool flights_board(struct flights *flights, struct job *job);
// Ends the leader's flight. Gives its riders, linked by next_rider; NULL: none, or the job leads nothing.
struct job *flights_land(struct flights *flights, struct job *leader);

#endif
