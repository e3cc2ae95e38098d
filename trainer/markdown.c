// markdown.c: see markdown.h.
#include "trainer/markdown.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

enum { QUOTED_MOST = 1000 };

void markdown_begin(struct markdown *page, struct buffer *out, struct error *err)
{
    *page = (struct markdown){out, err, STATUS_OK};
}

enum status markdown_end(struct markdown *page)
{
    return page->status;
}

static void put(struct markdown *page, const char *text, size_t size)
{
    if (page->status == STATUS_OK)
        page->status = buffer_append(page->out, text, size, page->err);
}

void markdown_add(struct markdown *page, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length >= 0)
        put(page, text, (size_t)length);
    else if (page->status == STATUS_OK)
        page->status = error_set(page->err, STATUS_FATAL, "no memory for a document");
    free(length >= 0 ? text : NULL);
}

void markdown_quote(struct markdown *page, const char *text)
{
    static const char markup[] = "\\`*_{}[]<>()#+!|~&$";
    size_t size = strlen(text), at = 0;
    while (at < size && at < QUOTED_MOST) {
        size_t length = text_utf8_length((const uint8_t *)text + at, size - at);
        if (length == 0 || (unsigned char)text[at] < ' ' || text[at] == 0x7f) {
            put(page, " ", 1);
            at++;
            continue;
        }
        if (strchr(markup, text[at]))
            put(page, "\\", 1);
        put(page, text + at, length);
        at += length;
    }
    if (at < size)
        put(page, "...", 3);
}
