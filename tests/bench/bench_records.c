// bench_records.c: what writing and reading a prediction record costs, and proof of the floats in it.
//
//     bench_records RECORD.json [FLOATS]
//
// Prints microseconds of processor time for writing and for reading the record, the best of 9 times 2,000;
// then nanoseconds for each of FLOATS floats (default 10 million, of every size, from the patterns of a
// generator) by json_float_text and by printf's "%.9g", whose characters have to be the same and read back as
// the same float.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/file.h"
#include "common/base/json_write.h"
#include "common/records/prediction.h"

enum { REPEATS = 2000, ROUNDS = 9 };

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static enum status read_once(struct bytes text, struct error *err)
{
    struct prediction record;
    enum status status = prediction_parse(text, &record, err);
    if (status == STATUS_OK)
        prediction_release(&record);
    return status;
}

static enum status time_record(struct bytes text, struct error *err)
{
    double best_write = INFINITY, best_read = INFINITY;
    struct prediction record;
    struct buffer out;
    buffer_init(&out, 1 << 20);
    enum status status = prediction_parse(text, &record, err);
    if (status != STATUS_OK)
        return status;
    for (int round = 0; round < ROUNDS && status == STATUS_OK; round++) {
        double begun_us = now_us();
        for (int i = 0; i < REPEATS && status == STATUS_OK; i++) {
            buffer_clear(&out);
            status = prediction_write(&record, &out, err);
        }
        double written_us = now_us();
        for (int i = 0; i < REPEATS && status == STATUS_OK; i++)
            status = read_once(text, err);
        best_write = fmin(best_write, (written_us - begun_us) / REPEATS);
        best_read = fmin(best_read, (now_us() - written_us) / REPEATS);
    }
    printf("record of %zu bytes: written in %.2f us, read in %.2f us\n", out.size, best_write, best_read);
    prediction_release(&record);
    buffer_release(&out);
    return status;
}

static float next_float(uint32_t *bits)
{
    float value;
    do {
        *bits = *bits * 1664525u + 1013904223u; // every pattern once in 2^32
        memcpy(&value, bits, sizeof value);
    } while (!isfinite(value));
    return value;
}

static enum status check_floats(long count, struct error *err)
{
    char text[JSON_FLOAT_SIZE + 1], expected[64];
    uint32_t bits = 1;
    double own_us = 0, printf_us = 0;
    for (long i = 0; i < count; i += 1000) {
        float values[1000];
        for (int k = 0; k < 1000; k++)
            values[k] = next_float(&bits);
        double begun_us = now_us();
        for (int k = 0; k < 1000; k++)
            text[json_float_text(values[k], text)] = '\0';
        double between_us = now_us();
        for (int k = 0; k < 1000; k++)
            snprintf(expected, sizeof expected, "%.9g", (double)values[k]);
        printf_us += now_us() - between_us;
        own_us += between_us - begun_us;
        for (int k = 0; k < 1000; k++) {
            text[json_float_text(values[k], text)] = '\0';
            snprintf(expected, sizeof expected, "%.9g", (double)values[k]);
            if (strcmp(text, expected) != 0 || strtof(text, NULL) != values[k])
                return error_set(err, STATUS_REJECTED, "%a: '%s' instead of '%s'", (double)values[k], text,
                                 expected);
        }
    }
    printf("%ld floats as printf writes them: %.1f ns each, printf %.1f ns\n", count,
           own_us * 1e3 / (double)count, printf_us * 1e3 / (double)count);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct buffer text;
    struct error err = {"usage: bench_records RECORD.json [FLOATS]"};
    buffer_init(&text, 1 << 20);
    enum status status = argc < 2 ? STATUS_REJECTED : file_read(argv[1], &text, &err);
    if (status == STATUS_OK)
        status = time_record(buffer_bytes(&text), &err);
    if (status == STATUS_OK)
        status = check_floats(argc > 2 ? strtol(argv[2], NULL, 10) : 10 * 1000 * 1000, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "%s\n", err.message);
    buffer_release(&text);
    return status == STATUS_OK ? 0 : 1;
}
