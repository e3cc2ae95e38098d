// listen.c: the loop of listen: read, and when labels have come and nothing more does, make a version and
// perhaps start a training. Whatever fails for a while (brokers, store, disk) is told once and tried again
// from where the index ends.
#include "trainer/listen/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/shutdown.h"
#include "common/services/backoff.h"
#include "common/services/object_store.h"
#include "trainer/listen/follow.h"
#include "trainer/listen/image_fetch.h"
#include "trainer/listen/training.h"
#include "trainer/listen/version.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

enum {
    WAIT_MS = 500,              // for records; a stop and a training's end are looked at so often
    REOPEN_MS = 10 * 60 * 1000, // partitions that are new, and what expired, are seen so often
    BACKOFF_MS = 1000,          // of what fails for a while
    BACKOFF_LIMIT_MS = 60000,
    DAYS_MOST = 36500,
    PRIVATE_UMASK = 077,
    TRAINING_TRIES = 3, // of one that could go on
};

const struct option listen_flags[] = {
    {"dataset", OPTION_TEXT, .initial = "", .min = 1, .value = "DIR",
     .help = "folder of the data set; it is made"},
    {"once", OPTION_SWITCH, .initial = "false",
     .help = "read what is there, make a version, wait for a training that is due, and end"},
    {"train_after", OPTION_INTEGER, .initial = "0", .max = 1000000000, .value = "N",
     .help = "train once so many labels are new since the last training; 0: not for that"},
    {"train_every", OPTION_INTEGER, .initial = "0", .max = DAYS_MOST, .value = "DAYS",
     .help = "train where a label is new and the last training began so long ago; 0: not for that"},
    {"settle_s", OPTION_INTEGER, .initial = "20", .max = 3600, .value = "S",
     .help = "a version is made when no label has come for so long, seconds"},
    {"version_every_s", OPTION_INTEGER, .initial = "3600", .max = 31536000, .value = "S",
     .help = "shortest time from one version to the next, seconds"},
    {"ask_again_s", OPTION_INTEGER, .initial = "3600", .max = 31536000, .value = "S",
     .help = "an image that the store did not have is asked for again after so long, seconds"},
    {"requests_days", OPTION_INTEGER, .initial = "730", .min = 1, .max = DAYS_MOST, .value = "DAYS",
     .help = "an answered request that no label names, nor its image, is forgotten after so long, days"},
    {"timeout_ms", OPTION_INTEGER, .initial = "15000", .min = 1, .max = 3600 * 1000, .value = "MS",
     .help = "--once gives up when nothing has come from the broker for so long, milliseconds"},
    {.name = NULL},
};

struct listen {
    const struct config *config;
    const char *dataset;
    int lock; // the data set is ours while it is open
    char *images;
    struct feedback_index *index;
    struct object_store *store;
    struct follow *follow; // NULL: to be opened
    struct version version;
    struct training training;
    struct training_recipe recipe;
    int64_t changed_ms, first_changed_ms; // newest and oldest label that no version was looked for; 0: none
    int64_t looked_ms;                    // when a version was last looked for
    int64_t forgot_ms;
    int64_t opened_ms; // follow
    bool brokers_told; // that they fail
};

static bool trains(const struct config *config)
{
    return config_integer(config, "train_after") > 0 || config_integer(config, "train_every") > 0;
}

enum status listen_check(const struct config *config, struct error *err)
{
    if (config_argument_count(config) > 0 && !trains(config))
        return error_set(err, STATUS_REJECTED, "a recipe is of use with --train-after or --train-every only");
    if (config_argument_count(config) == 0 && trains(config))
        return error_set(err, STATUS_REJECTED,
                         "a training needs its recipe behind \"--\", as -- --arch vit_small_patch16_224");
    return STATUS_OK;
}

// ---- the folder ----

static enum status make_folder(const char *path, struct error *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return STATUS_OK;
    return error_set(err, STATUS_FATAL, "%s can't be made: %s", path, strerror(errno));
}

static enum status take_lock(struct listen *listen, struct error *err)
{
    char *path = memory_format("%s/.lock", listen->dataset);
    enum status status = STATUS_OK;
    listen->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (listen->lock < 0)
        status = error_set(err, STATUS_FATAL, "%s can't be opened: %s", path, strerror(errno));
    else if (flock(listen->lock, LOCK_EX | LOCK_NB) != 0)
        status = error_set(err, STATUS_REJECTED, "another listen, or its training, has the data set %s",
                           listen->dataset);
    listen->recipe.lock = listen->lock;
    free(path);
    return status;
}

static enum status open_dataset(struct listen *listen, struct error *err)
{
    struct object_store_options store;
    config_objects(listen->config, &store);
    enum status status = make_folder(listen->dataset, err);
    if (status == STATUS_OK)
        status = take_lock(listen, err);
    if (status == STATUS_OK)
        status = make_folder(listen->images, err);
    if (status == STATUS_OK)
        status = image_fetch_clean(listen->images, err);
    if (status == STATUS_OK)
        status = version_find(listen->dataset, &listen->version, err);
    if (status == STATUS_OK)
        status = feedback_index_open(&listen->index, listen->dataset, err);
    return status == STATUS_OK ? object_store_open(&listen->store, &store, err) : status;
}

// ---- versions ----

static void print_version(const struct listen *listen, bool is_new, const struct image_fetch_counts *fetched,
                          const struct version_counts *counts)
{
    const char *comma = "";
    if (listen->version.number == 0)
        printf("%s: no version yet", listen->dataset);
    else
        printf("%s/%s: %s, %" PRId64 " images", listen->dataset, listen->version.name,
               is_new ? "new" : "unchanged", listen->version.images);
    printf(" (");
    for (int i = 0; i < LESION_CLASSES; i++)
        if (counts->classes[i] > 0) {
            printf("%s%s %zu", comma, lesion_codes[i], counts->classes[i]);
            comma = ", ";
        }
    printf("), %zu fetched", fetched->fetched);
    for (int i = OUTCOME_LABEL + 1; i < OUTCOMES; i++)
        if (counts->outcomes[i] > 0)
            printf(", %zu %s", counts->outcomes[i], outcome_names[i]);
    putchar('\n');
    fflush(stdout);
}

static enum status look(struct listen *listen, struct error *err)
{
    const struct config *config = listen->config;
    const struct image_fetch_options options = {.store = listen->store,
                                                .folder = listen->images,
                                                .most_bytes =
                                                    (size_t)config_integer(config, "max_image_bytes"),
                                                .ask_again_ms = 1000 * config_integer(config, "ask_again_s")};
    struct image_fetch_counts fetched;
    struct version_counts counts;
    int before = listen->version.number;
    enum status status = image_fetch(listen->index, &options, &fetched, err);
    if (status == STATUS_OK)
        status = version_make(listen->index, listen->dataset, &listen->version, &counts, err);
    if (status != STATUS_OK)
        return status;
    bool is_new = listen->version.number != before;
    if (is_new || config_switch(config, "once"))
        print_version(listen, is_new, &fetched, &counts);
    listen->changed_ms = listen->first_changed_ms = 0;
    listen->looked_ms = clock_monotonic_ms();
    return STATUS_OK;
}

static bool is_look_due(const struct listen *listen)
{
    const struct config *config = listen->config;
    int64_t now_ms = clock_monotonic_ms(), every_ms = 1000 * config_integer(config, "version_every_s");
    int64_t settle_ms = 1000 * config_integer(config, "settle_s");
    int64_t since_ms = now_ms - listen->looked_ms;
    if (listen->changed_ms == 0) // an image may be there now
        return since_ms >= 1000 * config_integer(config, "ask_again_s") && since_ms >= every_ms;
    bool settled = now_ms - listen->changed_ms >= settle_ms;
    bool long_ago = now_ms - listen->first_changed_ms >= every_ms + settle_ms; // labels never stop coming
    return since_ms >= every_ms && (settled || long_ago);
}

// ---- trainings ----

static enum status is_training_due(struct listen *listen, bool *due, int64_t *labels, struct error *err)
{
    const struct config *config = listen->config;
    int64_t after = config_integer(config, "train_after"), days = config_integer(config, "train_every");
    int64_t trained = 0, trained_at = 0, version = 0;
    *due = false;
    enum status status = feedback_index_number(listen->index, INDEX_TRAINED_VERSION, &version, err);
    if (status != STATUS_OK || listen->version.number <= version)
        return status; // new labels that change nothing teach nothing
    status = feedback_index_number(listen->index, INDEX_LABELS, labels, err);
    if (status == STATUS_OK)
        status = feedback_index_number(listen->index, INDEX_TRAINED_LABELS, &trained, err);
    if (status == STATUS_OK)
        status = feedback_index_number(listen->index, INDEX_TRAINED_AT, &trained_at, err);
    *due = (after > 0 && *labels - trained >= after) ||
           (days > 0 && *labels > trained && clock_wall_ms() - trained_at >= days * DAY_MS);
    return status;
}

static void version_name(int version, char name[VERSION_NAME_SIZE])
{
    snprintf(name, VERSION_NAME_SIZE, "%06d", version);
}

static enum status start_training(struct listen *listen, int version, struct error *err)
{
    char *models = memory_format("%s/models", listen->dataset);
    char name[VERSION_NAME_SIZE];
    enum status status = make_folder(models, err);
    free(models);
    version_name(version, name);
    if (status == STATUS_OK)
        status = training_start(&listen->training, listen->dataset, name, &listen->recipe, err);
    if (status == STATUS_OK)
        LOG_INFO("training_started", "version=%s", name);
    return status;
}

// What is noted first is begun again where this process ends before it is.
static enum status note_training(struct listen *listen, int64_t labels, struct error *err)
{
    enum status status = feedback_index_begin(listen->index, err);
    if (status == STATUS_OK)
        status = feedback_index_set_number(listen->index, INDEX_TRAINING, listen->version.number, err);
    if (status == STATUS_OK)
        status = feedback_index_set_number(listen->index, INDEX_TRAINING_TRIES, 0, err);
    if (status == STATUS_OK)
        status = feedback_index_set_number(listen->index, INDEX_TRAINED_VERSION, listen->version.number, err);
    if (status == STATUS_OK)
        status = feedback_index_set_number(listen->index, INDEX_TRAINED_LABELS, labels, err);
    if (status == STATUS_OK)
        status = feedback_index_set_number(listen->index, INDEX_TRAINED_AT, clock_wall_ms(), err);
    if (status == STATUS_OK)
        return feedback_index_commit(listen->index, err);
    feedback_index_rollback(listen->index);
    return status;
}

// The version whose training was begun and has no model yet; 0: none. It may have ended after its listen did.
static enum status find_begun(struct listen *listen, int *begun, struct error *err)
{
    char name[VERSION_NAME_SIZE];
    int64_t noted = 0;
    bool ended;
    *begun = 0;
    enum status status = feedback_index_number(listen->index, INDEX_TRAINING, &noted, err);
    if (status != STATUS_OK || noted <= 0 || noted > VERSION_MOST)
        return status;
    version_name((int)noted, name);
    status = training_tidy(listen->dataset, name, &ended, err);
    if (status == STATUS_OK && ended)
        return feedback_index_set_number(listen->index, INDEX_TRAINING, 0, err);
    *begun = (int)noted;
    return status;
}

// One that was begun and has not ended goes on first, where trainings are wanted still.
static enum status train_if_due(struct listen *listen, struct error *err)
{
    bool due;
    int64_t labels = 0;
    int begun;
    if (!trains(listen->config) || training_runs(&listen->training) || shutdown_requested())
        return STATUS_OK;
    enum status status = find_begun(listen, &begun, err);
    if (status == STATUS_OK && begun > 0)
        return start_training(listen, begun, err);
    if (status == STATUS_OK)
        status = is_training_due(listen, &due, &labels, err);
    if (status != STATUS_OK || !due)
        return status;
    status = note_training(listen, labels, err);
    return status == STATUS_OK ? start_training(listen, listen->version.number, err) : status;
}

// One that a signal ended, or that left a checkpoint, is tried again behind the next look.
static enum status note_failure(struct listen *listen, int code, struct error *err)
{
    char name[VERSION_NAME_SIZE];
    int64_t noted = 0, tries = 0;
    enum status status = feedback_index_number(listen->index, INDEX_TRAINING, &noted, err);
    if (status == STATUS_OK)
        status = feedback_index_number(listen->index, INDEX_TRAINING_TRIES, &tries, err);
    if (status != STATUS_OK)
        return status;
    version_name(noted > 0 && noted <= VERSION_MOST ? (int)noted : 0, name);
    bool can_go_on = code >= 128 || training_has_checkpoint(listen->dataset, name);
    bool again = can_go_on && ++tries < TRAINING_TRIES;
    LOG_ERROR("training_failed", "code=%d version=%s again=%d models=%s/models", code, name, again,
              listen->dataset);
    if (again)
        return feedback_index_set_number(listen->index, INDEX_TRAINING_TRIES, tries, err);
    return feedback_index_set_number(listen->index, INDEX_TRAINING, 0, err);
}

// Whether one has ended by now; code is its exit code. What a stop of both ended is no failure.
static enum status look_at_training(struct listen *listen, bool *ended, int *code, struct error *err)
{
    *ended = training_ended(&listen->training, code);
    if (!*ended)
        return STATUS_OK;
    if (*code != 0)
        return shutdown_requested() ? STATUS_OK : note_failure(listen, *code, err);
    LOG_INFO("training_ended", "models=%s/models", listen->dataset);
    return feedback_index_set_number(listen->index, INDEX_TRAINING, 0, err);
}

static enum status wait_for_training(struct listen *listen, struct error *err)
{
    bool ended = false;
    int code = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && training_runs(&listen->training)) {
        if (shutdown_wait_ms(WAIT_MS))
            return error_set(err, STATUS_RETRY, "interrupted: the training goes on with the next run");
        status = look_at_training(listen, &ended, &code, err);
    }
    if (status == STATUS_OK && code != 0)
        status = error_set(err, STATUS_REJECTED, "the training ended with exit code %d", code);
    return status;
}

// ---- the loops ----

static enum status open_follow(struct listen *listen, struct error *err)
{
    const struct config *config = listen->config;
    const struct follow_options options = {.cluster = config_kafka(config),
                                           .feedback_topic = config_text(config, "feedback_topic"),
                                           .predictions_topic = config_text(config, "predictions_topic"),
                                           .index = listen->index,
                                           .to_the_end = config_switch(config, "once"),
                                           .timeout_ms = config_integer(config, "timeout_ms")};
    listen->opened_ms = clock_monotonic_ms();
    return follow_open(&listen->follow, &options, err);
}

static void close_follow(struct listen *listen)
{
    follow_close(listen->follow);
    listen->follow = NULL;
}

static enum status forget_requests(struct listen *listen, struct error *err)
{
    int64_t now_ms = clock_monotonic_ms(), changed;
    if (listen->forgot_ms > 0 && now_ms - listen->forgot_ms < DAY_MS)
        return STATUS_OK;
    int64_t before = clock_wall_ms() - config_integer(listen->config, "requests_days") * DAY_MS;
    enum status status = feedback_index_forget(listen->index, before, &changed, err);
    if (status == STATUS_OK)
        listen->forgot_ms = now_ms;
    return status;
}

static enum status read_all(struct listen *listen, struct error *err)
{
    struct follow_news news = {0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !news.ended) {
        if (!listen->follow)
            status = open_follow(listen, err);
        if (status == STATUS_OK)
            status = follow_step(listen->follow, 0, &news, err);
        if (status != STATUS_OK || news.stale || news.ended)
            close_follow(listen);
    }
    return status;
}

static enum status run_once(struct listen *listen, struct error *err)
{
    enum status status = read_all(listen, err);
    if (status == STATUS_OK)
        status = forget_requests(listen, err);
    if (status == STATUS_OK)
        status = look(listen, err);
    if (status == STATUS_OK)
        status = train_if_due(listen, err);
    return status == STATUS_OK ? wait_for_training(listen, err) : status;
}

// The readers wait for brokers by themselves and say nothing.
static void tell_brokers(struct listen *listen)
{
    struct error said;
    bool fail = kafka_error_lately(said.message, sizeof said.message);
    if (fail && !listen->brokers_told)
        LOG_WARN("brokers_fail", "reason=\"%s\"", said.message);
    listen->brokers_told = fail;
}

static enum status step(struct listen *listen, struct error *err)
{
    struct follow_news news;
    enum status status = STATUS_OK;
    if (!listen->follow)
        status = open_follow(listen, err);
    if (status == STATUS_OK)
        status = follow_step(listen->follow, WAIT_MS, &news, err);
    if (status != STATUS_OK) {
        close_follow(listen);
        return status;
    }
    tell_brokers(listen);
    if (news.stale || clock_monotonic_ms() - listen->opened_ms >= REOPEN_MS)
        close_follow(listen);
    if (news.labels) {
        listen->changed_ms = clock_monotonic_ms();
        listen->first_changed_ms = listen->first_changed_ms ? listen->first_changed_ms : listen->changed_ms;
    }
    status = forget_requests(listen, err);
    if (status != STATUS_OK || !is_look_due(listen))
        return status;
    status = look(listen, err);
    return status == STATUS_OK ? train_if_due(listen, err) : status;
}

// The same trouble is told once, until something works again.
static enum status run_for_ever(struct listen *listen, struct error *err)
{
    struct backoff backoff;
    bool told = false, ended;
    int code;
    backoff_init(&backoff, BACKOFF_MS, BACKOFF_LIMIT_MS, (uint64_t)clock_monotonic_us());
    listen->changed_ms = listen->first_changed_ms = clock_monotonic_ms(); // what was read and not looked at
    listen->looked_ms = listen->changed_ms - 1000 * config_integer(listen->config, "version_every_s");
    while (!shutdown_requested()) {
        enum status status = step(listen, err);
        if (status == STATUS_OK)
            status = look_at_training(listen, &ended, &code, err);
        if (status == STATUS_FATAL)
            return status;
        if (status == STATUS_OK) {
            if (told)
                LOG_WARN("listen_goes_on", "dataset=%s", listen->dataset);
            told = false;
            backoff.tries = 0;
            continue;
        }
        if (!told && !shutdown_requested())
            LOG_WARN("listen_waits", "reason=\"%s\"", err->message);
        told = true;
        shutdown_wait_ms(backoff_next_ms(&backoff));
    }
    return STATUS_OK;
}

enum status listen_command(struct config *config, struct error *err)
{
    const char *recipe[LISTEN_RECIPE_MOST];
    struct listen listen = {.config = config, .dataset = config_text(config, "dataset"), .lock = -1};
    for (size_t i = 0; i < config_argument_count(config); i++)
        recipe[listen.recipe.count++] = config_argument(config, i);
    listen.recipe.arguments = recipe;
    listen.images = memory_format("%s/images", listen.dataset);
    umask(PRIVATE_UMASK); // what others could read would say something of patients
    shutdown_install();
    enum status status = open_dataset(&listen, err);
    if (status == STATUS_OK)
        status = config_switch(config, "once") ? run_once(&listen, err) : run_for_ever(&listen, err);
    training_stop(&listen.training);
    follow_close(listen.follow);
    object_store_close(listen.store);
    feedback_index_close(listen.index);
    if (listen.lock >= 0)
        close(listen.lock);
    free(listen.images);
    return status;
}
