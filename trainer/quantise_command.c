// quantise_command.c: the subcommand `quantise`: flags in, one line for each precision on standard output,
// the progress bar and complaints on standard error. Main thread.
#include <stdio.h>

#include "trainer/quantise.h"

const struct option quantise_flags[] = {
    {.name = "model",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "model directory to calibrate; stays as it is"},
    {.name = "calibrate",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "FOLDER",
     .help = "folder of JPEGs like those of the service; labels are not needed"},
    {.name = "out", .type = OPTION_TEXT, .initial = "", .value = "DIR", .help = "model directory to make"},
    {.name = "images",
     .type = OPTION_INTEGER,
     .initial = "300",
     .min = QUANTISE_LEAST_IMAGES,
     .max = QUANTISE_MOST_IMAGES,
     .value = "N",
     .help = "images of the folder that are used, taken evenly from its sorted names: one half changes the "
             "weights, "
             "the other is judged"},
    {.name = "backend",
     .type = OPTION_CHOICE,
     .choices = "cpu|cuda",
     .initial = "cpu",
     .help = "device that the agreement is measured on, and holds for"},
    {.name = NULL},
};

static const char program[] = "skinsight-trainer quantise";

static void complain(void *context, const char *sentence)
{
    progress_clear(context);
    fprintf(stderr, "%s: %s\n", program, sentence);
}

static void print_result(const char *directory, const struct calibration *calibration)
{
    char reason[160];
    printf("%s: calibrated on one half of %d images, measured on the other with %s\n", directory,
           calibration->images, calibration->backend);
    for (int i = PRECISION_FP32 + 1; i < PRECISION_COUNT; i++) {
        const struct agreement *agreement = &calibration->precisions[i];
        if (!agreement->measured)
            continue;
        bool enough = agreement_is_enough(agreement, (enum precision)i, reason, sizeof reason);
        printf("  %s: %s\n", reason, enough ? "enough for precision auto" : "not enough for precision auto");
    }
}

enum status quantise_command(struct config *config, struct error *err)
{
    struct calibration calibration;
    struct progress progress;
    progress_init(&progress, stderr, true, 0);
    progress.verb = "computed";
    struct quantise_options options = {.model = config_text(config, "model"),
                                       .images = config_text(config, "calibrate"),
                                       .directory = config_text(config, "out"),
                                       .backend = config_text(config, "backend"),
                                       .most_images = (int)config_integer(config, "images"),
                                       .threads = (int)config_integer(config, "threads"),
                                       .progress = &progress,
                                       .complain = complain,
                                       .complain_context = &progress};
    enum status status = quantise_model(&options, &calibration, err);
    progress_clear(&progress);
    if (status == STATUS_OK)
        print_result(options.directory, &calibration);
    return status;
}
