// simulate.c: flags in, records out, one line on standard output.
#include "monitor/simulate/simulate.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/json_write.h"
#include "common/base/moment.h"
#include "common/base/shutdown.h"
#include "monitor/simulate/clinic.h"
#include "monitor/simulate/labels.h"
#include "monitor/simulate/names.h"
#include "monitor/simulate/output.h"
#include "monitor/simulate/records.h"

enum { DAY_MS = 24 * 3600 * 1000, DAYS_MOST = 3660, RECORD_MOST = 64 << 10 };

const struct option simulate_flags[] = {
    {.name = "seed",
     .type = OPTION_INTEGER,
     .initial = "1",
     .min = 0,
     .max = INT64_MAX,
     .value = "N",
     .help = "equal seeds give equal records"},
    {.name = "days",
     .type = OPTION_INTEGER,
     .initial = "28",
     .min = 1,
     .max = DAYS_MOST,
     .value = "D",
     .help = "days of the clinic"},
    {.name = "start",
     .type = OPTION_TEXT,
     .initial = "2026-01-05",
     .value = "DATE",
     .help = "the first day, which begins at midnight UTC"},
    {.name = "images_per_day",
     .type = OPTION_INTEGER,
     .initial = "200",
     .min = 1,
     .max = 100000,
     .value = "N",
     .help = "images a day on the average of a week"},
    {.name = "mix",
     .type = OPTION_CHOICE,
     .choices = "primary|isic",
     .initial = "primary",
     .help = "shares of the diagnoses: primary care with 3 % melanomas, or the ISIC 2019 archive's 17.9 %"},
    {.name = "plant",
     .type = OPTION_CHOICE,
     .choices = "none|melanoma_share|prevalence|camera|swapped_channels|missed_melanoma",
     .initial = "none",
     .help = "what changes on --plant-day"},
    {.name = "plant_day",
     .type = OPTION_INTEGER,
     .initial = "14",
     .min = 0,
     .max = DAYS_MOST,
     .value = "DAY",
     .help = "day of the change, from 0"},
    {.name = "labelled_referred",
     .type = OPTION_INTEGER,
     .initial = "80",
     .min = 0,
     .max = 100,
     .value = "PERCENT",
     .help = "of the referred lesions, how many get a diagnosis some day"},
    {.name = "labelled_monitored",
     .type = OPTION_INTEGER,
     .initial = "2",
     .min = 0,
     .max = 100,
     .value = "PERCENT",
     .help = "the same of those that were only to be monitored"},
    {.name = "out",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "FOLDER",
     .help = "folder to make, for predictions.jsonl, feedback.jsonl and truth.csv; empty: to Kafka"},
    {.name = "timeout_ms",
     .type = OPTION_INTEGER,
     .initial = "15000",
     .min = 1,
     .max = DAY_MS,
     .value = "MS",
     .help = "give up when Kafka has acknowledged nothing for this long"},
    {.name = NULL},
};

struct simulation {
    struct clinic clinic;
    struct labels labels;
    struct output output;
    struct buffer record;
    uint64_t predictions, feedback; // records written
};

static enum status read_start(const struct config *config, int64_t *start, struct error *err)
{
    enum status status = moment_parse(config_text(config, "start"), start, err);
    if (status == STATUS_OK && *start % DAY_MS != 0)
        status = error_set(err, STATUS_REJECTED, "--start is no midnight UTC");
    return status;
}

enum status simulate_check(const struct config *config, struct error *err)
{
    int64_t start;
    return read_start(config, &start, err);
}

static enum status open_output(struct output *output, const struct config *config, struct error *err)
{
    const char *folder = config_text(config, "out");
    const struct output_topics topics = {.cluster = config_kafka(config),
                                         .predictions = config_text(config, "predictions_topic"),
                                         .feedback = config_text(config, "feedback_topic"),
                                         .timeout_ms = config_integer(config, "timeout_ms")};
    return *folder ? output_open_files(output, folder, err) : output_open_topics(output, &topics, err);
}

static enum status add_feedback(struct simulation *simulation, const struct label *label, struct error *err)
{
    struct feedback feedback;
    labels_record(&simulation->labels, label, &feedback);
    buffer_clear(&simulation->record);
    enum status status = feedback_write(&feedback, &simulation->record, err);
    if (status == STATUS_OK)
        status = output_add(&simulation->output, OUTPUT_FEEDBACK, feedback_key(&feedback),
                            buffer_bytes(&simulation->record), err);
    simulation->feedback++;
    return status;
}

// Labels that have come by then.
static enum status add_labels(struct simulation *simulation, int64_t until, struct error *err)
{
    struct label label;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && labels_take(&simulation->labels, until, &label))
        status = add_feedback(simulation, &label, err);
    return status;
}

static enum status add_truth_head(struct output *output, struct error *err)
{
    static const char head[] = "request_id,image_sha256,submitted,site,label,action,planted,labelled_at";
    return output_add(output, OUTPUT_TRUTH, "", (struct bytes){(const uint8_t *)head, sizeof head - 1}, err);
}

static enum status add_truth(struct simulation *simulation, const struct clinic_image *image,
                             int64_t labelled_at, struct error *err)
{
    uint64_t seed = simulation->clinic.options.seed;
    char request_id[JOB_REQUEST_ID_SIZE], sha256[DIGEST_TEXT_SIZE], moment[24] = "", line[256];
    names_uuid(seed, NAMES_REQUEST, image->number, request_id);
    names_digest(seed, NAMES_IMAGE, image->number, sha256);
    if (labelled_at >= 0)
        snprintf(moment, sizeof moment, "%" PRId64, labelled_at);
    int size = snprintf(line, sizeof line, "%s,%s,%" PRId64 ",%s,%s,%s,%d,%s", request_id, sha256,
                        image->submitted, clinic_sites[image->site], lesion_codes[image->truth],
                        action_names[image->reading.action], image->planted, moment);
    return output_add(&simulation->output, OUTPUT_TRUTH, "",
                      (struct bytes){(const uint8_t *)line, (size_t)size}, err);
}

static enum status add_predictions(struct simulation *simulation, const struct clinic_image *image,
                                   struct error *err)
{
    uint64_t seed = simulation->clinic.options.seed;
    char key[JOB_REQUEST_ID_SIZE];
    names_uuid(seed, NAMES_REQUEST, image->number, key);
    enum status status = STATUS_OK;
    for (int attempt = 0; attempt < records_count(image) && status == STATUS_OK; attempt++) {
        buffer_clear(&simulation->record);
        status = records_write(seed, image, attempt, &simulation->record, err);
        if (status == STATUS_OK)
            status = output_add(&simulation->output, OUTPUT_PREDICTIONS, key,
                                buffer_bytes(&simulation->record), err);
        simulation->predictions++;
    }
    return status;
}

static enum status add_image(struct simulation *simulation, const struct clinic_image *image,
                             struct error *err)
{
    int64_t labelled_at = -1;
    enum status status = STATUS_OK;
    if (image->failure != CLINIC_UNDECODABLE) // which nobody got an answer for
        status = labels_add(&simulation->labels, image, records_answered_at(image), &labelled_at, err);
    if (status == STATUS_OK)
        status = add_labels(simulation, image->submitted, err);
    if (status == STATUS_OK)
        status = add_predictions(simulation, image, err);
    return status == STATUS_OK ? add_truth(simulation, image, labelled_at, err) : status;
}

static enum status simulate(struct simulation *simulation, struct error *err)
{
    const struct clinic_options *options = &simulation->clinic.options;
    struct clinic_image image;
    enum status status = add_truth_head(&simulation->output, err);
    while (status == STATUS_OK && !shutdown_requested() && clinic_next(&simulation->clinic, &image))
        status = add_image(simulation, &image, err);
    if (status == STATUS_OK && shutdown_requested())
        status = error_set(err, STATUS_RETRY, "a stop was asked for");
    if (status == STATUS_OK)
        status = add_labels(simulation, options->start + options->days * (int64_t)DAY_MS - 1, err);
    return status == STATUS_OK ? output_finish(&simulation->output, err) : status;
}

static void tell(const struct simulation *simulation, int64_t took_us)
{
    struct json_line line;
    struct json_writer *writer = json_line_begin(&line);
    json_add_integer(writer, "images", (int64_t)simulation->clinic.images);
    json_add_integer(writer, "predictions", (int64_t)simulation->predictions);
    json_add_integer(writer, "feedback", (int64_t)simulation->feedback);
    json_add_integer(writer, "took_ms", took_us / 1000);
    json_line_end(&line, stdout);
}

enum status simulate_run(struct config *config, struct error *err)
{
    int64_t start_us = clock_monotonic_us();
    struct simulation simulation = {0};
    struct clinic_options options = {.seed = (uint64_t)config_integer(config, "seed"),
                                     .days = (int)config_integer(config, "days"),
                                     .images_per_day = (int)config_integer(config, "images_per_day"),
                                     .mix = (enum clinic_mix)config_choice(config, "mix"),
                                     .plant = (enum clinic_plant)config_choice(config, "plant"),
                                     .plant_day = (int)config_integer(config, "plant_day")};
    shutdown_install();
    buffer_init(&simulation.record, RECORD_MOST);
    enum status status = read_start(config, &options.start, err);
    if (status == STATUS_OK)
        status = open_output(&simulation.output, config, err);
    if (status == STATUS_OK) {
        clinic_init(&simulation.clinic, &options);
        labels_init(&simulation.labels, options.seed,
                    (double)config_integer(config, "labelled_referred") / 100,
                    (double)config_integer(config, "labelled_monitored") / 100);
        status = simulate(&simulation, err);
    }
    if (status == STATUS_OK)
        tell(&simulation, clock_monotonic_us() - start_us);
    output_close(&simulation.output);
    labels_release(&simulation.labels);
    buffer_release(&simulation.record);
    return status;
}
