// output.h: the folder that a command makes: it is new, so that nothing of another run stands beside its
// files.
#ifndef SKINSIGHT_TRAINER_OUTPUT_H
#define SKINSIGHT_TRAINER_OUTPUT_H

#include "common/base/bytes.h"
#include "common/base/status.h"

enum { OUTPUT_MOST_BYTES = 256 << 20 }; // of a report

// Makes the folder, and those above it. REJECTED: it is there and not empty. FATAL: it can't be made.
enum status output_make(const char *folder, struct error *err) MUST_CHECK;
// A file of it in one piece (file_replace). FATAL.
enum status output_write(const char *folder, const char *name, struct bytes data,
                         struct error *err) MUST_CHECK;

#endif
