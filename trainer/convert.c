// convert.c: the subcommand `convert`. Main thread.
#include "trainer/convert.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/compute_known.h"
#include "kernels/model/model.h"

const struct option convert_flags[] = {
    {.name = "model",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "model directory to convert; stays as it is"},
    {.name = "out", .type = OPTION_TEXT, .initial = "", .value = "DIR", .help = "model directory to make"},
    {.name = "licence",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "TEXT",
     .help = "a line of at most 64 ASCII characters; empty: as it was"},
    {.name = "logit_adjustment",
     .type = OPTION_TEXT,
     .initial = "0",
     .value = "X",
     .help = "0 to 1: how much of the training part's class frequencies is taken out of the answers, "
             "so that rare classes are found; choose it on the validation part"},
    {.name = NULL},
};

static bool read_adjustment(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0 && *value <= 1;
}

enum status convert_check(const struct config *config, struct error *err)
{
    const char *licence = config_text(config, "licence");
    double adjustment;
    if (!read_adjustment(config_text(config, "logit_adjustment"), &adjustment))
        return error_set(err, STATUS_REJECTED, "'%s' is no logit adjustment: give a number of 0 to 1",
                         config_text(config, "logit_adjustment"));
    bool good = strlen(licence) < MODEL_TEXT_SIZE;
    for (const char *at = licence; *at; at++)
        good = good && *at >= ' ' && *at <= '~';
    return good ? STATUS_OK
                : error_set(err, STATUS_REJECTED, "licence takes at most %d ASCII characters on one line",
                            MODEL_TEXT_SIZE - 1);
}

static void forget_measurements(struct manifest *manifest)
{
    manifest->temperature = 1;
    manifest->calibration = (struct calibration){0};
    manifest->proposal = (struct melanoma_proposal){0};
}

// The name of the bias that is added to the logits; NULL: there is none.
static const char *head_bias(const struct network *network)
{
    for (int i = 0; i < network->operation_count; i++)
        if (network->operations[i].output == network->logits && network->operations[i].bias >= 0)
            return network->parameters[network->operations[i].bias].name;
    return NULL;
}

// NULL: nobody knows how the model was trained.
static cJSON *recipe_of(const struct model *model)
{
    return cJSON_GetObjectItemCaseSensitive(model->manifest.training, "recipe");
}

// A class that the training part has no image of keeps its logit.
static enum status adjust_logits(struct model *model, double power, struct error *err)
{
    const char *name = head_bias(model->network);
    float bias[LESION_CLASSES];
    double total = 0;
    char text[32];
    if (power == 0)
        return STATUS_OK;
    if (cJSON_GetObjectItemCaseSensitive(recipe_of(model), "logit_adjustment"))
        return error_set(err, STATUS_REJECTED, "the model's logits are adjusted already");
    if (!model->reference)
        return error_set(err, STATUS_REJECTED,
                         "the model directory has no reference, which counts the images of each class: "
                         "skinsight-trainer reference makes it");
    if (!name)
        return error_set(err, STATUS_REJECTED, "the network adds no bias to its logits");
    weight_to_float(weights_find(model->weights, name), bias);
    for (int i = 0; i < LESION_CLASSES; i++)
        total += model->reference->counts[i];
    for (int i = 0; i < LESION_CLASSES; i++)
        if (model->reference->counts[i] > 0)
            bias[i] -= (float)(power * log(model->reference->counts[i] / total));
    weights_replace(model->weights, name, 1, (int64_t[]){LESION_CLASSES}, bias);
    snprintf(text, sizeof text, "%g", power);
    if (recipe_of(model) && !cJSON_AddStringToObject(recipe_of(model), "logit_adjustment", text))
        return error_set(err, STATUS_FATAL, "no memory for the manifest");
    return STATUS_OK;
}

enum status convert_model(const struct convert_options *options, struct error *err)
{
    struct model *model = NULL;
    struct known_answers known;
    known_answers_init(&known);
    enum status status = model_open(&model, options->model, err);
    if (status != STATUS_OK)
        return status;
    struct manifest *manifest = &model->manifest;
    forget_measurements(manifest);
    if (*options->licence)
        strcpy(manifest->licence, options->licence);
    status = adjust_logits(model, options->logit_adjustment, err);
    for (size_t i = 0; i < weights_count(model->weights); i++)
        weights_round_to_bf16(model->weights, weights_at(model->weights, i)->name);
    if (status == STATUS_OK)
        status = known_answers_compute(&known, model->network, model->weights, err);
    if (status == STATUS_OK)
        status = model_save(options->directory, manifest, model->weights,
                            &(struct model_extras){.known = &known}, err);
    model_close(model);
    return status;
}

enum status convert_command(struct config *config, struct error *err)
{
    struct convert_options options = {.model = config_text(config, "model"),
                                      .directory = config_text(config, "out"),
                                      .licence = config_text(config, "licence")};
    read_adjustment(config_text(config, "logit_adjustment"),
                    &options.logit_adjustment); // convert_check has looked
    enum status status = convert_model(&options, err);
    if (status == STATUS_OK)
        printf("%s: weights in bf16; evaluate --store finds its temperature, reference what it has "
               "learnt\n",
               options.directory);
    return status;
}
