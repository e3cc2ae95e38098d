// train_command.c: the subcommand `train`: flags in, a line for each epoch on standard output, the progress
// bar and what is wrong with the data on standard error. Main thread.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "trainer/checkpoint.h"
#include "trainer/dataset_flags.h"
#include "trainer/exchange_mpi.h"
#include "trainer/train.h"

enum { MOST_SIZE = 4096, NAME_MAX_LENGTH = 64, MOST_CHECKPOINT_S = 86400 };
#define MOST_CACHE ((int64_t)1 << 50)

static bool is_number(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return *text && *end == '\0' && isfinite(*value);
}

static enum status check_number(const char *text, struct error *err)
{
    double value;
    if (is_number(text, &value) && value >= 0)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "'%s' is no number of 0 or more", text);
}

static enum status check_share(const char *text, struct error *err)
{
    double value;
    if (is_number(text, &value) && value >= 0 && value < 1)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "'%s' is no number of 0 or more and below 1", text);
}

static enum status check_positive(const char *text, struct error *err)
{
    double value;
    if (is_number(text, &value) && value > 0)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED, "'%s' is no number above 0", text);
}

// clang-format off
#define NUMBER(flag, start, test, text) \
    {.name = flag, .type = OPTION_TEXT, .initial = start, .value = "X", .check = test, .help = text}
#define WHOLE(flag, start, low, high, text) \
    {.name = flag, .type = OPTION_INTEGER, .initial = start, .min = low, .max = high, .help = text}
#define CHOICE(flag, start, names, text) \
    {.name = flag, .type = OPTION_CHOICE, .initial = start, .choices = names, .help = text}

const struct option train_flags[] = {
    DATASET_FLAGS,
    {.name = "out", .type = OPTION_TEXT, .initial = "", .value = "DIR",
     .help = "folder to make: model directory, history, split, checkpoints"},
    {.name = "arch", .type = OPTION_NAME, .initial = "", .max = NAME_MAX_LENGTH, .value = "NAME",
     .help = "architecture as timm names it, to start from nothing"},
    {.name = "init", .type = OPTION_TEXT, .initial = "", .value = "MODEL-DIR", .help = "model to start from instead"},
    {.name = "teacher", .type = OPTION_TEXT, .initial = "", .value = "MODEL-DIR",
     .help = "trained model whose answers are learnt beside the labels"},
    NUMBER("teacher_weight", "0.5", check_share, "the teacher's share of the loss"),
    NUMBER("teacher_temperature", "2", check_positive, "temperature at which both answer the teacher's share"),
    {.name = "name", .type = OPTION_NAME, .initial = "", .max = NAME_MAX_LENGTH, .value = "NAME",
     .help = "name of the model; empty: from the architecture, vit-base"},
    {.name = "model_version", .type = OPTION_NAME, .initial = "", .max = NAME_MAX_LENGTH, .value = "NAME",
     .help = "what jobs call the model; empty: NAME-v0.1.0"},
    WHOLE("image_size", "0", 0, MOST_SIZE, "side of the images in pixels; 0: that of --init, else 224"),
    WHOLE("epochs", "30", 1, HISTORY_MOST_EPOCHS, "times as many images as there are in the training part"),
    WHOLE("warmup_epochs", "5", 0, HISTORY_MOST_EPOCHS, "epochs with a learning rate that rises from a hundredth"),
    WHOLE("batch", "64", 1, TRAINING_MAX_BATCH, "images of a step"),
    NUMBER("lr", "1e-4", check_positive, "greatest learning rate"),
    NUMBER("head_lr", "0", check_number, "greatest learning rate of the layer that gives the logits; 0: as --lr"),
    NUMBER("layer_decay", "1.0", check_positive, "learning rate of a block over that of the one behind it, at most 1"),
    WHOLE("freeze_blocks", "0", 0, 1000, "first blocks that are not trained, and what is in front of them"),
    NUMBER("weight_decay", "0.05", check_number, "AdamW's weight decay"),
    CHOICE("decay", "matrices", "matrices|all", "what decays: weights of layers, or also biases, norms and positions"),
    NUMBER("clip", "1.0", check_number, "greatest norm of all gradients together; 0: any"),
    NUMBER("average", "0", check_share,
           "share that a step leaves of the running mean of the parameters, which is judged and kept; 0: no mean"),
    NUMBER("diversity", "0.1", check_number, "weight of the attention's evenness in the loss"),
    NUMBER("dropout", "0.1", check_share, "share of values that are dropped"),
    NUMBER("label_smoothing", "0", check_share, "share of a label that is spread over all classes"),
    CHOICE("augment", "isic", "isic|none", "crops, flips, rotation, colours and erasing, or pictures as they are"),
    CHOICE("sampler", "weighted", "weighted|shuffle|sequential",
           "each class equally often, or each image once in a drawn or in the given order"),
    CHOICE("class_weights", "none", "inverse|none", "weight of rare classes in the loss"),
    WHOLE("seed", "0", 0, DATASET_SEED_MAX, "seed of weights, order, augmentation and dropout"),
    CHOICE("precision", "fp32", "fp32|bf16", "operands of the matrix products"),
    WHOLE("patience", "0", 0, HISTORY_MOST_EPOCHS, "end after so many epochs without a better one; 0: never early"),
    WHOLE("checkpoint_s", "300", 0, MOST_CHECKPOINT_S,
          "seconds between checkpoints within an epoch; 0: after each batch"),
    WHOLE("picture_cache", "1073741824", 0, MOST_CACHE, "bytes of decoded pictures that are kept at most"),
    {.name = "resume", .type = OPTION_SWITCH, .initial = "false",
     .help = "go on from the checkpoint in --out, with the same options"},
    {.name = "any_build", .type = OPTION_SWITCH, .initial = "false",
     .help = "with --resume: also from a checkpoint of another build"},
    {.name = NULL},
};

// What decides the result, as it stands in checkpoint and manifest; in front of it the digests of the weights of
// --init and --teacher, which are not what they were when their folders hold others.
static const char *const recipe_flags[] = {
    "teacher_weight", "teacher_temperature", "epochs", "warmup_epochs", "batch", "lr", "head_lr",
    "layer_decay", "freeze_blocks", "weight_decay", "decay", "clip", "average", "diversity", "dropout", "label_smoothing",
    "augment", "sampler", "class_weights", "seed", "precision", "patience", NULL};
// clang-format on

static const char program[] = "skinsight-trainer train";

static double number(const struct config *config, const char *name)
{
    return strtod(config_text(config, name), NULL);
}

enum status train_check(const struct config *config, struct error *err)
{
    int64_t epochs = config_integer(config, "epochs"), warmup = config_integer(config, "warmup_epochs");
    if (!*config_text(config, "arch") && !*config_text(config, "init"))
        return error_set(err, STATUS_REJECTED,
                         "give --arch to start from nothing, or --init with a model directory");
    if (warmup >= epochs)
        return error_set(
            err, STATUS_REJECTED,
            "--epochs %lld is not above --warmup-epochs %lld: train for longer, or warm up for less",
            (long long)epochs, (long long)warmup);
    if (number(config, "layer_decay") > 1)
        return error_set(err, STATUS_REJECTED, "--layer-decay is above 1");
    if (config_switch(config, "any_build") && !config_switch(config, "resume"))
        return error_set(err, STATUS_REJECTED, "--any-build is of use with --resume only");
    return STATUS_OK;
}

// One process is no line, so that a checkpoint says what it always said.
static void make_recipe(const struct config *config, int processes, char *recipe, size_t size)
{
    size_t used = 0;
    for (const char *const *name = recipe_flags; *name && used < size; name++)
        used += (size_t)snprintf(recipe + used, size - used, "%s=%s\n", *name, config_text(config, *name));
    if (processes > 1 && used < size)
        snprintf(recipe + used, size - used, "processes=%d\n", processes);
}

static struct training_options step_options(const struct config *config)
{
    struct training_options step = training_options_default();
    double rate = number(config, "lr"), head_rate = number(config, "head_lr");
    step.precision = config_choice(config, "precision") == 1 ? PRECISION_BF16 : PRECISION_FP32;
    step.dropout = number(config, "dropout");
    step.label_smoothing = number(config, "label_smoothing");
    step.diversity = number(config, "diversity");
    step.clip = number(config, "clip");
    step.adamw.weight_decay = number(config, "weight_decay");
    step.adamw.decay_all = config_choice(config, "decay") == 1;
    step.layer_decay = number(config, "layer_decay");
    step.head_factor = head_rate > 0 ? head_rate / rate : 1;
    step.freeze_blocks = (int)config_integer(config, "freeze_blocks");
    step.teacher_weight = number(config, "teacher_weight");
    step.teacher_temperature = number(config, "teacher_temperature");
    return step;
}

static struct train_options train_options_of(const struct config *config)
{
    return (struct train_options){
        .data = dataset_options_of(config),
        .directory = config_text(config, "out"),
        .architecture = config_text(config, "arch"),
        .init = config_text(config, "init"),
        .teacher = config_text(config, "teacher"),
        .name = config_text(config, "name"),
        .model_version = config_text(config, "model_version"),
        .image_size = (int)config_integer(config, "image_size"),
        .schedule = {number(config, "lr"), (int)config_integer(config, "epochs"),
                     (int)config_integer(config, "warmup_epochs")},
        .batch = (int)config_integer(config, "batch"),
        .sampler = (enum sampler_kind)config_choice(config, "sampler"),
        .inverse_weights = config_choice(config, "class_weights") == 0,
        .augment = config_choice(config, "augment") == 0,
        .seed = (uint64_t)config_integer(config, "seed"),
        .average_decay = number(config, "average"),
        .step = step_options(config),
        .patience = (int)config_integer(config, "patience"),
        .checkpoint_s = (int)config_integer(config, "checkpoint_s"),
        .threads = (int)config_integer(config, "threads"),
        .picture_cache = (size_t)config_integer(config, "picture_cache"),
        .resume = config_switch(config, "resume"),
        .any_build = config_switch(config, "any_build"),
        .stop = shutdown_requested,
    };
}

static void complain(void *context, const char *sentence)
{
    progress_clear(context);
    fprintf(stderr, "%s: %s\n", program, sentence);
}

static void tell(void *context, const char *sentence)
{
    progress_clear(context);
    puts(sentence);
    fflush(stdout);
}

static enum status print_result(const struct train_options *options, const struct train_result *result,
                                struct error *err)
{
    if (result->stopped)
        return error_set(err, STATUS_REJECTED, "stopped and saved after %d epochs: --resume goes on",
                         result->epochs);
    if (isnan(result->balanced_accuracy))
        printf("%s: model %s of epoch %d; no validation part judged it\n", options->directory,
               result->model_version, result->best_epoch + 1);
    else
        printf("%s: model %s of epoch %d, balanced accuracy %.4f on the validation part\n",
               options->directory, result->model_version, result->best_epoch + 1, result->balanced_accuracy);
    return STATUS_OK;
}

enum status train_command(struct config *config, struct error *err)
{
    char recipe[CHECKPOINT_RECIPE_SIZE];
    struct progress progress;
    struct train_result result;
    struct train_options options = train_options_of(config);
    shutdown_install();
    enum status status = exchange_mpi_launched() > 1 ? exchange_mpi_open(&options.exchange, err) : STATUS_OK;
    if (status != STATUS_OK)
        return status;
    bool leads = exchange_rank(options.exchange) == 0;
    make_recipe(config, exchange_size(options.exchange), recipe, sizeof recipe);
    progress_init(&progress, stderr, true, 0);
    progress.verb = "read";
    options.recipe = recipe;
    if (leads) {
        options.data.progress = &progress;
        options.data.complaints = (struct collect_complaints){complain, &progress};
        options.tell = tell;
        options.tell_context = &progress;
    }
    status = train_model(&options, &result, err);
    exchange_mpi_close(options.exchange);
    progress_clear(&progress);
    if (status == STATUS_OK && (leads || result.stopped))
        status = print_result(&options, &result, err);
    return status == STATUS_OK || leads ? status : error_said(err);
}
