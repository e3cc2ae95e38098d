// config.c: holds the values of a config, checks each against its row, and hands them out by name.
// Filled on the main thread before the command runs, read-only afterwards; the config owns every text except
// the arguments, which are argv's.
#include "common/program/config_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/services/object_store.h"

static const struct config_origin built_in = {SOURCE_BUILT_IN, "built-in"};

static size_t count_rows(const struct option *table)
{
    size_t count = 0;
    while (table && table[count].name)
        count++;
    return count;
}

static struct config_value *new_values(const struct option *table, size_t count)
{
    struct config_value *values = memory_alloc(count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        const char *initial = table[i].initial ? table[i].initial : "";
        const char *text = table[i].type == OPTION_SWITCH && !*initial ? "false" : initial;
        values[i] = (struct config_value){&table[i], memory_strdup(text), SOURCE_BUILT_IN,
                                          memory_strdup(built_in.name)};
    }
    return values;
}

static void free_values(struct config_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(values[i].text);
        free(values[i].origin);
    }
    free(values);
}

struct config *config_new(unsigned program_bit)
{
    struct config *config = memory_alloc(sizeof *config);
    config->bit = program_bit;
    config->option_count = count_rows(config_options);
    config->options = new_values(config_options, config->option_count);
    return config;
}

void config_use_command(struct config *config, const struct command *command)
{
    config->command = command;
    config->flag_count = count_rows(command->flags);
    config->flags = new_values(command->flags, config->flag_count);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    free_values(config->options, config->option_count);
    free_values(config->flags, config->flag_count);
    for (size_t i = 0; i < config->kafka_count; i++) {
        free(config->kafka[i].property);
        free(config->kafka[i].text);
        free(config->kafka[i].origin);
    }
    free(config->arguments);
    free(config->objects_root);
    free(config);
}

static struct config_value *find(struct config_value *values, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(values[i].option->name, name) == 0)
            return &values[i];
    return NULL;
}

struct config_value *config_find_flag(const struct config *config, const char *name)
{
    return find(config->flags, config->flag_count, name);
}

struct config_value *config_find_any_option(const struct config *config, const char *name)
{
    return find(config->options, config->option_count, name);
}

struct config_value *config_find_option(const struct config *config, const char *name)
{
    struct config_value *value = config_find_any_option(config, name);
    return value && value->option->programs & config->bit ? value : NULL;
}

static bool parse_integer(const char *text, int64_t *number)
{
    const char *digits = *text == '-' ? text + 1 : text;
    if (!*digits || digits[strspn(digits, "0123456789")])
        return false;
    errno = 0;
    *number = strtoll(text, NULL, 10);
    return errno == 0;
}

// The index of text among "a|b|c", or -1.
static int find_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (int index = 0;; index++) {
        size_t here = strcspn(choices, "|");
        if (here == length && memcmp(choices, text, length) == 0)
            return index;
        if (!choices[here])
            return -1;
        choices += here + 1;
    }
}

static enum status check_integer(const struct option *option, const char *text, struct error *err)
{
    int64_t number;
    if (!parse_integer(text, &number) || number < option->min || number > option->max)
        return error_set(err, STATUS_REJECTED, "%s must be a whole number from %lld to %lld, not '%s'",
                         option->name, (long long)option->min, (long long)option->max, text);
    return STATUS_OK;
}

// Reads the number in front of the next comma and moves *text behind it; false when there is none in 1..max.
static bool next_of_list(const char **text, int64_t max, int64_t *number)
{
    char digits[24];
    size_t length = strcspn(*text, ",");
    if (length >= sizeof digits)
        return false;
    memcpy(digits, *text, length);
    digits[length] = '\0';
    *text += length + ((*text)[length] == ',');
    return parse_integer(digits, number) && *number >= 1 && *number <= max;
}

static enum status check_list(const struct option *option, const char *text, struct error *err)
{
    int64_t number;
    bool good = !*text || text[strlen(text) - 1] != ',';
    for (const char *rest = text; good && *rest;)
        good = next_of_list(&rest, option->max, &number);
    if (good)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "%s must be whole numbers from 1 to %lld with commas between, not '%s'", option->name,
                     (long long)option->max, text);
}

// The text itself is never quoted: it may hold a password.
static enum status check_text(const struct option *option, const char *text, struct error *err)
{
    static const char name_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t max = option->max ? (size_t)option->max : CONFIG_TEXT_MAX;
    size_t length = strlen(text);
    if (length > max)
        return error_set(err, STATUS_REJECTED, "%s has %zu characters, at most %zu are allowed", option->name,
                         length, max);
    if (length < (size_t)option->min)
        return error_set(err, STATUS_REJECTED, "%s must not be empty", option->name);
    if (option->type == OPTION_NAME && text[strspn(text, name_characters)])
        return error_set(err, STATUS_REJECTED, "%s may hold only letters, digits, '.', '_' and '-'",
                         option->name);
    return option->check && *text ? option->check(text, err) : STATUS_OK;
}

static enum status check_printable(const char *name, const char *text, struct error *err)
{
    if (strlen(text) > CONFIG_TEXT_MAX)
        return error_set(err, STATUS_REJECTED, "%s has more than %d characters", name, CONFIG_TEXT_MAX);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_set(err, STATUS_REJECTED, "%s holds a control character", name);
    return STATUS_OK;
}

static enum status check_value(const struct option *option, const char *text, struct error *err)
{
    enum status status = check_printable(option->name, text, err);
    if (status != STATUS_OK)
        return status;
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_NAME:
        return check_text(option, text, err);
    case OPTION_INTEGER:
        return check_integer(option, text, err);
    case OPTION_LIST:
        return check_list(option, text, err);
    case OPTION_SWITCH:
        if (find_choice("true|false", text) >= 0)
            return STATUS_OK;
        return error_set(err, STATUS_REJECTED, "%s must be true or false, not '%s'", option->name, text);
    case OPTION_CHOICE:
        if (find_choice(option->choices, text) >= 0)
            return STATUS_OK;
        return error_set(err, STATUS_REJECTED, "%s must be one of %s, not '%s'", option->name,
                         option->choices, text);
    }
    return error_set(err, STATUS_FATAL, "%s has no known type", option->name);
}

static void replace(char **text, const char *with)
{
    free(*text);
    *text = memory_strdup(with);
}

enum status config_assign(struct config_value *value, const char *text, const struct config_origin *origin,
                          struct error *err)
{
    enum status status = check_value(value->option, text, err);
    if (status != STATUS_OK || origin->source < value->source)
        return status;
    value->source = origin->source;
    replace(&value->text, text);
    replace(&value->origin, origin->name);
    return STATUS_OK;
}

static enum status assign_kafka(struct config *config, const char *property, const char *text,
                                const struct config_origin *origin, struct error *err)
{
    enum status status = check_printable("a kafka property", property, err);
    if (status == STATUS_OK)
        status = check_printable(property, text, err);
    if (status != STATUS_OK)
        return status;
    if (!*property)
        return error_set(err, STATUS_REJECTED, "'kafka.' needs the name of a librdkafka property");
    status = kafka_property_check(property, text, err);
    if (status != STATUS_OK)
        return status;
    size_t i = 0;
    while (i < config->kafka_count && strcmp(config->kafka[i].property, property) != 0)
        i++;
    if (i == CONFIG_KAFKA_MAX)
        return error_set(err, STATUS_REJECTED, "more than %d kafka properties", CONFIG_KAFKA_MAX);
    struct kafka_value *value = &config->kafka[i];
    if (i == config->kafka_count) {
        value->property = memory_strdup(property);
        config->kafka_count++;
    } else if (origin->source < value->source) {
        return STATUS_OK;
    }
    value->source = origin->source;
    replace(&value->text, text);
    replace(&value->origin, origin->name);
    return STATUS_OK;
}

enum status config_assign_by_name(struct config *config, const char *name, const char *text,
                                  const struct config_origin *origin, struct error *err)
{
    if (strncmp(name, "kafka.", 6) == 0)
        return assign_kafka(config, name + 6, text, origin, err);
    struct config_value *value = config_find_any_option(config, name);
    if (!value)
        return error_set(err, STATUS_REJECTED, "there is no option '%s'", name);
    bool known = value->option->programs & config->bit;
    if (!known && origin->source == SOURCE_COMMAND_LINE)
        return error_set(err, STATUS_REJECTED, "this program has no option '%s'", name);
    return config_assign(value, text, origin, err);
}

static char *default_objects_root(void)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (state && *state == '/') // the XDG rules say that a relative path is to be ignored
        return memory_format("file://%s/skinsight", state);
    if (home && *home == '/')
        return memory_format("file://%s/.local/state/skinsight", home);
    return memory_strdup("file:///var/lib/skinsight");
}

void config_finish(struct config *config)
{
    const struct config_value *objects = config_find_option(config, "objects");
    if (objects)
        config->objects_root = *objects->text ? memory_strdup(objects->text) : default_objects_root();
    for (size_t i = 0; i < config->kafka_count; i++)
        config->kafka_properties[i] =
            (struct kafka_setting){config->kafka[i].property, config->kafka[i].text};
    config->kafka_cluster = (struct kafka_cluster){.brokers = config_find_any_option(config, "brokers")->text,
                                                   .properties = config->kafka_properties,
                                                   .property_count = config->kafka_count};
}

// Asking for a name that isn't there is a bug of the caller, also in a build without assertions.
static const struct config_value *get(const struct config *config, const char *name)
{
    const struct config_value *value = config_find_flag(config, name);
    if (!value)
        value = config_find_option(config, name);
    assert(value && "the program has no option and the command no flag of this name");
    if (!value)
        abort();
    return value;
}

const char *config_text(const struct config *config, const char *name)
{
    return get(config, name)->text;
}

int64_t config_integer(const struct config *config, const char *name)
{
    const struct config_value *value = get(config, name);
    assert(value->option->type == OPTION_INTEGER);
    int64_t number = 0;
    parse_integer(value->text, &number);
    return number;
}

unsigned config_choice(const struct config *config, const char *name)
{
    const struct config_value *value = get(config, name);
    assert(value->option->type == OPTION_CHOICE);
    int index = find_choice(value->option->choices, value->text);
    return index < 0 ? 0 : (unsigned)index;
}

bool config_switch(const struct config *config, const char *name)
{
    const struct config_value *value = get(config, name);
    assert(value->option->type == OPTION_SWITCH);
    return strcmp(value->text, "true") == 0;
}

size_t config_list(const struct config *config, const char *name, int64_t *values, size_t limit)
{
    const struct config_value *value = get(config, name);
    assert(value->option->type == OPTION_LIST);
    size_t count = 0;
    for (const char *rest = value->text; *rest; count++) {
        int64_t number;
        if (next_of_list(&rest, value->option->max, &number) && count < limit)
            values[count] = number;
    }
    return count;
}

unsigned config_program(const struct config *config)
{
    return config->bit;
}

size_t config_argument_count(const struct config *config)
{
    return config->argument_count;
}

const char *config_argument(const struct config *config, size_t index)
{
    assert(index < config->argument_count);
    return config->arguments[index];
}

void config_objects(const struct config *config, struct object_store_options *options)
{
    assert(config->objects_root && "the program has no option 'objects'");
    *options = (struct object_store_options){.root = config->objects_root,
                                             .s3_endpoint = config_text(config, "s3_endpoint"),
                                             .s3_region = config_text(config, "s3_region"),
                                             .timeout_ms = config_integer(config, "object_timeout_ms")};
}

const struct kafka_cluster *config_kafka(const struct config *config)
{
    return &config->kafka_cluster;
}
