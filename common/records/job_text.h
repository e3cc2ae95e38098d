// job_text.h: the rules for the texts of a job record, shared by its reader (job.c) and its writer
// (job_write.c). Nobody else includes this.
#ifndef SKINSIGHT_COMMON_RECORDS_JOB_TEXT_H
#define SKINSIGHT_COMMON_RECORDS_JOB_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#define JOB_SCHEMA "skinsight.job.v1"

// Times: whole numbers that a double holds exactly, and so does every JSON reader (RFC 7493).

enum { JOB_AGE_MOST = 130, JOB_FITZPATRICK_LEAST = 1, JOB_FITZPATRICK_MOST = 6 };

bool job_text_token(const char *text);       // up to 64 of [A-Za-z0-9_.-], or empty
bool job_text_subject(const char *text);     // 64 lower-case hexadecimal digits
bool job_text_uri(const char *text);         // 1..1023 characters that RFC 3986 allows in a URI
bool job_text_traceparent(const char *text); // W3C Trace Context, level 1

#endif
