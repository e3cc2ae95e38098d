// config_main.c: what every main() calls: make libraries ready, read the configuration, do what was asked,
// give the exit code. Main thread.
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/version.h"
#include "common/program/config_internal.h"
#include "common/program/metrics.h"
#include "common/program/privacy.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

// Whether everything is set that the command can't do without; says what is not.
static bool is_complete(const struct config *config)
{
    const struct command *command = config->command;
    for (const char *at = command->required; at && *at; at += strspn(at, " ")) {
        char name[CONFIG_NAME_SIZE];
        size_t length = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        at += length;
        if (config_text(config, name)[0])
            continue;
        const struct config_value *value = config_find_flag(config, name);
        if (!value)
            value = config_find_option(config, name);
        fprintf(stderr, "%s %s: --%s %s is missing: %s\n", config->program->name, command->name, name,
                value->option->value, value->option->help);
        return false;
    }
    return true;
}

static void complain(const struct config *config, const struct error *err)
{
    if (*err->message)
        fprintf(stderr, "%s %s: %s\n", config->program->name, config->command->name, err->message);
}

static int run_command(struct config *config)
{
    const struct program *program = config->program;
    if (!config->command) {
        config_print_usage(program, NULL, stderr);
        return EXIT_USAGE;
    }
    if (!is_complete(config))
        return EXIT_USAGE;
    struct error err = {""};
    if (config->command->check && config->command->check(config, &err) != STATUS_OK) {
        complain(config, &err);
        return EXIT_USAGE;
    }
    log_configure(program->name, (enum log_level)config_choice(config, "log_level"));
    config_warn_environment();
    if (config->command->run(config, &err) == STATUS_OK)
        return EXIT_DONE;
    complain(config, &err);
    return EXIT_FAILED;
}

static int act(struct config *config)
{
    switch (config->action) {
    case DO_HELP:
        config_print_usage(config->program, config->command, stdout);
        return EXIT_DONE;
    case DO_VERSION:
        printf("%s %s\n", config->program->name, skinsight_build);
        if (config->program->note)
            printf("%s\n", config->program->note);
        return EXIT_DONE;
    case DO_PRINT_CONFIG:
        config_print_values(config);
        return EXIT_DONE;
    case DO_DOCUMENT_OPTIONS:
        config_print_documentation();
        return EXIT_DONE;
    case DO_DOCUMENT_METRICS:
        if (!config->program->metrics) {
            fprintf(stderr, "%s measures nothing\n", config->program->name);
            return EXIT_FAILED;
        }
        metrics_print_documentation(config->program->name);
        return EXIT_DONE;
    case DO_RUN:
        return run_command(config);
    }
    return EXIT_FAILED;
}

int config_main(const struct program *program, int argc, char **argv)
{
    struct error err;
    int code = EXIT_USAGE;
    privacy_keep();
    json_prepare_memory();
    if (program->metrics)
        metrics_use(program->metrics);
    struct config *config = config_new(program->bit);
    if (config_read(config, program, argc, argv, &err) == STATUS_OK)
        code = act(config);
    else
        fprintf(stderr, "%s: %s\n", program->name, err.message);
    config_free(config);
    bool lost = fflush(stdout) != 0 || ferror(stdout);
    if (lost && code == EXIT_DONE) {
        fprintf(stderr, "%s: standard output can't be written\n", program->name);
        code = EXIT_FAILED;
    }
    return code;
}
