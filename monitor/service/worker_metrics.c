// worker_metrics.c: Prometheus' text (version 0.0.4), line by line, and sums over workers.
#include "monitor/service/worker_metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MOST = 512,
    MINUTE_MS = 60 * 1000,
    FORGET_MS = 2 * MINUTE_MS, // longer than a group takes to give a partition to another worker
    RATE_MS = MINUTE_MS,       // between two readings: the mean of a longer time says nothing of now
    P99_LEAST = 299,
};

static const double bounds[WORKER_BUCKETS] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.06, 0.095, 0.15,
                                              0.3,   0.4,   0.5,   1,    2.5,  5,    10,   30};

// A sample of the text: name{labels} value.
struct line {
    char text[LINE_MOST + 1];
    const char *name, *labels; // labels: "" or without the braces
    double value;
};

static bool read_line(const char *from, size_t size, struct line *line)
{
    if (size > LINE_MOST || size == 0 || *from == '#')
        return false;
    memcpy(line->text, from, size);
    line->text[size] = '\0';
    char *end, *space = strrchr(line->text, ' ');
    if (!space || strlen(line->text) != size)
        return false;
    line->value = strtod(space + 1, &end);
    if (*end || end == space + 1 || !isfinite(line->value))
        return false;
    *space = '\0';
    line->name = line->text;
    line->labels = "";
    char *brace = strchr(line->text, '{');
    if (brace) {
        *brace = '\0';
        line->labels = brace + 1;
    }
    return true;
}

static bool has_label(const struct line *line, const char *label)
{
    return strstr(line->labels, label) != NULL;
}

// ---- partitions ----

static struct worker_partition *find_partition(struct worker_metrics *metrics, bool urgent, int32_t partition)
{
    for (size_t i = 0; i < metrics->partition_count; i++)
        if (metrics->partitions[i].urgent == urgent && metrics->partitions[i].partition == partition)
            return &metrics->partitions[i];
    if (metrics->partition_count == WORKER_PARTITIONS_MOST)
        return NULL;
    struct worker_partition *made = &metrics->partitions[metrics->partition_count++];
    *made = (struct worker_partition){urgent, partition, -1, -1, -1, -1, -1, -1, false};
    return made;
}

// Of two workers that name a partition in one scrape, the one that is further.
static void read_partition(struct worker_metrics *metrics, const struct line *line, int64_t at_ms,
                           bool is_end)
{
    const char *number = strstr(line->labels, "partition=\"");
    int partition;
    if (!number || sscanf(number, "partition=\"%9d\"", &partition) != 1 || partition < 0 || line->value < 0)
        return;
    struct worker_partition *of =
        find_partition(metrics, has_label(line, "priority=\"urgent\""), (int32_t)partition);
    if (!of)
        return;
    double *value = is_end ? &of->end : &of->position;
    *value = of->seen ? fmax(*value, line->value) : line->value;
    of->seen = of->seen || is_end; // positions come before ends in the text
    of->at_ms = at_ms;
}

static double unread_jobs(const struct worker_metrics *metrics)
{
    double sum = 0;
    for (size_t i = 0; i < metrics->partition_count; i++)
        if (metrics->partitions[i].position >= 0)
            sum += fmax(0, metrics->partitions[i].end - metrics->partitions[i].position);
    return sum;
}

// A silent worker may have partitions that nobody tells of. Where all answer, nobody has them: the topic was
// made anew with fewer.
static void forget_partitions(struct worker_metrics *metrics, bool all_answer)
{
    size_t kept = 0;
    if (!all_answer)
        metrics->whole_ms = -1;
    else if (metrics->whole_ms < 0)
        metrics->whole_ms = metrics->at_ms;
    for (size_t i = 0; i < metrics->partition_count; i++) {
        const struct worker_partition *one = &metrics->partitions[i];
        int64_t from_ms = one->at_ms > metrics->whole_ms ? one->at_ms : metrics->whole_ms;
        if (!all_answer || metrics->at_ms - from_ms < FORGET_MS)
            metrics->partitions[kept++] = *one;
    }
    metrics->partition_count = kept;
}

static bool is_rate(int64_t before_ms, int64_t at_ms)
{
    return before_ms >= 0 && at_ms > before_ms && at_ms - before_ms <= RATE_MS;
}

// How fast unread jobs become more.
static double unread_per_s(const struct worker_metrics *metrics)
{
    double sum = 0;
    for (size_t i = 0; i < metrics->partition_count; i++) {
        const struct worker_partition *one = &metrics->partitions[i];
        if (one->position < 0 || one->before_position < 0 || !is_rate(one->before_ms, one->at_ms))
            continue;
        double before = fmax(0, one->before_end - one->before_position);
        double now = fmax(0, one->end - one->position);
        sum += (now - before) / ((double)(one->at_ms - one->before_ms) / 1e3);
    }
    return sum;
}

bool worker_metrics_have_all(const struct worker_metrics *metrics)
{
    for (size_t i = 0; i < metrics->partition_count; i++)
        if (metrics->at_ms - metrics->partitions[i].at_ms > MINUTE_MS)
            return false;
    return metrics->partition_count > 0;
}

// Jobs wait in a partition that is read: it had some in front of the reader at both scrapes, and moved. One
// that is blocked keeps no worker busy.
static bool readers_are_behind(const struct worker_metrics *metrics)
{
    for (size_t i = 0; i < metrics->partition_count; i++) {
        const struct worker_partition *one = &metrics->partitions[i];
        if (one->before_position >= 0 && one->before_end > one->before_position &&
            one->position > one->before_position && one->end > one->position)
            return true;
    }
    return false;
}

// ---- one worker ----

static void read_bucket(struct worker_sample *sample, const struct line *line)
{
    const char *bound = strstr(line->labels, "le=\"");
    if (!bound || !has_label(line, "stage=\"total\""))
        return;
    double value = strtod(bound + strlen("le=\""), NULL);
    for (int i = 0; i < WORKER_BUCKETS; i++)
        if (fabs(value - bounds[i]) < 1e-9)
            sample->within[i] = line->value;
}

static bool read_stage(struct worker_sample *sample, const struct line *line)
{
    if (strcmp(line->name, "skinsight_stage_duration_seconds_bucket") == 0)
        read_bucket(sample, line);
    else if (strcmp(line->name, "skinsight_stage_duration_seconds_sum") == 0)
        sample->infer_s += has_label(line, "stage=\"infer\"") ? line->value : 0;
    else if (strcmp(line->name, "skinsight_stage_duration_seconds_count") == 0) {
        sample->infer_jobs += has_label(line, "stage=\"infer\"") ? line->value : 0;
        sample->total += has_label(line, "stage=\"total\"") ? line->value : 0;
    } else
        return false;
    return true;
}

static void read_sample(struct worker_metrics *metrics, struct worker_sample *sample, int64_t at_ms,
                        const struct line *line)
{
    const struct {
        const char *name, *label;
        double *sum;
    } sums[] = {{"skinsight_jobs_consumed_total", "", &sample->consumed},
                {"skinsight_jobs_answered_total", "", &sample->answered},
                {"skinsight_batch_size_images_count", "", &sample->batches},
                {"skinsight_batch_size_images_sum", "", &sample->batch_images},
                {"skinsight_unfinished_jobs", "", &sample->unfinished},
                {"skinsight_gpu_utilisation_ratio", "", &sample->gpu},
                {"skinsight_gpu_memory_bytes", "kind=\"total\"", &sample->gpu_memory}};
    if (strcmp(line->name, "skinsight_ready") == 0)
        sample->ready = line->value == 1;
    else if (strcmp(line->name, "skinsight_partition_position") == 0)
        read_partition(metrics, line, at_ms, false);
    else if (strcmp(line->name, "skinsight_partition_last_stable_offset") == 0)
        read_partition(metrics, line, at_ms, true);
    else if (!read_stage(sample, line))
        for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
            if (strcmp(line->name, sums[i].name) == 0 && has_label(line, sums[i].label))
                *sums[i].sum += line->value;
}

static struct worker_of *find_worker(struct worker_metrics *metrics, const char *name)
{
    struct worker_of *oldest = NULL;
    for (size_t i = 0; i < metrics->worker_count; i++) {
        if (strcmp(metrics->workers[i].name, name) == 0)
            return &metrics->workers[i];
        if (!oldest || metrics->workers[i].seen < oldest->seen)
            oldest = &metrics->workers[i];
    }
    if (metrics->worker_count < WORKERS_MOST)
        oldest = &metrics->workers[metrics->worker_count++];
    *oldest = (struct worker_of){.seen = -1, .at_ms = -1};
    snprintf(oldest->name, sizeof oldest->name, "%s", name);
    return oldest;
}

static double rise(double before, double now)
{
    return now >= before ? now - before : now; // it has restarted
}

static void add_delta(struct worker_sample *sum, const struct worker_sample *before,
                      const struct worker_sample *now)
{
    sum->consumed += rise(before->consumed, now->consumed);
    sum->answered += rise(before->answered, now->answered);
    sum->batches += rise(before->batches, now->batches);
    sum->batch_images += rise(before->batch_images, now->batch_images);
    sum->infer_jobs += rise(before->infer_jobs, now->infer_jobs);
    sum->infer_s += rise(before->infer_s, now->infer_s);
    sum->total += rise(before->total, now->total);
    for (int i = 0; i < WORKER_BUCKETS; i++)
        sum->within[i] += rise(before->within[i], now->within[i]);
}

// ---- the fleet ----

void worker_metrics_init(struct worker_metrics *metrics)
{
    memset(metrics, 0, sizeof *metrics);
    metrics->at_ms = metrics->minute_ms = metrics->whole_ms = -1;
    metrics->p99_ms = NAN;
}

void worker_metrics_begin(struct worker_metrics *metrics, int64_t at_ms)
{
    metrics->scrape++;
    metrics->at_ms = at_ms;
    metrics->delta = (struct worker_sample){0};
    metrics->consumed_per_s = metrics->answered_per_s = 0;
    metrics->compared = metrics->ready = metrics->with_gpu = 0;
    metrics->unfinished = metrics->gpu = 0;
    for (size_t i = 0; i < metrics->partition_count; i++) {
        struct worker_partition *one = &metrics->partitions[i];
        one->before_position = one->position;
        one->before_end = one->end;
        one->before_ms = one->at_ms;
        one->seen = false;
    }
}

static void compare(struct worker_metrics *metrics, const struct worker_of *worker, int64_t at_ms,
                    const struct worker_sample *now)
{
    struct worker_sample delta = {0};
    if (!is_rate(worker->at_ms, at_ms))
        return;
    double period_s = (double)(at_ms - worker->at_ms) / 1e3;
    add_delta(&delta, &worker->sample, now);
    add_delta(&metrics->delta, &(struct worker_sample){0}, &delta);
    metrics->consumed_per_s += delta.consumed / period_s;
    metrics->answered_per_s += delta.answered / period_s;
    metrics->compared++;
}

bool worker_metrics_add(struct worker_metrics *metrics, const char *name, int64_t at_ms, struct bytes text)
{
    struct worker_sample sample = {0};
    struct line line;
    bool known = false;
    const char *at = (const char *)text.data, *end = at + text.size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        if (read_line(at, size, &line)) {
            known = known || strcmp(line.name, "skinsight_jobs_consumed_total") == 0;
            read_sample(metrics, &sample, at_ms, &line);
        }
        at += size + 1;
    }
    if (!known)
        return false;
    struct worker_of *worker = find_worker(metrics, name);
    compare(metrics, worker, at_ms, &sample);
    worker->sample = sample;
    worker->seen = metrics->scrape;
    worker->at_ms = at_ms;
    metrics->ready += sample.ready;
    metrics->unfinished += sample.unfinished;
    metrics->with_gpu += sample.gpu_memory > 0;
    metrics->gpu += sample.gpu_memory > 0 ? sample.gpu : 0;
    return true;
}

// Within a bucket, as if its times were spread evenly.
static double quantile_ms(const struct worker_sample *sample, double share)
{
    double rank = share * sample->total, below = 0, low = 0;
    for (int i = 0; i < WORKER_BUCKETS; i++) {
        if (sample->within[i] >= rank)
            return 1e3 * (low + (bounds[i] - low) * (rank - below) / fmax(1, sample->within[i] - below));
        below = sample->within[i];
        low = bounds[i];
    }
    return 1e3 * bounds[WORKER_BUCKETS - 1];
}

static void follow_minute(struct worker_metrics *metrics)
{
    if (metrics->minute_ms < 0)
        metrics->minute_ms = metrics->at_ms;
    add_delta(&metrics->minute, &(struct worker_sample){0}, &metrics->delta);
    if (metrics->at_ms - metrics->minute_ms < MINUTE_MS)
        return;
    metrics->p99_ms = metrics->minute.total >= P99_LEAST ? quantile_ms(&metrics->minute, 0.99) : NAN;
    metrics->minute = (struct worker_sample){0};
    metrics->minute_ms = metrics->at_ms;
}

// What the batches say, and what is answered while readers are behind, if that is more: several batches run
// at once. Less is no proof that a worker can't, and answers without a batch (refusals) say nothing.
static double capacity(const struct worker_metrics *metrics)
{
    const struct worker_sample *delta = &metrics->delta;
    if (delta->batches <= 0 || delta->infer_jobs <= 0 || delta->infer_s <= 0)
        return NAN;
    double of_batches = delta->batch_images / delta->batches / (delta->infer_s / delta->infer_jobs);
    if (metrics->ready == 0 || !readers_are_behind(metrics))
        return of_batches;
    return fmax(of_batches, metrics->answered_per_s / metrics->ready);
}

void worker_metrics_end(struct worker_metrics *metrics, int asked, struct scale_input *input)
{
    int answered = 0;
    for (size_t i = 0; i < metrics->worker_count; i++)
        answered += metrics->workers[i].seen == metrics->scrape;
    forget_partitions(metrics, answered > 0 && answered == asked);
    *input = (struct scale_input){.at_ms = metrics->at_ms,
                                  .arrival_per_s = NAN,
                                  .backlog = answered > 0 ? unread_jobs(metrics) + metrics->unfinished : NAN,
                                  .capacity_per_s = NAN,
                                  .workers = answered > 0 ? metrics->ready : -1,
                                  .asked = asked,
                                  .answered = answered,
                                  .p99_ms = NAN,
                                  .gpu_utilisation = NAN};
    if (answered == 0)
        return;
    follow_minute(metrics);
    input->p99_ms = metrics->p99_ms;
    if (metrics->with_gpu > 0)
        input->gpu_utilisation = metrics->gpu / metrics->with_gpu;
    if (metrics->compared > 0) {
        input->arrival_per_s = fmax(0, metrics->consumed_per_s + unread_per_s(metrics));
        input->capacity_per_s = capacity(metrics);
    }
}
