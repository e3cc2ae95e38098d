// worker_metrics.h: what the workers' /metrics say together, scrape after scrape: the input of scale.h.
//
//     worker_metrics_begin, worker_metrics_add for each worker that answered, worker_metrics_end ->
//     scale_input
//
// Jobs that wait are those between where a partition is read and where its stable log ends, and those that
// workers have taken and not answered: transaction markers in front of the reader count, at rest none do.
// Partitions keep what was last said of them, so that one that changes hands is not lost; one that all
// workers have told nothing of for two minutes is not there any more, and is forgotten. Counters that
// restarted count from 0. A rate is of two readings of one worker, or of one partition, over the time between
// those two, and of none that lie more than a minute apart. Whatever a text holds, it is read within limits.
// One thread.
#ifndef SKINSIGHT_MONITOR_SERVICE_WORKER_METRICS_H
#define SKINSIGHT_MONITOR_SERVICE_WORKER_METRICS_H

#include "common/base/bytes.h"
#include "monitor/service/scale.h"

enum {
    WORKERS_MOST = 256,
    WORKER_NAME_SIZE = 128,
    WORKER_PARTITIONS_MOST = 2048,
    WORKER_BUCKETS = 17, // of skinsight_stage_duration_seconds
};

// One text, summed over its labels.
struct worker_sample {
    double consumed, answered; // jobs, since the worker's start
    double batches, batch_images;
    double infer_jobs, infer_s;           // of the stage infer
    double within[WORKER_BUCKETS], total; // jobs by their time in the worker, cumulative; all of them
    double unfinished;
    double gpu, gpu_memory; // gpu_memory 0: no GPU
    bool ready;
};

struct worker_metrics {
    struct worker_of {
        char name[WORKER_NAME_SIZE];
        struct worker_sample sample;
        int64_t seen, at_ms; // the scrape in which it answered last, and when
    } workers[WORKERS_MOST];
    size_t worker_count;
    struct worker_partition {
        bool urgent;
        int32_t partition;
        double position, end;               // -1: not told
        double before_position, before_end; // as of the scrape before
        int64_t at_ms, before_ms;           // when they were told; -1: never
        bool seen;                          // in this scrape
    } partitions[WORKER_PARTITIONS_MOST];
    size_t partition_count;
    int64_t scrape, at_ms;
    int64_t whole_ms;           // since when all that are asked answer; -1: they don't
    struct worker_sample delta; // of workers since they answered last
    double consumed_per_s, answered_per_s;
    int compared;                // workers that are in them
    struct worker_sample minute; // of the minute that runs, for P99
    int64_t minute_ms;
    double p99_ms; // of the last whole minute
    int ready, with_gpu;
    double unfinished, gpu;
};

void worker_metrics_init(struct worker_metrics *metrics);
// at_ms: monotonic.
void worker_metrics_begin(struct worker_metrics *metrics, int64_t at_ms);
// The worker of that name answered this, once in a scrape. at_ms: when, monotonic. false: it is no such text;
// it then counts as a worker that did not answer.
bool worker_metrics_add(struct worker_metrics *metrics, const char *name, int64_t at_ms, struct bytes text);
// Whether workers that answer tell of every partition that is known: they have them all, give or take a
// minute, and who is silent has none.
bool worker_metrics_have_all(const struct worker_metrics *metrics);
// What the scrape says. asked: workers, those that did not answer included. Arrivals are NaN where no worker
// has a rate yet.
void worker_metrics_end(struct worker_metrics *metrics, int asked, struct scale_input *input);

#endif
