// fuzz_checkpoint.c: any bytes as checkpoint.json. What is accepted names files of its folder only, and has a
// row for each epoch that is over.
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "trainer/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct checkpoint checkpoint;
    struct error err;
    if (checkpoint_parse((struct bytes){data, size}, &checkpoint, &err) != STATUS_OK)
        return 0;
    for (int i = 0; i < CHECKPOINT_PARTS; i++)
        if (strchr(checkpoint.parts[i].file, '/') || checkpoint.parts[i].file[0] == '.')
            abort();
    if (checkpoint.history.epochs != checkpoint.epoch || checkpoint.history.best >= checkpoint.epoch)
        abort();
    return 0;
}
