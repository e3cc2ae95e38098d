// import_command.c: the subcommand `import`: flags in, one line on standard output, warnings on standard
// error. Main thread.
#include <stdio.h>

#include "trainer/import.h"

enum { NAME_MAX_LENGTH = 64, IMAGE_SIZE_MAX = 4096 };
#define SEED_MAX ((int64_t)1 << 53)

const struct option import_flags[] = {
    {.name = "arch",
     .type = OPTION_CHOICE,
     .initial = "",
     .choices = "vit_tiny_patch16_224|vit_small_patch16_224|vit_base_patch16_224|vit_large_patch16_224|"
                "resnet18|efficientnet_b4|vit_small_patch14_dinov2|efficientnet_lite0|"
                "tf_efficientnet_lite0",
     .value = "NAME",
     .help = "architecture as timm names it"},
    {.name = "weights",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "FILE",
     .help = "safetensors file with timm's names"},
    {.name = "random",
     .type = OPTION_INTEGER,
     .initial = "",
     .min = 0,
     .max = SEED_MAX,
     .value = "SEED",
     .help = "random weights of this seed instead of a file"},
    {.name = "image_size",
     .type = OPTION_INTEGER,
     .initial = "0",
     .min = 0,
     .max = IMAGE_SIZE_MAX,
     .value = "N",
     .help = "side of the images in pixels; 0: 224"},
    {.name = "out", .type = OPTION_TEXT, .initial = "", .value = "DIR", .help = "model directory to make"},
    {.name = "seed",
     .type = OPTION_INTEGER,
     .initial = "0",
     .min = 0,
     .max = SEED_MAX,
     .value = "SEED",
     .help = "seed of a fresh head"},
    {.name = "name",
     .type = OPTION_NAME,
     .initial = "",
     .max = NAME_MAX_LENGTH,
     .value = "NAME",
     .help = "name of the model; empty: from the architecture, vit-base"},
    {.name = "model_version",
     .type = OPTION_NAME,
     .initial = "",
     .max = NAME_MAX_LENGTH,
     .value = "NAME",
     .help = "what jobs call the model; empty: NAME-v0.1.0"},
    {.name = NULL},
};

static const char program[] = "skinsight-trainer import";

static void say_what_is_untrained(const struct import_options *options, const struct import_result *result)
{
    if (!options->weights)
        fprintf(stderr, "%s: random weights of seed %llu: the diagnoses mean nothing\n", program,
                (unsigned long long)options->seed);
    else if (!result->trained && result->head_rows > 0)
        fprintf(stderr,
                "%s: the head of %lld rows is replaced by a fresh one of 8 (seed %llu): not trained, the "
                "diagnoses mean nothing\n",
                program, (long long)result->head_rows, (unsigned long long)options->seed);
    else if (!result->trained)
        fprintf(stderr,
                "%s: the file has no head, a fresh one of 8 rows is added (seed %llu): not trained, the "
                "diagnoses mean nothing\n",
                program, (unsigned long long)options->seed);
}

enum status import_check(const struct config *config, struct error *err)
{
    bool random = *config_text(config, "random"), weights = *config_text(config, "weights");
    if (random != weights)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "give either --weights or --random, not both and not neither");
}

enum status import_command(struct config *config, struct error *err)
{
    struct import_result result;
    const char *weights = config_text(config, "weights");
    bool random = config_text(config, "random")[0] != '\0';
    struct import_options options = {.architecture = config_text(config, "arch"),
                                     .image_size = (int)config_integer(config, "image_size"),
                                     .weights = random ? NULL : weights,
                                     .directory = config_text(config, "out"),
                                     .name = config_text(config, "name"),
                                     .model_version = config_text(config, "model_version"),
                                     .seed = (uint64_t)config_integer(config, random ? "random" : "seed")};
    enum status status = import_model(&options, &result, err);
    if (status != STATUS_OK)
        return status;
    say_what_is_untrained(&options, &result);
    if (result.blind)
        fprintf(stderr, "%s: two different images get the same answer: the weights may be damaged\n",
                program);
    printf("%s: model %s\n", options.directory, result.model_version);
    return STATUS_OK;
}
