// flights.c: a list of leaders; there are never more of them than jobs between batch and postprocess.
#include "worker/cache/flights.h"

void flights_init(struct flights *flights)
{
    flights->leaders = NULL;
    pthread_mutex_init(&flights->lock, NULL);
}

void flights_release(struct flights *flights)
{
    pthread_mutex_destroy(&flights->lock);
}

static bool may_share(const struct job *leader, const struct job *job)
{
    return leader->generation == job->generation && digest_equal(&leader->image_sha256, &job->image_sha256);
}

bool flights_board(struct flights *flights, struct job *job)
{
    pthread_mutex_lock(&flights->lock);
    struct job *leader = flights->leaders;
    while (leader && !may_share(leader, job))
        leader = leader->next_leader;
    if (leader) {
        job->next_rider = leader->next_rider;
        leader->next_rider = job;
    } else {
        job->next_leader = flights->leaders;
        flights->leaders = job;
    }
    pthread_mutex_unlock(&flights->lock);
    return leader != NULL;
}

struct job *flights_land(struct flights *flights, struct job *leader)
{
    pthread_mutex_lock(&flights->lock);
    struct job **link = &flights->leaders;
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
