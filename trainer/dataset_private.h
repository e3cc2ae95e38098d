// dataset_private.h: the steps of dataset_open, in their order; everyone else includes dataset.h.
#ifndef SKINSIGHT_TRAINER_DATASET_PRIVATE_H
#define SKINSIGHT_TRAINER_DATASET_PRIVATE_H

#include "trainer/dataset.h"

// Rows or folders to samples: file, path, label and what else is known; and the part where a column says it.
enum status dataset_read(struct dataset *dataset, const struct dataset_options *options,
                         struct error *err) MUST_CHECK;
// Digest, size and look of every file; those that can't be decoded are left out or refused.
enum status dataset_look(struct dataset *dataset, const struct dataset_options *options,
                         struct error *err) MUST_CHECK;
// Parts where no column gave them.
enum status dataset_split(struct dataset *dataset, const struct dataset_options *options,
                          struct error *err) MUST_CHECK;
// Tells of copies, near copies, divided lesions and classes without examples.
void dataset_judge(struct dataset *dataset, const struct dataset_options *options);

// Adds a sample with the texts copied; "" and NULL are the same.
struct sample *dataset_add(struct dataset *dataset, const char *file);
void dataset_tell(const struct dataset_options *options, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
