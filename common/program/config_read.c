// config_read.c: fills a config from the command line, the files it names and the environment, in this order;
// the rank of the sources (config_assign) makes the order irrelevant. Main thread, before the command runs.
//
// A config file holds lines "name = value". '#' at the start of a line or after white space begins a comment,
// so that the output of --print-config is such a file.
#include "common/program/config_internal.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/memory.h"

#define VARIABLE_PREFIX "SKINSIGHT_"

enum {
    LINE_SIZE = 2048,
    FILE_LINES_MAX = 10000,
    ORIGIN_SIZE = 512,
    SUGGESTION_DISTANCE = 3,
    VARIABLE_SIZE = sizeof VARIABLE_PREFIX + CONFIG_NAME_SIZE
};

// The place in the command line.
struct reader {
    struct config *config;
    int argc;
    char **argv;
    int next;
    bool only_arguments; // "--" was seen
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Levenshtein's distance; texts longer than any name are simply far away.
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[CONFIG_NAME_SIZE];
    size_t length = strlen(b);
    if (length >= CONFIG_NAME_SIZE || strlen(a) >= CONFIG_NAME_SIZE)
        return CONFIG_NAME_SIZE;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(changed, 1 + least(row[j], row[j - 1]));
        }
    }
    return row[length];
}

struct suggestion {
    const char *wrong;
    const char *best;
    size_t distance;
};

static void consider(struct suggestion *suggestion, const char *name)
{
    size_t distance = edit_distance(suggestion->wrong, name);
    // Short names are all near each other: at most half of the letters may differ.
    bool near = distance <= SUGGESTION_DISTANCE && 2 * distance <= strlen(suggestion->wrong) + 1;
    if (near && (!suggestion->best || distance < suggestion->distance)) {
        suggestion->best = name;
        suggestion->distance = distance;
    }
}

static const char *const special_names[] = {"config", "set", "help", "version", "print_config"};

static enum status unknown_option(const struct config *config, const char *word, const char *name,
                                  struct error *err)
{
    struct suggestion suggestion = {.wrong = name};
    for (size_t i = 0; i < config->flag_count; i++)
        consider(&suggestion, config->flags[i].option->name);
    for (size_t i = 0; i < config->option_count; i++)
        if (config->options[i].option->programs & config->bit)
            consider(&suggestion, config->options[i].option->name);
    for (size_t i = 0; i < sizeof special_names / sizeof *special_names; i++)
        consider(&suggestion, special_names[i]);
    int length = (int)strcspn(word, "=");
    if (!suggestion.best)
        return error_set(err, STATUS_REJECTED, "unknown option '%.*s'", length, word);
    if (suggestion.distance == 0) // "--help=1"
        return error_set(err, STATUS_REJECTED, "option '%.*s' takes no value", length, word);
    char dashed[CONFIG_NAME_SIZE];
    snprintf(dashed, sizeof dashed, "%s", suggestion.best);
    for (char *c = dashed; *c; c++)
        if (*c == '_')
            *c = '-';
    return error_set(err, STATUS_REJECTED, "unknown option '%.*s', did you mean '--%s'?", length, word,
                     dashed);
}

static enum status use_command(struct config *config, const char *name, struct error *err)
{
    struct suggestion suggestion = {.wrong = name};
    for (const struct command *command = config->program->commands; command->name; command++) {
        if (strcmp(command->name, name) == 0) {
            config_use_command(config, command);
            return STATUS_OK;
        }
        consider(&suggestion, command->name);
    }
    if (suggestion.best)
        return error_set(err, STATUS_REJECTED, "unknown command '%s', did you mean '%s'?", name,
                         suggestion.best);
    return error_set(err, STATUS_REJECTED, "unknown command '%s'; --help lists them", name);
}

// Cuts white space at both ends of text, in place.
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

static void cut_comment(char *line)
{
    for (char *c = line; *c; c++)
        if (*c == '#' && (c == line || isspace((unsigned char)c[-1]))) {
            *c = '\0';
            return;
        }
}

// "name=value" with white space around either; changes text. The value may hold a password: not quoted.
static enum status assign_setting(struct config *config, char *text, const struct config_origin *origin,
                                  struct error *err)
{
    char *equals = strchr(text, '=');
    if (!equals)
        return error_set(err, STATUS_REJECTED, "a setting is name=value, here '=' is missing");
    *equals = '\0';
    return config_assign_by_name(config, trim(text), trim(equals + 1), origin, err);
}

static enum status read_line(struct config *config, char *line, const char *origin, struct error *err)
{
    cut_comment(line);
    char *text = trim(line);
    if (!*text)
        return STATUS_OK;
    enum status status = assign_setting(config, text, &(struct config_origin){SOURCE_FILE, origin}, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s", origin);
    return status;
}

static enum status read_lines(struct config *config, FILE *file, const char *path, struct error *err)
{
    char line[LINE_SIZE];
    char origin[ORIGIN_SIZE];
    for (int number = 1; fgets(line, sizeof line, file); number++) {
        // A NUL byte hides the line's end just as too long a line does.
        if (!strchr(line, '\n') && !feof(file))
            return error_set(err, STATUS_REJECTED, "%s:%d: the line is longer than %d bytes or not text",
                             path, number, LINE_SIZE - 2);
        if (number > FILE_LINES_MAX)
            return error_set(err, STATUS_REJECTED, "%s has more than %d lines", path, FILE_LINES_MAX);
        snprintf(origin, sizeof origin, "%s:%d", path, number);
        enum status status = read_line(config, line, origin, err);
        if (status != STATUS_OK)
            return status;
    }
    if (ferror(file))
        return error_set(err, STATUS_REJECTED, "%s can't be read: %s", path, strerror(errno));
    return STATUS_OK;
}

static enum status read_file(struct config *config, const char *path, struct error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(err, STATUS_REJECTED, "the config file %s can't be opened: %s", path,
                         strerror(errno));
    enum status status = read_lines(config, file, path, err);
    fclose(file);
    return status;
}

static void variable_of(const struct option *option, char variable[VARIABLE_SIZE])
{
    int length = snprintf(variable, VARIABLE_SIZE, VARIABLE_PREFIX "%s", option->name);
    for (int i = 0; i < length; i++)
        variable[i] = (char)toupper((unsigned char)variable[i]);
}

static enum status read_environment(struct config *config, struct error *err)
{
    for (size_t i = 0; i < config->option_count; i++) {
        struct config_value *value = &config->options[i];
        char name[VARIABLE_SIZE];
        variable_of(value->option, name);
        const char *text = value->option->programs & config->bit ? getenv(name) : NULL;
        if (!text)
            continue;
        enum status status =
            config_assign(value, text, &(struct config_origin){SOURCE_ENVIRONMENT, name}, err);
        if (status != STATUS_OK) {
            error_prefix(err, "%s", name);
            return status;
        }
    }
    return STATUS_OK;
}

// Read by an option of whatever program, or elsewhere: by a backend, by scripts and tests.
static bool is_read(const char *variable)
{
    static const char *const others[] = {"BIN",          "CACHE_DIR", "CUDA_PLUGIN", "CUDA_PRODUCTS",
                                         "CUDA_ROOT",    "CUDA_TUNE", "CUDA_TUNING", "KAFKA_LIBS",
                                         "SIMULATED_US", "VERSITYGW"};
    const char *rest = variable + strlen(VARIABLE_PREFIX);
    char name[VARIABLE_SIZE];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(rest, others[i]) == 0)
            return true;
    for (const struct option *option = config_options; option->name; option++) {
        variable_of(option, name);
        if (strcmp(variable, name) == 0)
            return true;
    }
    return false;
}

void config_warn_environment(void)
{
    for (char **entry = environ; entry && *entry; entry++) {
        if (strncmp(*entry, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0)
            continue;
        char *variable = memory_strdup(*entry);
        variable[strcspn(variable, "=")] = '\0';
        if (!is_read(variable))
            LOG_WARN("environment_ignored", "variable=%s", variable); // its value may be a password
        free(variable);
    }
}

static bool take_action(struct config *config, const char *name)
{
    static const struct {
        const char *name;
        enum config_action action;
    } actions[] = {
        {"help", DO_HELP},
        {"version", DO_VERSION},
        {"print_config", DO_PRINT_CONFIG},
        {"print_documentation", DO_DOCUMENT_OPTIONS},
        {"print_metrics_documentation", DO_DOCUMENT_METRICS},
    };
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(actions[i].name, name) != 0)
            continue;
        if (config->action == DO_RUN)
            config->action = actions[i].action;
        return true;
    }
    return false;
}

static enum status take_set(struct config *config, const char *setting, struct error *err)
{
    char *copy = memory_strdup(setting);
    enum status status =
        assign_setting(config, copy, &(struct config_origin){SOURCE_COMMAND_LINE, "command line"}, err);
    if (status != STATUS_OK)
        error_prefix(err, "--set");
    free(copy);
    return status;
}

// The text behind '=', or the next word; NULL when there is none. A next word that is itself an option is a
// forgotten value, not a value.
static const char *take_value(struct reader *reader, const char *word)
{
    const char *equals = strchr(word, '=');
    if (equals)
        return equals + 1;
    if (reader->next >= reader->argc || strncmp(reader->argv[reader->next], "--", 2) == 0)
        return NULL;
    return reader->argv[reader->next++];
}

static enum status take_named(struct reader *reader, const char *word, const char *name, struct error *err)
{
    struct config *config = reader->config;
    bool is_config = strcmp(name, "config") == 0;
    bool is_set = strcmp(name, "set") == 0;
    struct config_value *option = config_find_flag(config, name);
    if (!option)
        option = config_find_option(config, name);
    if (!option && !is_config && !is_set)
        return unknown_option(config, word, name, err);
    bool is_switch = option && option->option->type == OPTION_SWITCH && !strchr(word, '=');
    const char *value = is_switch ? "true" : take_value(reader, word);
    if (!value)
        return error_set(err, STATUS_REJECTED, "option '%s' needs a value", word);
    if (option)
        return config_assign(option, value, &(struct config_origin){SOURCE_COMMAND_LINE, "command line"},
                             err);
    return is_config ? read_file(config, value, err) : take_set(config, value, err);
}

static enum status take_option(struct reader *reader, const char *word, struct error *err)
{
    char name[CONFIG_NAME_SIZE];
    if (strcmp(word, "-h") == 0)
        word = "--help";
    size_t length = strcspn(word, "=");
    if (word[1] != '-' || length - 2 >= sizeof name)
        return error_set(err, STATUS_REJECTED, "unknown option '%.*s'", (int)length, word);
    memcpy(name, word + 2, length - 2);
    name[length - 2] = '\0';
    for (char *c = name; *c; c++)
        if (*c == '-')
            *c = '_';
    if (!word[length] && take_action(reader->config, name))
        return STATUS_OK;
    return take_named(reader, word, name, err);
}

static enum status take_argument(struct config *config, const char *word, struct error *err)
{
    if (!config->command)
        return use_command(config, word, err);
    if (config->argument_count == config->command->arguments_max)
        return error_set(err, STATUS_REJECTED, "'%s' has no use for '%s'; --help shows what it takes",
                         config->command->name, word);
    config->arguments[config->argument_count++] = word;
    return STATUS_OK;
}

static enum status read_command_line(struct reader *reader, struct error *err)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && reader->next < reader->argc) {
        const char *word = reader->argv[reader->next++];
        if (reader->only_arguments || word[0] != '-' || !word[1])
            status = take_argument(reader->config, word, err);
        else if (strcmp(word, "--") == 0)
            reader->only_arguments = true;
        else
            status = take_option(reader, word, err);
    }
    return status;
}

enum status config_read(struct config *config, const struct program *program, int argc, char **argv,
                        struct error *err)
{
    struct reader reader = {.config = config, .argc = argc, .argv = argv, .next = 1};
    config->program = program;
    config->arguments = memory_alloc((size_t)argc * sizeof *config->arguments);
    enum status status = read_command_line(&reader, err);
    bool values_matter = config->action == DO_RUN || config->action == DO_PRINT_CONFIG;
    if (status == STATUS_OK && values_matter)
        status = read_environment(config, err);
    const struct command *command = config->command;
    if (status == STATUS_OK && config->action == DO_RUN && command &&
        config->argument_count < command->arguments_min)
        status = error_set(err, STATUS_REJECTED, "'%s' needs %s; --help shows what it takes", command->name,
                           command->arguments);
    config_finish(config);
    return status;
}

struct config *config_new_for_test(unsigned program_bit, const char *const *settings, size_t count)
{
    struct config *config = config_new(program_bit);
    for (size_t i = 0; i < count; i++) {
        struct error err;
        enum status status = take_set(config, settings[i], &err);
        assert(status == STATUS_OK && "a setting of the test is wrong");
        if (status != STATUS_OK)
            abort();
    }
    config_finish(config);
    return config;
}
