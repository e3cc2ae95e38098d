// job.c: birth, marking and death of a job.
#include "worker/job.h"

#include <stdarg.h>
#include <stdio.h>
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
    free(job);
}

void job_fail(struct job *job, enum job_code code, const char *format, ...)
{
    if (job->code != JOB_OK)
        return;
    char sentence[sizeof job->error.message];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    enum status class = error_set(&job->error, STATUS_REJECTED, "%s", sentence);
    (void)class; // the code says it
    job->code = code;
}

void job_stamp(struct job *job, enum job_moment moment)
{
    job->moments[moment] = clock_wall_ms();
}
