// json_write.h: the JSON that we write: records, lines of output, headers of files. (model_save.c alone
// prints a tree of cJSON's, because a manifest takes over an object of somebody else's.)
//
// A writer appends to the caller's buffer until something goes wrong, then does nothing more; json_write_end
// says what it was. A value inside an object has a name, one inside an array NULL. Whatever the texts hold,
// what is written is RFC 8259 in UTF-8 on one line. Any thread, one writer at a time for a buffer.
#ifndef SKINSIGHT_COMMON_BASE_JSON_WRITE_H
#define SKINSIGHT_COMMON_BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"

struct json_writer {
    struct buffer *out;
    struct error *err;
    size_t start;       // what was in the buffer before
    enum status status; // the first failure
    bool comma;         // a value stands in front of the next one
};

void json_write_begin(struct json_writer *writer, struct buffer *out, struct error *err);
// After the last value. REJECTED: it is over the buffer's limit; FATAL: no memory. The buffer then holds what
// it held before.
enum status json_write_end(struct json_writer *writer) MUST_CHECK;

void json_add_object(struct json_writer *writer, const char *name);
void json_end_object(struct json_writer *writer);
void json_add_array(struct json_writer *writer, const char *name);
void json_end_array(struct json_writer *writer);

// Bytes that are no UTF-8 become U+FFFD. Control characters are escaped, U+007F too.
void json_add_text(struct json_writer *writer, const char *name, const char *text);
void json_add_base64(struct json_writer *writer, const char *name, struct bytes bytes);
void json_add_digest(struct json_writer *writer, const char *name, const struct digest *digest);
void json_add_integer(struct json_writer *writer, const char *name, int64_t value);
// Thousandths as a number with three decimals: microseconds become milliseconds. value >= 0.
void json_add_thousandths(struct json_writer *writer, const char *name, int64_t value);
void json_add_bool(struct json_writer *writer, const char *name, bool value);
void json_add_null(struct json_writer *writer, const char *name);
// Nine significant digits, from which the same float is read back; null where it is not finite.
void json_add_float(struct json_writer *writer, const char *name, float value);
// 17 significant digits, from which the same double is read back; null where it is not finite.
void json_add_double(struct json_writer *writer, const char *name, double value);
void json_add_floats(struct json_writer *writer, const char *name, const float *values, int count);
// A document that json_parse has accepted; its line breaks become spaces.
void json_add_document(struct json_writer *writer, const char *name, struct bytes document);

// An object of its own on a line, for programs that print such. The writer is the line's.
struct json_line {
    struct buffer text;
    struct json_writer writer;
    struct error err;
};
struct json_writer *json_line_begin(struct json_line *line);
void json_line_end(struct json_line *line,
                   FILE *out); // prints and releases it; aborts where there is no memory

enum { JSON_FLOAT_SIZE = 16 }; // "-1.40129846e-45"
// The characters that printf's "%.9g" gives for a finite value, without its cost; returns how many.
size_t json_float_text(float value, char text[JSON_FLOAT_SIZE]);

#endif
