// flights.c: lists of leaders; there are never more of them than jobs between batch and postprocess.
#include "worker/cache/flights.h"

#include <string.h>

void flights_init(struct flights *flights)
{
    memset(flights->leaders, 0, sizeof flights->leaders);
    pthread_mutex_init(&flights->lock, NULL);
}

void flights_release(struct flights *flights)
{
    pthread_mutex_destroy(&flights->lock);
}

static struct job **list_of(struct flights *flights, const struct job *job)
{
    return &flights->leaders[job->image_sha256.value[0] % FLIGHTS_LISTS];
}

bool flights_board(struct flights *flights, struct job *job)
{
    struct job **list = list_of(flights, job);
    pthread_mutex_lock(&flights->lock);
    struct job *leader = *list;
    while (leader && !digest_equal(&leader->image_sha256, &job->image_sha256))
        leader = leader->next_leader;
    if (leader) {
        job->next_rider = leader->next_rider;
        leader->next_rider = job;
    } else {
        job->next_leader = *list;
        *list = job;
    }
    pthread_mutex_unlock(&flights->lock);
    return leader != NULL;
}

struct job *flights_land(struct flights *flights, struct job *leader)
{
    pthread_mutex_lock(&flights->lock);
    struct job **link = list_of(flights, leader);
    while (*link && *link != leader)
        link = &(*link)->next_leader;
    struct job *riders = NULL;
    if (*link) {
        *link = leader->next_leader;
        riders = leader->next_rider;
        leader->next_leader = leader->next_rider = NULL;
    }
    pthread_mutex_unlock(&flights->lock);
    return riders;
}
