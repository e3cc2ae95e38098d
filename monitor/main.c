// main.c: skinsight-monitor, which watches what the workers answer and what becomes of it.
// Only the table of its commands stands here; config_main() does the rest.
#include "common/program/config.h"

static const struct command commands[] = {
    {0},
};

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "skinsight-monitor",
        .bit = PROGRAM_MONITOR,
        .summary = "watches answers and labels: drift, comparison of models, reports, alarms, scale",
        .commands = commands,
    };
    return config_main(&program, argc, argv);
}
