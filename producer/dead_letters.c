// dead_letters.c: one run of "dead-letters": reads the topic to its end, keeps what the filter asks for, then
// shows it or sends it again. One thread.
#include "producer/dead_letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/moment.h"
#include "common/base/shutdown.h"
#include "producer/replay.h"

const struct option dead_letters_flags[] = {
    {"reason", OPTION_NAME, .initial = "", .max = LETTER_CODE_SIZE - 1, .value = "CODE",
     .help = "only jobs that failed with this error code"},
    {"since", OPTION_TEXT, .initial = "", .max = 40, .value = "TIME",
     .help = "only jobs that failed then or later; ISO 8601 (UTC unless it says) or Unix milliseconds"},
    {"until", OPTION_TEXT, .initial = "", .max = 40, .value = "TIME",
     .help = "only jobs that failed before then"},
    {"topic", OPTION_NAME, .initial = "", .max = LETTER_TOPIC_SIZE - 1, .value = "TOPIC",
     .help = "only jobs that came from this topic"},
    {"request_id", OPTION_TEXT, .initial = "", .max = JOB_REQUEST_ID_SIZE - 1, .value = "UUID",
     .help = "only this job"},
    {"all", OPTION_SWITCH, .help = "replay: jobs that failed at any time; it has --since or this"},
    {"dry_run", OPTION_SWITCH, .help = "replay: say what would be sent, and send nothing"},
    {"force_killers", OPTION_SWITCH, .help = "replay: also send jobs that ended their worker"},
    {"json", OPTION_SWITCH, .help = "print one line of JSON for each letter instead of a table"},
    {"timeout_ms", OPTION_INTEGER, .initial = "15000", .min = 1, .max = 24LL * 3600 * 1000, .value = "MS",
     .help = "give up when nothing has come from the broker for this long"},
    {0},
};

enum { CONNECT_TIMEOUT_MS = 5000, SOURCE_COLUMNS_LEAST = 12, SOURCE_COLUMNS_MOST = 44 };

struct dead_letters {
    const struct config *config;
    struct letter_filter filter;
    int64_t timeout_ms;
    struct topic_reader *reader;
    int partitions;
    struct letter_list list;
    struct report report;
    enum status status; // of what take_record did
    struct error *err;
};

static enum status read_moment(const struct config *config, const char *name, int64_t *moment,
                               struct error *err)
{
    const char *text = config_text(config, name);
    *moment = -1;
    if (!*text)
        return STATUS_OK;
    enum status status = moment_parse(text, moment, err);
    if (status != STATUS_OK)
        error_prefix(err, "--%s", name);
    return status;
}

static bool is_error_code(const char *text)
{
    for (int code = JOB_OK + 1; code < JOB_CODE_COUNT; code++)
        if (strcmp(job_code_name((enum job_code)code), text) == 0)
            return true;
    return false;
}

// A letter stays where it is when it has been sent again, and nothing says that it was. The
// operator has to say from when on; else the same letters would go out each time and get one answer more.
static enum status check_replay(const struct config *config, struct error *err)
{
    bool all = config_switch(config, "all"), since = *config_text(config, "since") != '\0';
    if (all != since)
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "replay needs either --since or --all: it sends every letter it finds again, those too "
                     "that it has sent before");
}

static bool is_replay(const struct config *config)
{
    return strcmp(config_argument(config, 0), "replay") == 0;
}

static enum status read_filter(const struct config *config, struct letter_filter *filter, struct error *err)
{
    *filter = (struct letter_filter){.reason = config_text(config, "reason"),
                                     .topic = config_text(config, "topic"),
                                     .request_id = config_text(config, "request_id")};
    if (*filter->reason && !is_error_code(filter->reason))
        return error_set(err, STATUS_REJECTED, "'%s' is no error code", filter->reason);
    if (*filter->request_id && !job_request_id_valid(filter->request_id))
        return error_set(err, STATUS_REJECTED, "--request-id: '%s' is no UUID", filter->request_id);
    enum status status = read_moment(config, "since", &filter->since, err);
    return status == STATUS_OK ? read_moment(config, "until", &filter->until, err) : status;
}

enum status dead_letters_check(const struct config *config, struct error *err)
{
    const char *action = config_argument(config, 0);
    struct letter_filter filter;
    if (!is_replay(config) && strcmp(action, "list") != 0)
        return error_set(err, STATUS_REJECTED, "'%s' is neither list nor replay", action);
    if (!is_replay(config) && (config_switch(config, "all") || config_switch(config, "dry_run") ||
                               config_switch(config, "force_killers")))
        return error_set(err, STATUS_REJECTED, "--all, --dry-run and --force-killers belong to replay");
    if (is_replay(config) && check_replay(config, err) != STATUS_OK)
        return STATUS_REJECTED;
    return read_filter(config, &filter, err);
}

static bool take_record(void *context, const struct topic_record *record)
{
    struct dead_letters *run = context;
    struct letter letter;
    letter_read(&letter, record);
    run->status = letter_list_add(&run->list, &letter, letter_matches(&letter, &run->filter), run->err);
    return run->status == STATUS_OK;
}

static enum status collect(struct dead_letters *run, struct error *err)
{
    int64_t connect_ms = run->timeout_ms < CONNECT_TIMEOUT_MS ? run->timeout_ms : CONNECT_TIMEOUT_MS;
    struct topic_range *ranges = NULL;
    const struct topic_reader_options options = {.cluster = config_kafka(run->config),
                                                 .topic = config_text(run->config, "dead_letters_topic"),
                                                 .quiet = report_is_quiet(run->config)};
    const struct topic_taker taker = {take_record, run};
    run->err = err;
    enum status status = topic_reader_open(&run->reader, &options, err);
    if (status == STATUS_OK)
        status = topic_reader_connect(run->reader, connect_ms, &run->partitions, err);
    if (status ==
        STATUS_OK) { // a letter is stamped after the moment in its header, so none of since is missed
        ranges = memory_alloc((size_t)run->partitions * sizeof *ranges);
        status = topic_reader_find_time(run->reader, run->filter.since, run->timeout_ms, ranges, err);
    }
    if (status == STATUS_OK)
        status = topic_reader_start(run->reader, ranges, err);
    if (status == STATUS_OK)
        status = topic_reader_read(run->reader, &taker, run->timeout_ms, err);
    if (run->reader)
        topic_reader_stop(run->reader);
    free(ranges);
    return status == STATUS_OK ? run->status : status;
}

// Those with this fate.
static void show(const struct dead_letters *run, enum letter_fate fate)
{
    const struct letter_list *list = &run->list;
    size_t columns = SOURCE_COLUMNS_LEAST;
    for (size_t i = 0; i < list->count; i++) {
        size_t needed = letter_source_columns(&list->entries[i].letter);
        if (needed > columns)
            columns = needed < SOURCE_COLUMNS_MOST ? needed : SOURCE_COLUMNS_MOST;
    }
    if (!run->report.json && list->counts[fate] > 0)
        letter_write_heading(stdout, columns);
    for (size_t i = 0; i < list->count; i++) {
        const struct letter *letter = &list->entries[i].letter;
        if (list->entries[i].fate != fate)
            continue;
        if (!run->report.json) {
            letter_write_row(stdout, columns, letter);
            continue;
        }
        struct json_line line;
        letter_add_json(json_line_begin(&line), letter);
        json_line_end(&line, stdout);
    }
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void list_letters(struct dead_letters *run)
{
    letter_list_select(&run->list);
    show(run, LETTER_SEND);
    report_finish(&run->report, "%zu letter%s", run->list.count, plural(run->list.count));
}

// What is not sent, and why: on standard error, since it is not in the table.
static void tell_left_out(struct dead_letters *run)
{
    static const char *const sentences[LETTER_FATES] = {
        [LETTER_REPEATED] = "not sent: a later letter holds the same job",
        [LETTER_KILLER] = "not sent: the job ended its worker; --force-killers sends it",
        [LETTER_NO_VALUE] = "can't be sent: the job's bytes were too large to be kept",
        [LETTER_FOREIGN] =
            "can't be sent: it comes from a topic that is neither jobs_topic nor urgent_jobs_topic",
    };
    progress_clear(&run->report.progress);
    for (int fate = LETTER_REPEATED; fate < LETTER_FATES; fate++)
        if (run->list.counts[fate] > 0)
            fprintf(stderr, "skinsight-producer: %zu letter%s %s\n", run->list.counts[fate],
                    plural(run->list.counts[fate]), sentences[fate]);
}

// For the next replay.
static void tell_since(const struct letter_list *list)
{
    char moment[MOMENT_TEXT_SIZE];
    int64_t newest = -1;
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].fate == LETTER_SENT && list->entries[i].letter.failed_at > newest)
            newest = list->entries[i].letter.failed_at;
    if (newest < 0)
        return;
    moment_format(newest + 1, moment);
    fprintf(stderr, "skinsight-producer: --since %s leaves out what was sent now\n", moment);
}

// False: some letter that should have been sent was not.
static bool replay_letters(struct dead_letters *run)
{
    const struct config *config = run->config;
    const struct triage_rules rules = {.jobs_topic = config_text(config, "jobs_topic"),
                                       .urgent_jobs_topic = config_text(config, "urgent_jobs_topic"),
                                       .force_killers = config_switch(config, "force_killers")};
    const size_t *counts = run->list.counts;
    letter_list_triage(&run->list, &rules);
    size_t chosen = counts[LETTER_SEND];
    bool whole = counts[LETTER_NO_VALUE] + counts[LETTER_FOREIGN] == 0;
    tell_left_out(run);
    if (config_switch(config, "dry_run")) {
        show(run, LETTER_SEND);
        report_finish(&run->report, "%zu of %zu letter%s would be sent", chosen, run->list.count,
                      plural(run->list.count));
        return whole;
    }
    const struct replay_options options = {.config = config,
                                           .reader = run->reader,
                                           .partitions = run->partitions,
                                           .timeout_ms = run->timeout_ms,
                                           .report = &run->report};
    struct error err;
    int64_t start_us = clock_monotonic_us();
    progress_init(&run->report.progress, stderr, !run->report.json, chosen);
    if (chosen > 0 && replay_run(&options, &run->list, &err) != STATUS_OK)
        report_trouble(&run->report, "%s", err.message);
    report_finish(&run->report, "%zu of %zu letter%s sent in %.1f s", counts[LETTER_SENT], run->list.count,
                  plural(run->list.count), (double)(clock_monotonic_us() - start_us) / 1e6);
    tell_since(&run->list);
    return whole && counts[LETTER_SENT] == chosen;
}

enum status dead_letters_run(struct config *config, struct error *err)
{
    struct dead_letters run = {.config = config, .timeout_ms = config_integer(config, "timeout_ms")};
    shutdown_install();
    report_init(&run.report, config_switch(config, "json"), config_text(config, "dead_letters_topic"));
    letter_list_init(&run.list);
    enum status status = read_filter(config, &run.filter, err);
    if (status == STATUS_OK)
        status = collect(&run, err);
    if (status == STATUS_OK && !is_replay(config))
        list_letters(&run);
    else if (status == STATUS_OK && !replay_letters(&run))
        status = error_said(err);
    letter_list_release(&run.list);
    topic_reader_close(run.reader);
    return status;
}
