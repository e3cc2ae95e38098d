// precision.c: the names of the precisions.
#include "kernels/network/precision.h"

#include <string.h>

const char *const precision_names[PRECISION_COUNT] = {"fp32", "fp16", "bf16", "int8"};

bool precision_parse(const char *text, enum precision *precision)
{
    for (int i = 0; i < PRECISION_COUNT; i++) {
        if (strcmp(text, precision_names[i]) == 0) {
            *precision = (enum precision)i;
            return true;
        }
    }
    return false;
}
