// import.h: the commands import-predictions and import-feedback: history from a file of JSON lines into the
// archive. A file that was imported already changes nothing, so that one that was interrupted is imported
// again. Lines that are no such record are counted, and told by their numbers.
#ifndef SKINSIGHT_MONITOR_ARCHIVE_IMPORT_H
#define SKINSIGHT_MONITOR_ARCHIVE_IMPORT_H

#include "common/program/config.h"

enum status import_predictions_run(struct config *config, struct error *err);
enum status import_feedback_run(struct config *config, struct error *err);

#endif
