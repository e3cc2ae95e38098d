// evaluate_command.c: the subcommand `evaluate`: flags in, one line on standard output, progress and warnings
// on standard error. Main thread.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/dataset_flags.h"
#include "trainer/evaluate.h"

static const char program[] = "skinsight-trainer evaluate";

// "sensitivity=0.92"
static bool parse_operating_point(const char *text, double *sensitivity)
{
    static const char key[] = "sensitivity=";
    char *end;
    if (strncmp(text, key, sizeof key - 1) != 0)
        return false;
    *sensitivity = strtod(text + sizeof key - 1, &end);
    return *end == '\0' && end != text + sizeof key - 1 && *sensitivity > 0 && *sensitivity <= 1;
}

static enum status check_operating_point(const char *text, struct error *err)
{
    double sensitivity;
    return parse_operating_point(text, &sensitivity)
               ? STATUS_OK
               : error_set(err, STATUS_REJECTED, "it is sensitivity=SHARE with a share above 0, at most 1");
}

const struct option evaluate_flags[] = {
    {.name = "model", .type = OPTION_TEXT, .initial = "", .value = "DIR", .help = "model directory to judge"},
    DATASET_FLAGS,
    {.name = "part",
     .type = OPTION_CHOICE,
     .choices = "test|validation|train",
     .initial = "test",
     .help = "part of the data that is reported"},
    {.name = "out",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "folder to make, for predictions.csv, report.json and report.html"},
    {.name = "operating_point",
     .type = OPTION_TEXT,
     .initial = "sensitivity=0.92",
     .value = "sensitivity=SHARE",
     .check = check_operating_point,
     .help = "melanoma's sensitivity on the validation part, for which a threshold is proposed"},
    {.name = "precision",
     .type = OPTION_CHOICE,
     .choices = "fp32|fp16|bf16|int8",
     .initial = "fp32",
     .help = "precision to compute in"},
    {.name = "no_pictures",
     .type = OPTION_SWITCH,
     .initial = "false",
     .help = "no image in report.html, so that it may be published"},
    {.name = "store",
     .type = OPTION_SWITCH,
     .initial = "false",
     .help = "write the temperature, the proposed operating point and the report (evaluation.json, "
             "evaluation.html, without images) into the model directory"},
    {.name = NULL},
};

static void say(void *progress, const char *sentence)
{
    progress_clear(progress);
    fprintf(stderr, "%s: %s\n", program, sentence);
}

static enum dataset_part part_of(const char *name)
{
    int part = 0;
    while (strcmp(name, dataset_part_names[part]) != 0)
        part++;
    return (enum dataset_part)part;
}

static void print_result(const char *folder, const struct evaluation *evaluation)
{
    char text[ESTIMATE_TEXT_SIZE];
    printf("%s/report.html: %zu images, balanced accuracy %s", folder, evaluation->predictions.count,
           estimate_text(&evaluation->figures.balanced_accuracy, text));
    printf(", macro AUROC %s", estimate_text(&evaluation->figures.macro_auroc, text));
    printf(", melanoma sensitivity %s\n", estimate_text(&evaluation->figures.melanoma_sensitivity, text));
}

enum status evaluate_command(struct config *config, struct error *err)
{
    struct progress progress;
    struct evaluation evaluation;
    struct evaluate_options options = {.model = config_text(config, "model"),
                                       .folder = config_text(config, "out"),
                                       .data = dataset_options_of(config),
                                       .part = part_of(config_text(config, "part")),
                                       .threads = (int)config_integer(config, "threads"),
                                       .pictures = !config_switch(config, "no_pictures"),
                                       .store = config_switch(config, "store"),
                                       .figures = {.replicates = EVALUATE_REPLICATES},
                                       .warn = say,
                                       .warn_context = &progress};
    progress_init(&progress, stderr, true, 0);
    progress.verb = "read";
    options.data.lone_lesions = true;
    options.data.progress = &progress;
    options.data.complaints = (struct collect_complaints){say, &progress};
    parse_operating_point(config_text(config, "operating_point"), &options.sensitivity);
    precision_parse(config_text(config, "precision"), &options.precision);
    enum status status = evaluate_model(&options, &evaluation, err);
    progress_clear(&progress);
    if (status == STATUS_OK)
        print_result(options.folder, &evaluation);
    evaluation_release(&evaluation);
    return status;
}
