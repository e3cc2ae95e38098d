// history.c: rows as text and as curves. Main thread.
#include "trainer/history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/picture/chart.h"
#include "trainer/output.h"

// As many digits as a reader of a double needs; nothing where it is no number.
static void add_number(char *line, size_t size, double value)
{
    size_t used = strlen(line);
    if (isfinite(value))
        snprintf(line + used, size - used, ",%.10g", value);
    else
        snprintf(line + used, size - used, ",");
}

static enum status write_csv(const struct history *history, struct buffer *out, struct error *err)
{
    static const char names[] = "epoch,train_loss,val_loss,val_balanced_accuracy,lr,images_per_s\n";
    enum status status = buffer_append(out, names, sizeof names - 1, err);
    for (int i = 0; i < history->epochs && status == STATUS_OK; i++) {
        const struct history_row *row = &history->rows[i];
        char line[256];
        snprintf(line, sizeof line, "%d", i);
        add_number(line, sizeof line, row->train_loss);
        add_number(line, sizeof line, row->validation_loss);
        add_number(line, sizeof line, row->validation_balanced_accuracy);
        add_number(line, sizeof line, row->rate);
        add_number(line, sizeof line, row->images_per_s);
        strcat(line, "\n");
        status = buffer_append(out, line, strlen(line), err);
    }
    return status;
}

struct curves {
    double *epochs, *train, *validation, *accuracy, *rate;
};

static void draw(struct html *page, const struct history *history, const struct curves *curves)
{
    size_t count = (size_t)history->epochs;
    const struct chart_series losses[] = {
        {"training", chart_colour(1), curves->epochs, curves->train, count, .dots = true},
        {"validation", chart_colour(0), curves->epochs, curves->validation, count, .dots = true}};
    const struct chart_series accuracy = {NULL,  chart_colour(0), curves->epochs, curves->accuracy,
                                          count, .dots = true};
    const struct chart_series rate = {NULL,         chart_colour(2), curves->epochs,
                                      curves->rate, count,           .dots = true};
    const struct chart_axis epochs = {.label = "epoch"};
    chart_lines(page, &(struct chart){.title = "Loss", .x = epochs, .y = {.label = "loss"}}, losses, 2);
    chart_lines(page,
                &(struct chart){.title = "Balanced accuracy on the validation part",
                                .x = epochs,
                                .y = {"share", 0, 1, false}},
                &accuracy, 1);
    chart_lines(page,
                &(struct chart){.title = "Learning rate", .x = epochs, .y = {.label = "rate"}, .height = 220},
                &rate, 1);
}

static void draw_curves(struct html *page, const struct history *history)
{
    size_t count = (size_t)history->epochs + 1; // none is no memory of size 0
    double *values = memory_alloc(5 * count * sizeof *values);
    struct curves curves = {values, values + count, values + 2 * count, values + 3 * count,
                            values + 4 * count};
    for (int i = 0; i < history->epochs; i++) {
        curves.epochs[i] = i;
        curves.train[i] = history->rows[i].train_loss;
        curves.validation[i] = history->rows[i].validation_loss;
        curves.accuracy[i] = history->rows[i].validation_balanced_accuracy;
        curves.rate[i] = history->rows[i].rate;
    }
    draw(page, history, &curves);
    free(values);
}

static enum status write_page(const struct history *history, const char *title, struct buffer *out,
                              struct error *err)
{
    struct html page;
    html_begin(&page, out, title, err);
    if (history->best >= 0)
        html_element(&page, "p",
                     "The model kept is that of epoch %d (from 0), with a balanced accuracy of %.4f on the "
                     "validation part.",
                     history->best, history->rows[history->best].validation_balanced_accuracy);
    draw_curves(&page, history);
    return html_end(&page);
}

enum status history_write(const struct history *history, const char *folder, const char *title,
                          struct error *err)
{
    struct buffer csv, page;
    buffer_init(&csv, OUTPUT_MOST_BYTES);
    buffer_init(&page, OUTPUT_MOST_BYTES);
    enum status status = write_csv(history, &csv, err);
    if (status == STATUS_OK)
        status = write_page(history, title, &page, err);
    if (status == STATUS_OK)
        status = output_write(folder, "history.csv", buffer_bytes(&csv), err);
    if (status == STATUS_OK)
        status = output_write(folder, "history.html", buffer_bytes(&page), err);
    buffer_release(&csv);
    buffer_release(&page);
    return status;
}
