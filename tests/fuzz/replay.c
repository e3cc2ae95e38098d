// replay.c: the main() of a fuzz target without a fuzzer: gives it each file of the folders named, then each
// file with every byte behind a cut missing, at 64 places.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *path)
{
    enum { CUTS = 64, MOST = 16 << 20 };
    struct buffer bytes;
    struct error err;
    buffer_init(&bytes, MOST);
    if (file_read(path, &bytes, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    for (size_t cut = 1; cut <= CUTS; cut++) {
        size_t size = bytes.size * cut / CUTS;
        uint8_t *exact = malloc(size + !size); // so that a read behind its end shows
        for (size_t i = 0; i < size; i++)
            exact[i] = bytes.data[i];
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    buffer_release(&bytes);
}

int main(int argc, char **argv)
{
    int count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (!folder) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *entry; (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            replay(path);
            count++;
        }
        closedir(folder);
    }
    printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
