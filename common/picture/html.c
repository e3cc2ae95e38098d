// html.c: pages as text. Every byte goes through append, which stops at the first failure.
#include "common/picture/html.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/text.h"

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;color:#1c1e21;background:#fff;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}"
    "h1{font-size:1.6rem}h2{font-size:1.25rem;margin-top:2.2rem;border-bottom:1px solid #ccd0d5}"
    "table{border-collapse:collapse;margin:.8rem 0}caption{text-align:left;color:#555;padding:.2rem 0}"
    "th,td{border-bottom:1px solid #dde1e5;padding:.2rem .7rem;text-align:left;vertical-align:top}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "figure{margin:1rem 0}figcaption{color:#555;font-size:.85rem}"
    ".grid{display:flex;flex-wrap:wrap;gap:.5rem}.grid figure{margin:0;width:9rem}"
    ".warning{border-left:4px solid #b3541e;background:#fdf3ec;padding:.5rem .8rem}"
    "svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:currentColor}"
    ".scroll{overflow-x:auto}td.thin{background:repeating-linear-gradient(45deg,#8882 0 2px,transparent 2px "
    "7px)}"
    "@media screen and "
    "(prefers-color-scheme:dark){body{color:#e4e6e8;background:#14171a}h2{border-color:#3a4047}"
    "caption,figcaption{color:#a9b0b7}th,td{border-color:#30363c}.warning{background:#33241a}"
    "svg{filter:brightness(1.3)}a{color:#8cb8dc}}"
    "@media print{body{margin:0;max-width:none;font-size:11px}figure,table,svg{break-inside:avoid}"
    ".scroll{overflow:visible}table{font-size:9px}th,td{padding:.1rem .15rem}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

static void append(struct html *page, const void *data, size_t size)
{
    if (page->status == STATUS_OK)
        page->status = buffer_append(page->out, data, size, page->err);
}

static void append_text(struct html *page, const char *text)
{
    append(page, text, strlen(text));
}

void html_text(struct html *page, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text);
    while (left > 0) {
        size_t length = text_utf8_length(at, left);
        bool control = (*at < 0x20 && *at != '\n') || *at == 0x7f;
        if (length == 0 || control)
            append_text(page, "\xef\xbf\xbd");
        else if (*at == '<')
            append_text(page, "&lt;");
        else if (*at == '>')
            append_text(page, "&gt;");
        else if (*at == '&')
            append_text(page, "&amp;");
        else if (*at == '"')
            append_text(page, "&quot;");
        else
            append(page, at, length);
        length = length ? length : 1;
        at += length;
        left -= length;
    }
}

// Formatted; as it is, or with its markup escaped.
static void append_format(struct html *page, bool escaped, const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        abort(); // as memory.h: there is no memory for a short text
    if (escaped)
        html_text(page, text);
    else
        append_text(page, text);
    free(text);
}

#define APPEND_ARGUMENTS(page, escaped, format)                                                              \
    do {                                                                                                     \
        va_list arguments;                                                                                   \
        va_start(arguments, format);                                                                         \
        append_format(page, escaped, format, arguments);                                                     \
        va_end(arguments);                                                                                   \
    } while (0)

void html_markup(struct html *page, const char *format, ...)
{
    APPEND_ARGUMENTS(page, false, format);
}

void html_begin(struct html *page, struct buffer *out, const char *title, struct error *err)
{
    *page = (struct html){.out = out, .err = err, .start = out->size};
    append_text(page, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                      "'unsafe-inline'; img-src data:\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    html_text(page, title);
    append_text(page, "</title>\n<style>");
    append_text(page, style);
    append_text(page, "</style></head>\n<body>\n");
    html_element(page, "h1", "%s", title);
}

enum status html_end(struct html *page)
{
    append_text(page, "</body></html>\n");
    if (page->status != STATUS_OK)
        page->out->size = page->start;
    return page->status;
}

void html_element(struct html *page, const char *name, const char *format, ...)
{
    html_markup(page, "<%s>", name);
    APPEND_ARGUMENTS(page, true, format);
    html_markup(page, "</%s>\n", name);
}

void html_open(struct html *page, const char *name, const char *attributes)
{
    html_markup(page, "<%s%s%s>", name, *attributes ? " " : "", attributes);
}

void html_close(struct html *page, const char *name)
{
    html_markup(page, "</%s>\n", name);
}

void html_warning(struct html *page, const char *format, ...)
{
    append_text(page, "<p class=\"warning\">");
    APPEND_ARGUMENTS(page, true, format);
    append_text(page, "</p>\n");
}

void html_table_begin(struct html *page, const char *caption, const char *const *headings)
{
    // A narrow window scrolls the table and not the page, also by keyboard.
    append_text(page, "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"");
    html_text(page, caption);
    append_text(page, "\"><table>");
    html_element(page, "caption", "%s", caption);
    append_text(page, "<thead><tr>");
    for (; *headings; headings++)
        html_element(page, "th", "%s", *headings);
    append_text(page, "</tr></thead><tbody>\n");
}

void html_table_end(struct html *page)
{
    append_text(page, "</tbody></table></div>\n");
}

void html_row_begin(struct html *page)
{
    append_text(page, "<tr>");
}

void html_row_end(struct html *page)
{
    append_text(page, "</tr>\n");
}

void html_cell(struct html *page, const char *format, ...)
{
    append_text(page, "<td>");
    APPEND_ARGUMENTS(page, true, format);
    append_text(page, "</td>");
}

void html_number(struct html *page, const char *format, ...)
{
    append_text(page, "<td class=\"n\">");
    APPEND_ARGUMENTS(page, true, format);
    append_text(page, "</td>");
}

void html_thin(struct html *page, const char *format, ...)
{
    append_text(page, "<td class=\"thin\">");
    APPEND_ARGUMENTS(page, true, format);
    append_text(page, "</td>");
}

void html_shaded(struct html *page, double share, const char *format, ...)
{
    double depth = share >= 0 && share <= 1 ? share : share > 1 ? 1 : 0; // NaN: none
    html_markup(page, "<td class=\"n\" style=\"background:rgba(46,110,158,%.2f)%s\">", 0.85 * depth,
                depth > 0.6 ? ";color:#fff" : "");
    APPEND_ARGUMENTS(page, true, format);
    append_text(page, "</td>");
}

void html_picture(struct html *page, const char *media_type, struct bytes file, int width,
                  const char *alternative)
{
    html_markup(page, "<img width=\"%d\" alt=\"", width);
    html_text(page, alternative);
    html_markup(page, "\" src=\"data:%s;base64,", media_type);
    if (page->status == STATUS_OK) {
        char *text = memory_try_alloc(base64_encoded_size(file.size) + 1);
        if (!text) {
            page->status =
                error_set(page->err, STATUS_FATAL, "no memory for a picture of %zu bytes", file.size);
            return;
        }
        base64_encode(file.data, file.size, text);
        append_text(page, text);
        free(text);
    }
    append_text(page, "\">");
}
