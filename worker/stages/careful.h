// careful.h: how a careful worker reads (worker/group/offsets.h): one record, of the partition whose turn it
// is, when the one before is answered. Once no partition asks for care any more, it goes on one by one for a
// while, with a few jobs in the process. The consumer has no partition meanwhile (worker->reads_alone). Only
// the consume thread uses it.
#ifndef SKINSIGHT_WORKER_STAGES_CAREFUL_H
#define SKINSIGHT_WORKER_STAGES_CAREFUL_H

#include "worker/stages/intake.h"

struct careful;

struct careful *careful_new(struct worker *worker, struct intake *intake);
void careful_free(struct careful *careful);

// Between two polls; may wait some seconds for a record. LEFT_OUT: a partition was, and the others begin
// without it. ENDED: the consumer is to be given the partitions.
enum careful_step { CAREFUL_GOES_ON, CAREFUL_LEFT_OUT, CAREFUL_ENDED };
enum careful_step careful_step(struct careful *careful);

#endif
