// output.h: the folder that a command makes: it is new, so that nothing of another run stands beside its
// files.
#ifndef SKINSIGHT_TRAINER_OUTPUT_H
#define SKINSIGHT_TRAINER_OUTPUT_H

#include "common/base/bytes.h"
#include "common/base/status.h"

enum { OUTPUT_MOST_BYTES = 256 << 20, OUTPUT_FOLDER_MODE = 0750 }; // of a report; whatever the umask

// REJECTED where the folder is there and not empty, before hours of work for it.
enum status output_check(const char *folder, struct error *err) MUST_CHECK;
// Makes the folder, and those above it, closed to others: reports hold pictures and names of lesions.
// REJECTED: it is there and not empty. FATAL: it can't be made.
enum status output_make(const char *folder, struct error *err) MUST_CHECK;
// A file of it in one piece (file_replace_private). FATAL.
enum status output_write(const char *folder, const char *name, struct bytes data,
                         struct error *err) MUST_CHECK;

#endif
