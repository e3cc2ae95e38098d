// html.h: report pages: one HTML file that needs nothing beside it: no script, no font, no other file, and
// its own policy forbids all of them.
//
// A writer appends to the caller's buffer until something goes wrong, then does nothing more; html_end says
// what it was. Texts may hold any bytes: markup in them is escaped, what is no UTF-8 becomes U+FFFD. Pages
// read well on paper, on a dark screen and, without their colours, in grey. Any thread, one writer at a time
// for a buffer.
#ifndef SKINSIGHT_COMMON_PICTURE_HTML_H
#define SKINSIGHT_COMMON_PICTURE_HTML_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

struct html {
    struct buffer *out;
    struct error *err;
    size_t start;       // what was in the buffer before
    enum status status; // the first failure
};

// Head, style and the title as heading.
void html_begin(struct html *page, struct buffer *out, const char *title, struct error *err);
// After the last element. REJECTED: the page is over the buffer's limit; FATAL: no memory. The buffer then
// holds what it held before.
enum status html_end(struct html *page) MUST_CHECK;

// An element with a text in it: "h2", "p", "li", "figcaption" ... The name is ours.
void html_element(struct html *page, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
// A begin tag, with attributes of ours: html_open(page, "ul", ""), html_open(page, "div", "class=\"grid\""),
// and its end.
void html_open(struct html *page, const char *name, const char *attributes);
void html_close(struct html *page, const char *name);
// A paragraph that stands out: what the reader must not miss.
void html_warning(struct html *page, const char *format, ...) PRINTF_LIKE(2, 3);

// headings ends with NULL. Then row, cells, row end for each row.
void html_table_begin(struct html *page, const char *caption, const char *const *headings);
void html_table_end(struct html *page);
void html_row_begin(struct html *page);
void html_row_end(struct html *page);
void html_cell(struct html *page, const char *format, ...) PRINTF_LIKE(2, 3);   // a text, to the left
void html_number(struct html *page, const char *format, ...) PRINTF_LIKE(2, 3); // to the right
// A cell of which there is not enough evidence: hatched, with the reason as text.
void html_thin(struct html *page, const char *format, ...) PRINTF_LIKE(2, 3);
// A cell whose background says how large share (0 to 1) is.
void html_shaded(struct html *page, double share, const char *format, ...) PRINTF_LIKE(3, 4);

// The picture itself in the page, as wide as given in CSS pixels. media_type: "image/jpeg" or "image/png";
// alternative is what a reader without pictures is told.
void html_picture(struct html *page, const char *media_type, struct bytes file, int width,
                  const char *alternative);

// For svg.c: markup as it is, and text with its markup escaped.
void html_markup(struct html *page, const char *format, ...) PRINTF_LIKE(2, 3);
void html_text(struct html *page, const char *text);

#endif
