// letter_reader.h: reads the dead letters topic up to its end, without a group, as a read_committed reader.
// Used by one thread.
#ifndef SKINSIGHT_PRODUCER_LETTER_READER_H
#define SKINSIGHT_PRODUCER_LETTER_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config.h"
#include "common/status.h"
#include "producer/letter.h"

struct letter_reader;

// Makes the client, which connects in the background.
enum status letter_reader_open(struct letter_reader **reader, const struct config *config,
                               struct error *err) MUST_CHECK;
void letter_reader_close(struct letter_reader *reader); // NULL is allowed

// Finds the topic's partitions. RETRY: no broker answers; REJECTED: there is no such topic.
enum status letter_reader_connect(struct letter_reader *reader, int64_t timeout_ms, int *partitions,
                                  struct error *err) MUST_CHECK;

// offsets[partition] becomes where the letters of since (Unix ms) and later begin: an offset,
// RD_KAFKA_OFFSET_BEGINNING where since is negative, RD_KAFKA_OFFSET_END where there are none.
enum status letter_reader_find(struct letter_reader *reader, int64_t since, int64_t timeout_ms,
                               int64_t *offsets, struct error *err) MUST_CHECK;

struct letter_scan {
    const int64_t *offsets; // as letter_reader_find gives them
    int64_t timeout_ms;     // most time without any record
    // Gets each record, borrowed until it returns; false ends the scan, with its status OK.
    bool (*take)(void *context, const struct letter_record *record);
    void *context;
};
// From the offsets to the end of each partition. RETRY: nothing came for timeout_ms; FATAL: interrupted.
enum status letter_reader_scan(struct letter_reader *reader, const struct letter_scan *scan,
                               struct error *err) MUST_CHECK;

#endif
