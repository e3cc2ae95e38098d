// moment.h: points in time as people write them on a command line and read them in a table. Inside, a time is
// Unix milliseconds. No state, any thread.
#ifndef SKINSIGHT_COMMON_BASE_MOMENT_H
#define SKINSIGHT_COMMON_BASE_MOMENT_H

#include <stdint.h>

#include "common/base/status.h"

enum { MOMENT_TEXT_SIZE = 32 };

// Either Unix milliseconds (12 digits or more) or ISO 8601: 2026-11-23, 2026-11-23T13:45, with :SS or
// :SS.mmm, a space instead of the T, and a zone: Z, +01:00 or +0100; UTC without one. Years 1970 to 9999.
// REJECTED: it is none of these.
enum status moment_parse(const char *text, int64_t *unix_ms, struct error *err) MUST_CHECK;

// 2026-11-23T13:45:10.123Z; "-" for a negative time or one past the year 9999.
void moment_format(int64_t unix_ms, char text[MOMENT_TEXT_SIZE]);

#endif
