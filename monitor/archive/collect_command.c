// collect_command.c: the commands collect and rebuild.
#include <inttypes.h>
#include <stdio.h>

#include "common/base/shutdown.h"
#include "monitor/archive/collect.h"

enum { TIMEOUT_MS = 5000, WAIT_MS = 500 };

const struct option collect_flags[] = {
    {"once", OPTION_SWITCH, .initial = "false", .help = "end when everything there is now is in the archive"},
    {0},
};

void collect_options_read(const struct config *config, struct collect_options *options)
{
    *options = (struct collect_options){.cluster = config_kafka(config),
                                        .predictions_topic = config_text(config, "predictions_topic"),
                                        .feedback_topic = config_text(config, "feedback_topic"),
                                        .store = config_text(config, "store"),
                                        .retention_days = config_integer(config, "retention_days"),
                                        .timeout_ms = TIMEOUT_MS};
}

static enum status run_once(const struct collect_options *options, bool again, struct error *err)
{
    struct collect_figures figures;
    enum status status = collect_once(options, again, &figures, err);
    if (status == STATUS_OK)
        printf("%" PRId64 " predictions, %" PRId64 " of feedback read, %" PRId64 " new ones refused\n",
               figures.predictions, figures.feedback, figures.refused);
    return status;
}

static enum status follow(const struct collect_options *options, struct error *err)
{
    struct collector *collector;
    struct collect_figures figures = {.ended = false};
    enum status status = collector_start(&collector, options, err);
    if (status != STATUS_OK)
        return status;
    while (!figures.ended && !shutdown_wait_ms(WAIT_MS))
        collector_figures(collector, &figures);
    collector_stop(collector);
    return figures.ended ? error_set(err, STATUS_FATAL, "%s", figures.trouble) : STATUS_OK;
}

enum status collect_run(struct config *config, struct error *err)
{
    struct collect_options options;
    collect_options_read(config, &options);
    shutdown_install();
    return config_switch(config, "once") ? run_once(&options, false, err) : follow(&options, err);
}

enum status rebuild_run(struct config *config, struct error *err)
{
    struct collect_options options;
    collect_options_read(config, &options);
    options.retention_days = 0; // it adds and takes nothing away
    shutdown_install();
    return run_once(&options, true, err);
}
