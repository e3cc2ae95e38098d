// command.c: `report` reads the archive and writes two files. The clock is asked here alone: the request
// holds what it said.
#include "monitor/report/command.h"

#include <stdio.h>
#include <string.h>

#include "common/audit/settings.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/moment.h"
#include "common/services/sql.h"
#include "monitor/incident/reading.h"
#include "monitor/report/publish.h"

enum { DAYS = 28 };

static const int64_t day_ms = 24 * 3600 * 1000;

const struct option report_flags[] = {
    {.name = "kind",
     .type = OPTION_CHOICE,
     .initial = "drift",
     .choices = "drift|performance|comparison|incident", // enum report_kind
     .help = "what the report is about"},
    {.name = "from",
     .type = OPTION_TEXT,
     .initial = "",
     .max = 40,
     .value = "TIME",
     .help = "analyses from then on; ISO 8601 or Unix milliseconds; empty: 28 days before --to"},
    {.name = "to",
     .type = OPTION_TEXT,
     .initial = "",
     .max = 40,
     .value = "TIME",
     .help = "and before then; empty: the beginning of this day of UTC"},
    {.name = "as_of",
     .type = OPTION_TEXT,
     .initial = "",
     .max = 39,
     .value = "REPORT-ID",
     .help = "makes a published report again, byte for byte; nothing else is asked then"},
    {.name = "model",
     .type = OPTION_TEXT,
     .initial = "",
     .max = REPORT_NAME_SIZE - 1,
     .value = "VERSION",
     .help = "answers of this model only; a comparison's first model"},
    {.name = "with",
     .type = OPTION_TEXT,
     .initial = "",
     .max = REPORT_NAME_SIZE - 1,
     .value = "VERSION",
     .help = "a comparison's second model"},
    {.name = "site",
     .type = OPTION_TEXT,
     .initial = "",
     .max = REPORT_NAME_SIZE - 1,
     .value = "NAME",
     .help = "analyses of this site only"},
    {.name = "out", .type = OPTION_TEXT, .initial = "", .value = "FILE.html", .help = "the page"},
    {.name = "json", .type = OPTION_TEXT, .initial = "", .value = "FILE", .help = "the same numbers"},
    {.name = NULL},
};

enum status report_check(const struct config *config, struct error *err)
{
    if (!*config_text(config, "out") && !*config_text(config, "json"))
        return error_set(err, STATUS_REJECTED, "report writes --out FILE.html, --json FILE or both");
    return sql_url_check(config_text(config, "store"), err);
}

static const char *text_or_null(const struct config *config, const char *name)
{
    const char *text = config_text(config, name);
    return *text ? text : NULL;
}

static enum status read_moments(const struct config *config, int64_t now, struct report_request *request,
                                struct error *err)
{
    const char *from = config_text(config, "from"), *to = config_text(config, "to");
    enum status status = STATUS_OK;
    request->to = now - now % day_ms;
    if (*to)
        status = moment_parse(to, &request->to, err);
    request->from = request->to - DAYS * day_ms;
    if (status == STATUS_OK && *from)
        status = moment_parse(from, &request->from, err);
    return status;
}

static enum status publish(const struct config *config, struct archive *archive, struct published *published,
                           struct error *err)
{
    struct archive_as_of as_of = {0};
    const bool compares = config_choice(config, "kind") == REPORT_COMPARISON;
    const char *model = text_or_null(config, "model");
    struct report_request request = {
        .kind = (enum report_kind)config_choice(config, "kind"),
        .model_version = compares ? NULL : model,
        .site = text_or_null(config, "site"),
        .model_a = compares ? model : NULL,
        .model_b = compares ? text_or_null(config, "with") : NULL,
        .references = text_or_null(config, "references"),
        .reference_key = text_or_null(config, "reference_key"),
        .alarm_budget_per_year = config_integer(config, "alarm_budget_per_year"),
        .as_of = &as_of,
    };
    const int64_t now = clock_wall_ms();
    enum status status = read_moments(config, now, &request, err);
    if (status == STATUS_OK)
        status = archive_now(archive, &as_of, err);
    if (status == STATUS_OK)
        status = report_publish(archive, &request, now, published, err);
    archive_as_of_release(&as_of);
    return status;
}

// Before the list leaves.
static enum status note_reading(const struct config *config, const cJSON *document, struct error *err)
{
    struct audit_entry entry = {.action = AUDIT_INCIDENT_READ, .outcome = "ok"};
    if (!incident_is_list(document))
        return STATUS_OK;
    enum status status = incident_reading(document, &entry.list, err);
    return status == STATUS_OK ? audit_command_note(config, &entry, err) : status;
}

static bool write_bytes(FILE *file, const void *context)
{
    const struct buffer *bytes = context;
    return fwrite(bytes->data, 1, bytes->size, file) == bytes->size;
}

static enum status write_files(const struct config *config, const struct published *published,
                               struct error *err)
{
    const char *out = config_text(config, "out"), *json = config_text(config, "json");
    struct buffer page;
    enum status status = STATUS_OK;
    buffer_init(&page, REPORT_MOST_BYTES);
    if (*out)
        status = report_page(published->document, &page, err);
    if (status == STATUS_OK && *out)
        status = file_replace_private(out, write_bytes, &page, err);
    if (status == STATUS_OK && *json)
        status = file_replace_private(json, write_bytes, &published->json, err);
    if (status == STATUS_OK)
        printf("%s\n", cJSON_GetObjectItemCaseSensitive(published->document, "id")->valuestring);
    buffer_release(&page);
    return status;
}

enum status report_command(struct config *config, struct error *err)
{
    const char *as_of = config_text(config, "as_of");
    struct published published = {0};
    struct archive *archive = NULL;
    enum status status = archive_open(&archive, config_text(config, "store"), err);
    if (status == STATUS_OK)
        status = *as_of ? report_publish_again(archive, as_of, text_or_null(config, "references"),
                                               text_or_null(config, "reference_key"), &published, err)
                        : publish(config, archive, &published, err);
    if (status == STATUS_OK)
        status = note_reading(config, published.document, err);
    if (status == STATUS_OK)
        status = write_files(config, &published, err);
    published_release(&published);
    archive_close(archive);
    return status;
}
