// answer.c: reads one terminal record; every field is checked, since anyone may write to the topic.
// No state, any thread.
#include "producer/answer.h"

#include <math.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/text.h"

static const char *string_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

// NAN where it is no number.
static double number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static bool within(double value, double least, double most)
{
    return value >= least && value <= most; // false for NAN
}

static enum status read_prediction(const cJSON *record, struct answer *answer, struct error *err)
{
    const cJSON *prediction = cJSON_GetObjectItemCaseSensitive(record, "prediction");
    const char *diagnosis = string_of(prediction, "primary_diagnosis");
    const char *action = string_of(prediction, "recommended_action");
    double confidence = number_of(prediction, "confidence");
    double risk_score = number_of(prediction, "risk_score");
    if (!diagnosis || !action || !within(confidence, 0, 1) || !within(risk_score, 0, 100))
        return error_set(err, STATUS_REJECTED, "neither a whole prediction nor an error stands in it");
    text_clean(diagnosis, answer->diagnosis, sizeof answer->diagnosis);
    text_clean(action, answer->action, sizeof answer->action);
    answer->confidence = confidence;
    answer->risk_score = (int)risk_score;
    const cJSON *info = cJSON_GetObjectItemCaseSensitive(record, "model_info");
    answer->untrained = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(info, "trained"));
    return STATUS_OK;
}

static enum status read_error(const cJSON *error, struct answer *answer, struct error *err)
{
    const char *code = string_of(error, "code");
    const char *message = string_of(error, "message");
    if (!code)
        return error_set(err, STATUS_REJECTED, "its error has no code");
    answer->is_error = true;
    text_clean(code, answer->code, sizeof answer->code);
    text_clean(message ? message : "no reason given", answer->message, sizeof answer->message);
    return STATUS_OK;
}

static void read_source(const cJSON *record, struct answer *answer)
{
    const cJSON *provenance = cJSON_GetObjectItemCaseSensitive(record, "provenance");
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(provenance, "source");
    double partition = number_of(source, "partition");
    double offset = number_of(source, "offset");
    answer->source_partition = within(partition, 0, INT32_MAX) ? (int32_t)partition : -1;
    answer->source_offset = within(offset, 0, 9007199254740992.0) ? (int64_t)offset : -1;
}

static enum status read_record(const cJSON *record, const char *request_id, struct answer *answer,
                               struct error *err)
{
    const char *schema = string_of(record, "schema");
    const char *id = string_of(record, "request_id");
    if (!schema || strcmp(schema, "skinsight.prediction.v1") != 0)
        return error_set(err, STATUS_REJECTED, "its schema is not skinsight.prediction.v1");
    if (!id || strcmp(id, request_id) != 0)
        return error_set(err, STATUS_REJECTED, "its request_id is not that of its key");
    read_source(record, answer);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(record, "error");
    return error ? read_error(error, answer, err) : read_prediction(record, answer, err);
}

enum status answer_parse(struct bytes value, const char *request_id, struct answer *answer, struct error *err)
{
    static const struct json_limits limits = {.bytes = 10 << 20, .values = 10000, .depth = 32};
    *answer = (struct answer){0};
    cJSON *record = NULL;
    enum status status = json_parse(value, &limits, &record, err);
    if (status == STATUS_OK)
        status = read_record(record, request_id, answer, err);
    cJSON_Delete(record);
    return status;
}

enum { DIAGNOSIS_COLUMNS = 23, ACTION_COLUMNS = 16 }; // squamous_cell_carcinoma, routine_referral

void answer_write_heading(FILE *out, size_t name_columns)
{
    text_write_tail(out, "file", name_columns);
    fprintf(out, "  %-*s  confidence  risk  %-*s  %6s\n", DIAGNOSIS_COLUMNS, "diagnosis", ACTION_COLUMNS,
            "action", "ms");
}

void answer_write_row(FILE *out, size_t name_columns, const struct ledger_entry *entry,
                      const struct answer *answer, int64_t elapsed_us)
{
    char name[4096];
    text_clean(entry->file, name, sizeof name);
    text_write_tail(out, name, name_columns);
    if (answer->is_error)
        fprintf(out, "  error %s: %s\n", answer->code, answer->message);
    else
        fprintf(out, "  %-*s  %10.3f  %4d  %-*s  %6lld\n", DIAGNOSIS_COLUMNS, answer->diagnosis,
                answer->confidence, answer->risk_score, ACTION_COLUMNS, answer->action,
                (long long)(elapsed_us + 500) / 1000);
}

void answer_write_json(FILE *out, const struct ledger_entry *entry, const char *topic, struct bytes record,
                       int64_t elapsed_us)
{
    fputs("{\"file\":", out);
    text_write_json(out, entry->file);
    fprintf(out, ",\"request_id\":\"%s\",\"topic\":", entry->request_id);
    text_write_json(out, topic);
    fprintf(out, ",\"partition\":%d,\"offset\":%lld", entry->partition, (long long)entry->offset);
    if (record.size > 0) {
        fprintf(out, ",\"elapsed_ms\":%.3f,\"answer\":", (double)elapsed_us / 1000.0);
        text_write_document(out, record);
    }
    fputs("}\n", out);
}
