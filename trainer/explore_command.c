// explore_command.c: the subcommand `explore`: the counts of explore.c as a page and as JSON. Main thread.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json_write.h"
#include "common/base/memory.h"
#include "common/picture/chart.h"
#include "kernels/image/resize.h"
#include "trainer/dataset_flags.h"
#include "trainer/explore.h"
#include "trainer/output.h"

enum { THUMBNAIL_SIDE = 112, THUMBNAIL_QUALITY = 85, THUMBNAIL_BYTES = 1 << 20 };

const struct option explore_flags[] = {
    DATASET_FLAGS,
    {.name = "out", .type = OPTION_TEXT, .initial = "", .value = "DIR", .help = "folder to make"},
    {.name = NULL},
};

// What was found wrong, for standard error as it is found and for the page afterwards.
struct findings {
    struct progress progress;
    char *sentences[EXPLORE_MOST_COMPLAINTS];
    size_t count;
};

static void complain(void *context, const char *sentence)
{
    struct findings *findings = context;
    progress_clear(&findings->progress);
    fprintf(stderr, "skinsight-trainer explore: %s\n", sentence);
    if (findings->count < EXPLORE_MOST_COMPLAINTS)
        findings->sentences[findings->count++] = memory_strdup(sentence);
}

static void write_classes(struct json_writer *json, const struct exploration *exploration)
{
    json_add_array(json, "classes");
    for (int i = 0; i < LESION_CLASSES; i++) {
        json_add_object(json, NULL);
        json_add_text(json, "class", lesion_codes[i]);
        json_add_bool(json, "malignant", lesion_is_malignant(i));
        json_add_integer(json, "images", (int64_t)exploration->class_images[i]);
        json_add_integer(json, "lesions", (int64_t)exploration->class_lesions[i]);
        for (int part = 0; part < DATASET_PARTS; part++)
            json_add_integer(json, dataset_part_names[part], (int64_t)exploration->images[part][i]);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_sizes_and_ages(struct json_writer *json, const struct exploration *exploration)
{
    json_add_array(json, "sizes");
    for (int i = 0; i < EXPLORE_MOST_SIZES && exploration->sizes[i].count > 0; i++) {
        json_add_object(json, NULL);
        json_add_integer(json, "width", exploration->sizes[i].width);
        json_add_integer(json, "height", exploration->sizes[i].height);
        json_add_integer(json, "images", (int64_t)exploration->sizes[i].count);
        json_end_object(json);
    }
    json_end_array(json);
    json_add_integer(json, "other_sizes", (int64_t)exploration->other_sizes);
    json_add_array(json, "ages");
    for (int i = 0; i < EXPLORE_DECADES; i++) {
        json_add_object(json, NULL);
        json_add_integer(json, "from", 10 * i);
        json_add_integer(json, "malignant", (int64_t)exploration->ages[i][1]);
        json_add_integer(json, "other", (int64_t)exploration->ages[i][0]);
        json_end_object(json);
    }
    json_end_array(json);
    json_add_integer(json, "age_unknown", (int64_t)exploration->ages_unknown);
}

static enum status write_json(const struct dataset *dataset, const struct exploration *exploration,
                              const struct findings *findings, struct buffer *out, struct error *err)
{
    struct json_writer json;
    json_write_begin(&json, out, err);
    json_add_object(&json, NULL);
    json_add_text(&json, "schema", "skinsight.exploration.v1");
    json_add_object(&json, "data");
    json_add_digest(&json, "sha256", &dataset->sha256);
    json_add_integer(&json, "images", (int64_t)dataset->count);
    json_add_integer(&json, "lesions", (int64_t)exploration->lesions);
    json_end_object(&json);
    write_classes(&json, exploration);
    json_add_float(&json, "imbalance", (float)exploration->imbalance);
    write_sizes_and_ages(&json, exploration);
    json_add_object(&json, "found");
    json_add_integer(&json, "unreadable", (int64_t)dataset->left_out);
    json_add_integer(&json, "copies", (int64_t)dataset->copies);
    json_add_integer(&json, "near_copies", (int64_t)dataset->near_copies);
    json_add_integer(&json, "divided_lesions", (int64_t)dataset->divided_lesions);
    json_add_integer(&json, "divided_patients", (int64_t)dataset->divided_patients);
    json_add_array(&json, "sentences");
    for (size_t i = 0; i < findings->count; i++)
        json_add_text(&json, NULL, findings->sentences[i]);
    json_end_array(&json);
    json_end_object(&json);
    json_end_object(&json);
    return json_write_end(&json);
}

static void draw_classes(struct html *page, const struct exploration *exploration)
{
    static const char *const headings[] = {"Class",    "Diagnosis",  "Group", "Images", "Lesions",
                                           "Training", "Validation", "Test",  NULL};
    struct chart_group groups[LESION_CLASSES] = {0};
    const struct chart chart = {.title = "Images of each class; warm: malignant group",
                                .x = {.label = "class"},
                                .y = {.label = "images"}};
    for (int i = 0; i < LESION_CLASSES; i++)
        groups[i] = (struct chart_group){.label = lesion_codes[i],
                                         .values = {(double)exploration->class_images[i]},
                                         .colours = {lesion_colours[i]}};
    html_element(page, "h2", "Classes");
    chart_bars(page, &chart, groups, LESION_CLASSES, 1, NULL);
    html_table_begin(page, "Images and lesions of each class, and the parts they are in", headings);
    for (int i = 0; i < LESION_CLASSES; i++) {
        html_row_begin(page);
        html_cell(page, "%s", lesion_codes[i]);
        html_cell(page, "%s", lesion_names[i]);
        html_cell(page, "%s", lesion_is_malignant(i) ? "malignant" : "benign");
        html_number(page, "%zu", exploration->class_images[i]);
        html_number(page, "%zu", exploration->class_lesions[i]);
        for (int part = 0; part < DATASET_PARTS; part++)
            html_number(page, "%zu", exploration->images[part][i]);
        html_row_end(page);
    }
    html_table_end(page);
    html_element(page, "p",
                 "Imbalance: the largest class has %.1f times the images of the smallest that has any.",
                 exploration->imbalance);
}

static void draw_ages(struct html *page, const struct exploration *exploration)
{
    static const char *const names[] = {"benign", "malignant group"};
    static const char *const decades[EXPLORE_DECADES] = {"0",  "10", "20", "30", "40",  "50",
                                                         "60", "70", "80", "90", "100+"};
    struct chart_group groups[EXPLORE_DECADES] = {0};
    const struct chart chart = {.title = "Images by the patient's age",
                                .x = {.label = "decade that begins at"},
                                .y = {.label = "images"}};
    for (int i = 0; i < EXPLORE_DECADES; i++)
        groups[i] =
            (struct chart_group){.label = decades[i],
                                 .values = {(double)exploration->ages[i][0], (double)exploration->ages[i][1]},
                                 .colours = {lesion_colours[LESION_NV], lesion_colours[LESION_MEL]}};
    html_element(page, "h2", "Ages");
    chart_bars(page, &chart, groups, EXPLORE_DECADES, 2, names);
    html_element(page, "p", "The age is not known of %zu images.", exploration->ages_unknown);
}

static void draw_sizes(struct html *page, const struct exploration *exploration)
{
    static const char *const headings[] = {"Width", "Height", "Images", NULL};
    html_element(page, "h2", "Sizes");
    html_table_begin(page, "The most frequent sizes in pixels", headings);
    for (int i = 0; i < EXPLORE_MOST_SIZES && exploration->sizes[i].count > 0; i++) {
        html_row_begin(page);
        html_number(page, "%d", exploration->sizes[i].width);
        html_number(page, "%d", exploration->sizes[i].height);
        html_number(page, "%zu", exploration->sizes[i].count);
        html_row_end(page);
    }
    html_table_end(page);
    if (exploration->other_sizes > 0)
        html_element(page, "p", "%zu images have other sizes.", exploration->other_sizes);
}

static enum status draw_thumbnail(struct html *page, const struct dataset *dataset, size_t sample,
                                  struct error *err)
{
    struct image image, small = {0};
    struct buffer jpeg;
    buffer_init(&jpeg, THUMBNAIL_BYTES);
    enum status status = dataset_picture(dataset, sample, &image, err);
    if (status == STATUS_OK)
        status = image_init(&small, THUMBNAIL_SIDE, THUMBNAIL_SIDE, err);
    if (status == STATUS_OK)
        status =
            resize_crop(resize_kernels_best(), &image, THUMBNAIL_SIDE, THUMBNAIL_SIDE, small.pixels, err);
    if (status == STATUS_OK)
        status = jpeg_encode(&small, THUMBNAIL_QUALITY, &jpeg, err);
    if (status == STATUS_OK) {
        html_open(page, "figure", "");
        html_picture(page, "image/jpeg", buffer_bytes(&jpeg), THUMBNAIL_SIDE,
                     lesion_names[dataset->samples[sample].label]);
        html_element(page, "figcaption", "%s", dataset->samples[sample].file);
        html_close(page, "figure");
    }
    buffer_release(&jpeg);
    image_release(&small);
    image_release(&image);
    return status;
}

// The files with the least digests: the same ones each time, and drawn from the whole class.
static int by_digest(const void *a, const void *b, void *context)
{
    const struct sample *samples = context;
    return memcmp(samples[*(const size_t *)a].sha256.value, samples[*(const size_t *)b].sha256.value,
                  DIGEST_SIZE);
}

static enum status draw_samples(struct html *page, const struct dataset *dataset, struct error *err)
{
    enum status status = STATUS_OK;
    size_t *order = memory_alloc(dataset->count * sizeof *order);
    for (size_t i = 0; i < dataset->count; i++)
        order[i] = i;
    qsort_r(order, dataset->count, sizeof *order, by_digest, dataset->samples);
    html_element(page, "h2", "Samples");
    for (int label = 0; label < LESION_CLASSES && status == STATUS_OK; label++) {
        html_element(page, "h3", "%s %s", lesion_codes[label], lesion_names[label]);
        html_open(page, "div", "class=\"grid\"");
        int drawn = 0;
        for (size_t i = 0; i < dataset->count && drawn < EXPLORE_SAMPLES && status == STATUS_OK; i++)
            if (dataset->samples[order[i]].label == label) {
                status = draw_thumbnail(page, dataset, order[i], err);
                drawn++;
            }
        html_close(page, "div");
        if (drawn == 0)
            html_element(page, "p", "No image.");
    }
    free(order);
    return status;
}

static enum status write_page(const struct dataset *dataset, const struct exploration *exploration,
                              const struct findings *findings, struct buffer *out, struct error *err)
{
    struct html page;
    html_begin(&page, out, "Exploration of a data set", err);
    html_element(&page, "p", "%zu images of %zu lesions.", dataset->count, exploration->lesions);
    for (size_t i = 0; i < findings->count; i++)
        html_warning(&page, "%s", findings->sentences[i]);
    draw_classes(&page, exploration);
    draw_ages(&page, exploration);
    draw_sizes(&page, exploration);
    enum status status = draw_samples(&page, dataset, err);
    enum status written = html_end(&page);
    return status == STATUS_OK ? written : status;
}

static enum status write_reports(const struct dataset *dataset, const struct findings *findings,
                                 const char *folder, struct error *err)
{
    struct exploration exploration;
    struct buffer json, page;
    buffer_init(&json, OUTPUT_MOST_BYTES);
    buffer_init(&page, OUTPUT_MOST_BYTES);
    explore_dataset(dataset, &exploration);
    enum status status = write_json(dataset, &exploration, findings, &json, err);
    if (status == STATUS_OK)
        status = write_page(dataset, &exploration, findings, &page, err);
    if (status == STATUS_OK)
        status = output_make(folder, err);
    if (status == STATUS_OK)
        status = output_write(folder, "explore.json", buffer_bytes(&json), err);
    if (status == STATUS_OK)
        status = output_write(folder, "explore.html", buffer_bytes(&page), err);
    if (status == STATUS_OK)
        printf("%s/explore.html: %zu images of %zu lesions, imbalance %.1f\n", folder, dataset->count,
               exploration.lesions, exploration.imbalance);
    buffer_release(&json);
    buffer_release(&page);
    return status;
}

enum status explore_command(struct config *config, struct error *err)
{
    struct findings findings = {.count = 0};
    struct dataset *dataset = NULL;
    struct dataset_options options = dataset_options_of(config);
    progress_init(&findings.progress, stderr, true, 0);
    findings.progress.verb = "read";
    options.lone_lesions = true;
    options.progress = &findings.progress;
    options.complaints = (struct collect_complaints){complain, &findings};
    enum status status = output_check(config_text(config, "out"), err);
    if (status == STATUS_OK)
        status = dataset_open(&dataset, &options, err);
    progress_clear(&findings.progress);
    if (status == STATUS_OK)
        status = write_reports(dataset, &findings, config_text(config, "out"), err);
    dataset_free(dataset);
    for (size_t i = 0; i < findings.count; i++)
        free(findings.sentences[i]);
    return status;
}
