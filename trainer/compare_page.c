// compare_page.c: comparison.html: both models side by side, and the verdict.
#include <math.h>
#include <stdio.h>

#include "common/picture/chart.h"
#include "trainer/compare.h"

static const char colour_a[] = "#8a8a8a", colour_b[] = "#2e6e9e", colour_b_melanoma[] = "#b3261e";

static const char *in_words(enum verdict verdict)
{
    static const char *const words[VERDICT_COUNT] = {
        [VERDICT_NOT_ENOUGH] = "not enough evidence", [VERDICT_HOLDS] = "yes", [VERDICT_FAILS] = "no"};
    return words[verdict];
}

// An empty cell where there is no value.
static void draw_number(struct html *page, double value)
{
    char text[32] = "";
    if (!isnan(value))
        snprintf(text, sizeof text, "%.3f", value);
    html_number(page, "%s", text);
}

// "AK, SCC", "" where there is none.
enum { CODES_SIZE = 64 };

static const char *few_text(const struct group_comparison *group, char text[CODES_SIZE])
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < LESION_CLASSES; i++)
        if (group->few[i])
            used +=
                (size_t)snprintf(text + used, CODES_SIZE - used, "%s%s", used ? ", " : "", lesion_codes[i]);
    return text;
}

static void draw_few(struct html *page, const struct comparison *comparison)
{
    char text[CODES_SIZE];
    if (*few_text(&comparison->atypical, text))
        html_warning(page, "%s: fewer than %d atypical lesions, left out there for both models.", text,
                     FIGURES_LEAST_POSITIVES);
    if (*few_text(&comparison->overall, text))
        html_warning(page,
                     "%s: fewer than %d lesions. They count overall, but how sure their figures are can't be "
                     "known from so few.",
                     text, FIGURES_LEAST_POSITIVES);
}

static void draw_verdict(struct html *page, const struct comparison *comparison)
{
    static const char *const headings[] = {
        "Question", "Images", "Balanced accuracy A", "B", "B - A", "McNemar", "Verdict", NULL};
    const struct group_comparison *groups[] = {&comparison->overall, &comparison->atypical};
    html_element(page, "h2", "Verdict: %s",
                 comparison->verdict == VERDICT_HOLDS   ? "B may take A's place"
                 : comparison->verdict == VERDICT_FAILS ? "B may not take A's place"
                                                        : "not enough evidence");
    html_table_begin(page, "No worse overall and better on the atypical lesions: both are needed", headings);
    for (int i = 0; i < 2; i++) {
        html_row_begin(page);
        if (i == 0)
            html_cell(page, "Is B no worse overall, by %.3f at most?", comparison->margin);
        else
            html_cell(page, "Is B better on atypical lesions?");
        html_number(page, "%zu", groups[i]->n);
        draw_number(page, groups[i]->a);
        draw_number(page, groups[i]->b);
        estimate_cell(page, &groups[i]->difference);
        html_number(page, "%lld : %lld, p %.4f", (long long)groups[i]->mcnemar.b,
                    (long long)groups[i]->mcnemar.c, groups[i]->mcnemar.p);
        html_cell(page, "%s", in_words(groups[i]->verdict));
        html_row_end(page);
    }
    html_table_end(page);
    html_element(
        page, "p",
        "The difference's interval is a bootstrap of whole lesions: 90 %% (one-sided 95 %%) overall, 95 %% "
        "on atypical lesions. McNemar: lesions that A is right about more often, and B; exact, two-sided.");
    draw_few(page, comparison);
}

enum { CHANGE_SIZE = 32 };

static const char *change_text(double percent, char text[CHANGE_SIZE])
{
    text[0] = '\0';
    if (!isnan(percent))
        snprintf(text, CHANGE_SIZE, "%+.1f %%", percent);
    return text;
}

static void draw_bars(struct html *page, const struct comparison *comparison)
{
    static const char *const names[] = {"A", "B (melanoma: red)"};
    struct chart_group groups[LESION_CLASSES] = {0};
    char notes[LESION_CLASSES][CHANGE_SIZE];
    const struct chart chart = {.title = "Sensitivity of each class, and what B changes",
                                .x = {.label = "class"},
                                .y = {.label = "sensitivity", .low = 0, .high = 1}};
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct class_comparison *of = &comparison->classes[i];
        change_text(of->change_percent, notes[i]);
        groups[i] =
            (struct chart_group){.label = lesion_codes[i],
                                 .values = {of->sensitivity_a, of->sensitivity_b},
                                 .colours = {colour_a, i == LESION_MEL ? colour_b_melanoma : colour_b},
                                 .note = notes[i]};
    }
    html_element(page, "h2", "Classes");
    chart_bars(page, &chart, groups, LESION_CLASSES, 2, names);
}

static void draw_classes(struct html *page, const struct comparison *comparison)
{
    static const char *const headings[] = {
        "Class", "Images", "Sensitivity A", "B", "Change", "AUROC A", "AUROC B", "z", "p", NULL};
    html_table_begin(page, "DeLong's test of the areas, paired, by lesion, two-sided", headings);
    for (int i = 0; i < LESION_CLASSES; i++) {
        const struct class_comparison *of = &comparison->classes[i];
        char change[CHANGE_SIZE];
        html_row_begin(page);
        html_cell(page, "%s %s", lesion_codes[i], lesion_names[i]);
        html_number(page, "%zu", of->n);
        draw_number(page, of->sensitivity_a);
        draw_number(page, of->sensitivity_b);
        html_number(page, "%s", change_text(of->change_percent, change));
        draw_number(page, of->has_auroc ? of->auroc.a.estimate : NAN);
        draw_number(page, of->has_auroc ? of->auroc.b.estimate : NAN);
        draw_number(page, of->has_auroc ? of->auroc.z : NAN);
        draw_number(page, of->has_auroc ? of->auroc.p : NAN);
        html_row_end(page);
    }
    html_table_end(page);
}

enum status comparison_write_page(const struct comparison *comparison, struct buffer *out, struct error *err)
{
    struct html page;
    html_begin(&page, out, "Comparison of two models", err);
    html_element(&page, "p", "A: %s. B: %s. %zu images that both were judged on, paired by their digests.",
                 comparison->name_a, comparison->name_b, comparison->n);
    if (comparison->only_a > 0 || comparison->only_b > 0)
        html_warning(&page, "%zu images of A and %zu of B are in one evaluation alone and do not count.",
                     comparison->only_a, comparison->only_b);
    html_warning(&page, "Not for clinical use.");
    draw_verdict(&page, comparison);
    draw_bars(&page, comparison);
    draw_classes(&page, comparison);
    return html_end(&page);
}
