// json.h: JSON from outside, checked before cJSON sees it.
//
// cJSON alone is too kind for bytes from the network: it takes control characters for white space, cuts a
// string at "\u0000", passes bad UTF-8 on, reads "01" and "1." as numbers, and needs some eighty bytes for
// each two-byte value of a hostile array. json_parse takes RFC 8259 and nothing else, within limits.
#ifndef SKINSIGHT_COMMON_BASE_JSON_H
#define SKINSIGHT_COMMON_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

// Before anything else of cJSON, once, by every program: a small allocation of cJSON's that fails aborts, as
// all others do (memory.h), so that nobody who builds JSON has to look at each step. One of JSON_LARGE bytes
// or more fails: json_parse says so, and printing gives NULL. Main thread.
enum { JSON_LARGE = 64 * 1024 };
void json_prepare_memory(void);

struct json_limits {
    size_t bytes;  // of the whole text
    size_t values; // objects, arrays, strings, numbers and literals together; names not counted
    size_t depth;  // objects and arrays inside each other; at most 64
};

// *json is the caller's: cJSON_Delete. REJECTED says what is wrong and at which byte, and never quotes the
// text. FATAL: no memory.
enum status json_parse(struct bytes text, const struct json_limits *limits, cJSON **json,
                       struct error *err) MUST_CHECK;

// The name of a field that stands twice in one object, at any level; NULL where there is none. Which of the
// two was meant is not known, so that a file that decides anything is refused.
const char *json_repeated_name(const cJSON *json);

// Whether number is a whole number from low to high, neither further from 0 than JSON_WHOLE_MOST; *value then
// holds it. (jansson, which cjose brings, has a json_integer: names of json_... that it has too would take
// each other's place.)
#define JSON_WHOLE_MOST INT64_C(9007199254740991) // 2^53 - 1: exact in every JSON reader
bool json_whole_number(const cJSON *number, int64_t low, int64_t high, int64_t *value);

// Whether text is a string shorter than size; out then holds a copy.
bool json_copy_text(const cJSON *text, char *out, size_t size);

#endif
