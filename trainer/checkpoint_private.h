// checkpoint_private.h: what checkpoint.c and checkpoint_text.c share; everyone else includes checkpoint.h.
#ifndef SKINSIGHT_TRAINER_CHECKPOINT_PRIVATE_H
#define SKINSIGHT_TRAINER_CHECKPOINT_PRIVATE_H

#include "trainer/checkpoint.h"

#define CHECKPOINT_FILE "checkpoint.json"

extern const char *const checkpoint_part_names[CHECKPOINT_PARTS];

// checkpoint.json of a checkpoint. REJECTED: over the buffer's limit.
enum status checkpoint_format(const struct checkpoint *checkpoint, struct buffer *text,
                              struct error *err) MUST_CHECK;

#endif
