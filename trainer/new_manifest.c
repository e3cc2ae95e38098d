// new_manifest.c: names and figures of a model directory that is made. Main thread.
#include "trainer/new_manifest.h"

#include <stdio.h>
#include <string.h>

#include "kernels/model/model_private.h"

enum { RESIZE_MARGIN = 32 }; // resize is image size + 32

static bool is_given(const char *text)
{
    return text && text[0];
}

// "vit_base_patch16_224" -> "vit-base"
static void set_default_name(const char *architecture, char name[MODEL_TEXT_SIZE])
{
    snprintf(name, MODEL_TEXT_SIZE, "%s", architecture);
    char *patch = strstr(name, "_patch");
    if (patch)
        *patch = '\0';
    for (char *at = name; *at; at++)
        if (*at == '_')
            *at = '-';
}

// The "1.2.3" of "vit-base-v1.2.3" and "vit-base-v1.2.3-untrained"; 0.1.0 for a name without one.
static void set_version(struct manifest *manifest)
{
    for (const char *at = manifest->model_version; (at = strstr(at, "-v")); at++) {
        int length = (int)strcspn(at + 2, "-");
        snprintf(manifest->version, sizeof manifest->version, "%.*s", length, at + 2);
        if (model_is_version(manifest->version))
            return;
    }
    strcpy(manifest->version, "0.1.0");
}

enum status new_manifest_names(const struct model_names *names, const char *architecture,
                               struct manifest *manifest, struct error *err)
{
    int length = 0;
    if (is_given(names->name))
        length = snprintf(manifest->name, sizeof manifest->name, "%s", names->name);
    else
        set_default_name(architecture, manifest->name);
    if (length < (int)sizeof manifest->name)
        length = is_given(names->model_version)
                     ? snprintf(manifest->model_version, sizeof manifest->model_version, "%s",
                                names->model_version)
                     : snprintf(manifest->model_version, sizeof manifest->model_version, "%s-v0.1.0",
                                manifest->name);
    if (length >= (int)sizeof manifest->model_version || !model_is_token(manifest->name) ||
        !model_is_token(manifest->model_version))
        return error_set(err, STATUS_REJECTED, "a model's name and version are 1 to 64 of [A-Za-z0-9_.-]");
    set_version(manifest);
    return STATUS_OK;
}

void new_manifest_fill(const struct network *network, bool trained, struct manifest *manifest)
{
    snprintf(manifest->architecture, sizeof manifest->architecture, "%s", network->architecture);
    manifest->image_size = network->image_size;
    manifest->preprocessing =
        (struct preprocessing){.resize = network->image_size + RESIZE_MARGIN, .crop = network->image_size};
    strcpy(manifest->preprocessing.version, MODEL_PREPROCESSING);
    memcpy(manifest->preprocessing.mean, network->mean, sizeof network->mean);
    memcpy(manifest->preprocessing.std, network->std, sizeof network->std);
    manifest->temperature = 1;
    strcpy(manifest->weights_file, NEW_WEIGHTS_FILE);
    strcpy(manifest->licence, MANIFEST_NO_LICENCE);
    manifest->trained = trained;
}
