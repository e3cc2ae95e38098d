// dataset_flags.c: from flags to options.
#include "trainer/dataset_flags.h"

enum status dataset_check_split(const char *text, struct error *err)
{
    double split[DATASET_PARTS];
    return dataset_parse_split(text, split, err);
}

struct dataset_options dataset_options_of(const struct config *config)
{
    struct error err;
    struct dataset_options options = {.data = config_text(config, "data"),
                                      .images = config_text(config, "images"),
                                      .metadata = config_text(config, "metadata"),
                                      .where = config_text(config, "where"),
                                      .split_seed = (uint64_t)config_integer(config, "split_seed"),
                                      .skip_bad = config_switch(config, "skip_bad"),
                                      .threads = (int)config_integer(config, "threads")};
    // dataset_check_split has accepted it
    (void)!dataset_parse_split(config_text(config, "split"), options.split, &err);
    return options;
}
