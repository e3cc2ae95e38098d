// assess_command.c: the subcommand `assess`: a model directory and its evaluation in, card.md and ethics.md
// out. Main thread.
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "trainer/assess.h"
#include "trainer/output.h"

const struct option assess_flags[] = {
    {.name = "model",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "model directory: its manifest is read, card.md and ethics.md are put into it"},
    {.name = "evaluation",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "folder that evaluate made; empty: evaluation.json of the model directory, by evaluate --store"},
    {.name = "weights_origin",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "TEXT",
     .help = "where the weights come from, in your words"},
    {.name = "data_origin",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "TEXT",
     .help = "where the images come from, in your words"},
    {.name = "data_licence",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "TEXT",
     .help = "under what licence the images are, in your words"},
    {.name = NULL},
};

// Figures of other weights, or of probabilities at another temperature, would be a lie about these.
static enum status check_same(const struct assessment *assessment, const char *path, struct error *err)
{
    const struct evaluation *evaluation = assessment->evaluation;
    const struct manifest *manifest = assessment->manifest;
    if (!digest_equal(&evaluation->weights_sha256, &manifest->weights_sha256))
        return error_set(
            err, STATUS_REJECTED,
            "%s is of other weights than the model's: run skinsight-trainer evaluate --store on it", path);
    if ((float)evaluation->temperature != manifest->temperature)
        return error_set(err, STATUS_REJECTED,
                         "%s is at the temperature %.6g and the model answers at %.6g: run skinsight-trainer "
                         "evaluate --store on it",
                         path, evaluation->temperature, (double)manifest->temperature);
    return STATUS_OK;
}

typedef enum status document_writer(const struct assessment *assessment, struct buffer *out,
                                    struct error *err);

static enum status write_document(const struct assessment *assessment, document_writer *write,
                                  const char *directory, const char *name, struct error *err)
{
    struct buffer text;
    buffer_init(&text, OUTPUT_MOST_BYTES);
    enum status status = write(assessment, &text, err);
    if (status == STATUS_OK)
        status = output_write(directory, name, buffer_bytes(&text), err);
    if (status == STATUS_OK)
        printf("%s/%s\n", directory, name);
    buffer_release(&text);
    return status;
}

enum status assess_command(struct config *config, struct error *err)
{
    const char *directory = config_text(config, "model"), *folder = config_text(config, "evaluation");
    struct manifest manifest = {0};
    struct evaluation evaluation = {0};
    const struct assessment assessment = {.manifest = &manifest,
                                          .evaluation = &evaluation,
                                          .weights_origin = config_text(config, "weights_origin"),
                                          .data_origin = config_text(config, "data_origin"),
                                          .data_licence = config_text(config, "data_licence")};
    char *path =
        *folder ? memory_format("%s/report.json", folder) : memory_format("%s/evaluation.json", directory);
    enum status status = manifest_read(directory, &manifest, err);
    if (status == STATUS_OK)
        status = evaluation_read_file(path, &evaluation, err);
    if (status == STATUS_OK)
        status = check_same(&assessment, path, err);
    if (status == STATUS_OK)
        status = write_document(&assessment, ethics_write, directory, "ethics.md", err);
    if (status == STATUS_OK)
        status = write_document(&assessment, card_write, directory, "card.md", err);
    evaluation_release(&evaluation);
    manifest_release(&manifest);
    free(path);
    return status;
}
