// fuzz_config.c: any bytes as a config file. What is accepted must be printable as one.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/program/config_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct command commands[] = {{.name = "run", .arguments = ""}, {.name = NULL}};
    static const struct program program = {
        .name = "skinsight-worker", .bit = PROGRAM_WORKER, .commands = commands};
    static int file = -1;
    static char name[] = "skinsight-worker", run[] = "run", flag[] = "--config", path[32];
    if (file < 0) {
        file = memfd_create("config", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
    struct error err;
    struct config *config = config_new(PROGRAM_WORKER);
    char *argv[] = {name, run, flag, path, NULL};
    if (config_read(config, &program, 4, argv, &err) == STATUS_OK)
        for (size_t i = 0; i < config->option_count; i++)
            for (const char *c = config->options[i].text; *c; c++)
                if ((unsigned char)*c < ' ')
                    abort();
    config_free(config);
    return 0;
}
