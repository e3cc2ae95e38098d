// compare_command.c: the subcommand `compare`: two evaluations in, comparison.json and comparison.html out.
// Main thread.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "trainer/compare.h"
#include "trainer/evaluate.h"
#include "trainer/output.h"

enum { REPLICATES = 2000 };

static bool parse_margin(const char *text, double *margin)
{
    char *end;
    *margin = strtod(text, &end);
    return end != text && *end == '\0' && *margin >= 0 && *margin < 1;
}

static enum status check_margin(const char *text, struct error *err)
{
    double margin;
    return parse_margin(text, &margin) ? STATUS_OK
                                       : error_set(err, STATUS_REJECTED, "it is a number from 0 to below 1");
}

const struct option compare_flags[] = {
    {.name = "a",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "evaluation of the model that is there, as evaluate made it"},
    {.name = "b",
     .type = OPTION_TEXT,
     .initial = "",
     .value = "DIR",
     .help = "evaluation of the model that may take its place, on the same images"},
    {.name = "margin",
     .type = OPTION_TEXT,
     .initial = "0.05",
     .value = "SHARE",
     .check = check_margin,
     .help = "balanced accuracy that B may lose overall and still count as no worse"},
    {.name = "out", .type = OPTION_TEXT, .initial = "", .value = "DIR", .help = "folder to make"},
    {.name = NULL},
};

// The report beside the predictions names the model, and says which part was judged: on another one than the
// test part something was chosen, or learnt.
static enum status read_report(const char *folder, char *name, size_t size, struct error *err)
{
    struct evaluation evaluation;
    char *path = memory_format("%s/report.json", folder);
    enum status status = evaluation_read_file(path, &evaluation, err);
    if (status == STATUS_OK && evaluation.part != PART_TEST)
        status = error_set(err, STATUS_REJECTED,
                           "%s: it is of the part '%s', where the models were chosen: compare evaluations of "
                           "the part test",
                           path, dataset_part_names[evaluation.part]);
    if (status == STATUS_OK)
        snprintf(name, size, "%s (%s)", evaluation.model_version, folder);
    evaluation_release(&evaluation);
    free(path);
    return status;
}

static enum status read_pairs(const struct config *config, struct predictions *a, struct predictions *b,
                              struct paired_predictions *paired, struct comparison *comparison,
                              struct error *err)
{
    enum status status = predictions_read(config_text(config, "a"), a, err);
    if (status == STATUS_OK)
        status = predictions_read(config_text(config, "b"), b, err);
    if (status == STATUS_OK)
        status = read_report(config_text(config, "a"), comparison->name_a, sizeof comparison->name_a, err);
    if (status == STATUS_OK)
        status = read_report(config_text(config, "b"), comparison->name_b, sizeof comparison->name_b, err);
    if (status == STATUS_OK)
        status = predictions_pair(a, b, paired, err);
    return status;
}

static enum status write_files(const struct comparison *comparison, const char *folder, struct error *err)
{
    struct buffer json, page;
    buffer_init(&json, OUTPUT_MOST_BYTES);
    buffer_init(&page, OUTPUT_MOST_BYTES);
    enum status status = comparison_write_json(comparison, &json, err);
    if (status == STATUS_OK)
        status = comparison_write_page(comparison, &page, err);
    if (status == STATUS_OK)
        status = output_make(folder, err);
    if (status == STATUS_OK)
        status = output_write(folder, "comparison.html", buffer_bytes(&page), err);
    if (status == STATUS_OK)
        status = output_write(folder, "comparison.json", buffer_bytes(&json), err);
    buffer_release(&json);
    buffer_release(&page);
    return status;
}

static void print_result(const char *folder, const struct comparison *comparison)
{
    char text[ESTIMATE_TEXT_SIZE];
    printf("%s/comparison.html: %zu images, balanced accuracy B - A %s", folder, comparison->n,
           estimate_text(&comparison->overall.difference, text));
    printf(", on %zu atypical ones %s; verdict %s\n", comparison->atypical.n,
           estimate_text(&comparison->atypical.difference, text), verdict_names[comparison->verdict]);
}

enum status compare_command(struct config *config, struct error *err)
{
    struct predictions a = {0}, b = {0};
    struct paired_predictions paired = {0};
    const struct figures_options options = {.replicates = REPLICATES};
    struct comparison *comparison = memory_alloc(sizeof *comparison);
    double margin = 0;
    parse_margin(config_text(config, "margin"), &margin);
    enum status status = read_pairs(config, &a, &b, &paired, comparison, err);
    if (status == STATUS_OK) {
        comparison_judge(&paired, margin, &options, comparison);
        status = write_files(comparison, config_text(config, "out"), err);
    }
    if (status == STATUS_OK)
        print_result(config_text(config, "out"), comparison);
    paired_predictions_release(&paired);
    predictions_release(&a);
    predictions_release(&b);
    free(comparison);
    return status;
}
