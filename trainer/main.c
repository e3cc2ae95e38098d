// main.c: the subcommands of skinsight-trainer.
#include "common/program/config.h"
#include "kernels/model/weights.h"
#include "trainer/assess.h"
#include "trainer/compare.h"
#include "trainer/convert.h"
#include "trainer/evaluate.h"
#include "trainer/exchange_mpi.h"
#include "trainer/explore.h"
#include "trainer/import.h"
#include "trainer/listen/listen.h"
#include "trainer/quantise.h"
#include "trainer/reference.h"
#include "trainer/train.h"

static const struct command commands[] = {
    {.name = "import",
     .arguments = "",
     .summary = "makes a model directory from a weights file with timm's names, or from a seed",
     .example = "skinsight-trainer import --arch vit_base_patch16_224 --weights vit.safetensors --out "
                "models/vit-base",
     .flags = import_flags,
     .options = "",
     .required = "arch out",
     .check = import_check,
     .run = import_command},
    {.name = "quantise",
     .arguments = "",
     .summary = "makes a model directory whose precision auto is measured on a folder's images, and whose "
                "int8 rounds less",
     .example = "skinsight-trainer quantise --model models/vit-base --calibrate images --out "
                "models/vit-base-calibrated",
     .flags = quantise_flags,
     .options = "threads",
     .required = "model calibrate out",
     .run = quantise_command},
    {.name = "convert",
     .arguments = "",
     .summary = "makes a model directory of half the size: weights in bf16",
     .example = "skinsight-trainer convert --model models/lesions --out models/lesions-bf16",
     .flags = convert_flags,
     .options = "",
     .required = "model out",
     .check = convert_check,
     .run = convert_command},
    {.name = "explore",
     .arguments = "",
     .summary = "shows what a set of labelled images holds, and what is wrong with it",
     .example = "skinsight-trainer explore --data images.csv --out exploration",
     .flags = explore_flags,
     .options = "threads",
     .required = "data out",
     .run = explore_command},
    {.name = "train",
     .arguments = "",
     .summary = "trains a model on labelled images, from nothing or from another model",
     .example = "skinsight-trainer train --data images.csv --init models/vit-small --out models/lesions",
     .flags = train_flags,
     .options = "threads",
     .required = "data out",
     .check = train_check,
     .run = train_command},
    {.name = "evaluate",
     .arguments = "",
     .summary =
         "judges a model on labelled images that it has not learnt from, each figure with its interval",
     .example = "skinsight-trainer evaluate --model models/vit-base --data images.csv --out evaluation",
     .flags = evaluate_flags,
     .options = "threads",
     .required = "model data out",
     .run = evaluate_command},
    {.name = "reference",
     .arguments = "",
     .summary = "tells a model directory what its model has learnt, so that answers say how far from it an "
                "image lies",
     .example = "skinsight-trainer reference --model models/lesions --data images.csv",
     .flags = reference_flags,
     .options = "threads",
     .required = "model data",
     .run = reference_command},
    {.name = "compare",
     .arguments = "",
     .summary = "says whether one model may take another's place, from their evaluations on the same images",
     .example = "skinsight-trainer compare --a evaluation-resnet --b evaluation-vit --out comparison",
     .flags = compare_flags,
     .options = "",
     .required = "a b out",
     .run = compare_command},
    {.name = "assess",
     .arguments = "",
     .summary = "writes a model's card and its ethics and regulatory assessment, filled from its evaluation",
     .example = "skinsight-trainer assess --model models/vit-base --data-origin 'our clinic, 2026'",
     .flags = assess_flags,
     .options = "",
     .required = "model",
     .run = assess_command},
    {.name = "listen",
     .arguments = "[-- RECIPE...]",
     .arguments_max = LISTEN_RECIPE_MOST,
     .summary = "makes a versioned data set of the diagnoses that come back, and trains on it",
     .example =
         "skinsight-trainer listen --dataset lesions --train-after 500 -- --arch vit_small_patch16_224",
     .flags = listen_flags,
     .options = "brokers predictions_topic feedback_topic objects s3_endpoint s3_region object_timeout_ms "
                "max_image_bytes",
     .required = "dataset",
     .check = listen_check,
     .run = listen_command},
    {.name = NULL},
};

int main(int argc, char **argv)
{
    const struct program program = {.name = "skinsight-trainer",
                                    .bit = PROGRAM_TRAINER,
                                    .summary = "trains, makes and calibrates model directories",
                                    .commands = commands,
                                    .note = exchange_mpi_note};
    weights_explain_sigbus();
    return config_main(&program, argc, argv);
}
