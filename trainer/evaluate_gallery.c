// evaluate_gallery.c: images of the most confused pairs with their probabilities, and what the model looked
// at. Main thread.
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "kernels/backend.h"
#include "kernels/image/overlay.h"
#include "trainer/evaluate.h"

enum {
    PAIRS_SHOWN = 6,
    IMAGES_SHOWN = 4,
    PICTURE_QUALITY = 85,
    PICTURE_BYTES = 4 << 20,
    PICTURE_WIDTH = 168
};

// ---- which images ----

struct shown {
    const struct prediction_row *row;
    size_t index; // of the predictions
    double confidence;
};

static int by_confidence(const void *left, const void *right)
{
    const struct shown *a = left, *b = right;
    if (a->confidence != b->confidence)
        return a->confidence < b->confidence ? 1 : -1;
    return (a->index > b->index) - (a->index < b->index);
}

// Errors of a pair, the surest first; returns how many.
static size_t find_errors(const struct predictions *predictions, const struct confused_pair *pair,
                          struct shown *found)
{
    size_t count = 0;
    for (size_t i = 0; i < predictions->count; i++) {
        const struct prediction_row *row = &predictions->rows[i];
        if (row->label == pair->truth && prediction_said(row) == pair->said)
            found[count++] = (struct shown){row, i, row->p[pair->said]};
    }
    qsort(found, count, sizeof *found, by_confidence);
    return count;
}

// ---- one image ----

static enum status add_picture(struct html *page, const struct image *image, const char *alternative,
                               struct error *err)
{
    struct buffer jpeg;
    buffer_init(&jpeg, PICTURE_BYTES);
    enum status status = jpeg_encode(image, PICTURE_QUALITY, &jpeg, err);
    if (status == STATUS_OK)
        html_picture(page, "image/jpeg", buffer_bytes(&jpeg), PICTURE_WIDTH, alternative);
    buffer_release(&jpeg);
    return status;
}

// The mean of the heads; maps has a row for each.
static void mean_of_heads(const struct plan *plan, const float *maps, float *map)
{
    int places = plan->map_height * plan->map_width;
    for (int place = 0; place < places; place++) {
        double sum = 0;
        for (int head = 0; head < plan->heads; head++)
            sum += (double)maps[head * places + place];
        map[place] = (float)(sum / plan->heads);
    }
}

static enum status draw_map(struct html *page, struct plan *plan, const uint8_t *view, int size,
                            struct error *err)
{
    size_t places = (size_t)plan->map_height * (size_t)plan->map_width;
    float *logits = memory_alloc((size_t)plan->classes * sizeof *logits);
    float *maps = memory_alloc(((size_t)plan->heads + 1) * places * sizeof *maps);
    float *map = maps + (size_t)plan->heads * places;
    struct image overlay = {0};
    const struct inference inference = {.logits = logits, .attention = maps};
    enum status status = plan_run(plan, &view, 1, &inference, err);
    if (status == STATUS_OK) {
        mean_of_heads(plan, maps, map);
        status = overlay_draw(view, size, map, plan->map_height, plan->map_width, &overlay, err);
    }
    if (status == STATUS_OK)
        status = add_picture(page, &overlay, "what the model looked at", err);
    image_release(&overlay);
    free(logits);
    free(maps);
    return status;
}

static void draw_caption(struct html *page, const struct prediction_row *row)
{
    char text[128];
    size_t used = 0;
    bool told[LESION_CLASSES] = {false};
    for (int i = 0; i < 3; i++) {
        int best = -1;
        for (int c = 0; c < LESION_CLASSES; c++)
            if (!told[c] && (best < 0 || row->p[c] > row->p[best]))
                best = c;
        told[best] = true;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %.2f", i ? ", " : "",
                                 lesion_codes[best], row->p[best]);
    }
    html_element(page, "figcaption", "%s; truth: %s %.2f", text, lesion_codes[row->label],
                 row->p[row->label]);
}

static enum status draw_image(struct html *page, const struct gallery *gallery, const struct shown *shown,
                              struct error *err)
{
    const struct preprocessing *preprocessing = gallery->preprocessing;
    struct image picture = {0}, view = {0};
    enum status status = dataset_picture(gallery->dataset, gallery->samples[shown->index], &picture, err);
    if (status == STATUS_OK)
        status = image_init(&view, preprocessing->crop, preprocessing->crop, err);
    if (status == STATUS_OK)
        status = preprocess_view(&picture, preprocessing, view.pixels, err);
    html_open(page, "figure", "");
    if (status == STATUS_OK)
        status = add_picture(page, &view, lesion_names[shown->row->label], err);
    if (status == STATUS_OK && gallery->plan->heads > 0)
        status = draw_map(page, gallery->plan, view.pixels, preprocessing->crop, err);
    draw_caption(page, shown->row);
    html_close(page, "figure");
    image_release(&picture);
    image_release(&view);
    return status;
}

enum status gallery_draw(struct html *page, const struct evaluation *evaluation,
                         const struct gallery *gallery, struct error *err)
{
    const struct figures *figures = &evaluation->figures;
    struct shown *found = memory_alloc((evaluation->predictions.count + 1) * sizeof *found);
    enum status status = STATUS_OK;
    html_element(page, "h2", "Gallery of errors");
    html_element(page, "p",
                 "The surest errors of the most confused pairs, as the model sees them, and where "
                 "it looked (bright: most).");
    for (size_t i = 0; i < figures->pair_count && i < PAIRS_SHOWN && status == STATUS_OK; i++) {
        const struct confused_pair *pair = &figures->pairs[i];
        size_t count = find_errors(&evaluation->predictions, pair, found);
        html_element(page, "h3", "%s taken for %s: %zu", lesion_names[pair->truth], lesion_names[pair->said],
                     pair->n);
        html_open(page, "div", "class=\"grid\"");
        for (size_t j = 0; j < count && j < IMAGES_SHOWN && status == STATUS_OK; j++)
            status = draw_image(page, gallery, &found[j], err);
        html_close(page, "div");
    }
    free(found);
    return status;
}
