// text.h: file names and answers are bytes from outside; these make them fit for a terminal.
#ifndef SKINSIGHT_COMMON_BASE_TEXT_H
#define SKINSIGHT_COMMON_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Length of the well-formed UTF-8 character at the start of data; 0 where there is none.
size_t text_utf8_length(const uint8_t *data, size_t size);

// Copies as much of text as fits in whole characters, up to the first byte that is no UTF-8. Always
// terminated.
void text_cut(const char *text, char *out, size_t size);

// Copies text for a terminal: control characters and bytes that are no UTF-8 become '?'. Always terminated.
void text_clean(const char *text, char *out, size_t size);

// How many columns a cleaned text takes (characters, wide ones not considered).
size_t text_columns(const char *text);

// The last columns of a cleaned text, "..." in front where something was left out; padded to columns.
void text_write_tail(FILE *out, const char *text, size_t columns);

#endif
