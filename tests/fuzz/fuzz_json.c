// fuzz_json.c: any bytes as JSON. What is taken is the same tree that cJSON makes of it.
#include <stdlib.h>

#include "common/base/json.h"
#include "tests/support/json_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct json_limits limits = {.bytes = 1 << 20, .values = 10000, .depth = 64};
    struct error err = {""};
    cJSON *json;
    if (json_parse((struct bytes){data, size}, &limits, &json, &err) != STATUS_OK) {
        if (err.message[0] == '\0')
            abort();
        return 0;
    }
    cJSON *wanted = cJSON_ParseWithLength((const char *)data, size);
    if (!wanted || !json_same(json, wanted))
        abort();
    cJSON_Delete(wanted);
    cJSON_Delete(json);
    return 0;
}
