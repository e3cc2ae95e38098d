// checkpoint.c: writes blocks and the file that names them, reads and compares them.
#include "trainer/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "trainer/checkpoint_private.h"

static const char magic[8] = "SSBLOCK1";
const char *const checkpoint_part_names[CHECKPOINT_PARTS] = {"parameters", "first_moments", "second_moments",
                                                             "best", "average"};

struct block {
    const float *values;
    uint64_t count;
};

static bool write_block(FILE *file, const void *context)
{
    const struct block *block = context;
    return fwrite(magic, sizeof magic, 1, file) == 1 &&
           fwrite(&block->count, sizeof block->count, 1, file) == 1 &&
           fwrite(block->values, sizeof *block->values, block->count, file) == block->count;
}

static bool write_text(FILE *file, const void *context)
{
    const struct buffer *text = context;
    return fwrite(text->data, 1, text->size, file) == text->size;
}

enum status checkpoint_write_block(const char *folder, struct checkpoint *checkpoint,
                                   enum checkpoint_part part, const float *values, struct error *err)
{
    const struct block block = {values, (uint64_t)checkpoint->values};
    char *name = checkpoint->parts[part].file;
    snprintf(name, CHECKPOINT_NAME_SIZE, "%s-%lld.bin", checkpoint_part_names[part],
             (long long)checkpoint->steps);
    char *path = memory_format("%s/%s", folder, name);
    enum status status = file_replace_private(path, write_block, &block, err);
    checkpoint->parts[part].sha256 = digest_of(values, (size_t)checkpoint->values * sizeof *values);
    free(path);
    return status;
}

// The blocks' names are on the disk before the file that names them.
static enum status flush_folder(const char *folder, struct error *err)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = file >= 0 && fsync(file) == 0;
    int reason = errno;
    if (file >= 0)
        close(file);
    return good ? STATUS_OK
                : error_set(err, STATUS_FATAL, "%s can't be flushed: %s", folder, strerror(reason));
}

static bool is_named(const struct checkpoint *checkpoint, const char *name)
{
    for (int i = 0; i < CHECKPOINT_PARTS; i++)
        if (strcmp(checkpoint->parts[i].file, name) == 0)
            return true;
    return false;
}

// A block, whole or, where the process was killed while it wrote, in part.
static bool is_block(const char *name)
{
    static const char *const endings[] = {".bin", ".bin.partial"};
    size_t length = strlen(name);
    for (int i = 0; i < 2; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(name + length - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

static void remove_others(const char *folder, const struct checkpoint *checkpoint)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (!is_block(entry->d_name) || is_named(checkpoint, entry->d_name))
            continue;
        char *path = memory_format("%s/%s", folder, entry->d_name);
        unlink(path);
        free(path);
    }
    if (entries)
        closedir(entries);
}

enum status checkpoint_write(const char *folder, const struct checkpoint *checkpoint, struct error *err)
{
    struct buffer text;
    char *path = memory_format("%s/" CHECKPOINT_FILE, folder);
    buffer_init(&text, CHECKPOINT_MOST_BYTES);
    enum status status = checkpoint_format(checkpoint, &text, err);
    if (status == STATUS_OK)
        status = flush_folder(folder, err);
    if (status == STATUS_OK)
        status = file_replace_private(path, write_text, &text, err);
    if (status == STATUS_OK)
        status = flush_folder(folder, err);
    if (status == STATUS_OK)
        remove_others(folder, checkpoint);
    buffer_release(&text);
    free(path);
    return status;
}

bool checkpoint_exists(const char *folder)
{
    char *path = memory_format("%s/" CHECKPOINT_FILE, folder);
    bool exists = access(path, F_OK) == 0;
    free(path);
    return exists;
}

enum status checkpoint_read(const char *folder, struct checkpoint *checkpoint, struct error *err)
{
    struct buffer text;
    char *path = memory_format("%s/" CHECKPOINT_FILE, folder);
    buffer_init(&text, CHECKPOINT_MOST_BYTES);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        status = checkpoint_parse(buffer_bytes(&text), checkpoint, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&text);
    free(path);
    return status;
}

static bool read_whole(FILE *file, float *values, uint64_t count)
{
    char head[sizeof magic];
    uint64_t stored;
    return fread(head, sizeof head, 1, file) == 1 && memcmp(head, magic, sizeof head) == 0 &&
           fread(&stored, sizeof stored, 1, file) == 1 && stored == count &&
           fread(values, sizeof *values, count, file) == count && fgetc(file) == EOF;
}

enum status checkpoint_read_block(const char *folder, const struct checkpoint *checkpoint,
                                  enum checkpoint_part part, float *values, struct error *err)
{
    enum status status = STATUS_OK;
    char *path = memory_format("%s/%s", folder, checkpoint->parts[part].file);
    FILE *file = fopen(path, "rbe");
    if (!file) {
        status = error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    } else {
        size_t size = (size_t)checkpoint->values * sizeof *values;
        struct digest digest;
        bool whole = read_whole(file, values, (uint64_t)checkpoint->values);
        if (whole)
            digest = digest_of(values, size);
        if (!whole || !digest_equal(&digest, &checkpoint->parts[part].sha256))
            status = error_set(err, STATUS_REJECTED, "%s is damaged: begin anew in another folder", path);
        fclose(file);
    }
    free(path);
    return status;
}

// The first line of recipes that differs, as both have it.
static enum status refuse_recipe(const char *there, const char *here, struct error *err)
{
    static const char none[] = "none of it"; // the other's last line, processes
    for (;;) {
        size_t one = strcspn(there, "\n"), other = strcspn(here, "\n");
        if (one != other || memcmp(there, here, one) != 0 || !there[one] || !here[other])
            return error_set(
                err, STATUS_REJECTED,
                "the checkpoint was made with %.*s, this run has %.*s: give the same options, or begin "
                "anew with another --out",
                one ? (int)one : (int)sizeof none - 1, one ? there : none,
                other ? (int)other : (int)sizeof none - 1, other ? here : none);
        there += one + 1;
        here += other + 1;
    }
}

enum status checkpoint_check(const struct checkpoint *checkpoint, const struct checkpoint *wanted,
                             bool any_build, struct error *err)
{
    static const char way_out[] = "begin anew with another --out";
    if (strcmp(checkpoint->architecture, wanted->architecture) != 0)
        return error_set(err, STATUS_REJECTED, "the checkpoint is of %s, this run of %s: %s",
                         checkpoint->architecture, wanted->architecture, way_out);
    if (checkpoint->image_size != wanted->image_size)
        return error_set(err, STATUS_REJECTED,
                         "the checkpoint is of images of %d pixels a side, this run of %d: %s",
                         checkpoint->image_size, wanted->image_size, way_out);
    if (!digest_equal(&checkpoint->data, &wanted->data))
        return error_set(
            err, STATUS_REJECTED,
            "the checkpoint is of another data set or split: give the same --data, --where and --split, "
            "or %s",
            way_out);
    if (strcmp(checkpoint->build, wanted->build) != 0 && !any_build)
        return error_set(
            err, STATUS_REJECTED,
            "the checkpoint is of build %s, this is %s: go on with that one, or with --any-build, and "
            "the result may differ in bits",
            checkpoint->build, wanted->build);
    if (strcmp(checkpoint->recipe, wanted->recipe) != 0)
        return refuse_recipe(checkpoint->recipe, wanted->recipe, err);
    return STATUS_OK;
}
