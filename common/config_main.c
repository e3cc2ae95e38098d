// config_main.c: what every main() calls: read the configuration, do what was asked, give the exit code.
// Main thread.
#include <stdio.h>

#include "common/config_internal.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/version.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int run_command(struct config *config)
{
    const struct program *program = config->program;
    if (!config->command) {
        config_print_usage(program, NULL, stderr);
        return EXIT_USAGE;
    }
    log_configure(program->name, (enum log_level)config_choice(config, "log_level"));
    config_warn_environment();
    return config->command->run(config);
}

static int act(struct config *config)
{
    switch (config->action) {
    case DO_HELP:
        config_print_usage(config->program, config->command, stdout);
        return EXIT_DONE;
    case DO_VERSION:
        printf("%s %s\n", config->program->name, skinsight_build);
        return EXIT_DONE;
    case DO_PRINT_CONFIG:
        config_print_values(config);
        return EXIT_DONE;
    case DO_DOCUMENT_OPTIONS:
        config_print_documentation();
        return EXIT_DONE;
    case DO_DOCUMENT_METRICS:
        metrics_print_documentation();
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
