// convert.c: the subcommand `convert`. Main thread.
#include "trainer/convert.h"

#include <stdio.h>
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
    {.name = NULL},
};

enum status convert_check(const struct config *config, struct error *err)
{
    const char *licence = config_text(config, "licence");
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
    for (size_t i = 0; i < weights_count(model->weights); i++)
        weights_round_to_bf16(model->weights, weights_at(model->weights, i)->name);
    status = known_answers_compute(&known, model->network, model->weights, err);
    if (status == STATUS_OK)
        status = model_save(options->directory, manifest, model->weights,
                            &(struct model_extras){.known = &known}, err);
    model_close(model);
    return status;
}

enum status convert_command(struct config *config, struct error *err)
{
    const struct convert_options options = {.model = config_text(config, "model"),
                                            .directory = config_text(config, "out"),
                                            .licence = config_text(config, "licence")};
    enum status status = convert_model(&options, err);
    if (status == STATUS_OK)
        printf("%s: weights in bf16; evaluate --store finds its temperature, reference what it has "
               "learnt\n",
               options.directory);
    return status;
}
