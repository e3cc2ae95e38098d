// fuzz_known_answers.c: any bytes as a known_answers.json. What is accepted is within its limits, can be
// written, and what was written is read as the same.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/model/known_answers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_limits(const struct known_answers *known)
{
    check(known->count >= 1 && known->count <= KNOWN_ANSWERS_MOST);
    for (int i = 0; i < known->count; i++) {
        check(known->seeds[i] < UINT64_C(1) << 53);
        for (int class = 0; class < LESION_CLASSES; class ++)
            check(isfinite(known->logits[i][class]));
    }
}

static void write_and_read(const struct known_answers *known)
{
    struct known_answers again;
    struct error err;
    char *text = known_answers_text(known);
    check(known_answers_parse((struct bytes){(const uint8_t *)text, strlen(text)}, &again, &err) ==
          STATUS_OK);
    check(again.count == known->count);
    for (int i = 0; i < known->count; i++) {
        check(again.seeds[i] == known->seeds[i]);
        for (int class = 0; class < LESION_CLASSES; class ++)
            check(!(again.logits[i][class] < known->logits[i][class]) &&
                  !(again.logits[i][class] > known->logits[i][class]));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct known_answers known;
    struct error err = {""};
    enum status status = known_answers_parse((struct bytes){data, size}, &known, &err);
    check(status == STATUS_OK || (status == STATUS_REJECTED && err.message[0] != '\0'));
    if (status == STATUS_OK) {
        check_limits(&known);
        write_and_read(&known);
    }
    return 0;
}
