// config_help.c: everything the option table prints: --help, --print-config and docs/CONFIGURATION.md.
// Main thread.
#include "common/program/config_internal.h"

#include <string.h>

enum { LABEL_SIZE = 96, LABEL_WIDTH_MAX = 34 };

// "--cache-ttl-s S"
static void make_label(const struct option *option, char label[LABEL_SIZE])
{
    const char *value = option->value ? option->value : option->type == OPTION_CHOICE ? option->choices : "";
    if (option->type == OPTION_SWITCH)
        value = "";
    else if (!*value)
        value = option->type == OPTION_LIST ? "N,..." : option->type == OPTION_INTEGER ? "N" : "TEXT";
    snprintf(label, LABEL_SIZE, "--%s%s%s", option->name, *value ? " " : "", value);
    for (char *c = label; *c && *c != ' '; c++)
        if (*c == '_')
            *c = '-';
}

static void print_option(const struct option *option, int width, FILE *stream)
{
    char label[LABEL_SIZE];
    make_label(option, label);
    fprintf(stream, "  %-*s  %s", width, label, option->help);
    if (option->initial && *option->initial && strcmp(option->initial, "false") != 0)
        fprintf(stream, " (%s)", option->initial);
    fputc('\n', stream);
}

static bool is_in_list(const char *name, const char *names)
{
    size_t size = strlen(name);
    for (const char *found = strstr(names, name); found; found = strstr(found + 1, name))
        if ((found == names || found[-1] == ' ') && (found[size] == ' ' || found[size] == '\0'))
            return true;
    return false;
}

// Which rows are shown: those of these programs, 0: of all; of those the named ones, NULL: all.
struct choice {
    unsigned programs;
    const char *names;
};

static bool is_shown(const struct option *option, struct choice choice)
{
    if (choice.programs && !(option->programs & choice.programs))
        return false;
    return !choice.names || is_in_list(option->name, choice.names) || strcmp(option->name, "log_level") == 0;
}

static void print_options(const struct option *table, struct choice choice, FILE *stream)
{
    int width = 0;
    for (const struct option *option = table; option->name; option++) {
        char label[LABEL_SIZE];
        make_label(option, label);
        int length = (int)strlen(label);
        if (is_shown(option, choice) && length > width && length <= LABEL_WIDTH_MAX)
            width = length;
    }
    for (const struct option *option = table; option->name; option++)
        if (is_shown(option, choice))
            print_option(option, width, stream);
}

static void print_command_usage(const struct program *program, const struct command *command, FILE *stream)
{
    bool has_flags = command->flags && command->flags->name;
    fprintf(stream, "usage: %s %s%s [options]%s%s\n\n%s\n", program->name, command->name,
            has_flags ? " [flags]" : "", *command->arguments ? " " : "", command->arguments,
            command->summary);
    if (has_flags) {
        fprintf(stream, "\nflags:\n");
        print_options(command->flags, (struct choice){0}, stream);
    }
    fprintf(stream, "\nexample:\n  %s\n", command->example);
    fprintf(stream, "\noptions (with their defaults; also in --config FILE, SKINSIGHT_NAME, "
                    "--set name=value):\n");
    print_options(config_options, (struct choice){program->bit, command->options}, stream);
}

void config_print_usage(const struct program *program, const struct command *command, FILE *stream)
{
    if (command) {
        print_command_usage(program, command, stream);
        return;
    }
    fprintf(stream, "usage: %s COMMAND [flags] [options] [arguments]\n\n%s\n\ncommands:\n", program->name,
            program->summary);
    int width = 0;
    for (const struct command *row = program->commands; row->name; row++)
        if ((int)strlen(row->name) > width)
            width = (int)strlen(row->name);
    for (const struct command *row = program->commands; row->name; row++)
        fprintf(stream, "  %-*s  %s\n", width, row->name, row->summary);
    fprintf(stream,
            "\n"
            "%s COMMAND --help shows its flags, an example and the options. For every command:\n"
            "  --config FILE      lines of name = value\n"
            "  --set name=value   one option; kafka.<property>=value passes one on to librdkafka\n"
            "  --print-config     every option, its value and where that came from\n"
            "  --version          which build this is\n",
            program->name);
    if (program->note)
        fprintf(stream, "\n%s\n", program->note);
}

// A URL's user information: from behind "://" and the user's ':' up to the last '@'. A file name has none.
static void print_value(const char *text)
{
    const char *authority = strstr(text, "://");
    const char *end = strrchr(text, '@');
    if (!authority || !end || end < authority + 3 || strncmp(text, "file:", 5) == 0) {
        fputs(text, stdout);
        return;
    }
    authority += 3;
    const char *colon = memchr(authority, ':', (size_t)(end - authority));
    const char *secret = colon ? colon + 1 : authority;
    printf("%.*s***%s", (int)(secret - text), text, end);
}

// A property of librdkafka that holds, or may hold, a secret.
static bool is_secret(const char *property)
{
    static const char *const parts[] = {"password", "secret", ".pem", "oauthbearer.config", "jaas"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(property, parts[i]))
            return true;
    return false;
}

static void print_origin(const char *origin)
{
    printf("  # %s\n", origin);
}

void config_print_values(const struct config *config)
{
    for (size_t i = 0; i < config->option_count; i++) {
        const struct config_value *value = &config->options[i];
        if (!(value->option->programs & config->bit))
            continue;
        printf("%s = ", value->option->name);
        print_value(value->text);
        print_origin(value->origin);
    }
    for (size_t i = 0; i < config->kafka_count; i++) {
        const struct kafka_value *value = &config->kafka[i];
        printf("kafka.%s = ", value->property);
        print_value(is_secret(value->property) ? "***" : value->text);
        print_origin(value->origin);
    }
}

static void print_programs(unsigned programs)
{
    static const char *const names[] = {"producer", "worker", "trainer", "monitor"};
    const char *separator = "";
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (programs & 1u << i) {
            printf("%s%s", separator, names[i]);
            separator = ", ";
        }
}

static void print_range(const struct option *option)
{
    switch (option->type) {
    case OPTION_INTEGER:
        printf("%lld to %lld", (long long)option->min, (long long)option->max);
        break;
    case OPTION_LIST:
        printf("numbers from 1 to %lld", (long long)option->max);
        break;
    case OPTION_SWITCH:
        printf("`true`, `false`");
        break;
    case OPTION_TEXT:
    case OPTION_NAME:
        printf("%s to %lld %s", option->min ? "1" : "0",
               (long long)(option->max ? option->max : CONFIG_TEXT_MAX),
               option->type == OPTION_NAME ? "of `A-Za-z0-9._-`" : "bytes of text");
        break;
    case OPTION_CHOICE:
        putchar('`');
        for (const char *c = option->choices; *c; c++)
            if (*c == '|')
                printf("`, `");
            else
                putchar(*c);
        putchar('`');
        break;
    }
}

void config_print_documentation(void)
{
    printf(
        "# Options\n\n"
        "Generated from `common/program/config_options.c` by `skinsight-worker --print-documentation`; "
        "change the "
        "table, not this page.\n\n"
        "An option is set, weakest first, by its default, a line `name = value` of `--config FILE`, the "
        "environment\n(`SKINSIGHT_` and the name in capitals), and the command line (`--name value` with "
        "dashes, or `--set name=value`).\nIn a file `#` at the start of a line or after white space begins "
        "a comment. One file may serve all programs.\n`--print-config` shows each option, its value and "
        "where that came from, without passwords.\n\n"
        "| option | programs | default | range | meaning |\n|---|---|---|---|---|\n");
    for (const struct option *option = config_options; option->name; option++) {
        printf("| `%s` | ", option->name);
        print_programs(option->programs);
        if (*option->initial)
            printf(" | `%s` | ", option->initial);
        else
            printf(" | empty | ");
        print_range(option);
        printf(" | %s |\n", option->help);
    }
    printf("\n## Kafka\n\n"
           "`kafka.<property> = value`, in the file or by `--set`, passes any property on to librdkafka, for "
           "example\n`kafka.security.protocol = SASL_SSL`. It wins over what SkinSight itself sets, except "
           "for the\n"
           "properties that exactly one answer for each job rests on: those are refused.\n\n"
           "## S3\n\n"
           "The credentials of an `s3://` object store come from `AWS_ACCESS_KEY_ID`, "
           "`AWS_SECRET_ACCESS_KEY` and\n`AWS_SESSION_TOKEN`; they are never options, so that no listing "
           "shows them.\n");
}
