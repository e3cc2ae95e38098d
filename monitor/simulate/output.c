// output.c: a line to a file, or a record to a topic.
#include "monitor/simulate/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"

enum { FOLDER_MODE = 0750, FILE_BUFFER = 1 << 20, CONNECT_MS = 5000, POLL_MS = 50 };

static const char *const file_names[OUTPUT_KINDS] = {"predictions.jsonl", "feedback.jsonl", "truth.csv"};

// ---- files ----

static enum status open_file(struct output *output, enum output_kind kind, struct error *err)
{
    char *path = memory_format("%s/%s", output->part, file_names[kind]);
    output->files[kind] = fopen(path, "we");
    enum status status = STATUS_OK;
    if (!output->files[kind])
        status = error_set(err, STATUS_FATAL, "can't write %s: %s", path, strerror(errno));
    else
        setvbuf(output->files[kind], NULL, _IOFBF, FILE_BUFFER);
    free(path);
    return status;
}

enum status output_open_files(struct output *output, const char *folder, struct error *err)
{
    *output = (struct output){.folder = folder};
    if (access(folder, F_OK) == 0)
        return error_set(err, STATUS_REJECTED, "%s is there already", folder);
    int length = (int)strlen(folder);
    while (length > 0 && folder[length - 1] == '/')
        length--;
    output->part = memory_format("%.*s.part", length, folder);
    if (mkdir(output->part, FOLDER_MODE) != 0 && errno != EEXIST) // an earlier run's is begun anew
        return error_set(err, STATUS_FATAL, "can't make %s: %s", output->part, strerror(errno));
    enum status status = STATUS_OK;
    for (int kind = 0; kind < OUTPUT_KINDS && status == STATUS_OK; kind++)
        status = open_file(output, (enum output_kind)kind, err);
    return status;
}

static enum status add_line(struct output *output, enum output_kind kind, struct bytes record,
                            struct error *err)
{
    FILE *file = output->files[kind];
    if (fwrite(record.data, 1, record.size, file) != record.size || putc_unlocked('\n', file) == EOF)
        return error_set(err, STATUS_FATAL, "can't write %s: %s", file_names[kind], strerror(errno));
    return STATUS_OK;
}

static enum status finish_files(struct output *output, struct error *err)
{
    for (int kind = 0; kind < OUTPUT_KINDS; kind++) {
        FILE *file = output->files[kind];
        output->files[kind] = NULL;
        int reason = fflush(file) == 0 && fsync(fileno(file)) == 0 ? 0 : errno;
        if (fclose(file) != 0 && reason == 0)
            reason = errno;
        if (reason != 0)
            return error_set(err, STATUS_FATAL, "can't write %s: %s", file_names[kind], strerror(reason));
    }
    if (rename(output->part, output->folder) != 0)
        return error_set(err, STATUS_FATAL, "can't name %s: %s", output->folder, strerror(errno));
    return STATUS_OK;
}

// ---- Kafka ----

// Runs inside record_sender_poll and record_sender_close.
static void on_delivered(void *context, void *item, const struct delivery *delivery)
{
    struct output *output = context;
    (void)item;
    if (delivery->error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        output->acknowledged++;
        output->heard_ms = clock_monotonic_ms();
    } else {
        output->refused++;
        output->refusal = rd_kafka_err2str(delivery->error);
    }
}

enum status output_open_topics(struct output *output, const struct output_topics *topics, struct error *err)
{
    *output = (struct output){.topics = {topics->predictions, topics->feedback},
                              .timeout_ms = topics->timeout_ms,
                              .heard_ms = clock_monotonic_ms()};
    const struct record_sender_options options = {.cluster = topics->cluster,
                                                  .delivery_timeout_ms = topics->timeout_ms,
                                                  .quiet = true,
                                                  .delivered = on_delivered,
                                                  .context = output};
    struct kafka_topic wanted[] = {{.name = topics->predictions}, {.name = topics->feedback}};
    enum status status = record_sender_open(&output->sender, &options, err);
    if (status == STATUS_OK)
        status = kafka_ping(output->sender.client, topics->cluster->brokers, CONNECT_MS, err);
    if (status == STATUS_OK)
        status = kafka_topics_require(output->sender.client, wanted, 2, CONNECT_MS, err);
    for (int kind = 0; kind < OUTPUT_TRUTH && status == STATUS_OK; kind++)
        status = record_sender_warm_up(&output->sender, output->topics[kind], CONNECT_MS, err);
    return status;
}

// What keeps the output from waiting any longer.
static enum status check_patience(const struct output *output, struct error *err)
{
    if (shutdown_requested())
        return error_set(err, STATUS_RETRY, "a stop was asked for");
    if (clock_monotonic_ms() - output->heard_ms >= output->timeout_ms)
        return error_set(err, STATUS_RETRY, "the broker has acknowledged nothing for %" PRId64 " ms",
                         output->timeout_ms);
    return STATUS_OK;
}

static enum status send_record(struct output *output, enum output_kind kind, const char *key,
                               struct bytes record, struct error *err)
{
    const struct outgoing_record outgoing = {
        .topic = output->topics[kind], .key = {(const uint8_t *)key, strlen(key)}, .value = record};
    enum status patience = STATUS_OK, status;
    while ((status = record_sender_send(&output->sender, &outgoing, NULL, err)) == STATUS_RETRY) {
        patience = check_patience(output, err);
        if (patience != STATUS_OK)
            return patience;
        record_sender_poll(&output->sender, POLL_MS);
    }
    if (status == STATUS_OK && ++output->sent % 1024 == 0)
        record_sender_poll(&output->sender, 0);
    return status;
}

static enum status finish_topics(struct output *output, struct error *err)
{
    enum status status = STATUS_OK;
    while (record_sender_waiting(&output->sender) > 0 && status == STATUS_OK) {
        record_sender_poll(&output->sender, POLL_MS);
        status = check_patience(output, err);
    }
    if (status == STATUS_OK && output->refused > 0)
        return error_set(err, STATUS_RETRY, "the broker refused %" PRIu64 " of %" PRIu64 " records: %s",
                         output->refused, output->sent, output->refusal);
    return status;
}

// ---- both ----

enum status output_add(struct output *output, enum output_kind kind, const char *key, struct bytes record,
                       struct error *err)
{
    if (output->folder)
        return add_line(output, kind, record, err);
    return output->topics[kind] ? send_record(output, kind, key, record, err) : STATUS_OK;
}

enum status output_finish(struct output *output, struct error *err)
{
    return output->folder ? finish_files(output, err) : finish_topics(output, err);
}

void output_close(struct output *output)
{
    for (int kind = 0; kind < OUTPUT_KINDS; kind++)
        if (output->files[kind])
            fclose(output->files[kind]);
    free(output->part);
    record_sender_close(&output->sender);
    *output = (struct output){0};
}
