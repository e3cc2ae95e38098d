// scale.h: how many workers are wanted. A pure function with a state: what was measured goes in, a number
// with its reason comes out; time is what the input says.
//
//     wanted = ceil((arrivals + what waits / time to drain it) / (capacity of one worker * 0.8))
//
// More is wanted at once; fewer only when nothing in the last ten minutes would have wanted more, and with
// some room to spare, so that a load at the edge of a step does not flap. Arrivals are smoothed until they
// differ by more than four standard deviations of a Poisson count: then they have changed. Jobs that do not
// move while there was capacity for them (a partition that is blocked) want no worker. P99 and the GPU's
// utilisation, over a minute each, are triggers besides, where the load explains them.
//
// An input that is missing (NaN, negative workers) holds the advice where it is, and the reason says so.
// While workers are silent, the sums over the others are too small: more may be wanted by them, fewer not
// before ten minutes in which all answered. Capacity is remembered: an idle fleet shows none. It begins with
// the workers that there are, once all answer, and wants fewer only after ten minutes of its own; calls
// closer together than 2.4 s make those ten minutes shorter. One thread.
#ifndef SKINSIGHT_MONITOR_SERVICE_SCALE_H
#define SKINSIGHT_MONITOR_SERVICE_SCALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCALE_SAMPLES = 256, SCALE_REASON_SIZE = 256 };

struct scale_options {
    int min, max;
    double p99_limit_ms, gpu_limit; // 400, 0.75
    double deadline_s;              // of a job, from its submission
};

struct scale_input {
    int64_t at_ms;          // rises from call to call
    double arrival_per_s;   // jobs of both priorities, since the call before
    double backlog;         // jobs of both priorities that are not answered
    double capacity_per_s;  // of one busy worker; NaN: none was busy
    int workers;            // that are ready
    int asked, answered;    // workers; a name that was not found counts as one that was asked
    int unknown;            // of the silent ones, those that have never answered
    int gone;               // silent addresses beside them behind which nobody works any more
    double p99_ms;          // from submission to answer, of the last minute; NaN: nobody was answered
    double gpu_utilisation; // mean of the workers, now; NaN: none has a GPU
};

struct scale_advice {
    int desired;            // 0: nothing is known yet
    bool held;              // an input is missing, or a part of the workers
    double arrival_per_s;   // smoothed
    double capacity_per_s;  // as remembered; NaN: never seen
    double time_to_drain_s; // by the workers there are; NaN: never, or unknown
    char reason[SCALE_REASON_SIZE];
};

struct scale {
    struct scale_options options;
    int desired;               // 0: the number of workers was never known
    int64_t first_ms, last_ms; // calls that had every input; -1: none yet
    double arrival_per_s, capacity_per_s;
    // The last calls, a ring: what would have been enough with room to spare, and what waited.
    struct scale_sample {
        int64_t at_ms;
        int enough;
        double backlog, gpu; // gpu NaN: not known
    } samples[SCALE_SAMPLES];
    size_t sample_count, next_sample;
};

void scale_init(struct scale *scale, const struct scale_options *options);
struct scale_advice scale_advise(struct scale *scale, const struct scale_input *input);

#endif
