// fuzz_letter.c: any lines as a dead letter: its key, its value, then a header each. Whatever they are, the
// letter holds nothing that commands a terminal, and as a line of --json it is JSON.
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "producer/letter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static struct bytes take_line(struct bytes *rest)
{
    const uint8_t *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    struct bytes line = {rest->data, end ? (size_t)(end - rest->data) : rest->size};
    size_t taken = line.size + (end != NULL);
    *rest = (struct bytes){rest->data + taken, rest->size - taken};
    return line;
}

static void check_text(const char *text, size_t size)
{
    check(memchr(text, '\0', size) != NULL);
    for (; *text; text++)
        check((unsigned char)*text >= ' ' && *text != 0x7f);
}

static void check_lines(const struct letter *letter)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out != NULL);
    struct json_line line;
    letter_add_json(json_line_begin(&line), letter);
    json_line_end(&line, out);
    fflush(out);
    cJSON *json = cJSON_Parse(text);
    char *row = strchr(text, '\n') + 1;
    check(json && row == text + size);
    cJSON_Delete(json);
    size_t before = size;
    letter_write_row(out, letter_source_columns(letter), letter);
    fclose(out);
    check(strchr(text + before, '\n') == text + size - 1);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"error_code",    "error_message", "source_topic",  "source_partition",
                                        "source_offset", "failed_at",     "value_omitted", "worker",
                                        "key_omitted",   "replayed"};
    struct bytes rest = {data, size};
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    struct topic_record record = {.timestamp = 5000, .headers = headers};
    struct letter letter;
    record.key = take_line(&rest);
    record.value = take_line(&rest);
    for (size_t i = 0; i < sizeof names / sizeof *names && rest.size > 0; i++) {
        struct bytes line = take_line(&rest);
        rd_kafka_header_add(headers, names[i], -1, line.data, (ssize_t)line.size);
    }
    letter_read(&letter, &record);
    rd_kafka_headers_destroy(headers);
    check_text(letter.code, sizeof letter.code);
    check_text(letter.message, sizeof letter.message);
    check_text(letter.source_topic, sizeof letter.source_topic);
    check(letter.failed_at >= 0 && letter.source_partition >= -1 && letter.source_offset >= -1);
    check(!letter.request_id[0] || job_request_id_valid(letter.request_id));
    check_lines(&letter);
    return 0;
}
