// answer.c: terminal records at a terminal. No state, any thread.
#include "producer/answer.h"

#include <string.h>

#include "common/base/json_write.h"
#include "common/base/text.h"

enum status answer_parse(struct bytes value, const char *request_id, struct prediction *answer,
                         struct error *err)
{
    enum status status = prediction_parse(value, answer, err);
    if (status != STATUS_OK)
        return status;
    if (answer->request_id && strcmp(answer->request_id, request_id) == 0)
        return STATUS_OK;
    prediction_release(answer);
    return error_set(err, STATUS_REJECTED, "its request_id is not that of its key");
}

enum { DIAGNOSIS_COLUMNS = 23, ACTION_COLUMNS = 16 }; // squamous_cell_carcinoma, routine_referral

void answer_write_heading(FILE *out, size_t name_columns, bool with_known)
{
    text_write_tail(out, "file", name_columns);
    fprintf(out, "  %-*s  confidence  risk  %-*s  %6s%s\n", DIAGNOSIS_COLUMNS, "diagnosis", ACTION_COLUMNS,
            "action", "ms", with_known ? "  known as" : "");
}

static void write_error(FILE *out, const struct prediction *answer)
{
    char code[65], message[256];
    text_clean(answer->error.code, code, sizeof code);
    text_clean(answer->error.message ? answer->error.message : "no reason given", message, sizeof message);
    fprintf(out, "  error %s: %s", code, message);
}

static void write_prediction(FILE *out, const struct prediction_result *result, int64_t elapsed_us)
{
    char diagnosis[65], action[65];
    text_clean(result->primary_diagnosis, diagnosis, sizeof diagnosis);
    text_clean(result->recommended_action, action, sizeof action);
    fprintf(out, "  %-*s  %10.3f  %4d  %-*s  %6lld", DIAGNOSIS_COLUMNS, diagnosis, (double)result->confidence,
            (int)result->risk_score, ACTION_COLUMNS, action, (long long)(elapsed_us + 500) / 1000);
}

// A reader of the table shall not take the diagnosis of such an answer for one.
static void write_abstention(FILE *out, const struct prediction_result *result)
{
    for (int i = 0; i < result->abstain_reasons.count; i++) {
        char reason[65];
        text_clean(result->abstain_reasons.names[i], reason, sizeof reason);
        fprintf(out, "%s%s", i > 0 ? ", " : "  abstains: ", reason);
    }
}

void answer_write_row(FILE *out, size_t name_columns, const struct ledger_entry *entry,
                      const struct prediction *answer, int64_t elapsed_us, const char *known)
{
    char name[4096];
    text_clean(entry->file, name, sizeof name);
    text_write_tail(out, name, name_columns);
    if (answer->error.code)
        write_error(out, answer);
    else
        write_prediction(out, &answer->result, elapsed_us);
    fprintf(out, "%s%s", known ? "  " : "", known ? known : "");
    write_abstention(out, &answer->result);
    fputc('\n', out);
}

void answer_write_json(FILE *out, const struct ledger_entry *entry, const char *topic, struct bytes record,
                       int64_t elapsed_us)
{
    struct json_line line;
    struct json_writer *writer = json_line_begin(&line);
    json_add_text(writer, "file", entry->file);
    json_add_text(writer, "request_id", entry->request_id);
    json_add_text(writer, "topic", topic);
    json_add_integer(writer, "partition", entry->partition);
    json_add_integer(writer, "offset", entry->offset);
    if (record.size > 0) {
        json_add_thousandths(writer, "elapsed_ms", elapsed_us);
        json_add_document(writer, "answer", record);
    }
    json_line_end(&line, out);
}
