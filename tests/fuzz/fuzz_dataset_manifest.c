// fuzz_dataset_manifest.c: any bytes as the manifest of a data set's version. What is accepted has a digest
// of 64 digits and a number of images that a table may have.
#include <stdlib.h>
#include <string.h>

#include "trainer/listen/version.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct version version = {.number = 7, .name = "000007"};
    struct error err = {""};
    if (version_parse_manifest((struct bytes){data, size}, &version, &err) != STATUS_OK) {
        check(err.message[0] != '\0');
        return 0;
    }
    check(version.images >= 0 && version.number == 7 && strcmp(version.name, "000007") == 0);
    check(strlen(version.labels_sha256) == 64 && strspn(version.labels_sha256, "0123456789abcdef") == 64);
    return 0;
}
