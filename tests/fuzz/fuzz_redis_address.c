// fuzz_redis_address.c: any text as the URL of the cache.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/services/redis_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_address address;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    if (redis_address_parse(text, &address)) {
        bool is_socket = address.path[0] == '/' && strlen(address.path) < REDIS_PATH_SIZE &&
                         !address.host[0] && address.port == 0 && address.database == 0;
        bool is_host = !address.path[0] && address.host[0] && strlen(address.host) < REDIS_PART_SIZE &&
                       address.port >= 1 && address.port <= UINT16_MAX && address.database >= 0;
        if (is_socket == is_host || !address.name[0] || strlen(address.name) >= sizeof address.name)
            abort();
    }
    free(text);
    return 0;
}
