// config.h: options and subcommands as tables. One row generates parsing, --help, --print-config and a
// line of docs/CONFIGURATION.md.
//
// An option of the shared table (config_options.c) can be set, weakest first: built-in value, a line
// "name = value" of --config FILE, environment SKINSIGHT_NAME, and on the command line --set name=value or
// --name value (dashes for underscores). "kafka.<property>=<value>" passes any librdkafka property through,
// by file or --set, but for those that are ours. A command may add flags of its own (--wait, --output FILE);
// those are command line only and hide an option of the same name. One file may serve several programs: names
// that only another program knows are skipped there. An unknown name or a bad value is one sentence on
// standard error and exit code 2. A config doesn't change once the command runs: any thread may read it.
#ifndef SKINSIGHT_COMMON_PROGRAM_CONFIG_H
#define SKINSIGHT_COMMON_PROGRAM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

enum { CONFIG_TEXT_MAX = 1023 }; // bytes of any value

enum option_type {
    OPTION_TEXT,    // min..max bytes without control characters; max 0 means CONFIG_TEXT_MAX
    OPTION_NAME,    // the same of [A-Za-z0-9._-] only
    OPTION_INTEGER, // min..max
    OPTION_CHOICE,  // one of choices, separated by '|'
    OPTION_SWITCH,  // a flag without a value on the command line; "true" or "false" elsewhere
    OPTION_LIST,    // integers 1..max separated by commas
};

// Bits of struct option.programs: which programs know the option.
enum { PROGRAM_PRODUCER = 1, PROGRAM_WORKER = 2, PROGRAM_TRAINER = 4, PROGRAM_MONITOR = 8 };

struct option {
    const char *name; // with underscores; NULL ends a table
    enum option_type type;
    const char *initial; // built-in value; "" means not set
    int64_t min, max;    // OPTION_INTEGER, OPTION_TEXT and OPTION_NAME: both; OPTION_LIST: max
    const char *choices; // OPTION_CHOICE
    unsigned programs;   // shared table only
    const char *value;   // what --help calls the value: FILE, MS, ADDRESS
    const char *help;    // one sentence, with the unit
    // OPTION_TEXT and OPTION_NAME: what else is wrong with a text that is set, or NULL. It looks at the text
    // alone: that a host or a file is not there is no bad value.
    enum status (*check)(const char *text, struct error *err);
};

struct config;
struct metric_table;         // common/program/metrics.h
struct kafka_cluster;        // common/services/kafka.h
struct object_store_options; // common/services/object_store.h

struct command {
    const char *name;      // NULL ends a table
    const char *arguments; // for the usage line: "PATH..."; "" when there are none
    size_t arguments_min, arguments_max;
    const char *summary;        // one sentence
    const char *example;        // a whole command line
    const struct option *flags; // the command's own; NULL or a table
    // The exit code is 0 if it is OK, else 1, and config_main prints the sentence, unless it is empty
    // (error_said).
    enum status (*run)(struct config *config, struct error *err);
    const char *options;  // the shared ones it reads, for --help: names and blanks; NULL: all
    const char *required; // what must be set, names and blanks; NULL: nothing
    // What is wrong with the values together, or NULL.
    enum status (*check)(const struct config *config, struct error *err);
};

struct program {
    const char *name; // "skinsight-worker"
    unsigned bit;     // PROGRAM_WORKER
    const char *summary;
    const struct command *commands;
    const struct metric_table *metrics; // NULL: it measures nothing
    const char *note;                   // what --version and --help say of this build, or NULL
};

extern const struct option config_options[]; // the shared table, ends with a NULL name

// The whole of a program's main(): keeps the process to itself (privacy.h), parses, handles --help, --version
// and --print-config, sets the log level, runs the command. Returns the exit code: the command's, 2 for wrong
// usage, 1 when standard output failed.
int config_main(const struct program *program, int argc, char **argv);

// Values by name, of an option the program knows or a flag of the command; an unknown name asserts. The text
// lives as long as the config.
const char *config_text(const struct config *config, const char *name);
int64_t config_integer(const struct config *config, const char *name);
unsigned config_choice(const struct config *config, const char *name); // index into the row's choices
bool config_switch(const struct config *config, const char *name);
// Copies at most limit numbers and says how many the list has.
size_t config_list(const struct config *config, const char *name, int64_t *values, size_t limit);

// Of the option objects and those of S3, for programs that have them; the texts live as long as the config.
// root where objects is empty: file:// and the user's state folder (XDG_STATE_HOME/skinsight, else
// ~/.local/state/skinsight, else /var/lib/skinsight).
void config_objects(const struct config *config, struct object_store_options *options);

unsigned config_program(const struct config *config); // its bit

size_t config_argument_count(const struct config *config);
const char *config_argument(const struct config *config, size_t index);

// The option brokers and each kafka.<property> that was set, in the order given; the config's.
const struct kafka_cluster *config_kafka(const struct config *config);

// For tests: a config with the built-in values and then "name=value" texts, as --set would do; a bad one
// asserts. The environment is not read.
struct config *config_new_for_test(unsigned program_bit, const char *const *settings, size_t count);
void config_free(struct config *config);

// Writes docs/CONFIGURATION.md to standard output; the hidden flag --print-documentation of any program.
void config_print_documentation(void);

#endif
