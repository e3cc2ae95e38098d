// submit.c: one run of "submit", on one thread:
//
//     files -> request (read, digest, inline or store) -> sender -> Kafka ... worker ... Kafka -> answers
//
// Deliveries and answers come back through pump(), which both Kafka clients wake by one eventfd; it is called
// after every file and whenever there is nothing to do but wait. The ledger knows each job's state.
// With --wait the end of the predictions topic is taken before the first job is sent, so no answer is missed.
#include "producer/submit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/collect.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "common/services/kafka.h"
#include "common/services/record_sender.h"
#include "common/services/topic_reader.h"
#include "producer/answer.h"
#include "producer/report.h"
#include "producer/request.h"

const struct option submit_flags[] = {
    {"wait", OPTION_SWITCH, .help = "wait for the answers and show them"},
    {"json", OPTION_SWITCH, .help = "print one line of JSON for each job instead of a table"},
    {"labels", OPTION_TEXT, .initial = "", .value = "FILE",
     .help = "CSV with file and label of what is known of the images; the table shows it beside the answers"},
    {"metadata", OPTION_TEXT, .initial = "", .value = "FILE",
     .help = "JSON object with patient_age, lesion_location, fitzpatrick_type, capture_device, "
             "dermatoscope_attached; it goes with every job"},
    {"model_version", OPTION_NAME, .initial = "", .max = JOB_TOKEN_SIZE - 1, .value = "VERSION",
     .help = "model that must answer; empty: the one in service"},
    {"site", OPTION_NAME, .initial = "", .max = JOB_TOKEN_SIZE - 1, .value = "SITE",
     .help = "the clinic that the images come from; it goes into every job and answer"},
    {"subject", OPTION_NAME, .initial = "", .max = JOB_SUBJECT_SIZE - 1, .value = "DIGITS",
     .help = "keyed hash of the patient, 64 hexadecimal digits; it goes into every job and answer"},
    {"deadline_ms", OPTION_INTEGER, .initial = "0", .min = 0, .max = 7LL * 24 * 3600 * 1000, .value = "MS",
     .help = "a job not answered this long after it was sent is of no use any more; 0: none"},
    {"urgent", OPTION_SWITCH, .help = "send to urgent_jobs_topic"},
    {"timeout_ms", OPTION_INTEGER, .initial = "60000", .min = 1, .max = 24LL * 3600 * 1000, .value = "MS",
     .help = "give up when nothing has been acknowledged or answered for this long"},
    {0},
};

enum {
    CONNECT_TIMEOUT_MS = 5000, // a broker that is there answers much sooner
    PUMP_MS = 50,              // bounds a wait: time-outs, the progress bar and a stop are looked at so often
    INTERRUPT_GRACE_MS = 3000, // for the acknowledgements of what is on its way when a stop is asked for
};

struct submission {
    const struct config *config;
    bool wait;
    int64_t timeout_ms;
    const char *topic;
    struct file_list files;
    struct request_maker requests;
    struct ledger ledger;
    struct record_sender sender;
    struct topic_reader *answers; // NULL without --wait
    struct report report;
    struct known_labels *labels; // NULL: none
    int wake_fd;                 // readable when a Kafka client has something
    int64_t progress_ms;         // when the last file was read or sent, or the last word came from the broker
    int64_t start_us;
    size_t handled; // files tried
    size_t unsent;  // of these, files that could not become a job
    size_t error_answers;
};

static void collect_complain(void *context, const char *sentence)
{
    struct submission *submission = context;
    report_trouble(&submission->report, "%s", sentence);
}

static enum status collect(struct submission *submission, struct error *err)
{
    const struct collect_complaints complaints = {collect_complain, submission};
    size_t count = config_argument_count(submission->config);
    for (size_t i = 0; i < count; i++) {
        const char *path = config_argument(submission->config, i);
        enum status status = file_list_collect(&submission->files, path, &complaints, err);
        if (status != STATUS_OK)
            return status;
    }
    if (submission->files.count == 0 && submission->report.troubles == 0)
        return error_set(err, STATUS_REJECTED, "there is no .jpg or .jpeg file in what was named");
    return STATUS_OK;
}

// Runs inside pump().
static void on_delivered(void *context, void *item, const struct delivery *delivery)
{
    struct submission *submission = context;
    struct ledger_entry *entry = item;
    if (delivery->error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (entry->state != LEDGER_SENT)
            return;
        bool given_up = delivery->error == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
                        delivery->error == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
        ledger_set_state(&submission->ledger, entry, LEDGER_FAILED);
        report_trouble(&submission->report, "'%s' was not acknowledged by the broker: %s", entry->file,
                       given_up ? "nothing came from it" : rd_kafka_err2str(delivery->error));
        return;
    }
    submission->progress_ms = clock_monotonic_ms();
    if (entry->state != LEDGER_SENT)
        return; // its answer was quicker
    entry->partition = delivery->partition;
    entry->offset = delivery->offset;
    ledger_set_state(&submission->ledger, entry, LEDGER_ACKNOWLEDGED);
    if (!submission->wait)
        report_acknowledged(&submission->report, entry);
}

// Runs inside pump(). Everybody's answers pass here; ours are known by their key.
static bool on_record(void *context, const struct topic_record *record)
{
    struct submission *submission = context;
    struct ledger_entry *entry = ledger_find(&submission->ledger, record->key);
    if (!entry || (entry->state != LEDGER_SENT && entry->state != LEDGER_ACKNOWLEDGED))
        return true;
    struct prediction answer;
    struct error err;
    if (answer_parse(record->value, entry->request_id, &answer, &err) != STATUS_OK) {
        LOG_WARN("answer_ignored", "request_id=%s reason=\"%s\"", entry->request_id, err.message);
        return true;
    }
    if (entry->state == LEDGER_SENT) { // the acknowledgement is still on its way
        entry->partition = (int32_t)answer.provenance.source.partition;
        entry->offset = answer.provenance.source.offset;
    }
    ledger_set_state(&submission->ledger, entry, LEDGER_ANSWERED);
    submission->progress_ms = clock_monotonic_ms();
    submission->error_answers += answer.error.code != NULL;
    report_answer(&submission->report, entry, &answer, record->value, clock_monotonic_us() - entry->sent_us);
    prediction_release(&answer);
    return true;
}

static void update_progress(struct submission *submission)
{
    const size_t *counts = submission->ledger.counts;
    struct progress *progress = &submission->report.progress;
    progress->waiting = submission->wait;
    progress->sent = counts[LEDGER_ACKNOWLEDGED] + counts[LEDGER_ANSWERED];
    progress->answered = counts[LEDGER_ANSWERED];
    progress->errors = submission->unsent + counts[LEDGER_FAILED] + submission->error_answers;
    size_t closed = submission->ledger.count - ledger_open_count(&submission->ledger, submission->wait);
    progress->done = submission->unsent + closed;
    progress_update(progress, clock_monotonic_us());
}

// Takes what the Kafka clients have; waits for it at most timeout_ms.
static void pump(struct submission *submission, int64_t timeout_ms)
{
    struct pollfd readable = {.fd = submission->wake_fd, .events = POLLIN};
    uint64_t count;
    if (timeout_ms > 0 && poll(&readable, 1, (int)timeout_ms) > 0 &&
        read(submission->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        LOG_WARN("wake_trouble", "reason=\"%s\"", strerror(errno));
    record_sender_poll(&submission->sender, 0);
    if (submission->answers)
        topic_reader_take(submission->answers, &(struct topic_taker){on_record, submission});
    update_progress(submission);
}

static bool is_stalled(const struct submission *submission)
{
    return clock_monotonic_ms() - submission->progress_ms >= submission->timeout_ms;
}

static enum status open_clients(struct submission *submission, struct error *err)
{
    const struct config *config = submission->config;
    const struct record_sender_options sender = {.cluster = config_kafka(config),
                                                 .delivery_timeout_ms = submission->timeout_ms,
                                                 .quiet = report_is_quiet(config),
                                                 .delivered = on_delivered,
                                                 .context = submission};
    const struct topic_reader_options answers = {.cluster = config_kafka(config),
                                                 .topic = config_text(config, "predictions_topic"),
                                                 .follow = true,
                                                 .quiet = report_is_quiet(config)};
    enum status status = record_sender_open(&submission->sender, &sender, err);
    return status == STATUS_OK && submission->wait ? topic_reader_open(&submission->answers, &answers, err)
                                                   : status;
}

// Every answer to a job that is sent after this will be seen.
static enum status start_answers(struct submission *submission, int64_t connect_ms, struct error *err)
{
    int partitions;
    enum status status = topic_reader_connect(submission->answers, connect_ms, &partitions, err);
    if (status != STATUS_OK)
        return status;
    struct topic_range *ranges = memory_alloc((size_t)partitions * sizeof *ranges);
    status = topic_reader_find_ends(submission->answers, submission->timeout_ms, ranges, err);
    if (status == STATUS_OK)
        status = topic_reader_start(submission->answers, ranges, err);
    if (status == STATUS_OK)
        topic_reader_wake(submission->answers, submission->wake_fd);
    free(ranges);
    return status;
}

// Both clients connect at the same time; what can be wrong with the broker is found out before a file is
// read.
static enum status connect_clients(struct submission *submission, struct error *err)
{
    int64_t timeout_ms = submission->timeout_ms;
    int64_t connect_ms = timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS;
    struct kafka_topic topic = {.name = submission->topic};
    struct record_sender *sender = &submission->sender;
    enum status status = open_clients(submission, err);
    if (status == STATUS_OK)
        status = kafka_ping(sender->client, config_text(submission->config, "brokers"), connect_ms, err);
    if (status == STATUS_OK)
        status = kafka_topics_require(sender->client, &topic, 1, connect_ms, err);
    if (status == STATUS_OK)
        status = record_sender_warm_up(sender, submission->topic, connect_ms, err);
    if (status == STATUS_OK && submission->wait)
        status = start_answers(submission, connect_ms, err);
    if (status == STATUS_OK)
        record_sender_wake(sender, submission->wake_fd);
    return status;
}

// Hands one job to the sender; waits while the outgoing queue is full.
static enum status send_job(struct submission *submission, struct ledger_entry *entry, struct bytes value,
                            struct error *err)
{
    const struct outgoing_record record = {
        .topic = submission->topic,
        .key = {(const uint8_t *)entry->request_id, strlen(entry->request_id)},
        .value = value};
    for (;;) {
        entry->sent_us = clock_monotonic_us();
        enum status status = record_sender_send(&submission->sender, &record, entry, err);
        if (status == STATUS_OK)
            submission->progress_ms = clock_monotonic_ms();
        if (status != STATUS_RETRY)
            return status;
        if (is_stalled(submission) || shutdown_requested())
            return error_set(err, status, "the broker has not taken what was sent before");
        pump(submission, PUMP_MS);
    }
}

static void send_file(struct submission *submission, const char *path)
{
    struct error err;
    struct bytes value;
    char request_id[JOB_REQUEST_ID_SIZE];
    job_request_id_new(request_id);
    submission->handled++;
    enum status status = request_make(&submission->requests, path, request_id, &value, &err);
    // Once the object store has used up the time-out for one image, the next ones get a single try each.
    submission->requests.options.store_timeout_ms = status == STATUS_RETRY ? 0 : submission->timeout_ms;
    submission->progress_ms = clock_monotonic_ms(); // that time was the store's, not the broker's
    if (status == STATUS_OK) {
        struct ledger_entry *entry = ledger_add(&submission->ledger, path, request_id);
        status = send_job(submission, entry, value, &err);
        if (status == STATUS_OK)
            return;
        ledger_set_state(&submission->ledger, entry, LEDGER_FAILED);
        error_prefix(&err, "'%s' is not sent", path);
    } else {
        submission->unsent++;
    }
    report_trouble(&submission->report, "%s", err.message);
}

static void send_files(struct submission *submission)
{
    submission->progress_ms = clock_monotonic_ms();
    for (size_t i = 0; i < submission->files.count; i++) {
        if (shutdown_requested() || is_stalled(submission))
            return;
        send_file(submission, submission->files.paths[i]);
        pump(submission, 0);
    }
}

// Waits until nothing more is to come, nothing has come for too long, or a stop is asked for.
static void settle(struct submission *submission)
{
    int64_t stop_ms = 0;
    while (ledger_open_count(&submission->ledger, submission->wait) > 0 && !is_stalled(submission)) {
        if (shutdown_requested()) {
            stop_ms = stop_ms ? stop_ms : clock_monotonic_ms() + INTERRUPT_GRACE_MS;
            if (ledger_open_count(&submission->ledger, false) == 0 || clock_monotonic_ms() >= stop_ms)
                return;
        }
        pump(submission, PUMP_MS);
    }
}

static void list_unanswered(struct submission *submission)
{
    const struct ledger *ledger = &submission->ledger;
    for (size_t i = 0; i < ledger->count && submission->wait; i++)
        if (ledger->entries[i].state == LEDGER_ACKNOWLEDGED)
            report_trouble(&submission->report, "no answer for '%s' (request %s)", ledger->entries[i].file,
                           ledger->entries[i].request_id);
}

static void report_stop(struct submission *submission)
{
    size_t left = submission->files.count - submission->handled;
    const char *reason = shutdown_requested() ? "interrupted" : "nothing moved within the time-out";
    if (left > 0)
        report_trouble(&submission->report, "%s: %zu of %zu files were not tried", reason, left,
                       submission->files.count);
    else if (shutdown_requested())
        report_trouble(&submission->report, "%s: every file had been tried", reason);
}

// Says how it went; false: not as it should.
static bool conclude(struct submission *submission)
{
    struct report *report = &submission->report;
    const size_t *counts = submission->ledger.counts;
    double seconds = (double)(clock_monotonic_us() - submission->start_us) / 1e6;
    record_sender_close(&submission->sender); // what is still unacknowledged is told now
    list_unanswered(submission);
    report_stop(submission);
    size_t delivered = counts[LEDGER_ACKNOWLEDGED] + counts[LEDGER_ANSWERED];
    char errors[48] = "";
    if (submission->error_answers > 0)
        snprintf(errors, sizeof errors, " (%zu with an error)", submission->error_answers);
    if (submission->wait)
        report_finish(report, "%zu of %zu sent, %zu answered%s, in %.1f s", delivered,
                      submission->files.count, counts[LEDGER_ANSWERED], errors, seconds);
    else
        report_finish(report, "%zu of %zu sent to %s in %.1f s", delivered, submission->files.count,
                      submission->topic, seconds);
    if (ferror(stdout))
        report_trouble(report, "the results can't be written to standard output");
    return report->troubles == 0 && submission->error_answers == 0;
}

static void release(struct submission *submission)
{
    record_sender_close(&submission->sender);
    topic_reader_close(submission->answers);
    request_maker_release(&submission->requests);
    ledger_release(&submission->ledger);
    file_list_release(&submission->files);
    known_labels_free(submission->labels);
    if (submission->wake_fd >= 0)
        close(submission->wake_fd);
}

static enum status prepare(struct submission *submission, struct error *err)
{
    const struct config *config = submission->config;
    struct request_options options;
    report_init(&submission->report, config_switch(config, "json"), submission->topic);
    submission->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (submission->wake_fd < 0)
        return error_set(err, STATUS_FATAL, "no event descriptor: %s", strerror(errno));
    enum status status = request_options_read(&options, config, err);
    if (status == STATUS_OK && *config_text(config, "labels"))
        status = known_labels_read(&submission->labels, config_text(config, "labels"), err);
    if (status == STATUS_OK)
        status = collect(submission, err);
    if (status != STATUS_OK)
        return status;
    submission->report.labels = submission->labels;
    report_set_files(&submission->report, submission->files.paths, submission->files.count);
    request_maker_init(&submission->requests, &options);
    ledger_init(&submission->ledger, submission->files.count);
    return submission->files.count > 0 ? connect_clients(submission, err) : STATUS_OK;
}

enum status submit_run(struct config *config, struct error *err)
{
    struct submission submission = {
        .config = config,
        .wait = config_switch(config, "wait"),
        .timeout_ms = config_integer(config, "timeout_ms"),
        .topic = config_text(config, config_switch(config, "urgent") ? "urgent_jobs_topic" : "jobs_topic"),
        .wake_fd = -1,
        .start_us = clock_monotonic_us(),
    };
    shutdown_install();
    enum status status = prepare(&submission, err);
    if (status == STATUS_OK && submission.files.count == 0) {
        status = error_said(err);
    } else if (status == STATUS_OK) {
        send_files(&submission);
        settle(&submission);
        status = conclude(&submission) ? STATUS_OK : error_said(err);
    }
    release(&submission);
    return status;
}
