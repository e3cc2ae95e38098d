// fuzz_feedback.c: any bytes as a feedback record. What is accepted can be written, and what was written is
// read as the same record.
#include <stdlib.h>
#include <string.h>

#include "common/records/feedback.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void write_and_read(const struct feedback *feedback, int64_t received_at)
{
    struct buffer first, second;
    struct feedback again;
    struct error err;
    buffer_init(&first, SIZE_MAX);
    buffer_init(&second, SIZE_MAX);
    check(feedback_write(feedback, &first, &err) == STATUS_OK);
    check(feedback_parse(buffer_bytes(&first), received_at, &again, &err) == STATUS_OK);
    check(feedback_write(&again, &second, &err) == STATUS_OK);
    check(bytes_equal(buffer_bytes(&first), buffer_bytes(&second)));
    buffer_release(&first);
    buffer_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t received_at = 1795420685370;
    struct feedback feedback;
    struct error err = {""};
    if (feedback_parse((struct bytes){data, size}, received_at, &feedback, &err) != STATUS_OK) {
        check(err.message[0] != '\0');
        return 0;
    }
    check(feedback.reviewed_at <= received_at + FEEDBACK_CLOCK_TOLERANCE_MS);
    check(feedback_key(&feedback)[0] != '\0');
    write_and_read(&feedback, received_at);
    return 0;
}
