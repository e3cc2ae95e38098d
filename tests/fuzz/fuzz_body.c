// fuzz_body.c: any bytes as the body of POST /v2/analyze. However they are cut into pieces, the outcome is
// the same, and it is what parsing the whole body at once gives.
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "producer/gateway/body.h"

enum { IMAGE_MOST = 3000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static enum problem read_body(struct body *body, const uint8_t *data, size_t size, size_t piece,
                              struct analysis *analysis)
{
    struct error err;
    body_init(body, IMAGE_MOST);
    for (size_t at = 0; at < size; at += piece) {
        struct bytes bytes = {data + at, size - at < piece ? size - at : piece};
        if (body_add(body, bytes, &err) != PROBLEM_NONE)
            break;
    }
    return body_finish(body, analysis, &err);
}

// An accepted body says what json_parse and base64_decode, which know nothing of streams, say.
static void check_against_whole(const struct body *body, const uint8_t *data, size_t size)
{
    static const struct json_limits limits = {1 << 20, 2000, 32};
    static uint8_t image[IMAGE_MOST + 8];
    cJSON *json = NULL;
    struct error err;
    check(json_parse((struct bytes){data, size}, &limits, &json, &err) == STATUS_OK);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "image"));
    size_t image_size = 0;
    check(text && base64_decoded_size(strlen(text)) <= sizeof image);
    check(base64_decode(text, strlen(text), image, &image_size));
    check(image_size == body->image.size && memcmp(image, body->image.data, image_size) == 0);
    cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct body whole, cut;
    struct analysis analysis, again;
    enum problem problem = read_body(&whole, data, size, size + 1, &analysis);
    check(read_body(&cut, data, size, 1 + size % 7, &again) == problem);
    check(memcmp(&analysis, &again, sizeof analysis) == 0);
    if (problem == PROBLEM_NONE) {
        check(bytes_equal(buffer_bytes(&whole.image), buffer_bytes(&cut.image)));
        check_against_whole(&whole, data, size);
    }
    body_release(&whole);
    body_release(&cut);
    return 0;
}
