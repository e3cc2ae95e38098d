// status.h: how every fallible function of SkinSight answers.
//
// A function that can fail returns an enum status and takes a struct error * as its last argument.
// Who finds the failure writes one complete sentence; who handles it decides by the class and logs it.
// Nothing below main() prints or exits on its own account.
#ifndef SKINSIGHT_COMMON_BASE_STATUS_H
#define SKINSIGHT_COMMON_BASE_STATUS_H

#include <stdarg.h>

enum status {
    STATUS_OK = 0,
    STATUS_RETRY,    // the same call may succeed later: a service is away, a time-out passed
    STATUS_REJECTED, // the input is wrong and stays wrong: nothing to gain from trying again
    STATUS_FATAL,    // this process or device can't go on with the work
};

struct error {
    char message[512]; // one sentence without line breaks; never holds patient data
};

#define MUST_CHECK               __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

// Writes the sentence into *err (NULL is allowed) and returns status, so that a failure is one line:
//     return error_set(err, STATUS_REJECTED, "tensor '%s' has %zu values, %zu are needed", ...);
// Bytes from outside may be quoted: in the result, what is no UTF-8 and control characters become '?'.
enum status error_set(struct error *err, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);
enum status error_vset(struct error *err, enum status status, const char *format, va_list arguments);

// Puts "<context>: " in front of the sentence in *err, for a caller that knows which file or job it was.
void error_prefix(struct error *err, const char *format, ...) PRINTF_LIKE(2, 3);

// REJECTED with an empty sentence: of a failure that its finder has told the user itself.
enum status error_said(struct error *err);

#endif
