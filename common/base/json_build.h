// json_build.h: the tree of a JSON text that json.c has found to be good. Apart from json.c, which only says
// yes or no, this one only builds: it checks nothing.
//
// The tree is cJSON's own, made with its allocator, and equal to what cJSON_Parse makes of the text, in a
// third of the time: a terminal record has a hundred numbers, and a job's image is one long text. Any thread.
#ifndef SKINSIGHT_COMMON_BASE_JSON_BUILD_H
#define SKINSIGHT_COMMON_BASE_JSON_BUILD_H

#include <cjson/cJSON.h>

#include "common/base/bytes.h"

// The caller's: cJSON_Delete. NULL: no memory.
cJSON *json_build(struct bytes text);

#endif
