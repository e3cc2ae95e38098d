// fuzz_answer.c: any bytes as a terminal record, as submit reads it. What is accepted is within its limits,
// holds nothing that commands a terminal, and as a line of --json it is JSON on one line.
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "producer/answer.h"

#define REQUEST_ID "8d8ac610-566d-4ef0-9c22-186b2a5ed793"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_line(const struct prediction *answer, struct bytes record)
{
    char file[] = "lesion.jpg", *text = NULL;
    size_t size = 0;
    const struct ledger_entry entry = {.file = file, .request_id = REQUEST_ID, .partition = 3};
    FILE *out = open_memstream(&text, &size);
    check(out != NULL);
    answer_write_json(out, &entry, "jobs", record, 1000);
    fflush(out);
    check(strchr(text, '\n') == text + size - 1);
    cJSON *json = cJSON_Parse(text);
    check(json != NULL);
    cJSON_Delete(json);
    answer_write_row(out, 20, &entry, answer, 1000, NULL);
    fclose(out);
    for (size_t i = 0; i < size; i++)
        check((unsigned char)text[i] >= ' ' ? text[i] != 0x7f : text[i] == '\n');
    free(text);
}

// What was read can be written, and what was written is read as the same: written again it has the same
// bytes.
static void check_again(const struct prediction *answer)
{
    struct buffer first, second;
    struct prediction again;
    struct error err;
    buffer_init(&first, SIZE_MAX);
    buffer_init(&second, SIZE_MAX);
    check(prediction_write(answer, &first, &err) == STATUS_OK);
    check(prediction_parse(buffer_bytes(&first), &again, &err) == STATUS_OK);
    check(prediction_write(&again, &second, &err) == STATUS_OK);
    check(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    prediction_release(&again);
    buffer_release(&first);
    buffer_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct prediction answer;
    struct error err = {""};
    struct bytes record = {data, size};
    if (answer_parse(record, REQUEST_ID, &answer, &err) != STATUS_OK) {
        check(err.message[0] != '\0');
        return 0;
    }
    check(!answer.error.code || !answer.result.primary_diagnosis);
    check(answer.result.risk_score >= -1 && answer.result.risk_score <= 100);
    check(answer.provenance.source.partition >= -1 && answer.provenance.source.offset >= -1);
    check_line(&answer, record);
    check_again(&answer);
    prediction_release(&answer);
    return 0;
}
