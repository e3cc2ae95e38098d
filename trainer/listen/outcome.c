// outcome.c: rows of one image stand together; each is judged alone, and those that hold together.
#include "trainer/listen/outcome.h"

#include <stdio.h>
#include <string.h>

#include "common/records/verdict.h"

const char *const outcome_names[OUTCOMES] = {
    "label",    "withdrawn", "contradictory", "unknown_request", "several_images", "image_disagrees",
    "conflict", "other",     "ungradable",    "image_absent",    "image_differs",
};

struct walk {
    const struct outcome_taker *taker;
    struct verdict verdict; // of the present image
    struct label_row best;  // its best label's row; the image's digest also where there is none
};

// Of a label alone; OUTCOME_LABEL: it holds.
static enum outcome judge_alone(const struct label_row *row)
{
    if (!row->names_image && row->images == 0)
        return OUTCOME_UNKNOWN_REQUEST; // what else holds of it depends on its picture
    if (row->withdrawn)
        return OUTCOME_WITHDRAWN;
    if (row->contradictory)
        return OUTCOME_CONTRADICTORY;
    if (row->names_image) // with a request that nobody knows (any more) the image speaks for itself
        return row->images == 0 || row->agrees ? OUTCOME_LABEL : OUTCOME_IMAGE_DISAGREES;
    return row->images == 1 ? OUTCOME_LABEL : OUTCOME_SEVERAL_IMAGES;
}

static enum outcome judge_image(const struct walk *walk)
{
    if (verdict_is_conflict(&walk->verdict))
        return OUTCOME_CONFLICT;
    if (walk->best.label == FEEDBACK_OTHER)
        return OUTCOME_OTHER;
    if (walk->best.label == FEEDBACK_UNGRADABLE)
        return OUTCOME_UNGRADABLE;
    return OUTCOME_LABEL;
}

static enum status conclude(struct walk *walk, struct error *err)
{
    if (walk->verdict.labels == 0)
        return STATUS_OK;
    enum status status = walk->taker->take(walk->taker->context, &walk->best, judge_image(walk), err);
    verdict_init(&walk->verdict);
    return status;
}

static enum status take_row(void *context, const struct label_row *row, struct error *err)
{
    struct walk *walk = context;
    enum status status = STATUS_OK;
    if (strcmp(row->image_sha256, walk->best.image_sha256) != 0)
        status = conclude(walk, err);
    if (status != STATUS_OK)
        return status;
    enum outcome outcome = judge_alone(row);
    if (outcome != OUTCOME_LABEL)
        return walk->taker->take(walk->taker->context, row, outcome, err);
    struct opinion opinion = {
        .label = row->label, .certainty = row->certainty, .reviewed_at = row->reviewed_at};
    memcpy(opinion.feedback_id, row->feedback_id, sizeof opinion.feedback_id);
    if (verdict_add(&walk->verdict, &opinion))
        walk->best = *row;
    return STATUS_OK;
}

enum status outcomes_walk(struct feedback_index *index, const struct outcome_taker *taker, struct error *err)
{
    struct walk walk = {.taker = taker};
    verdict_init(&walk.verdict);
    enum status status = feedback_index_walk(index, take_row, &walk, err);
    return status == STATUS_OK ? conclude(&walk, err) : status;
}
