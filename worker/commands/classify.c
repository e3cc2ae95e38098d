// classify.c: files through the network without Kafka, one JSON object a line.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json_write.h"
#include "common/picture/image.h"
#include "common/records/job.h"
#include "kernels/image/preprocess.h"
#include "kernels/model/ood.h"
#include "worker/commands/commands.h"
#include "worker/device/engine.h"
#include "worker/policy.h"

const struct option classify_flags[] = {
    {"attention", OPTION_TEXT, .initial = "", .max = 1023, .value = "DIR",
     .help = "folder for the attention maps, <stem>.png each"},
    {"explain", OPTION_CHOICE, .initial = "attention", .choices = "attention|rollout", .value = "MAP",
     .help = "what the map shows: the last block's attention, or attention rolled out over all"},
    {"embedding", OPTION_SWITCH, .initial = "false",
     .help = "adds the embedding: the numbers that the head turns into logits"},
    {.name = NULL},
};

// What one file goes through; cleared for each.
struct classification {
    const char *path;
    enum job_code code;
    bool map_failed; // and nothing else
    struct error err;
    float logits[LESION_CLASSES];
    struct ood_values ood;
    int64_t decode_us, preprocess_us, inference_us;
};

struct session {
    const struct config *config;
    struct engine engine;
    struct buffer bytes;
    uint8_t *view;
    float *maps, *map, *embedding;
};

static void load_view(struct session *session, struct classification *result)
{
    struct image image = {0};
    struct error *err = &result->err;
    buffer_clear(&session->bytes);
    result->code = JOB_IMAGE_UNAVAILABLE;
    enum status status = file_read(result->path, &session->bytes, err);
    int64_t begun_us = clock_monotonic_us();
    if (status == STATUS_OK) {
        result->code = JOB_IMAGE_UNDECODABLE;
        status = jpeg_decode(buffer_bytes(&session->bytes),
                             config_integer(session->config, "max_image_pixels"), &image, err);
    }
    int64_t decoded_us = clock_monotonic_us();
    if (status == STATUS_OK)
        status = preprocess_view(&image, &session->engine.model->manifest.preprocessing, session->view, err);
    if (status == STATUS_OK)
        result->code = JOB_OK;
    else if (image.too_large || session->bytes.overflowed)
        result->code = JOB_IMAGE_TOO_LARGE;
    else if (result->code == JOB_IMAGE_UNDECODABLE && status != STATUS_REJECTED)
        result->code = JOB_INTERNAL; // no memory
    result->decode_us = decoded_us - begun_us;
    result->preprocess_us = clock_monotonic_us() - decoded_us;
    image_release(&image);
}

static void place(const struct session *session, struct classification *result)
{
    const struct ood_reference *reference = session->engine.model->reference;
    result->ood = (struct ood_values){ood_energy(result->logits), NAN, NAN};
    if (!reference)
        return;
    result->ood.distance = ood_distance(reference, session->embedding);
    result->ood.quantile = ood_quantile(reference, result->ood.distance);
}

static void infer(struct session *session, struct classification *result)
{
    const uint8_t *views[] = {session->view};
    struct inference inference = {
        .logits = result->logits, .attention = session->maps, .embedding = session->embedding};
    int64_t begun_us = clock_monotonic_us();
    enum status status = plan_run(session->engine.plan, views, 1, &inference, &result->err);
    result->inference_us = clock_monotonic_us() - begun_us;
    if (status == STATUS_OK && !engine_gave_numbers(result->logits, 1))
        status = error_set(&result->err, STATUS_FATAL, "the network gave a value that is not finite");
    if (status == STATUS_OK)
        place(session, result);
    else
        result->code = JOB_INTERNAL;
    if (session->maps)
        engine_mean_map(session->engine.plan, session->maps, session->map);
}

static enum status write_map(struct session *session, const char *path, struct error *err)
{
    struct buffer png;
    enum status status = engine_draw_map(&session->engine, session->view, session->map, &png, err);
    FILE *file = status == STATUS_OK ? file_open_private(path) : NULL;
    if (status == STATUS_OK && (!file || fwrite(png.data, 1, png.size, file) != png.size))
        status = error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    if (file && fclose(file) != 0 && status == STATUS_OK)
        status = error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    buffer_release(&png);
    return status;
}

static char *map_path(const char *folder, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    int length = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    return memory_format("%s/%.*s.png", folder, length, name);
}

static void draw_map(struct session *session, struct classification *result)
{
    const char *folder = config_text(session->config, "attention");
    if (!*folder || !session->maps || result->code != JOB_OK)
        return;
    char *path = map_path(folder, result->path);
    result->map_failed = write_map(session, path, &result->err) != STATUS_OK;
    free(path);
}

static void add_ood(struct json_writer *writer, const struct ood_values *ood)
{
    json_add_object(writer, "ood");
    json_add_float(writer, "energy", ood->energy);
    if (isnan(ood->distance)) {
        json_add_null(writer, "distance");
        json_add_null(writer, "quantile");
    } else {
        json_add_float(writer, "distance", ood->distance);
        json_add_float(writer, "quantile", ood->quantile);
    }
    json_end_object(writer);
}

static void add_result(struct json_writer *writer, const struct session *session,
                       const struct classification *result)
{
    const struct plan *plan = session->engine.plan;
    const struct manifest *manifest = &session->engine.model->manifest;
    float probabilities[LESION_CLASSES];
    int primary = 0;
    policy_probabilities(result->logits, manifest->temperature, probabilities);
    for (int i = 1; i < LESION_CLASSES; i++)
        if (probabilities[i] > probabilities[primary])
            primary = i;
    json_add_text(writer, "model_version", manifest->model_version);
    json_add_bool(writer, "trained", manifest->trained);
    json_add_floats(writer, "logits", result->logits, LESION_CLASSES);
    json_add_floats(writer, "probabilities", probabilities, LESION_CLASSES);
    json_add_text(writer, "primary_diagnosis", lesion_names[primary]);
    add_ood(writer, &result->ood);
    if (config_switch(session->config, "embedding"))
        json_add_floats(writer, "embedding", session->embedding, plan->embedding_width);
    if (session->maps && network_map_is_attention(session->engine.model->network))
        json_add_floats(writer, "attention", session->map, plan->map_height * plan->map_width);
    else
        json_add_null(writer, "attention");
    if (result->map_failed)
        json_add_text(writer, "attention_map_error", result->err.message);
    json_add_object(writer, "timings_ms");
    json_add_thousandths(writer, "decode", result->decode_us);
    json_add_thousandths(writer, "preprocess", result->preprocess_us);
    json_add_thousandths(writer, "inference", result->inference_us);
    json_end_object(writer);
}

static void print_line(const struct session *session, const struct classification *result)
{
    struct json_line line;
    struct json_writer *writer = json_line_begin(&line);
    json_add_text(writer, "file", result->path);
    if (result->code == JOB_OK) {
        add_result(writer, session, result);
    } else {
        json_add_object(writer, "error");
        json_add_text(writer, "code", job_code_name(result->code));
        json_add_text(writer, "message", result->err.message);
        json_end_object(writer);
    }
    json_line_end(&line, stdout);
    fflush(stdout);
}

static bool classify(struct session *session, const char *path)
{
    struct classification result = {.path = path};
    load_view(session, &result);
    if (result.code == JOB_OK)
        infer(session, &result);
    draw_map(session, &result);
    print_line(session, &result);
    return result.code == JOB_OK && !result.map_failed;
}

struct planned_map {
    char *path;
    const char *file;
};

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct planned_map *)a)->path, ((const struct planned_map *)b)->path);
}

// Every file gets a map of its own: of two with one stem a map would be lost.
enum status classify_check(const struct config *config, struct error *err)
{
    enum status status = STATUS_OK;
    const char *folder = config_text(config, "attention");
    size_t count = *folder ? config_argument_count(config) : 0;
    struct planned_map *maps = memory_alloc((count + 1) * sizeof *maps);
    for (size_t i = 0; i < count; i++) {
        const char *file = config_argument(config, i);
        maps[i] = (struct planned_map){map_path(folder, file), file};
    }
    qsort(maps, count, sizeof *maps, by_path);
    for (size_t i = 0; i + 1 < count && status == STATUS_OK; i++)
        if (by_path(&maps[i], &maps[i + 1]) == 0 && strcmp(maps[i].file, maps[i + 1].file) != 0)
            status = error_set(err, STATUS_REJECTED, "the maps of '%s' and '%s' would both be %s",
                               maps[i].file, maps[i + 1].file, maps[i].path);
    for (size_t i = 0; i < count; i++)
        free(maps[i].path);
    free(maps);
    return status;
}

static enum status open_session(struct session *session, const struct config *config, struct error *err)
{
    *session = (struct session){.config = config};
    buffer_init(&session->bytes, (size_t)config_integer(config, "max_image_bytes"));
    const char *folder = config_text(config, "attention");
    if (*folder && mkdir(folder, 0750) != 0 && errno != EEXIST)
        return error_set(err, STATUS_FATAL, "%s: %s", folder, strerror(errno));
    bool rollout = strcmp(config_text(config, "explain"), "rollout") == 0;
    enum status status =
        engine_open(&session->engine, config, 1, rollout ? EXPLAIN_ROLLOUT : EXPLAIN_LAST, err);
    if (status != STATUS_OK)
        return status;
    const struct plan *plan = session->engine.plan;
    size_t map_size = (size_t)(plan->map_height * plan->map_width);
    session->view = memory_alloc((size_t)plan->view_size);
    session->embedding = memory_alloc((size_t)plan->embedding_width * sizeof(float));
    if (plan->heads > 0) {
        session->maps = memory_alloc((size_t)plan->heads * map_size * sizeof(float));
        session->map = memory_alloc(map_size * sizeof(float));
    }
    return STATUS_OK;
}

enum status classify_command(struct config *config, struct error *err)
{
    struct session session;
    int failures = 0;
    enum status status = open_session(&session, config, err);
    if (status == STATUS_OK) {
        engine_warn_untrained(&session.engine);
        engine_say_precision(&session.engine);
    }
    for (size_t i = 0; status == STATUS_OK && i < config_argument_count(config); i++)
        failures += !classify(&session, config_argument(config, i));
    free(session.view);
    free(session.maps);
    free(session.map);
    free(session.embedding);
    buffer_release(&session.bytes);
    engine_close(&session.engine);
    return status == STATUS_OK && failures > 0 ? error_said(err) : status;
}
