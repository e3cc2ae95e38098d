// model_save.c: writes a model directory: weights, known answers, reference, card.md, then the manifest, each
// under a temporary name, flushed and renamed. A directory with a manifest is whole.
#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/records/lesion.h"
#include "kernels/model/model_private.h"
#include "kernels/model/reference.h"

static bool put_text(FILE *file, const void *text)
{
    return fputs(text, file) != EOF;
}

static enum status write_text(const char *directory, const char *name, const char *text, struct error *err)
{
    char *path = memory_format("%s/%s", directory, name);
    enum status status = file_replace(path, put_text, text, err);
    free(path);
    return status;
}

// The shortest decimal number that reads back as the same float: 0.485, not 0.48500001.
static cJSON *float_item(float value)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return cJSON_CreateRaw(text);
}

static void add_three(cJSON *object, const char *name, const float values[3])
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (int i = 0; i < 3; i++)
        cJSON_AddItemToArray(array, float_item(values[i]));
}

static void add_preprocessing(cJSON *json, const struct preprocessing *preprocessing)
{
    cJSON *object = cJSON_AddObjectToObject(json, "preprocessing");
    cJSON_AddStringToObject(object, "version", preprocessing->version);
    cJSON_AddNumberToObject(object, "resize", preprocessing->resize);
    cJSON_AddNumberToObject(object, "crop", preprocessing->crop);
    add_three(object, "mean", preprocessing->mean);
    add_three(object, "std", preprocessing->std);
}

// A file of the directory; NULL where there is none.
static cJSON *add_file(cJSON *json, const char *name, const char *file, const struct digest *sha256)
{
    char digest[DIGEST_TEXT_SIZE];
    if (!*file)
        return NULL;
    digest_text(sha256, digest);
    cJSON *object = cJSON_AddObjectToObject(json, name);
    cJSON_AddStringToObject(object, "file", file);
    cJSON_AddStringToObject(object, "sha256", digest);
    return object;
}

static void add_proposal(cJSON *json, const struct melanoma_proposal *proposal)
{
    if (!proposal->given)
        return;
    cJSON *object = cJSON_AddObjectToObject(json, "operating_point");
    cJSON_AddStringToObject(object, "class", lesion_codes[LESION_MEL]);
    cJSON_AddNumberToObject(object, "threshold", proposal->threshold);
    cJSON_AddNumberToObject(object, "sensitivity", proposal->sensitivity);
    cJSON_AddNumberToObject(object, "specificity", proposal->specificity);
    cJSON_AddStringToObject(object, "chosen_on", "validation");
}

enum status manifest_replace(const char *directory, const struct manifest *manifest, struct error *err)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "schema", MODEL_SCHEMA);
    cJSON_AddStringToObject(json, "name", manifest->name);
    cJSON_AddStringToObject(json, "version", manifest->version);
    cJSON_AddStringToObject(json, "model_version", manifest->model_version);
    cJSON_AddStringToObject(json, "architecture", manifest->architecture);
    cJSON_AddNumberToObject(json, "image_size", manifest->image_size);
    cJSON_AddItemToObject(json, "classes",
                          cJSON_CreateStringArray((const char *const *)lesion_codes, LESION_CLASSES));
    add_preprocessing(json, &manifest->preprocessing);
    cJSON_AddItemToObject(json, "temperature", float_item(manifest->temperature));
    cJSON *weights = add_file(json, "weights", manifest->weights_file, &manifest->weights_sha256);
    cJSON_AddStringToObject(weights, "dtype", manifest->weights_dtype);
    add_file(json, "known_answers", manifest->known_answers_file, &manifest->known_answers_sha256);
    add_file(json, "reference", manifest->reference_file, &manifest->reference_sha256);
    calibration_write(&manifest->calibration, json);
    add_proposal(json, &manifest->proposal);
    cJSON_AddBoolToObject(json, "trained", manifest->trained);
    if (manifest->training)
        cJSON_AddItemReferenceToObject(json, "training", manifest->training);
    else
        cJSON_AddObjectToObject(json, "training");
    cJSON_AddStringToObject(json, "licence", manifest->licence);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text)
        return error_set(err, STATUS_FATAL, "no memory for the manifest");
    char *lines = memory_format("%s\n", text);
    enum status status = write_text(directory, MODEL_MANIFEST, lines, err);
    free(lines);
    cJSON_free(text);
    return status;
}

static enum status write_card(const char *directory, const struct manifest *manifest, struct error *err)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(&manifest->weights_sha256, digest);
    char *card = memory_format(
        "# %s\n\n"
        "- Architecture: %s, images of %d x %d, 8 classes (MEL, NV, BCC, AK, BKL, DF, VASC, SCC)\n"
        "- Preprocessing: %s, resized to %d, centre crop of %d\n"
        "- Weights: %s, %s, SHA-256 %s\n"
        "- Licence: %s\n\n%s\n",
        manifest->model_version, manifest->architecture, manifest->image_size, manifest->image_size,
        manifest->preprocessing.version, manifest->preprocessing.resize, manifest->preprocessing.crop,
        manifest->weights_file, manifest->weights_dtype, digest, manifest->licence,
        manifest->trained ? "The head was trained for these classes."
                          : "**Not trained for these classes: the diagnoses mean nothing.**");
    enum status status = write_text(directory, "card.md", card, err);
    free(card);
    return status;
}

// Reads the file back, so that the digest is of what lies on the disk.
static enum status save_weights(const char *directory, struct manifest *manifest,
                                const struct weights *weights, struct error *err)
{
    struct weights *saved = NULL;
    char *path = memory_format("%s/%s", directory, manifest->weights_file);
    enum status status = weights_save(weights, path, err);
    if (status == STATUS_OK)
        status = weights_check_unchanged(weights, err); // they may lie in a file themselves
    if (status == STATUS_OK)
        status = weights_open(&saved, path, err);
    if (status == STATUS_OK) {
        manifest->weights_sha256 = weights_check(saved);
        strcpy(manifest->weights_dtype, weights_dtype(saved));
    }
    weights_close(saved);
    free(path);
    return status;
}

// Makes the directory, which may be there already but not as a model.
static enum status make_directory(const char *directory, bool *made, struct error *err)
{
    *made = mkdir(directory, 0777) == 0;
    if (!*made && errno != EEXIST)
        return error_set(err, STATUS_FATAL, "%s can't be made: %s", directory, strerror(errno));
    struct stat info;
    char *path = memory_format("%s/%s", directory, MODEL_MANIFEST);
    bool exists = lstat(path, &info) == 0;
    free(path);
    return exists ? error_set(err, STATUS_REJECTED, "%s holds a model already", directory) : STATUS_OK;
}

// Makes the renamed files last; a file system that can't is none of the caller's worries.
static void sync_directory(const char *directory)
{
    int file = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file >= 0) {
        fsync(file);
        close(file);
    }
}

static enum status save_known_answers(const char *directory, struct manifest *manifest,
                                      const struct known_answers *known, struct error *err)
{
    manifest->known_answers_file[0] = '\0';
    if (!known)
        return STATUS_OK;
    char *text = known_answers_text(known);
    strcpy(manifest->known_answers_file, KNOWN_ANSWERS_FILE);
    manifest->known_answers_sha256 = digest_of(text, strlen(text));
    enum status status = write_text(directory, KNOWN_ANSWERS_FILE, text, err);
    free(text);
    return status;
}

static enum status save_reference(const char *directory, struct manifest *manifest,
                                  const struct ood_reference *reference, struct error *err)
{
    manifest->reference_file[0] = '\0';
    if (!reference)
        return STATUS_OK;
    char *path = memory_format("%s/%s", directory, REFERENCE_FILE);
    enum status status = reference_write(reference, path, &manifest->reference_sha256, err);
    if (status == STATUS_OK)
        strcpy(manifest->reference_file, REFERENCE_FILE);
    free(path);
    return status;
}

enum status model_replace_reference(const char *directory, struct manifest *manifest,
                                    const struct ood_reference *reference, struct error *err)
{
    enum status status = STATUS_OK;
    if (*manifest->reference_file) { // else a new file would stand under the old one's digest
        manifest->reference_file[0] = '\0';
        status = manifest_replace(directory, manifest, err);
    }
    if (status == STATUS_OK)
        status = save_reference(directory, manifest, reference, err);
    return status == STATUS_OK ? manifest_replace(directory, manifest, err) : status;
}

enum status model_save(const char *directory, struct manifest *manifest, const struct weights *weights,
                       const struct model_extras *extras, struct error *err)
{
    assert(model_is_token(manifest->weights_file) && manifest->weights_file[0] != '.');
    bool made;
    enum status status = make_directory(directory, &made, err);
    if (status == STATUS_OK)
        status = save_weights(directory, manifest, weights, err);
    if (status == STATUS_OK)
        status = save_known_answers(directory, manifest, extras->known, err);
    if (status == STATUS_OK)
        status = save_reference(directory, manifest, extras->reference, err);
    if (status == STATUS_OK)
        status = write_card(directory, manifest, err);
    if (status == STATUS_OK)
        status = manifest_replace(directory, manifest, err);
    if (status == STATUS_OK)
        sync_directory(directory);
    else if (made)
        rmdir(directory); // where nothing could be written into it
    return status;
}
