// config_internal.h: what the files of the configuration share; everyone else includes config.h.
// config.c holds the values, config_read.c fills them from file, environment and command line,
// config_help.c prints, config_options.c is the table.
#ifndef SKINSIGHT_COMMON_PROGRAM_CONFIG_INTERNAL_H
#define SKINSIGHT_COMMON_PROGRAM_CONFIG_INTERNAL_H

#include <stdio.h>

#include "common/program/config.h"
#include "common/services/kafka.h"

// Weakest first: a value never replaces one from a stronger source.
enum config_source { SOURCE_BUILT_IN, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE };

struct config_value {
    const struct option *option;
    char *text;
    enum config_source source;
    char *origin; // for people: "built-in", "FILE:LINE", "SKINSIGHT_NAME", "command line"
};

struct kafka_value {
    char *property; // without "kafka."
    char *text;
    enum config_source source;
    char *origin;
};

enum config_action {
    DO_RUN,
    DO_HELP,
    DO_VERSION,
    DO_PRINT_CONFIG,
    DO_DOCUMENT_OPTIONS,
    DO_DOCUMENT_METRICS,
};

enum { CONFIG_NAME_SIZE = 64, CONFIG_KAFKA_MAX = 128 };

struct config {
    const struct program *program; // NULL in tests
    const struct command *command; // NULL until the command line names one
    unsigned bit;
    enum config_action action;
    struct config_value *options; // a value per row of the shared table
    size_t option_count;
    struct config_value *flags; // a value per flag of the command
    size_t flag_count;
    struct kafka_value kafka[CONFIG_KAFKA_MAX];
    size_t kafka_count;
    struct kafka_setting kafka_properties[CONFIG_KAFKA_MAX]; // the same, as clients take them
    struct kafka_cluster kafka_cluster;
    const char **arguments; // the caller's texts
    size_t argument_count;
    char *objects_root;
};

// Where a setting came from.
struct config_origin {
    enum config_source source;
    const char *name;
};

struct config *config_new(unsigned program_bit);
void config_use_command(struct config *config, const struct command *command); // adds its flags
void config_finish(struct config *config);                                     // once all is read

// The value called name (underscores), or NULL: a flag of the command, an option of the program, and an
// option of any program.
struct config_value *config_find_flag(const struct config *config, const char *name);
struct config_value *config_find_option(const struct config *config, const char *name);
struct config_value *config_find_any_option(const struct config *config, const char *name);

// Checks text against the row and stores it unless a stronger source has spoken. REJECTED says what is wrong.
enum status config_assign(struct config_value *value, const char *text, const struct config_origin *origin,
                          struct error *err) MUST_CHECK;
// One setting by name, kafka.<property> included: what a line of the file and --set do.
enum status config_assign_by_name(struct config *config, const char *name, const char *text,
                                  const struct config_origin *origin, struct error *err) MUST_CHECK;

// All three sources in one go; *config is released by the caller, also after a failure.
enum status config_read(struct config *config, const struct program *program, int argc, char **argv,
                        struct error *err) MUST_CHECK;

// Warns of each variable of the environment that looks like an option and is none: a misspelt one.
void config_warn_environment(void);

// The page of --help: of the command, or of the whole program where command is NULL.
void config_print_usage(const struct program *program, const struct command *command, FILE *stream);
void config_print_values(const struct config *config);

#endif
