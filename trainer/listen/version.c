// version.c: labels.csv streams from the index to the disk, so that memory does not grow with it.
#include "trainer/listen/version.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/log.h"
#include "common/base/memory.h"

#define SCHEMA       "skinsight.dataset.v1"
#define PARTIAL      ".partial"
#define LABELS_FIRST "file,label,lesion_id,patient_id,atypical,certainty,clinic\n"
#define LEFT_FIRST   "feedback_id,request_id,image_sha256,reason\n"

enum {
    FOLDER_MODE = 0700,
    MANIFEST_MOST = 1 << 20,
    LINE_SIZE = 1024,
    LESION_SIZE = JOB_TOKEN_SIZE + 2 * FEEDBACK_NAME_SIZE + 3
};

// ---- names and the newest ----

// 0: it is no version's name.
static int number_of(const char *name)
{
    if (strlen(name) != 6 || strspn(name, "0123456789") != 6)
        return 0;
    return (int)strtol(name, NULL, 10);
}

static bool read_manifest_fields(const cJSON *json, struct version *version)
{
    const char *schema = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "schema"));
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "version"));
    const char *digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "labels_sha256"));
    struct digest parsed;
    if (!schema || strcmp(schema, SCHEMA) != 0 || !name || strcmp(name, version->name) != 0 || !digest ||
        !digest_parse(digest, &parsed) ||
        !json_whole_number(cJSON_GetObjectItemCaseSensitive(json, "images"), 0, JSON_WHOLE_MOST,
                           &version->images))
        return false;
    digest_text(&parsed, version->labels_sha256);
    return true;
}

enum status version_parse_manifest(struct bytes text, struct version *version, struct error *err)
{
    static const struct json_limits limits = {.bytes = MANIFEST_MOST, .values = 200000, .depth = 8};
    cJSON *json = NULL;
    enum status status = json_parse(text, &limits, &json, err);
    if (status == STATUS_OK && (json_repeated_name(json) || !read_manifest_fields(json, version)))
        status = error_set(err, STATUS_REJECTED, "it is no manifest of that version");
    cJSON_Delete(json);
    return status;
}

static enum status read_manifest(const char *dataset, struct version *version, struct error *err)
{
    char *path = memory_format("%s/%s/manifest.json", dataset, version->name);
    struct buffer text;
    buffer_init(&text, MANIFEST_MOST);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        status = version_parse_manifest(buffer_bytes(&text), version, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&text);
    free(path);
    return status;
}

static void remove_partial(const char *dataset)
{
    static const char *const names[] = {"labels.csv", "manifest.json", "manifest.json.partial"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = memory_format("%s/" PARTIAL "/%s", dataset, names[i]);
        unlink(path);
        free(path);
    }
    char *folder = memory_format("%s/" PARTIAL, dataset);
    rmdir(folder);
    free(folder);
}

// The greatest number that a folder has.
static enum status find_greatest(const char *dataset, int below, int *greatest, struct error *err)
{
    DIR *entries = opendir(dataset);
    *greatest = 0;
    if (!entries)
        return error_set(err, STATUS_FATAL, "%s can't be opened: %s", dataset, strerror(errno));
    for (struct dirent *entry; (entry = readdir(entries));) {
        int number = number_of(entry->d_name);
        if (number > *greatest && number < below)
            *greatest = number;
    }
    closedir(entries);
    return STATUS_OK;
}

enum status version_find(const char *dataset, struct version *newest, struct error *err)
{
    int number, below = VERSION_MOST + 1;
    enum status status;
    remove_partial(dataset);
    *newest = (struct version){0};
    while ((status = find_greatest(dataset, below, &number, err)) == STATUS_OK && number > 0) {
        struct version found = {.number = number};
        struct error reason;
        snprintf(found.name, sizeof found.name, "%06d", number);
        if (read_manifest(dataset, &found, &reason) == STATUS_OK) {
            *newest = found;
            break;
        }
        LOG_WARN("version_unusable", "version=%s reason=\"%s\"", found.name, reason.message);
        below = number;
    }
    return status;
}

// ---- a new one ----

struct table {
    FILE *file;
    struct digest_stream *digest; // NULL: nobody asks
};

struct making {
    struct table labels, left_out;
    struct version_counts *counts;
    struct version made;
};

static enum status write_line(struct table *table, const char *line, struct error *err)
{
    size_t size = strlen(line);
    if (table->digest)
        digest_stream_add(table->digest, line, size);
    if (fwrite(line, 1, size, table->file) == size)
        return STATUS_OK;
    return error_set(err, STATUS_RETRY, "a table of the data set can't be written: %s", strerror(errno));
}

static enum status open_table(struct table *table, const char *path, const char *first, struct error *err)
{
    table->file = file_open_private(path);
    if (!table->file)
        return error_set(err, STATUS_RETRY, "%s can't be written: %s", path, strerror(errno));
    return write_line(table, first, err);
}

// To the disk. The file is closed in any case.
static enum status close_table(struct table *table, struct error *err)
{
    if (!table->file)
        return STATUS_OK;
    bool good = fflush(table->file) == 0 && fsync(fileno(table->file)) == 0;
    int reason = errno;
    if (fclose(table->file) != 0 && good) {
        good = false;
        reason = errno;
    }
    table->file = NULL;
    if (good)
        return STATUS_OK;
    return error_set(err, STATUS_RETRY, "a table of the data set can't be written: %s", strerror(reason));
}

// Clinics number their lesions alike, so a site is part of the id: "site/lesion". A site has no slash, and
// one that is not known is another than any that is. A field of RFC 4180: names may hold commas and quotes.
static void write_lesion(const struct label_row *row, char field[LESION_SIZE])
{
    size_t used = (size_t)snprintf(field, LESION_SIZE, "\"%s/", row->site);
    for (const char *text = row->lesion_id; *text && used + 3 < LESION_SIZE; text++) {
        if (*text == '"')
            field[used++] = '"';
        field[used++] = *text;
    }
    field[used++] = '"';
    field[used] = '\0';
}

static enum status write_label(struct making *making, const struct label_row *row, struct error *err)
{
    static const char *const truths[] = {"", "0", "1"};
    char line[LINE_SIZE], lesion[LESION_SIZE] = "";
    if (row->lesion_id[0])
        write_lesion(row, lesion);
    snprintf(line, sizeof line, "%s.jpg,%s,%s,%s,%s,%s,%s\n", row->image_sha256,
             feedback_label_names[row->label], lesion, row->subject, truths[row->atypical + 1],
             certainty_names[row->certainty], row->site);
    making->made.images++;
    making->counts->classes[row->label]++;
    return write_line(&making->labels, line, err);
}

static enum status take_outcome(void *context, const struct label_row *row, enum outcome outcome,
                                struct error *err)
{
    struct making *making = context;
    char line[LINE_SIZE];
    if (outcome == OUTCOME_LABEL && row->state != IMAGE_HERE)
        outcome = row->state == IMAGE_DIFFERS ? OUTCOME_IMAGE_DIFFERS : OUTCOME_IMAGE_ABSENT;
    making->counts->outcomes[outcome]++;
    if (outcome == OUTCOME_LABEL)
        return write_label(making, row, err);
    snprintf(line, sizeof line, "%s,%s,%s,%s\n", row->feedback_id, row->request_id, row->image_sha256,
             outcome_names[outcome]);
    return write_line(&making->left_out, line, err);
}

static enum status write_tables(struct feedback_index *index, const char *dataset, struct making *making,
                                struct error *err)
{
    char *labels = memory_format("%s/" PARTIAL "/labels.csv", dataset);
    char *left_out = memory_format("%s/left_out.csv", dataset);
    char *left_out_new = memory_format("%s.partial", left_out);
    const struct outcome_taker taker = {take_outcome, making};
    struct error ignored;
    making->labels.digest = digest_stream_new();
    enum status status = open_table(&making->labels, labels, LABELS_FIRST, err);
    if (status == STATUS_OK)
        status = open_table(&making->left_out, left_out_new, LEFT_FIRST, err);
    if (status == STATUS_OK)
        status = outcomes_walk(index, &taker, err);
    enum status closed = close_table(&making->labels, status == STATUS_OK ? err : &ignored);
    status = status == STATUS_OK ? closed : status;
    closed = close_table(&making->left_out, status == STATUS_OK ? err : &ignored);
    status = status == STATUS_OK ? closed : status;
    struct digest digest = digest_stream_finish(making->labels.digest);
    digest_text(&digest, making->made.labels_sha256);
    if (status == STATUS_OK && rename(left_out_new, left_out) != 0)
        status = error_set(err, STATUS_RETRY, "%s can't be written: %s", left_out, strerror(errno));
    if (status != STATUS_OK)
        unlink(left_out_new);
    free(left_out_new);
    free(left_out);
    free(labels);
    return status;
}

struct offsets_writer {
    struct json_writer *json;
    char topic[256]; // whose array is open; "": none
    int32_t next;    // partition
};

// Partitions come in order; one that was never read is null.
static void add_offset(void *context, const char *topic, int32_t partition, int64_t next)
{
    struct offsets_writer *writer = context;
    if (strcmp(topic, writer->topic) != 0) {
        if (writer->topic[0])
            json_end_array(writer->json);
        json_add_array(writer->json, topic);
        snprintf(writer->topic, sizeof writer->topic, "%s", topic);
        writer->next = 0;
    }
    for (; writer->next < partition; writer->next++)
        json_add_null(writer->json, NULL);
    json_add_integer(writer->json, NULL, next);
    writer->next = partition + 1;
}

static enum status compose_manifest(struct feedback_index *index, const struct version *made,
                                    const struct version *parent, struct buffer *text, struct error *err)
{
    struct json_writer json;
    struct offsets_writer offsets = {.json = &json};
    json_write_begin(&json, text, err);
    json_add_object(&json, NULL);
    json_add_text(&json, "schema", SCHEMA);
    json_add_text(&json, "version", made->name);
    if (parent->number > 0)
        json_add_text(&json, "parent", parent->name);
    else
        json_add_null(&json, "parent");
    json_add_integer(&json, "images", made->images);
    json_add_text(&json, "labels_sha256", made->labels_sha256);
    json_add_object(&json, "topic_offsets");
    enum status status = feedback_index_offsets(index, add_offset, &offsets, err);
    if (status != STATUS_OK)
        return status;
    if (offsets.topic[0])
        json_end_array(&json);
    json_end_object(&json);
    json_end_object(&json);
    return json_write_end(&json);
}

static bool write_bytes(FILE *file, const void *context)
{
    const struct bytes *data = context;
    return fwrite(data->data, 1, data->size, file) == data->size && fputc('\n', file) != EOF;
}

static enum status write_manifest(struct feedback_index *index, const char *dataset,
                                  const struct making *making, const struct version *parent,
                                  struct error *err)
{
    struct buffer text;
    char *path = memory_format("%s/" PARTIAL "/manifest.json", dataset);
    buffer_init(&text, MANIFEST_MOST);
    enum status status = compose_manifest(index, &making->made, parent, &text, err);
    struct bytes data = buffer_bytes(&text);
    if (status == STATUS_OK && file_replace_private(path, write_bytes, &data, err) != STATUS_OK)
        status = STATUS_RETRY; // of a full disk, say
    buffer_release(&text);
    free(path);
    return status;
}

static bool flush_folder(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = folder >= 0 && fsync(folder) == 0;
    int reason = errno;
    if (folder >= 0)
        close(folder);
    errno = reason;
    return good;
}

static enum status give_name(const char *dataset, const struct version *made, struct error *err)
{
    char *partial = memory_format("%s/" PARTIAL, dataset);
    char *path = memory_format("%s/%s", dataset, made->name);
    enum status status = STATUS_OK;
    if (!flush_folder(partial) || rename(partial, path) != 0 || !flush_folder(dataset))
        status = error_set(err, STATUS_RETRY, "%s can't be made: %s", path, strerror(errno));
    free(path);
    free(partial);
    return status;
}

static enum status name_version(struct feedback_index *index, const char *dataset, struct making *making,
                                struct version *newest, struct error *err)
{
    int greatest;
    enum status status = find_greatest(dataset, VERSION_MOST + 1, &greatest, err);
    if (status != STATUS_OK)
        return status;
    if (greatest == VERSION_MOST)
        return error_set(err, STATUS_FATAL, "%s has %d versions, which is the most", dataset, VERSION_MOST);
    making->made.number = greatest + 1;
    snprintf(making->made.name, sizeof making->made.name, "%06d", greatest + 1);
    status = write_manifest(index, dataset, making, newest, err);
    if (status == STATUS_OK)
        status = give_name(dataset, &making->made, err);
    if (status == STATUS_OK)
        *newest = making->made;
    return status;
}

enum status version_make(struct feedback_index *index, const char *dataset, struct version *newest,
                         struct version_counts *counts, struct error *err)
{
    struct making making = {.counts = counts};
    char *partial = memory_format("%s/" PARTIAL, dataset);
    *counts = (struct version_counts){0};
    enum status status = STATUS_OK;
    if (mkdir(partial, FOLDER_MODE) != 0 && errno != EEXIST)
        status = error_set(err, STATUS_RETRY, "%s can't be made: %s", partial, strerror(errno));
    if (status == STATUS_OK)
        status = write_tables(index, dataset, &making, err);
    bool same = newest->number > 0 ? strcmp(making.made.labels_sha256, newest->labels_sha256) == 0
                                   : making.made.images == 0;
    if (status == STATUS_OK && !same)
        status = name_version(index, dataset, &making, newest, err);
    remove_partial(dataset);
    free(partial);
    return status;
}
