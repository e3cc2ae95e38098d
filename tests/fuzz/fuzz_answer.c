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

static void check_text(const char *text, size_t size)
{
    check(memchr(text, '\0', size) != NULL);
    for (; *text; text++)
        check((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check_line(const struct answer *answer, struct bytes record)
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
    answer_write_row(out, 20, &entry, answer, 1000);
    fclose(out);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer answer;
    struct error err = {""};
    struct bytes record = {data, size};
    if (answer_parse(record, REQUEST_ID, &answer, &err) != STATUS_OK) {
        check(err.message[0] != '\0');
        return 0;
    }
    check_text(answer.code, sizeof answer.code);
    check_text(answer.message, sizeof answer.message);
    check_text(answer.diagnosis, sizeof answer.diagnosis);
    check_text(answer.action, sizeof answer.action);
    check(answer.confidence >= 0 && answer.confidence <= 1);
    check(answer.risk_score >= 0 && answer.risk_score <= 100);
    check(answer.source_partition >= -1 && answer.source_offset >= -1);
    check_line(&answer, record);
    return 0;
}
