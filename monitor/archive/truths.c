// truths.c: each label finds its image through its request's answers, and then the labels of one image stand
// together, by their ids. Labels are sorted here, not by the database: that would look each image up again.
#include "monitor/archive/truths.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/records/verdict.h"

enum { LABELS_MOST = 2 << 20 }; // some 200 MB

struct label {
    uint8_t image[DIGEST_SIZE]; // its own, else the least one of its request's answers
    uint8_t id[UUID_SIZE], supersedes[UUID_SIZE], request[UUID_SIZE];
    int64_t content, reviewed_at;
    int8_t label, certainty, atypical;
    bool has_image, has_request, has_supersedes;
    bool holds; // as far as its own image and its request's say
};

// What the labels of one image withdraw, or, where no answer to their request is known, those of one request.
struct withdrawal {
    uint8_t of[DIGEST_SIZE]; // an image, or a request with zeros behind it
    uint8_t id[UUID_SIZE];
};

struct labels {
    struct label *rows;
    size_t count, capacity;
    struct withdrawal *withdrawals; // in order
    size_t withdrawal_count;
    // of the label that is being read
    int64_t log, part, place;
    bool names_image;
    int images; // of its request: 0, 1, or 2 for more
    bool agrees;
};

#define LABEL_COLUMNS                                                                                        \
    "f.log, f.part, f.place, f.feedback_id, f.content, f.image, f.label, f.certainty, f.reviewed_at, "       \
    "f.atypical, f.supersedes, f.request, "

// One row for each label and each answer to its request, by label; without an answer one row. Answers that
// retention has dropped count as those that are there.
static const char labels_text[] =
    "SELECT " LABEL_COLUMNS "p.image FROM monitor_feedback f "
    "LEFT JOIN monitor_predictions p ON p.request = f.request AND length(f.request) > 0 AND "
    "length(p.image) > 0 AND " KNOWN("p") " WHERE " KNOWN(
        "f") " UNION ALL SELECT " LABEL_COLUMNS "r.image "
             "FROM monitor_feedback f JOIN monitor_request_images r ON r.request = f.request WHERE " KNOWN(
                 "r") " AND " KNOWN("f") " ORDER BY 1, 2, 3";

// ---- reading ----

static void settle_label(struct labels *labels)
{
    if (labels->count == 0)
        return;
    struct label *label = &labels->rows[labels->count - 1];
    label->holds = labels->names_image ? labels->images == 0 || labels->agrees : labels->images == 1;
}

static bool copy_bytes(struct bytes bytes, uint8_t *to, size_t size)
{
    if (bytes.size == size)
        memcpy(to, bytes.data, size);
    return bytes.size == size;
}

// False: the columns hold what was never written.
static bool read_label(const struct sql *sql, struct labels *labels, struct label *label)
{
    int64_t name = sql_integer(sql, 6), certainty = sql_integer(sql, 7), atypical = sql_integer(sql, 9);
    *label = (struct label){.content = sql_integer(sql, 4),
                            .reviewed_at = sql_integer(sql, 8),
                            .label = (int8_t)name,
                            .certainty = (int8_t)certainty,
                            .atypical = (int8_t)atypical};
    label->has_image = labels->names_image = copy_bytes(sql_blob(sql, 5), label->image, DIGEST_SIZE);
    label->has_supersedes = copy_bytes(sql_blob(sql, 10), label->supersedes, UUID_SIZE);
    labels->withdrawal_count += label->has_supersedes;
    label->has_request = copy_bytes(sql_blob(sql, 11), label->request, UUID_SIZE);
    labels->images = 0;
    labels->agrees = false;
    return copy_bytes(sql_blob(sql, 3), label->id, UUID_SIZE) && name >= 0 && name < FEEDBACK_LABELS &&
           certainty >= 0 && certainty < CERTAINTY_COUNT && atypical >= -1 && atypical <= 1;
}

static enum status add_label(struct sql *sql, struct labels *labels, struct error *err)
{
    settle_label(labels);
    if (labels->count == LABELS_MOST)
        return error_set(err, STATUS_REJECTED, "%s has more than %d records of feedback", sql_name(sql),
                         LABELS_MOST);
    if (labels->count == labels->capacity) {
        labels->capacity = labels->capacity ? 2 * labels->capacity : 1024;
        labels->rows = memory_realloc(labels->rows, labels->capacity * sizeof *labels->rows);
    }
    labels->log = sql_integer(sql, 0);
    labels->part = sql_integer(sql, 1);
    labels->place = sql_integer(sql, 2);
    if (!read_label(sql, labels, &labels->rows[labels->count++]))
        return error_set(err, STATUS_FATAL, "a label in %s is damaged", sql_name(sql));
    return STATUS_OK;
}

// Answers to one request come in no order that matters.
static void add_answer(struct labels *labels, struct bytes image)
{
    struct label *label = &labels->rows[labels->count - 1];
    if (image.size != DIGEST_SIZE)
        return;
    int order = memcmp(image.data, label->image, DIGEST_SIZE);
    if (labels->names_image) {
        labels->images = 1;
        labels->agrees |= order == 0;
        return;
    }
    if (labels->images > 0 && order != 0)
        labels->images = 2;
    if (labels->images == 0)
        labels->images = 1;
    if (!label->has_image || order < 0)
        memcpy(label->image, image.data, DIGEST_SIZE);
    label->has_image = true;
}

static enum status read_labels(struct sql *sql, struct labels *labels, struct error *err)
{
    bool more;
    enum status status = sql_query(sql, labels_text, NULL, 0, err);
    while (status == STATUS_OK && (status = sql_next(sql, &more, err)) == STATUS_OK && more) {
        if (labels->count == 0 || labels->log != sql_integer(sql, 0) || labels->part != sql_integer(sql, 1) ||
            labels->place != sql_integer(sql, 2))
            status = add_label(sql, labels, err);
        if (status == STATUS_OK)
            add_answer(labels, sql_blob(sql, 12));
    }
    sql_end(sql);
    settle_label(labels);
    return status;
}

// ---- judging ----

static int compare_labels(const void *a, const void *b)
{
    const struct label *one = a, *other = b;
    int order = memcmp(one->image, other->image, DIGEST_SIZE);
    if (order == 0)
        order = memcmp(one->id, other->id, UUID_SIZE);
    return order != 0 ? order : (one->content > other->content) - (one->content < other->content);
}

static int compare_withdrawals(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct withdrawal));
}

static struct withdrawal withdrawal_of(const uint8_t *of, size_t size, const uint8_t id[UUID_SIZE])
{
    struct withdrawal withdrawal = {{0}, {0}};
    memcpy(withdrawal.of, of, size);
    memcpy(withdrawal.id, id, UUID_SIZE);
    return withdrawal;
}

// A label without an image withdraws what names its request too, so that a label does not count again when
// that answer is lost; it can't withdraw labels of other requests, as it may be anybody's.
static void find_withdrawals(struct labels *labels)
{
    labels->withdrawals = memory_alloc((labels->withdrawal_count + 1) * sizeof *labels->withdrawals);
    labels->withdrawal_count = 0;
    for (size_t i = 0; i < labels->count; i++) {
        const struct label *label = &labels->rows[i];
        if (label->has_supersedes)
            labels->withdrawals[labels->withdrawal_count++] =
                label->has_image ? withdrawal_of(label->image, DIGEST_SIZE, label->supersedes)
                                 : withdrawal_of(label->request, UUID_SIZE, label->supersedes);
    }
    qsort(labels->withdrawals, labels->withdrawal_count, sizeof *labels->withdrawals, compare_withdrawals);
}

static bool have_withdrawal(const struct labels *labels, struct withdrawal wanted)
{
    return labels->withdrawal_count > 0 && bsearch(&wanted, labels->withdrawals, labels->withdrawal_count,
                                                   sizeof wanted, compare_withdrawals) != NULL;
}

static bool is_withdrawn(const struct labels *labels, const struct label *label)
{
    return have_withdrawal(labels, withdrawal_of(label->image, DIGEST_SIZE, label->id)) ||
           (label->has_request &&
            have_withdrawal(labels, withdrawal_of(label->request, UUID_SIZE, label->id)));
}

// Where the labels of one id end, in those of one image.
static size_t find_id_end(const struct labels *labels, size_t first, size_t end)
{
    size_t i = first + 1;
    while (i < end && memcmp(labels->rows[i].id, labels->rows[first].id, UUID_SIZE) == 0)
        i++;
    return i;
}

// They are in the order of their contents. One id with two meanings has none.
static bool have_one_meaning(const struct labels *labels, size_t first, size_t end)
{
    return labels->rows[first].content == labels->rows[end - 1].content;
}

// The labels from first up to, not including, end are of one image and one id. atypical: of the best label.
static void judge_id(const struct labels *labels, size_t first, size_t end, struct verdict *verdict,
                     int8_t *atypical)
{
    if (!have_one_meaning(labels, first, end) || is_withdrawn(labels, &labels->rows[first]))
        return;
    for (size_t i = first; i < end; i++) {
        const struct label *label = &labels->rows[i];
        struct opinion opinion = {
            .label = label->label, .certainty = label->certainty, .reviewed_at = label->reviewed_at};
        if (!label->holds)
            continue;
        uuid_text((struct bytes){label->id, UUID_SIZE}, opinion.feedback_id);
        if (verdict_add(verdict, &opinion))
            *atypical = label->atypical;
    }
}

// Of the labels from first up to, not including, end, which are of one image.
static void judge(const struct labels *labels, size_t first, size_t end, struct truths *truths)
{
    struct verdict verdict;
    int8_t atypical = -1;
    verdict_init(&verdict);
    for (size_t i = first, next; i < end; i = next) {
        next = find_id_end(labels, i, end);
        judge_id(labels, i, next, &verdict, &atypical);
    }
    if (verdict.labels == 0)
        return;
    struct truth *truth = &truths->rows[truths->count++];
    bool conflict = verdict_is_conflict(&verdict);
    *truth = (struct truth){.reviewed_at = verdict.best.reviewed_at,
                            .label = (int8_t)(conflict ? -1 : verdict.best.label),
                            .certainty = (int8_t)verdict.best.certainty,
                            .atypical = atypical,
                            .conflict = conflict};
    memcpy(truth->image, labels->rows[first].image, DIGEST_SIZE);
}

static void judge_all(struct labels *labels, struct truths *truths)
{
    size_t first = 0, images = 1;
    if (labels->count == 0)
        return;
    qsort(labels->rows, labels->count, sizeof *labels->rows, compare_labels);
    for (size_t i = 1; i < labels->count; i++)
        images += memcmp(labels->rows[i].image, labels->rows[i - 1].image, DIGEST_SIZE) != 0;
    truths->rows = memory_alloc(images * sizeof *truths->rows);
    for (size_t i = 1; i <= labels->count; i++)
        if (i == labels->count ||
            memcmp(labels->rows[i].image, labels->rows[first].image, DIGEST_SIZE) != 0) {
            if (labels->rows[first].has_image)
                judge(labels, first, i, truths);
            first = i;
        }
}

enum status truths_read(struct sql *sql, struct truths *truths, struct error *err)
{
    struct labels labels = {.count = 0};
    *truths = (struct truths){.rows = NULL};
    enum status status = read_labels(sql, &labels, err);
    if (status == STATUS_OK) {
        find_withdrawals(&labels);
        judge_all(&labels, truths);
    }
    free(labels.rows);
    free(labels.withdrawals);
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
