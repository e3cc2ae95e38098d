// main.c: skinsight-monitor, which watches what the workers answer and what becomes of it.
// Only the table of its commands stands here; config_main() does the rest.
#include "common/program/config.h"
#include "monitor/simulate/simulate.h"

static const struct command commands[] = {
    {
        .name = "simulate",
        .arguments = "",
        .summary = "a seeded clinic's answers and labels, with planted changes, as files or to Kafka",
        .example = "skinsight-monitor simulate --seed 7 --days 28 --plant melanoma_share --out clinic",
        .flags = simulate_flags,
        .options = "brokers predictions_topic feedback_topic",
        .check = simulate_check,
        .run = simulate_run,
    },
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
