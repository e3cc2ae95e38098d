// report_folder.c: what is there says what is missing: no state but the folder's own.
#include "monitor/service/report_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/moment.h"
#include "common/picture/html.h"
#include "monitor/archive/plans.h"
#include "monitor/report/publish.h"

enum {
    FOLDER_MODE = 0750,
    DAY_TEXT = 10,  // 2026-12-01
    NAME_SIZE = 64, // of a file
    INDEX_MOST = 8 << 20,
    PLANS_MOST = 16,
};

static const int64_t day_ms = INT64_C(24) * 3600 * 1000;
static const enum report_kind kinds[] = {REPORT_DRIFT, REPORT_PERFORMANCE, REPORT_COMPARISON};
enum { KINDS = sizeof kinds / sizeof *kinds };
static const char *const endings[] = {".html", ".json", ".html.partial", ".json.partial"};
enum { ENDING_PAGE, ENDING_JSON, ENDINGS = sizeof endings / sizeof *endings };

struct folder {
    const struct report_folder_options *options;
    struct archive *archive;
    int64_t to; // the beginning of the day
    char day[DAY_TEXT + 1];
    struct archive_as_of as_of;
};

static char *path_of(const struct folder *folder, const char *day, enum report_kind kind, int ending)
{
    return memory_format("%s/%s-%s%s", folder->options->path, day, report_kind_names[kind], endings[ending]);
}

static void day_text(int64_t at, char day[DAY_TEXT + 1])
{
    char text[MOMENT_TEXT_SIZE];
    moment_format(at, text);
    snprintf(day, DAY_TEXT + 1, "%.*s", DAY_TEXT, text);
}

// ---- what is there ----

struct entry {
    char day[DAY_TEXT + 1];
    enum report_kind kind;
    int ending;
};

static bool is_day(const char *text)
{
    static const char form[] = "dddd-dd-dd";
    for (int i = 0; i < DAY_TEXT; i++)
        if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return false; // also at the end of the text
    return true;
}

// A file that is ours, by its name.
static bool read_name(const char *name, struct entry *entry)
{
    if (!is_day(name) || name[DAY_TEXT] != '-')
        return false;
    const char *rest = name + DAY_TEXT + 1;
    for (size_t k = 0; k < KINDS; k++) {
        size_t length = strlen(report_kind_names[kinds[k]]);
        for (int e = 0; e < ENDINGS; e++)
            if (strncmp(rest, report_kind_names[kinds[k]], length) == 0 &&
                strcmp(rest + length, endings[e]) == 0) {
                *entry = (struct entry){.kind = kinds[k], .ending = e};
                memcpy(entry->day, name, DAY_TEXT);
                return true;
            }
    }
    return false;
}

// The newest day first, and then in the order of kinds and endings.
static int by_day(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = strcmp(b->day, a->day);
    if (order == 0)
        order = (int)a->kind - (int)b->kind;
    return order ? order : a->ending - b->ending;
}

// entries: of REPORT_FOLDER_FILES_MOST.
static enum status list(const struct folder *folder, struct entry *entries, size_t *count, struct error *err)
{
    const char *path = folder->options->path;
    size_t files = 0;
    *count = 0;
    DIR *folder_ = opendir(path);
    if (!folder_)
        return error_set(err, STATUS_FATAL, "%s: %s", path, strerror(errno));
    const struct dirent *file;
    while (files <= REPORT_FOLDER_FILES_MOST && (file = readdir(folder_)) != NULL) {
        files++;
        if (files <= REPORT_FOLDER_FILES_MOST && read_name(file->d_name, &entries[*count]))
            ++*count;
    }
    closedir(folder_);
    if (files > REPORT_FOLDER_FILES_MOST)
        return error_set(err, STATUS_REJECTED, "%s holds more than %d files", path, REPORT_FOLDER_FILES_MOST);
    if (*count > 0)
        qsort(entries, *count, sizeof *entries, by_day);
    return STATUS_OK;
}

// ---- what is missing ----

// The models that answered in the report's days, and of them the two that are compared.
struct arms {
    size_t count;
    char models[REPORT_FOLDER_MODELS_MOST][JOB_TOKEN_SIZE];
    const char *a, *b; // NULL: there are no two
};

static enum status take_model(void *context, const struct analysis *analysis, struct error *err)
{
    struct arms *arms = context;
    for (size_t i = 0; i < arms->count; i++)
        if (strcmp(arms->models[i], analysis->model_version) == 0)
            return STATUS_OK;
    if (arms->count == REPORT_FOLDER_MODELS_MOST)
        return error_set(err, STATUS_REJECTED, "more than %d models answered in %d days",
                         REPORT_FOLDER_MODELS_MOST, REPORT_FOLDER_DAYS);
    snprintf(arms->models[arms->count++], JOB_TOKEN_SIZE, "%s", analysis->model_version);
    return STATUS_OK;
}

static const char *find_model(const struct arms *arms, const char *model)
{
    for (size_t i = 0; i < arms->count; i++)
        if (strcmp(arms->models[i], model) == 0)
            return arms->models[i];
    return NULL;
}

// The newest plan whose models both answered says who is a.
static enum status choose_planned(struct archive *archive, struct arms *arms, struct error *err)
{
    struct archive_plan *plans = memory_alloc(PLANS_MOST * sizeof *plans);
    size_t count;
    enum status status = archive_newest_plans(archive, plans, PLANS_MOST, &count, err);
    for (size_t i = 0; status == STATUS_OK && !arms->b && i < count; i++) {
        const char *a = find_model(arms, plans[i].model_a), *b = find_model(arms, plans[i].model_b);
        if (a && b)
            arms->a = a, arms->b = b;
    }
    free(plans);
    return status;
}

// By their first answers of all, as in the report's days two that answer side by side begin in any order.
static enum status choose_newest(struct archive *archive, struct arms *arms, struct error *err)
{
    int64_t at_a = -1, at_b = -1;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < arms->count && status == STATUS_OK; i++) {
        int64_t at;
        status = archive_first_answer(archive, arms->models[i], &at, err);
        if (at >= at_b) {
            arms->a = arms->b, at_a = at_b;
            arms->b = arms->models[i], at_b = at;
        } else if (at >= at_a) {
            arms->a = arms->models[i], at_a = at;
        }
    }
    return status;
}

static enum status find_arms(const struct folder *folder, struct arms *arms, struct error *err)
{
    const struct archive_filter filter = {
        .from = folder->to - REPORT_FOLDER_DAYS * day_ms, .to = folder->to, .as_of = &folder->as_of};
    *arms = (struct arms){.count = 0};
    enum status status = archive_walk(folder->archive, &filter, take_model, arms, err);
    if (status == STATUS_OK)
        status = choose_planned(folder->archive, arms, err);
    if (status == STATUS_OK && !arms->b && arms->count >= 2)
        status = choose_newest(folder->archive, arms, err);
    return status;
}

static bool write_bytes(FILE *file, const void *context)
{
    const struct buffer *bytes = context;
    return fwrite(bytes->data, 1, bytes->size, file) == bytes->size;
}

static enum status write_file(const struct folder *folder, enum report_kind kind, int ending,
                              const struct buffer *bytes, struct error *err)
{
    char *path = path_of(folder, folder->day, kind, ending);
    enum status status = file_replace_private(path, write_bytes, bytes, err);
    free(path);
    return status;
}

static enum status publish(const struct folder *folder, enum report_kind kind, const struct arms *arms,
                           int64_t now, struct error *err)
{
    const struct report_request request = {.kind = kind,
                                           .from = folder->to - REPORT_FOLDER_DAYS * day_ms,
                                           .to = folder->to,
                                           .model_a = arms->a,
                                           .model_b = arms->b,
                                           .references = folder->options->references,
                                           .reference_key = folder->options->reference_key,
                                           .alarm_budget_per_year = folder->options->alarm_budget_per_year,
                                           .as_of = &folder->as_of};
    struct published published;
    struct buffer page;
    buffer_init(&page, REPORT_MOST_BYTES);
    enum status status = report_publish(folder->archive, &request, now, &published, err);
    if (status == STATUS_OK)
        status = report_page(published.document, &page, err);
    if (status == STATUS_OK)
        status = write_file(folder, kind, ENDING_PAGE, &page, err);
    if (status == STATUS_OK)
        status = write_file(folder, kind, ENDING_JSON, &published.json, err);
    buffer_release(&page);
    published_release(&published);
    return status;
}

static bool is_there(const struct folder *folder, enum report_kind kind)
{
    char *path = path_of(folder, folder->day, kind, ENDING_JSON);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

// *made: whether a report was published.
static enum status add(const struct folder *folder, enum report_kind kind, int64_t now, bool *made,
                       struct error *err)
{
    struct arms arms = {.a = NULL};
    enum status status = STATUS_OK;
    *made = false;
    if (is_there(folder, kind))
        return STATUS_OK;
    if (kind == REPORT_COMPARISON)
        status = find_arms(folder, &arms, err);
    if (status != STATUS_OK || (kind == REPORT_COMPARISON && !arms.b))
        return status;
    status = publish(folder, kind, &arms, now, err);
    *made = status == STATUS_OK;
    if (status != STATUS_OK)
        error_prefix(err, "%s of %s", report_kind_names[kind], folder->day);
    return status;
}

// ---- what goes, and the index ----

// Drops what is too old and what a crash left unfinished; the rest moves up.
static size_t drop_old(const struct folder *folder, struct entry *entries, size_t count)
{
    char oldest[DAY_TEXT + 1] = "";
    size_t kept = 0;
    if (folder->options->days > 0)
        day_text(folder->to - folder->options->days * day_ms, oldest);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].ending <= ENDING_JSON && strcmp(entries[i].day, oldest) >= 0) {
            entries[kept++] = entries[i];
            continue;
        }
        char *path = path_of(folder, entries[i].day, entries[i].kind, entries[i].ending);
        unlink(path); // where it can't be done now, the next update tries again
        free(path);
    }
    return kept;
}

static void draw_index(struct html *page, const struct entry *entries, size_t count)
{
    static const char *const headings[] = {"Day", "Report", "Numbers", NULL};
    html_element(page, "p", "Each report is of the %d days before its day (UTC).", REPORT_FOLDER_DAYS);
    html_table_begin(page, "Reports", headings);
    for (size_t i = 0; i < count; i++) {
        const char *kind = report_kind_names[entries[i].kind], *day = entries[i].day;
        if (entries[i].ending != ENDING_JSON) // its page came before
            continue;
        html_row_begin(page);
        html_cell(page, "%s", day);
        html_markup(page, "<td><a href=\"%s-%s.html\">%s</a></td>", day, kind, kind);
        html_markup(page, "<td><a href=\"%s-%s.json\">JSON</a></td>", day, kind);
        html_row_end(page);
    }
    html_table_end(page);
}

static enum status write_index(const struct folder *folder, const struct entry *entries, size_t count,
                               struct error *err)
{
    struct buffer text;
    struct html page;
    buffer_init(&text, INDEX_MOST);
    html_begin(&page, &text, "SkinSight reports", err);
    draw_index(&page, entries, count);
    enum status status = html_end(&page);
    char *path = memory_format("%s/index.html", folder->options->path);
    if (status == STATUS_OK)
        status = file_replace_private(path, write_bytes, &text, err);
    free(path);
    buffer_release(&text);
    return status;
}

static enum status tidy(const struct folder *folder, int published, struct error *err)
{
    struct entry *entries = memory_alloc(REPORT_FOLDER_FILES_MOST * sizeof *entries);
    size_t count;
    enum status status = list(folder, entries, &count, err);
    if (status == STATUS_OK) {
        size_t kept = drop_old(folder, entries, count);
        if (published > 0 || kept < count)
            status = write_index(folder, entries, kept, err);
    }
    free(entries);
    return status;
}

enum status report_folder_update(const struct report_folder_options *options, struct archive *archive,
                                 int64_t now, int *published, struct error *err)
{
    struct folder folder = {.options = options, .archive = archive, .to = now - now % day_ms};
    struct error other;
    *published = 0;
    day_text(folder.to, folder.day);
    if (mkdir(options->path, FOLDER_MODE) != 0 && errno != EEXIST)
        return error_set(err, STATUS_FATAL, "%s: %s", options->path, strerror(errno));
    enum status status = archive_now(archive, &folder.as_of, err);
    if (status != STATUS_OK)
        return status;
    for (size_t k = 0; k < KINDS; k++) {
        bool made;
        enum status kind_status = add(&folder, kinds[k], now, &made, status == STATUS_OK ? err : &other);
        *published += made;
        if (status == STATUS_OK)
            status = kind_status;
    }
    enum status tidied = tidy(&folder, *published, status == STATUS_OK ? err : &other);
    archive_as_of_release(&folder.as_of);
    return status == STATUS_OK ? tidied : status;
}
