// publish.c: makes a report, pins what it was made from, and finds it again.
#include "monitor/report/publish.h"

#include <string.h>

static const char *text_in(const cJSON *object, const char *name)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(text) ? text->valuestring : NULL;
}

// A reference that is made later changes nothing of the report: neither where there was one, nor where not.
static void pin_reference(const cJSON *document, struct report_request *pinned)
{
    pinned->reference_sha256 = text_in(cJSON_GetObjectItemCaseSensitive(document, "reference"), "sha256");
    pinned->reference_missing = text_in(document, "reference_missing");
}

static enum status write_document(struct published *published, char sha256[DIGEST_TEXT_SIZE],
                                  struct error *err)
{
    enum status status = report_write(published->document, &published->json, err);
    const struct digest digest = digest_of(published->json.data, published->json.size);
    digest_text(&digest, sha256);
    return status;
}

enum status report_publish(struct archive *archive, const struct report_request *request, int64_t made_at,
                           struct published *published, struct error *err)
{
    struct report_request pinned = *request;
    struct archive_report report = {.made_at = made_at};
    struct buffer text;
    *published = (struct published){0};
    buffer_init(&published->json, REPORT_MOST_BYTES);
    buffer_init(&text, REPORT_REQUEST_MOST);
    pinned.id = NULL;
    enum status status = report_make(archive, &pinned, &published->document, err);
    if (status == STATUS_OK) { // which reference fits is known now, and with it the id
        pin_reference(published->document, &pinned);
        status = report_request_write(&pinned, &text, err);
    }
    if (status == STATUS_OK) {
        report_request_id(buffer_bytes(&text), report.id);
        cJSON_ReplaceItemInObjectCaseSensitive(published->document, "id", cJSON_CreateString(report.id));
        status = write_document(published, report.sha256, err);
    }
    if (status == STATUS_OK) {
        strcpy(report.kind, report_kind_names[request->kind]);
        report.request = buffer_bytes(&text);
        status = archive_add_report(archive, &report, err);
    }
    buffer_release(&text);
    return status;
}

enum status report_publish_again(struct archive *archive, const char *id, const char *references,
                                 const char *reference_key, struct published *published, struct error *err)
{
    struct archive_report report;
    struct stored_request stored = {0};
    char sha256[DIGEST_TEXT_SIZE];
    *published = (struct published){0};
    buffer_init(&published->json, REPORT_MOST_BYTES);
    enum status status = archive_find_report(archive, id, &report, err);
    if (status == STATUS_OK)
        status = report_request_read(report.request, &stored, err);
    if (status == STATUS_OK) {
        stored.request.id = report.id;
        stored.request.references = references;
        stored.request.reference_key = reference_key;
        status = report_make(archive, &stored.request, &published->document, err);
    }
    if (status == STATUS_OK)
        status = write_document(published, sha256, err);
    if (status == STATUS_OK && strcmp(sha256, report.sha256) != 0)
        status = error_set(err, STATUS_REJECTED,
                           "report %s can't be made again: its records, its reference or the program have "
                           "changed since it was published",
                           report.id);
    stored_request_release(&stored);
    return status;
}

void published_release(struct published *published)
{
    cJSON_Delete(published->document);
    buffer_release(&published->json);
    published->document = NULL;
}
