// model.c: reads a model directory and refuses it unless every part fits the others: manifest, digest,
// architecture, shapes, values.
#include "kernels/model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/memory.h"
#include "common/records/lesion.h"
#include "kernels/model/model_private.h"
#include "kernels/model/network_weights.h"
#include "kernels/model/reference.h"

enum { MAX_MANIFEST_SIZE = 1 << 20, MAX_VALUES = 10000, MAX_DEPTH = 16, MAX_SIDE = 4096 };

static enum status bad_field(const char *name, const char *rule, struct error *err)
{
    return error_set(err, STATUS_REJECTED, "'%s' must be %s", name, rule);
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool is_token_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

bool model_is_token(const char *text)
{
    size_t length = 0;
    while (is_token_character(text[length]))
        length++;
    return text[length] == '\0' && length >= 1 && length < MODEL_TEXT_SIZE;
}

bool model_is_version(const char *text)
{
    const char *at = text;
    for (int part = 0; part < 3; part++) {
        size_t digits = strspn(at, "0123456789");
        if (digits < 1 || digits > 9 || (digits > 1 && at[0] == '0') || at[digits] != (part < 2 ? '.' : '\0'))
            return false;
        at += digits + 1;
    }
    return true;
}

// A file of the directory itself, never one that is hidden or lies elsewhere.
static bool is_file_name(const char *text)
{
    return model_is_token(text) && text[0] != '.';
}

static bool is_line(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return length < MODEL_TEXT_SIZE;
}

static bool is_float_dtype(const char *text)
{
    return strcmp(text, "F32") == 0 || strcmp(text, "F16") == 0 || strcmp(text, "BF16") == 0;
}

static bool is_known_preprocessing(const char *text)
{
    return strcmp(text, MODEL_PREPROCESSING) == 0;
}

// What a text must be, in words too.
struct text_rule {
    bool (*is_valid)(const char *text);
    const char *words;
    size_t size; // of the field, with the end
};

static const struct text_rule token_rule = {model_is_token, "1 to 64 of [A-Za-z0-9_.-]", MODEL_TEXT_SIZE};
static const struct text_rule version_rule = {model_is_version, "MAJOR.MINOR.PATCH", MODEL_TEXT_SIZE};
static const struct text_rule licence_rule = {is_line, "a line of at most 64 characters", MODEL_TEXT_SIZE};
static const struct text_rule file_rule = {is_file_name, "the plain name of a file in the directory",
                                           MODEL_TEXT_SIZE};
static const struct text_rule dtype_rule = {is_float_dtype, "F32, F16 or BF16",
                                            sizeof((struct manifest *)0)->weights_dtype};
static const struct text_rule preprocessing_rule = {is_known_preprocessing, "\"" MODEL_PREPROCESSING "\"",
                                                    sizeof((struct preprocessing *)0)->version};

static enum status read_text(const cJSON *object, const char *name, const struct text_rule *rule, char *text,
                             struct error *err)
{
    const cJSON *json = member(object, name);
    if (!cJSON_IsString(json) || strlen(json->valuestring) >= rule->size ||
        !rule->is_valid(json->valuestring))
        return bad_field(name, rule->words, err);
    strcpy(text, json->valuestring);
    return STATUS_OK;
}

static enum status read_side(const cJSON *object, const char *name, int *value, struct error *err)
{
    int64_t number;
    if (!json_whole_number(member(object, name), 1, MAX_SIDE, &number))
        return bad_field(name, "a whole number from 1 to 4096", err);
    *value = (int)number;
    return STATUS_OK;
}

static enum status read_three(const cJSON *object, const char *name, float low, float values[3],
                              struct error *err)
{
    const cJSON *json = member(object, name);
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 3)
        return bad_field(name, "an array of three numbers", err);
    int i = 0;
    for (const cJSON *item = json->child; item; item = item->next) {
        values[i] = (float)item->valuedouble;
        if (!cJSON_IsNumber(item) || !(values[i] >= low && values[i] <= 100))
            return bad_field(name, "an array of three numbers within bounds", err);
        i++;
    }
    return STATUS_OK;
}

static enum status read_preprocessing(const cJSON *json, struct preprocessing *preprocessing,
                                      struct error *err)
{
    if (!cJSON_IsObject(json))
        return bad_field("preprocessing", "an object", err);
    enum status status = read_text(json, "version", &preprocessing_rule, preprocessing->version, err);
    if (status == STATUS_OK)
        status = read_side(json, "resize", &preprocessing->resize, err);
    if (status == STATUS_OK)
        status = read_side(json, "crop", &preprocessing->crop, err);
    if (status == STATUS_OK)
        status = read_three(json, "mean", -100, preprocessing->mean, err);
    if (status == STATUS_OK)
        status = read_three(json, "std", 1e-6f, preprocessing->std, err);
    if (status != STATUS_OK)
        return status;
    if (preprocessing->crop > preprocessing->resize)
        return bad_field("crop", "at most 'resize'", err);
    return STATUS_OK;
}

static enum status read_digest(const cJSON *json, struct digest *digest, struct error *err)
{
    const cJSON *text = member(json, "sha256");
    if (cJSON_IsString(text) && digest_parse(text->valuestring, digest))
        return STATUS_OK;
    return bad_field("sha256", "64 hexadecimal digits", err);
}

// A file of the directory and its digest.
static enum status read_file(const cJSON *manifest, const char *name, char file[MODEL_TEXT_SIZE],
                             struct digest *sha256, struct error *err)
{
    const cJSON *json = member(manifest, name);
    if (!cJSON_IsObject(json))
        return bad_field(name, "an object", err);
    enum status status = read_text(json, "file", &file_rule, file, err);
    if (status == STATUS_OK)
        status = read_digest(json, sha256, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s", name);
    return status;
}

static enum status read_files(const cJSON *json, struct manifest *manifest, struct error *err)
{
    enum status status = read_file(json, "weights", manifest->weights_file, &manifest->weights_sha256, err);
    if (status != STATUS_OK)
        return status;
    status = read_text(member(json, "weights"), "dtype", &dtype_rule, manifest->weights_dtype, err);
    if (status != STATUS_OK)
        error_prefix(err, "weights");
    // Absent in directories made before there were any.
    if (status == STATUS_OK && member(json, "known_answers"))
        status = read_file(json, "known_answers", manifest->known_answers_file,
                           &manifest->known_answers_sha256, err);
    if (status == STATUS_OK && member(json, "reference"))
        status = read_file(json, "reference", manifest->reference_file, &manifest->reference_sha256, err);
    return status;
}

// The order of the classes is the order of the logits: another one would swap diagnoses.
static enum status check_classes(const cJSON *json, struct error *err)
{
    bool good = cJSON_IsArray(json) && cJSON_GetArraySize(json) == LESION_CLASSES;
    int i = 0;
    for (const cJSON *item = good ? json->child : NULL; item; item = item->next)
        good = good && cJSON_IsString(item) && strcmp(item->valuestring, lesion_codes[i++]) == 0;
    return good ? STATUS_OK : bad_field("classes", "MEL, NV, BCC, AK, BKL, DF, VASC, SCC in this order", err);
}

static enum status read_names(const cJSON *json, struct manifest *manifest, struct error *err)
{
    enum status status = read_text(json, "name", &token_rule, manifest->name, err);
    if (status == STATUS_OK)
        status = read_text(json, "version", &version_rule, manifest->version, err);
    if (status == STATUS_OK)
        status = read_text(json, "model_version", &token_rule, manifest->model_version, err);
    if (status == STATUS_OK)
        status = read_text(json, "architecture", &token_rule, manifest->architecture, err);
    if (status == STATUS_OK)
        status = read_text(json, "licence", &licence_rule, manifest->licence, err);
    return status;
}

static enum status read_manifest(const cJSON *json, struct manifest *manifest, struct error *err)
{
    const cJSON *schema = member(json, "schema");
    if (!cJSON_IsString(schema) || strcmp(schema->valuestring, MODEL_SCHEMA) != 0)
        return bad_field("schema", "\"" MODEL_SCHEMA "\"", err);
    enum status status = read_names(json, manifest, err);
    if (status == STATUS_OK)
        status = read_side(json, "image_size", &manifest->image_size, err);
    if (status == STATUS_OK)
        status = check_classes(member(json, "classes"), err);
    if (status == STATUS_OK)
        status = read_preprocessing(member(json, "preprocessing"), &manifest->preprocessing, err);
    if (status == STATUS_OK)
        status = read_files(json, manifest, err);
    if (status == STATUS_OK)
        status = calibration_read(member(json, "calibration"), &manifest->calibration, err);
    if (status != STATUS_OK)
        return status;
    const cJSON *temperature = member(json, "temperature"), *trained = member(json, "trained");
    if (!cJSON_IsNumber(temperature) ||
        !(temperature->valuedouble >= 1e-3 && temperature->valuedouble <= 1e3))
        return bad_field("temperature", "a number from 0.001 to 1000", err);
    manifest->temperature = (float)temperature->valuedouble;
    if (!cJSON_IsBool(trained))
        return bad_field("trained", "true or false", err);
    manifest->trained = cJSON_IsTrue(trained);
    if (manifest->preprocessing.crop != manifest->image_size)
        return bad_field("image_size", "equal to 'crop'", err);
    return STATUS_OK;
}

static enum status read_share(const cJSON *object, const char *name, double *value, struct error *err)
{
    const cJSON *json = member(object, name);
    if (!cJSON_IsNumber(json) || !(json->valuedouble >= 0 && json->valuedouble <= 1))
        return bad_field(name, "a number from 0 to 1", err);
    *value = json->valuedouble;
    return STATUS_OK;
}

// Absent where no evaluation has left one.
static enum status read_proposal(const cJSON *json, struct melanoma_proposal *proposal, struct error *err)
{
    if (!json)
        return STATUS_OK;
    if (!cJSON_IsObject(json))
        return bad_field("operating_point", "an object", err);
    const cJSON *of = member(json, "class");
    if (!cJSON_IsString(of) || strcmp(of->valuestring, lesion_codes[LESION_MEL]) != 0)
        return bad_field("operating_point", "of the class MEL", err);
    enum status status = read_share(json, "threshold", &proposal->threshold, err);
    if (status == STATUS_OK)
        status = read_share(json, "sensitivity", &proposal->sensitivity, err);
    if (status == STATUS_OK)
        status = read_share(json, "specificity", &proposal->specificity, err);
    if (status != STATUS_OK)
        error_prefix(err, "operating_point");
    proposal->given = status == STATUS_OK;
    return status;
}

// Taken out of the manifest's JSON: nothing here reads it, but a directory made of this one shall have it.
static enum status take_training(cJSON *json, struct manifest *manifest, struct error *err)
{
    manifest->training = cJSON_DetachItemFromObjectCaseSensitive(json, "training");
    if (!manifest->training || cJSON_IsObject(manifest->training))
        return STATUS_OK;
    return bad_field("training", "an object", err);
}

enum status manifest_parse(struct bytes text, struct manifest *manifest, struct error *err)
{
    const struct json_limits limits = {MAX_MANIFEST_SIZE, MAX_VALUES, MAX_DEPTH};
    cJSON *json = NULL;
    memset(manifest, 0, sizeof *manifest);
    enum status status = json_parse(text, &limits, &json, err);
    const char *repeated = json ? json_repeated_name(json) : NULL;
    if (repeated)
        status = error_set(err, STATUS_REJECTED, "field '%s' stands there twice", repeated);
    else if (status == STATUS_OK)
        status = cJSON_IsObject(json) ? read_manifest(json, manifest, err)
                                      : error_set(err, STATUS_REJECTED, "it is not a JSON object");
    if (status == STATUS_OK)
        status = read_proposal(member(json, "operating_point"), &manifest->proposal, err);
    if (status == STATUS_OK)
        status = take_training(json, manifest, err);
    if (status != STATUS_OK)
        manifest_release(manifest);
    cJSON_Delete(json);
    return status;
}

void manifest_release(struct manifest *manifest)
{
    cJSON_Delete(manifest->training);
    manifest->training = NULL;
}

enum status manifest_read(const char *directory, struct manifest *manifest, struct error *err)
{
    char *path = memory_format("%s/%s", directory, MODEL_MANIFEST);
    struct buffer text;
    buffer_init(&text, MAX_MANIFEST_SIZE);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        status = manifest_parse(buffer_bytes(&text), manifest, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    buffer_release(&text);
    free(path);
    return status;
}

static enum status build_network(struct model *model, const char *path, struct error *err)
{
    const struct manifest *manifest = &model->manifest;
    enum status status = network_build_sized(&model->network, manifest->architecture, manifest->image_size,
                                             LESION_CLASSES, err);
    if (status != STATUS_OK) {
        error_prefix(err, "%s", path);
        return status;
    }
    memcpy(model->network->mean, manifest->preprocessing.mean, sizeof model->network->mean);
    memcpy(model->network->std, manifest->preprocessing.std, sizeof model->network->std);
    return STATUS_OK;
}

static enum status check_dtype(const struct model *model, struct error *err)
{
    const char *dtype = weights_dtype(model->weights);
    if (strcmp(dtype, model->manifest.weights_dtype) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "its numbers are %s, the manifest says %s", dtype,
                     model->manifest.weights_dtype);
}

// A file that is not the manifest's is told of before its values are.
static enum status check_digest(const struct model *model, struct error *err)
{
    struct digest digest = weights_check(model->weights);
    if (digest_equal(&digest, &model->manifest.weights_sha256))
        return STATUS_OK;
    char expected[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];
    digest_text(&model->manifest.weights_sha256, expected);
    digest_text(&digest, found);
    return error_set(err, STATUS_REJECTED, "SHA-256 is %s, the manifest says %s", found, expected);
}

static enum status open_weights(struct model *model, const char *path, struct error *err)
{
    enum status status = weights_open(&model->weights, path, err);
    if (status != STATUS_OK)
        return status;
    status = check_dtype(model, err); // as they are in the file
    if (status == STATUS_OK)
        status = check_digest(model, err);
    if (status == STATUS_OK)
        status = network_fit_weights(model->network, model->weights, err);
    if (status == STATUS_OK)
        status = network_check_weights(model->network, model->weights, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s", path);
    return status;
}

static enum status open_known_answers(struct model *model, const char *directory, struct error *err)
{
    const struct manifest *manifest = &model->manifest;
    if (!*manifest->known_answers_file)
        return STATUS_OK;
    char *path = memory_format("%s/%s", directory, manifest->known_answers_file);
    enum status status =
        known_answers_read(path, &manifest->known_answers_sha256, &model->known_answers, err);
    free(path);
    return status;
}

static enum status open_reference(struct model *model, const char *directory, struct error *err)
{
    const struct manifest *manifest = &model->manifest;
    if (!*manifest->reference_file)
        return STATUS_OK;
    int width = model->network->tensors[model->network->embedding].columns;
    char *path = memory_format("%s/%s", directory, manifest->reference_file);
    enum status status = reference_read(path, &manifest->reference_sha256, width, &model->reference, err);
    free(path);
    return status;
}

enum status model_open(struct model **result, const char *directory, struct error *err)
{
    struct model *model = memory_alloc(sizeof *model);
    char *manifest_path = memory_format("%s/%s", directory, MODEL_MANIFEST);
    enum status status = manifest_read(directory, &model->manifest, err);
    if (status == STATUS_OK)
        status = build_network(model, manifest_path, err);
    if (status == STATUS_OK) {
        model->weights_path = memory_format("%s/%s", directory, model->manifest.weights_file);
        status = open_weights(model, model->weights_path, err);
    }
    if (status == STATUS_OK)
        status = open_known_answers(model, directory, err);
    if (status == STATUS_OK)
        status = open_reference(model, directory, err);
    if (status != STATUS_OK) {
        model_close(model);
        model = NULL;
    }
    free(manifest_path);
    *result = model;
    return status;
}

void model_close(struct model *model)
{
    if (!model)
        return;
    manifest_release(&model->manifest);
    ood_reference_free(model->reference);
    network_free(model->network);
    weights_close(model->weights);
    free(model->weights_path);
    free(model);
}
