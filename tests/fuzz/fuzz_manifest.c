// fuzz_manifest.c: any bytes as a manifest. What is accepted must hold what the readers count on.
#include <stdlib.h>
#include <string.h>

#include "kernels/model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct manifest manifest;
    if (manifest_parse((struct bytes){data, size}, &manifest, &err) == STATUS_OK) {
        if (strchr(manifest.weights_file, '/') || manifest.weights_file[0] == '.' ||
            !(manifest.temperature > 0) || manifest.preprocessing.crop != manifest.image_size)
            abort();
        for (int i = 0; i < 3; i++)
            if (!(manifest.preprocessing.std[i] > 0))
                abort();
    }
    manifest_release(&manifest);
    return 0;
}
