// status.c: error sentences.
#include "common/base/status.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

enum status error_vset(struct error *err, enum status status, const char *format, va_list arguments)
{
    if (err) {
        char raw[sizeof err->message];
        vsnprintf(raw, sizeof raw, format, arguments);
        text_clean(raw, err->message, sizeof err->message);
    }
    return status;
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_vset(err, status, format, arguments);
    va_end(arguments);
    return status;
}

void error_prefix(struct error *err, const char *format, ...)
{
    if (!err)
        return;
    char raw[sizeof err->message], context[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    text_clean(raw, context, sizeof context);
    char whole[2 * sizeof err->message + 4];
    snprintf(whole, sizeof whole, "%s: %s", context, err->message);
    memcpy(err->message, whole, sizeof err->message - 1);
    err->message[sizeof err->message - 1] = '\0';
}

enum status error_said(struct error *err)
{
    err->message[0] = '\0';
    return STATUS_REJECTED;
}
