// dataset_flags.h: the flags of every command that reads labelled images, and their way into dataset_options.
#ifndef SKINSIGHT_TRAINER_DATASET_FLAGS_H
#define SKINSIGHT_TRAINER_DATASET_FLAGS_H

#include "common/program/config.h"
#include "trainer/dataset.h"

#define DATASET_SEED_MAX ((int64_t)1 << 53)

// Rows of a command's table of flags.
// clang-format off
#define DATASET_FLAGS                                                                                        \
    {.name = "data", .type = OPTION_TEXT, .initial = "", .value = "PATH",                                    \
     .help = "labelled images: a CSV with file and label, a folder per class, ISIC's or HAM10000's tables"}, \
    {.name = "images", .type = OPTION_TEXT, .initial = "", .value = "DIR",                                   \
     .help = "folder of the files that the CSV names; empty: the CSV's"},                                    \
    {.name = "metadata", .type = OPTION_TEXT, .initial = "", .value = "FILE",                                \
     .help = "second CSV with lesions, ages ... of the images"},                                             \
    {.name = "where", .type = OPTION_TEXT, .initial = "", .value = "COLUMN=VALUE,...",                       \
     .help = "take the rows with these values; != those without"},                                                             \
    {.name = "split", .type = OPTION_TEXT, .initial = "0.70,0.15,0.15", .value = "SHARES",                   \
     .check = dataset_check_split,                                                                           \
     .help = "shares of training, validation and test, where no column split says it"},                      \
    {.name = "split_seed", .type = OPTION_INTEGER, .initial = "0", .max = DATASET_SEED_MAX, .value = "SEED", \
     .help = "seed of the split"},                                                                           \
    {.name = "skip_bad", .type = OPTION_SWITCH, .initial = "false",                                          \
     .help = "leave out images that can't be decoded"}
// clang-format on

enum status dataset_check_split(const char *text, struct error *err);

// The flags' values, and the option threads; complaints and progress are the caller's to set. The texts are
// the config's.
struct dataset_options dataset_options_of(const struct config *config);

#endif
