// markdown.h: documents in Markdown, for people who read them in a model directory or on a code host.
//
// A writer appends to the caller's buffer until something goes wrong, then does nothing more; markdown_end
// says what it was. Any thread, one writer at a time for a buffer.
#ifndef SKINSIGHT_TRAINER_MARKDOWN_H
#define SKINSIGHT_TRAINER_MARKDOWN_H

#include "common/base/bytes.h"
#include "common/base/status.h"

struct markdown {
    struct buffer *out;
    struct error *err;
    enum status status; // the first failure
};

void markdown_begin(struct markdown *page, struct buffer *out, struct error *err);
// REJECTED: the document is over the buffer's limit; FATAL: no memory.
enum status markdown_end(struct markdown *page) MUST_CHECK;

// What we write, markup and all.
void markdown_add(struct markdown *page, const char *format, ...) PRINTF_LIKE(2, 3);
// What somebody else wrote: on one line, and its markup escaped. At most 1,000 bytes of it, then "...".
void markdown_quote(struct markdown *page, const char *text);

#endif
