// job.c: birth, failure and death of a job.
#include "worker/job.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/clock.h"

struct job *job_new(size_t key_size, size_t value_size)
{
    struct job *job = memory_alloc(sizeof *job);
    buffer_init(&job->key, key_size);
    buffer_init(&job->value, value_size);
    buffer_init(&job->answer, JOB_ANSWER_LIMIT);
    job->attempt = 1;
    job->taken_us = clock_monotonic_us();
    job_metadata_init(&job->record.metadata);
    job->ood.energy = job->ood.distance = job->ood.quantile = NAN;
    job->record.submitted_at = job->record.deadline_at = -1;
    return job;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    free(job->inline_image);
    buffer_release(&job->key);
    buffer_release(&job->value);
    buffer_release(&job->object);
    buffer_release(&job->answer);
    free(job->view);
    free(job->maps);
    free(job->embedding);
    free(job);
}

void job_fail(struct job *job, enum job_code code, const char *format, ...)
{
    if (job->code != JOB_OK)
        return;
    va_list arguments;
    va_start(arguments, format);
    error_vset(&job->error, STATUS_REJECTED, format, arguments); // the code says which class
    va_end(arguments);
    job->code = code;
}

void job_stamp(struct job *job, enum job_moment moment)
{
    job->moments[moment] = clock_wall_ms();
}
