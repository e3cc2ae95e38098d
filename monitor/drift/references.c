// references.c: files of the folder.
#include "monitor/drift/references.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"

enum { LINE_MOST = 1024 };

static const char purpose[] = DRIFT_REFERENCE_SCHEMA; // with its zero byte in front of the digest

// ---- files ----

static enum status read_file(const char *folder, const char *id, const char *ending, size_t most,
                             struct buffer *text, struct error *err)
{
    char *path = memory_format("%s/%s%s", folder, id, ending);
    buffer_init(text, most);
    enum status status = file_read(path, text, err);
    free(path);
    return status;
}

static bool write_bytes(FILE *file, const void *context)
{
    const struct buffer *text = context;
    return fwrite(text->data, 1, text->size, file) == text->size;
}

static enum status write_file(const char *folder, const char *id, const char *ending,
                              const struct buffer *text, struct error *err)
{
    char *path = memory_format("%s/%s%s", folder, id, ending);
    enum status status = file_replace(path, write_bytes, text, err);
    free(path);
    return status;
}

enum status drift_references_read(const char *folder, const char *id, struct drift_reference *reference,
                                  struct error *err)
{
    struct buffer text;
    if (!drift_reference_id_good(id))
        return error_set(err, STATUS_REJECTED, "a reference's id is 1 to 64 of A-Za-z0-9_.-");
    enum status status = read_file(folder, id, ".json", DRIFT_REFERENCE_BYTES_MOST, &text, err);
    if (status == STATUS_OK) {
        status = drift_reference_parse(buffer_bytes(&text), reference, err);
        if (status == STATUS_OK && strcmp(reference->id, id) != 0)
            status = error_set(err, STATUS_REJECTED, "it is the reference %s", reference->id);
        if (status != STATUS_OK)
            error_prefix(err, "reference %s", id);
    }
    buffer_release(&text);
    return status;
}

enum status drift_references_add(const char *folder, const struct drift_reference *reference,
                                 struct error *err)
{
    struct buffer text;
    char *path = memory_format("%s/%s.json", folder, reference->id);
    buffer_init(&text, DRIFT_REFERENCE_BYTES_MOST);
    enum status status = STATUS_OK;
    if (access(path, F_OK) == 0)
        status = error_set(err, STATUS_REJECTED, "%s is there already; choose another id", path);
    if (status == STATUS_OK)
        status = drift_reference_write(reference, &text, err);
    if (status == STATUS_OK)
        status = write_file(folder, reference->id, ".json", &text, err);
    buffer_release(&text);
    free(path);
    return status;
}

// ---- signatures ----

static void message_of(const struct digest *sha256, uint8_t message[sizeof purpose + DIGEST_SIZE])
{
    memcpy(message, purpose, sizeof purpose);
    memcpy(message + sizeof purpose, sha256->value, DIGEST_SIZE);
}

static enum status write_line(const char *id, const struct digest *sha256,
                              const uint8_t signature[SIGNATURE_SIZE], struct buffer *line, struct error *err)
{
    char hex[2 * SIGNATURE_SIZE + 1];
    struct json_writer json;
    hex_encode(signature, SIGNATURE_SIZE, hex);
    json_write_begin(&json, line, err);
    json_add_object(&json, NULL);
    json_add_text(&json, "id", id);
    json_add_digest(&json, "sha256", sha256);
    json_add_text(&json, "signature", hex);
    json_end_object(&json);
    enum status status = json_write_end(&json);
    return status == STATUS_OK ? buffer_append(line, "\n", 1, err) : status;
}

enum status drift_references_sign(const char *folder, const char *id, const struct signer *signer,
                                  struct error *err)
{
    struct drift_reference *reference = drift_reference_new();
    uint8_t message[sizeof purpose + DIGEST_SIZE], signature[SIGNATURE_SIZE];
    struct buffer line;
    buffer_init(&line, LINE_MOST);
    enum status status = drift_references_read(folder, id, reference, err);
    if (status == STATUS_OK) {
        message_of(&reference->sha256, message);
        status = signer_sign(signer, (struct bytes){message, sizeof message}, signature, err);
    }
    if (status == STATUS_OK)
        status = write_line(id, &reference->sha256, signature, &line, err);
    if (status == STATUS_OK)
        status = write_file(folder, id, ".sig", &line, err);
    buffer_release(&line);
    drift_reference_free(reference);
    return status;
}

static bool read_line(struct bytes line, const char *id, struct digest *sha256,
                      uint8_t signature[SIGNATURE_SIZE])
{
    static const struct json_limits limits = {.bytes = LINE_MOST, .values = 8, .depth = 1};
    struct error err;
    cJSON *json = NULL;
    if (json_parse(line, &limits, &json, &err) != STATUS_OK)
        return false;
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "id");
    const cJSON *digest = cJSON_GetObjectItemCaseSensitive(json, "sha256");
    const cJSON *hex = cJSON_GetObjectItemCaseSensitive(json, "signature");
    bool good = cJSON_IsString(name) && strcmp(name->valuestring, id) == 0 && cJSON_IsString(digest) &&
                digest_parse(digest->valuestring, sha256) && cJSON_IsString(hex) &&
                hex_decode(hex->valuestring, signature, SIGNATURE_SIZE) && !json_repeated_name(json);
    cJSON_Delete(json);
    return good;
}

enum status drift_references_check(const char *folder, const struct drift_reference *reference,
                                   const struct verifier *verifier, struct error *err)
{
    struct buffer line;
    struct digest sha256;
    uint8_t message[sizeof purpose + DIGEST_SIZE], signature[SIGNATURE_SIZE];
    enum status status = read_file(folder, reference->id, ".sig", LINE_MOST, &line, err);
    if (status == STATUS_OK && !read_line(buffer_bytes(&line), reference->id, &sha256, signature))
        status = error_set(err, STATUS_REJECTED, "%s.sig is no signature of this reference", reference->id);
    if (status == STATUS_OK && !digest_equal(&sha256, &reference->sha256))
        status = error_set(err, STATUS_REJECTED,
                           "reference %s is not the file that was signed: its digest is another one",
                           reference->id);
    if (status == STATUS_OK && verifier) {
        message_of(&sha256, message);
        if (!verifier_accepts(verifier, (struct bytes){message, sizeof message}, signature))
            status =
                error_set(err, STATUS_REJECTED, "reference %s was signed with another key", reference->id);
    }
    buffer_release(&line);
    return status;
}

// ---- the one that fits ----

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

// The ids that have a line, in order.
static enum status list_signed(const char *folder, char **ids, size_t *count, struct error *err)
{
    DIR *directory = opendir(folder);
    enum status status = STATUS_OK;
    if (!directory)
        return error_set(err, STATUS_FATAL, "%s: %s", folder, strerror(errno));
    for (const struct dirent *entry; status == STATUS_OK && (entry = readdir(directory));) {
        size_t size = strlen(entry->d_name);
        if (size < 5 || strcmp(entry->d_name + size - 4, ".sig") != 0)
            continue;
        char *id = memory_format("%.*s", (int)size - 4, entry->d_name);
        if (*count == DRIFT_REFERENCES_MOST)
            status = error_set(err, STATUS_REJECTED, "%s has more than %d references", folder,
                               DRIFT_REFERENCES_MOST);
        if (status == STATUS_OK && drift_reference_id_good(id))
            ids[(*count)++] = id;
        else
            free(id);
    }
    closedir(directory);
    qsort(ids, *count, sizeof *ids, by_text);
    return status;
}

static bool fits(const struct drift_reference *reference, const struct drift_wanted *wanted)
{
    char sha256[DIGEST_TEXT_SIZE];
    digest_text(&reference->sha256, sha256);
    return reference->to <= wanted->before && (!wanted->sha256 || strcmp(wanted->sha256, sha256) == 0) &&
           (!wanted->model_version || !reference->model_version[0] ||
            strcmp(wanted->model_version, reference->model_version) == 0);
}

static enum status choose(const char *folder, char *const *ids, size_t count,
                          const struct drift_wanted *wanted, const struct verifier *verifier,
                          struct drift_reference *reference, bool *found, struct error *err)
{
    struct drift_reference *candidate = drift_reference_new();
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        status = drift_references_read(folder, ids[i], candidate, err);
        if (status == STATUS_OK && wanted->sha256 && !fits(candidate, wanted))
            continue; // whoever signed it: it is not the one
        if (status == STATUS_OK)
            status = drift_references_check(folder, candidate, verifier, err);
        if (status == STATUS_OK && fits(candidate, wanted) && (!*found || candidate->to >= reference->to)) {
            *reference = *candidate;
            *found = true;
        }
    }
    drift_reference_free(candidate);
    return status;
}

enum status drift_references_find(const char *folder, const struct drift_wanted *wanted,
                                  struct drift_reference *reference, bool *found, struct error *err)
{
    char **ids = memory_alloc(DRIFT_REFERENCES_MOST * sizeof *ids);
    struct verifier *verifier = NULL;
    size_t count = 0;
    enum status status = STATUS_OK;
    *found = false;
    if (wanted->verifying_key)
        status = verifier_open(&verifier, wanted->verifying_key, err);
    if (status == STATUS_OK)
        status = list_signed(folder, ids, &count, err);
    if (status == STATUS_OK)
        status = choose(folder, ids, count, wanted, verifier, reference, found, err);
    verifier_close(verifier);
    for (size_t i = 0; i < count; i++)
        free(ids[i]);
    free(ids);
    return status;
}
