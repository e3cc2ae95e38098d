// known_labels.h: what is known of images already: a CSV with file and label, to stand beside the answers.
// Files are found by their last names. Doesn't change after known_labels_read.
#ifndef SKINSIGHT_PRODUCER_KNOWN_LABELS_H
#define SKINSIGHT_PRODUCER_KNOWN_LABELS_H

#include "common/base/status.h"

struct known_labels;

// REJECTED names the file and what is wrong: no such columns, a label that is none of the eight (codes or
// names of lesion.h), a file twice. FATAL: it can't be read.
enum status known_labels_read(struct known_labels **labels, const char *path, struct error *err) MUST_CHECK;
void known_labels_free(struct known_labels *labels); // NULL is allowed

// The class's name of a file, as in lesion_names; NULL where nothing is known of it, or labels is NULL.
const char *known_labels_find(const struct known_labels *labels, const char *path);

#endif
