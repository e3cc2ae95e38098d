// log.h: one line per event on standard error: time, level, program, event, then key=value pairs.
//
//     LOG_WARN("redis_unavailable", "host=%s retry_ms=%d", host, wait);
//
// Values with spaces are quoted by the caller ("reason=\"%s\""). Request ids may be logged; image bytes,
// metadata and anything else about a patient may not. Quiet by default: level "warn" unless the option
// log_level says otherwise. Any thread may log; a line is written with a single write(2).
#ifndef SKINSIGHT_COMMON_BASE_LOG_H
#define SKINSIGHT_COMMON_BASE_LOG_H

#include "common/base/status.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

void log_configure(const char *program, enum log_level level);
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

#define LOG_DEBUG(...) log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...)  log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...)  log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) log_event(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
