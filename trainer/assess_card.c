// assess_card.c: card.md: what a model is, what it was made from, how good it is, and what it is not for.
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

#include "trainer/assess.h"

static void add_identity(struct markdown *page, const struct manifest *manifest)
{
    char digest[DIGEST_TEXT_SIZE];
    digest_text(&manifest->weights_sha256, digest);
    markdown_add(
        page,
        "- Name `%s`, version `%s`\n- Architecture `%s`, images of %d x %d, eight classes: melanoma, "
        "melanocytic nevus, basal cell carcinoma, actinic keratosis, benign keratosis, dermatofibroma, "
        "vascular lesion, squamous cell carcinoma\n"
        "- Preprocessing `%s`: resized to %d, centre crop of %d\n- Weights `%s`, `%s`, digest `%s`\n\n",
        manifest->name, manifest->version, manifest->architecture, manifest->image_size, manifest->image_size,
        manifest->preprocessing.version, manifest->preprocessing.resize, manifest->preprocessing.crop,
        manifest->weights_file, manifest->weights_dtype, digest);
}

static void add_use(struct markdown *page)
{
    markdown_add(
        page,
        "## What it is for\n\n"
        "Trying and testing decision support for physicians: a dermoscopic image of one skin lesion in, a "
        "ranked differential diagnosis of eight classes out, from which a signed-off policy makes a "
        "recommendation.\n\n"
        "It is not for: a diagnosis without a physician, self-diagnosis, lesions of mucosa or nails, images "
        "with several lesions, images of anything else, other diagnoses than the eight.\n\n");
}

// A number of the training's record, where it is there.
static void add_number(struct markdown *page, const char *what, const cJSON *record, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(record, name);
    if (cJSON_IsNumber(item) && isfinite(item->valuedouble))
        markdown_add(page, "- %s: %.10g\n", what, item->valuedouble);
}

static void add_text(struct markdown *page, const char *what, const cJSON *record, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, name));
    if (!text)
        return;
    markdown_add(page, "- %s: ", what);
    markdown_quote(page, text);
    markdown_add(page, "\n");
}

static void add_recipe(struct markdown *page, const cJSON *recipe)
{
    const cJSON *item;
    if (!cJSON_IsObject(recipe))
        return;
    markdown_add(page, "\n| setting | value |\n|---|---|\n");
    cJSON_ArrayForEach(item, recipe)
    {
        if (!cJSON_IsString(item) || !*item->valuestring)
            continue;
        markdown_add(page, "| ");
        markdown_quote(page, item->string);
        markdown_add(page, " | ");
        markdown_quote(page, item->valuestring);
        markdown_add(page, " |\n");
    }
}

static void add_training(struct markdown *page, const struct assessment *assessment)
{
    const cJSON *training = assessment->manifest->training;
    const cJSON *images = cJSON_GetObjectItemCaseSensitive(training, "images");
    const cJSON *init = cJSON_GetObjectItemCaseSensitive(training, "init");
    const cJSON *teacher = cJSON_GetObjectItemCaseSensitive(training, "teacher");
    markdown_add(page, "## What it was made from\n\n");
    if (!cJSON_IsString(cJSON_GetObjectItemCaseSensitive(training, "data_sha256"))) {
        markdown_add(page, "The manifest does not say on what it was trained.\n\n");
        return;
    }
    add_text(page, "Data", training, "data_sha256");
    add_number(page, "Images to learn from", images, "train");
    add_number(page, "Images to choose the epoch by", images, "validation");
    add_number(page, "Images kept for the test", images, "test");
    add_text(page, "Began from", init, "model_version");
    add_text(page, "Weights of that", init, "weights_sha256");
    add_text(page, "Teacher", teacher, "model_version");
    add_number(page, "Epochs", training, "epochs");
    add_number(page, "Best epoch, counted from zero", training, "best_epoch");
    add_number(page, "Seed of the split", training, "split_seed");
    add_recipe(page, cJSON_GetObjectItemCaseSensitive(training, "recipe"));
    markdown_add(page, "\n");
    assess_add_balance(page, assessment);
}

static void add_limits(struct markdown *page, const struct manifest *manifest)
{
    markdown_add(
        page, "## Limits\n\n"
              "Images of another clinic, device or population than the evaluation's may be answered worse. "
              "`ethics.md` says for which groups of patients there is evidence, and for which there is "
              "none.\n\n");
    markdown_add(
        page, "%s\n\n",
        *manifest->reference_file
            ? "The directory holds what the model has learnt: answers say how far from it an image lies, and "
              "the policy may have them abstain."
            : "**The directory does not hold what the model has learnt: an image of anything else is "
              "answered like a lesion.**");
}

enum status card_write(const struct assessment *assessment, struct buffer *out, struct error *err)
{
    const struct manifest *manifest = assessment->manifest;
    struct markdown document, *page = &document;
    markdown_begin(page, out, err);
    markdown_add(page, "# `%s`\n\n", manifest->model_version);
    assess_add_warning(page, assessment);
    add_identity(page, manifest);
    add_use(page);
    add_training(page, assessment);
    markdown_add(page, "## How good it is\n\n");
    assess_add_data(page, assessment);
    assess_add_figures(page, assessment);
    assess_add_classes(page, assessment);
    assess_add_operating_point(page, assessment);
    add_limits(page, manifest);
    markdown_add(page, "## Origin and licences\n\n");
    assess_add_origin(page, assessment);
    return markdown_end(page);
}
