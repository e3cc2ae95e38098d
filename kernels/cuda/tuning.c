// tuning.c: reads and writes the file of tuned products. See tuning.h.
#include "kernels/cuda/tuning.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_SIZE = 512 };

static void find_path(char path[512])
{
    const char *named = getenv("SKINSIGHT_CUDA_TUNING"), *cache = getenv("SKINSIGHT_CACHE_DIR");
    const char *home = getenv("HOME");
    int length = 0;
    if (named && named[0])
        length = snprintf(path, 512, "%s", named);
    else if (cache && cache[0])
        length = snprintf(path, 512, "%s/cuda-tuning.txt", cache);
    else if (home && home[0])
        length = snprintf(path, 512, "%s/.cache/skinsight/cuda-tuning.txt", home);
    if (length <= 0 || length >= 512)
        path[0] = '\0';
}

static bool parse_choice(const char *text, struct library_choice *choice)
{
    uint64_t *a = choice->algorithm;
    *choice = (struct library_choice){.library = false};
    if (strcmp(text, "own") == 0)
        return true;
    choice->library = true;
    return sscanf(text,
                  "%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64
                  "-%16" SCNx64 "-%16" SCNx64,
                  &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &a[6], &a[7]) == 8;
}

static void put(struct tuning *tuning, const char *family, const struct library_choice *choice)
{
    int index = 0;
    while (index < tuning->count && strcmp(tuning->entries[index].family, family) != 0)
        index++;
    if (index == TUNING_MAX_ENTRIES || strlen(family) >= TUNING_FAMILY_SIZE)
        return;
    strcpy(tuning->entries[index].family, family);
    tuning->entries[index].choice = *choice;
    if (index == tuning->count)
        tuning->count++;
}

static void read_line(struct tuning *tuning, char *line)
{
    char *rest = line, *device = strsep(&rest, "\t"), *version = strsep(&rest, "\t");
    char *family = strsep(&rest, "\t"), *text = strsep(&rest, "\n");
    struct library_choice choice;
    if (text && strcmp(device, tuning->device) == 0 && strtoull(version, NULL, 10) == tuning->version &&
        parse_choice(text, &choice))
        put(tuning, family, &choice);
}

void tuning_load(struct tuning *tuning, const char *device, size_t version)
{
    char line[LINE_SIZE];
    *tuning = (struct tuning){.version = version};
    snprintf(tuning->device, sizeof tuning->device, "%s", device);
    find_path(tuning->path);
    FILE *file = tuning->path[0] ? fopen(tuning->path, "r") : NULL;
    if (!file)
        return;
    while (fgets(line, sizeof line, file))
        read_line(tuning, line);
    fclose(file);
}

const struct library_choice *tuning_find(const struct tuning *tuning, const char *family)
{
    for (int i = 0; i < tuning->count; i++)
        if (strcmp(tuning->entries[i].family, family) == 0)
            return &tuning->entries[i].choice;
    return NULL;
}

void tuning_add(struct tuning *tuning, const char *family, const struct library_choice *choice)
{
    put(tuning, family, choice);
    FILE *file = tuning->path[0] ? fopen(tuning->path, "a") : NULL;
    if (!file)
        return;
    fprintf(file, "%s\t%zu\t%s\t", tuning->device, tuning->version, family);
    for (int i = 0; i < 8 && choice->library; i++)
        fprintf(file, "%016" PRIx64 "%s", choice->algorithm[i], i < 7 ? "-" : "\n");
    if (!choice->library)
        fprintf(file, "own\n");
    fclose(file);
}

static uint32_t add_bytes(uint32_t digest, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ ((const uint8_t *)bytes)[i]) * 16777619u;
    return digest;
}

uint32_t tuning_digest(const struct tuning *tuning)
{
    uint32_t digest = add_bytes(2166136261u, tuning->device, strlen(tuning->device)); // FNV-1a
    digest = add_bytes(digest, &tuning->version, sizeof tuning->version);
    for (int i = 0; i < tuning->count; i++) {
        const struct tuning_entry *entry = &tuning->entries[i];
        digest = add_bytes(digest, entry->family, strlen(entry->family));
        digest = add_bytes(digest, entry->choice.algorithm, sizeof entry->choice.algorithm);
    }
    return digest;
}
