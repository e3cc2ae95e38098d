// memory.c: checked allocation.
#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
    if (!memory) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *memory_alloc(size_t size)
{
    return check(calloc(1, size ? size : 1));
}

void *memory_realloc(void *old, size_t size)
{
    return check(realloc(old, size ? size : 1));
}

void *memory_try_alloc(size_t size)
{
    return malloc(size ? size : 1);
}

char *memory_strdup(const char *text)
{
    return check(strdup(text));
}

char *memory_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return check(length < 0 ? NULL : text);
}
