// send_feedback.c: one run of "feedback", on one thread: the table is read, each row checked, and then each
// row made into a record again and handed to the sender, so that memory holds the table alone.
#include "producer/send_feedback.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/moment.h"
#include "common/base/shutdown.h"
#include "common/services/record_sender.h"
#include "producer/report.h"

const struct option send_feedback_flags[] = {
    {"dry_run", OPTION_SWITCH, .help = "check the rows, and send nothing"},
    {"timeout_ms", OPTION_INTEGER, .initial = "15000", .min = 1, .max = 24LL * 3600 * 1000, .value = "MS",
     .help = "give up when nothing has been acknowledged for this long"},
    {0},
};

enum {
    CONNECT_TIMEOUT_MS = 5000,
    POLL_MS = 50,
    INTERRUPT_GRACE_MS = 3000, // for the acknowledgements of what is on its way when a stop is asked for
    TOLD_ROWS_MOST = 20,       // whose errors are told one by one
    RECORD_MOST = 64 << 10,
};

struct sending {
    const char *path, *topic;
    struct csv csv;
    struct record_sender sender;
    struct report report;
    struct buffer record;
    int64_t timeout_ms;
    int64_t heard_ms;    // when the last acknowledgement came
    int64_t received_at; // Unix ms; rows reviewed later are refused
    size_t sent, failed; // acknowledged; refused by the broker or given up
};

enum status feedback_columns_check(const struct csv *csv, struct error *err)
{
    for (int i = 0; i < csv->columns; i++)
        if (!feedback_has_field(csv->names[i]))
            return error_set(err, STATUS_REJECTED, "there is no field for the column '%s'", csv->names[i]);
    return STATUS_OK;
}

// What is none of these stays a text, which the rule of the field refuses.
static cJSON *truth_of(const char *text)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
        return cJSON_CreateTrue();
    if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
        return cJSON_CreateFalse();
    return cJSON_CreateString(text);
}

static enum status add_cell(cJSON *object, const char *name, const char *text, struct error *err)
{
    int64_t moment;
    if (strcmp(name, "reviewed_at") == 0) {
        enum status status = moment_parse(text, &moment, err);
        if (status != STATUS_OK) {
            error_prefix(err, "field 'reviewed_at'");
            return status;
        }
        cJSON_AddNumberToObject(object, name, (double)moment);
    } else if (strcmp(name, "atypical") == 0) {
        cJSON_AddItemToObject(object, name, truth_of(text));
    } else {
        cJSON_AddStringToObject(object, name, text);
    }
    return STATUS_OK;
}

enum status feedback_of_row(const struct csv *csv, size_t row, int64_t received_at, struct feedback *feedback,
                            struct error *err)
{
    enum status status = STATUS_OK;
    cJSON *object = cJSON_CreateObject();
    if (csv_column(csv, "schema") < 0)
        cJSON_AddStringToObject(object, "schema", FEEDBACK_SCHEMA);
    for (int i = 0; i < csv->columns && status == STATUS_OK; i++) {
        const char *text = csv_field(csv, row, i);
        if (*text)
            status = add_cell(object, csv->names[i], text, err);
    }
    if (status == STATUS_OK)
        status = feedback_read(object, received_at, feedback, err);
    if (status != STATUS_OK)
        error_prefix(err, "line %d", csv->lines[row]);
    cJSON_Delete(object);
    return status;
}

// False: some row is refused.
static bool check_rows(struct sending *sending)
{
    struct feedback feedback;
    struct error err;
    size_t refused = 0;
    for (size_t row = 0; row < sending->csv.rows; row++) {
        if (feedback_of_row(&sending->csv, row, sending->received_at, &feedback, &err) == STATUS_OK)
            continue;
        if (++refused <= TOLD_ROWS_MOST)
            report_trouble(&sending->report, "%s: %s", sending->path, err.message);
    }
    if (refused > 0)
        report_trouble(&sending->report, "%s: nothing is sent, since %zu of %zu rows are refused",
                       sending->path, refused, sending->csv.rows);
    return refused == 0;
}

// Runs inside record_sender_poll and record_sender_close.
static void on_delivered(void *context, void *item, const struct delivery *delivery)
{
    struct sending *sending = context;
    const int *line = item;
    if (delivery->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        sending->heard_ms = clock_monotonic_ms();
        sending->sent++;
    } else if (++sending->failed <= TOLD_ROWS_MOST) {
        report_trouble(&sending->report, "%s: line %d was not acknowledged by the broker: %s", sending->path,
                       *line, rd_kafka_err2str(delivery->error));
    }
}

static void poll_sender(struct sending *sending, int64_t timeout_ms)
{
    struct progress *progress = &sending->report.progress;
    record_sender_poll(&sending->sender, timeout_ms);
    progress->sent = sending->sent;
    progress->errors = sending->failed;
    progress->done = sending->sent + sending->failed;
    progress_update(progress, clock_monotonic_us());
}

static bool is_stalled(const struct sending *sending)
{
    return clock_monotonic_ms() - sending->heard_ms >= sending->timeout_ms;
}

// Waits while the outgoing queue is full.
static enum status send_row(struct sending *sending, size_t row, struct error *err)
{
    struct feedback feedback;
    enum status status = feedback_of_row(&sending->csv, row, sending->received_at, &feedback, err);
    buffer_clear(&sending->record);
    if (status == STATUS_OK)
        status = feedback_write(&feedback, &sending->record, err);
    if (status != STATUS_OK)
        return status;
    const char *key = feedback_key(&feedback);
    const struct outgoing_record record = {.topic = sending->topic,
                                           .key = {(const uint8_t *)key, strlen(key)},
                                           .value = buffer_bytes(&sending->record)};
    int *line = &sending->csv.lines[row];
    status = record_sender_send(&sending->sender, &record, line, err);
    while (status == STATUS_RETRY && !is_stalled(sending) && !shutdown_requested()) {
        poll_sender(sending, POLL_MS);
        status = record_sender_send(&sending->sender, &record, line, err);
    }
    return status;
}

// Until every row handed over is acknowledged or refused.
static void settle(struct sending *sending)
{
    int64_t stop_ms = INT64_MAX;
    while (record_sender_waiting(&sending->sender) > 0 && !is_stalled(sending)) {
        if (shutdown_requested() && stop_ms == INT64_MAX)
            stop_ms = clock_monotonic_ms() + INTERRUPT_GRACE_MS;
        if (clock_monotonic_ms() >= stop_ms)
            return;
        poll_sender(sending, POLL_MS);
    }
}

static enum status send_rows(struct sending *sending, struct error *err)
{
    enum status status = STATUS_OK;
    progress_init(&sending->report.progress, stderr, true, sending->csv.rows);
    sending->heard_ms = clock_monotonic_ms();
    for (size_t row = 0; row < sending->csv.rows && status == STATUS_OK; row++) {
        if (shutdown_requested())
            break;
        status = send_row(sending, row, err);
        poll_sender(sending, 0);
    }
    settle(sending);
    record_sender_close(&sending->sender); // what is still unacknowledged is told now
    return status;
}

static enum status connect_sender(struct sending *sending, const struct config *config, struct error *err)
{
    const struct record_sender_options options = {.cluster = config_kafka(config),
                                                  .delivery_timeout_ms = sending->timeout_ms,
                                                  .quiet = report_is_quiet(config),
                                                  .delivered = on_delivered,
                                                  .context = sending};
    struct kafka_topic topic = {.name = sending->topic};
    int64_t connect_ms = sending->timeout_ms < CONNECT_TIMEOUT_MS ? sending->timeout_ms : CONNECT_TIMEOUT_MS;
    enum status status = record_sender_open(&sending->sender, &options, err);
    if (status == STATUS_OK)
        status = kafka_ping(sending->sender.client, config_text(config, "brokers"), connect_ms, err);
    if (status == STATUS_OK)
        status = kafka_topics_require(sending->sender.client, &topic, 1, connect_ms, err);
    return status == STATUS_OK ? record_sender_warm_up(&sending->sender, sending->topic, connect_ms, err)
                               : status;
}

static enum status read_table(struct sending *sending, struct error *err)
{
    enum status status = csv_read(sending->path, &sending->csv, err);
    if (status != STATUS_OK)
        return status;
    status = feedback_columns_check(&sending->csv, err);
    if (status != STATUS_OK)
        error_prefix(err, "%s", sending->path);
    return status;
}

static enum status check_and_send(struct sending *sending, const struct config *config, struct error *err)
{
    int64_t start_us = clock_monotonic_us();
    enum status status = read_table(sending, err);
    if (status != STATUS_OK)
        return status;
    if (!check_rows(sending))
        return error_said(err);
    if (config_switch(config, "dry_run")) {
        report_finish(&sending->report, "%zu rows would be sent", sending->csv.rows);
        return STATUS_OK;
    }
    status = connect_sender(sending, config, err);
    if (status == STATUS_OK)
        status = send_rows(sending, err);
    report_finish(&sending->report, "%zu of %zu rows sent to %s in %.1f s", sending->sent, sending->csv.rows,
                  sending->topic, (double)(clock_monotonic_us() - start_us) / 1e6);
    if (status == STATUS_OK && sending->sent < sending->csv.rows)
        status = error_set(err, STATUS_RETRY,
                           "%zu rows are not acknowledged: send the file again, what comes twice counts once",
                           sending->csv.rows - sending->sent);
    return status;
}

enum status send_feedback_run(struct config *config, struct error *err)
{
    struct sending sending = {.path = config_argument(config, 0),
                              .topic = config_text(config, "feedback_topic"),
                              .timeout_ms = config_integer(config, "timeout_ms"),
                              .received_at = clock_wall_ms()};
    shutdown_install();
    report_init(&sending.report, false, sending.topic);
    buffer_init(&sending.record, RECORD_MOST);
    enum status status = check_and_send(&sending, config, err);
    record_sender_close(&sending.sender);
    buffer_release(&sending.record);
    csv_release(&sending.csv);
    return status;
}
