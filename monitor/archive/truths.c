// truths.c: the labels of one image come together, in the order of their ids.
#include "monitor/archive/truths.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/records/verdict.h"

// Of one image that counts. One that has more is in doubt: nobody reviews so often.
enum { LABELS_MOST = 10000 };

struct label {
    struct opinion opinion;
    int64_t content;
    int atypical;
    bool holds; // as far as its own row says
};

struct group {
    struct truths *truths;
    uint8_t image[DIGEST_SIZE];
    struct label *labels;
    char (*superseded)[JOB_REQUEST_ID_SIZE];
    size_t count, superseded_count;
    bool too_many;
};

// The image of a label is its own, else the least one of its request's answers. images: of its request.
static const char labels_text[] =
    "WITH labels AS MATERIALIZED (SELECT f.*, CASE WHEN length(f.image) > 0 THEN f.image "
    "WHEN length(f.request) > 0 THEN (SELECT p.image FROM monitor_predictions p WHERE p.request = f.request "
    "AND length(p.image) > 0 AND " KNOWN(
        "p") " ORDER BY p.image LIMIT 1) END AS picture "
             "FROM monitor_feedback f WHERE " KNOWN(
                 "f") ") "
                      "SELECT picture, feedback_id, content, label, certainty, reviewed_at, atypical, "
                      "supersedes, "
                      "length(image), CASE WHEN length(f.request) = 0 THEN 0 ELSE (SELECT count(DISTINCT "
                      "p.image) "
                      "FROM monitor_predictions p WHERE p.request = f.request AND length(p.image) > 0 "
                      "AND " KNOWN("p") ") END, "
                                        "CASE WHEN length(f.request) = 0 THEN 0 ELSE (SELECT count(*) FROM "
                                        "monitor_predictions p "
                                        "WHERE p.request = f.request AND p.image = f.picture AND " KNOWN(
                                            "p") ") END "
                                                 "FROM labels f WHERE picture IS NOT NULL ORDER BY picture, "
                                                 "feedback_id, content";

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_withdrawn(const struct group *group, const struct label *label)
{
    return group->superseded_count > 0 &&
           bsearch(label->opinion.feedback_id, group->superseded, group->superseded_count,
                   sizeof *group->superseded, compare_ids);
}

// Labels stand by their ids: another meaning of one stands beside it.
static bool is_contradictory(const struct group *group, size_t i)
{
    const struct label *label = &group->labels[i];
    for (int step = -1; step <= 1; step += 2) {
        if ((step < 0 && i == 0) || (step > 0 && i + 1 == group->count))
            continue;
        const struct label *other = &group->labels[step < 0 ? i - 1 : i + 1];
        if (strcmp(other->opinion.feedback_id, label->opinion.feedback_id) == 0 &&
            other->content != label->content)
            return true;
    }
    return false;
}

static enum status add_truth(struct truths *truths, const struct truth *truth, struct error *err)
{
    if (truths->count == TRUTHS_MOST)
        return error_set(err, STATUS_REJECTED, "more than %d images have labels", TRUTHS_MOST);
    if (truths->count == truths->capacity) {
        truths->capacity = truths->capacity ? 2 * truths->capacity : 1024;
        truths->rows = memory_realloc(truths->rows, truths->capacity * sizeof *truths->rows);
    }
    truths->rows[truths->count++] = *truth;
    return STATUS_OK;
}

static enum status conclude(struct group *group, struct error *err)
{
    struct verdict verdict;
    int atypical = -1;
    verdict_init(&verdict);
    if (group->superseded_count > 0)
        qsort(group->superseded, group->superseded_count, sizeof *group->superseded, compare_ids);
    for (size_t i = 0; i < group->count; i++) {
        const struct label *label = &group->labels[i];
        if (label->holds && !is_withdrawn(group, label) && !is_contradictory(group, i) &&
            verdict_add(&verdict, &label->opinion))
            atypical = label->atypical;
    }
    bool conflict = group->too_many || verdict_is_conflict(&verdict);
    struct truth truth = {.reviewed_at = verdict.best.reviewed_at,
                          .label = (int8_t)(conflict ? -1 : verdict.best.label),
                          .certainty = (int8_t)verdict.best.certainty,
                          .atypical = (int8_t)atypical,
                          .conflict = conflict};
    memcpy(truth.image, group->image, sizeof truth.image);
    group->count = group->superseded_count = 0;
    group->too_many = false;
    return verdict.labels == 0 ? STATUS_OK : add_truth(group->truths, &truth, err);
}

// False: the columns hold what was never written.
static bool read_label(const struct sql *sql, struct label *label)
{
    int64_t value = sql_integer(sql, 3), certainty = sql_integer(sql, 4), atypical = sql_integer(sql, 6);
    bool names_image = sql_integer(sql, 8) > 0, agrees = sql_integer(sql, 10) > 0;
    int64_t images = sql_integer(sql, 9);
    *label = (struct label){
        .opinion = {.label = (int)value, .certainty = (int)certainty, .reviewed_at = sql_integer(sql, 5)},
        .content = sql_integer(sql, 2),
        .atypical = (int)atypical,
        .holds = names_image ? images == 0 || agrees : images == 1};
    uuid_text(sql_blob(sql, 1), label->opinion.feedback_id);
    return *label->opinion.feedback_id && value >= 0 && value < FEEDBACK_LABELS && certainty >= 0 &&
           certainty < CERTAINTY_COUNT && atypical >= -1 && atypical <= 1;
}

static enum status take_label(struct sql *sql, struct group *group, struct error *err)
{
    struct bytes image = sql_blob(sql, 0);
    struct label label;
    enum status status = STATUS_OK;
    if (image.size != DIGEST_SIZE || !read_label(sql, &label))
        return error_set(err, STATUS_FATAL, "a label in %s is damaged", sql_name(sql));
    if (memcmp(image.data, group->image, DIGEST_SIZE) != 0)
        status = conclude(group, err);
    memcpy(group->image, image.data, DIGEST_SIZE);
    if (group->count == LABELS_MOST) {
        group->too_many = true;
        return status;
    }
    if (sql_blob(sql, 7).size > 0)
        uuid_text(sql_blob(sql, 7), group->superseded[group->superseded_count++]);
    group->labels[group->count++] = label;
    return status;
}

enum status truths_read(struct sql *sql, struct truths *truths, struct error *err)
{
    struct group group = {.truths = truths,
                          .labels = memory_alloc(LABELS_MOST * sizeof *group.labels),
                          .superseded = memory_alloc(LABELS_MOST * sizeof *group.superseded)};
    bool more;
    *truths = (struct truths){.rows = NULL};
    enum status status = sql_query(sql, labels_text, NULL, 0, err);
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more)
        status = take_label(sql, &group, err);
    sql_end(sql);
    if (status == STATUS_OK)
        status = conclude(&group, err);
    free(group.labels);
    free(group.superseded);
    return status;
}

void truths_release(struct truths *truths)
{
    free(truths->rows);
    *truths = (struct truths){.rows = NULL};
}

static int compare_image(const void *image, const void *truth)
{
    return memcmp(image, ((const struct truth *)truth)->image, DIGEST_SIZE);
}

const struct truth *truths_find(const struct truths *truths, const char *image_sha256)
{
    uint8_t image[DIGEST_SIZE];
    if (truths->count == 0 || !hex_decode(image_sha256, image, DIGEST_SIZE))
        return NULL;
    return bsearch(image, truths->rows, truths->count, sizeof *truths->rows, compare_image);
}
