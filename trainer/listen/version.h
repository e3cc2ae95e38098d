// version.h: the versions of a data set, DATASET/000001, DATASET/000002 ...: folders with labels.csv, which
// --data reads with --images DATASET/images, and manifest.json (docs/schemas/dataset.json). A version is
// written as a hidden folder, flushed and then named; it never changes afterwards. Beside them
// DATASET/left_out.csv says which labels the newest look at the index had no use for, and why. Main thread.
#ifndef SKINSIGHT_TRAINER_LISTEN_VERSION_H
#define SKINSIGHT_TRAINER_LISTEN_VERSION_H

#include "common/records/lesion.h"
#include "trainer/listen/feedback_index.h"
#include "trainer/listen/outcome.h"

enum { VERSION_NAME_SIZE = 16, VERSION_MOST = 999999 };

struct version {
    int number;                   // 0: none
    char name[VERSION_NAME_SIZE]; // "000001"; "" for none
    char labels_sha256[DIGEST_TEXT_SIZE];
    int64_t images;
};

// What a look at the index found.
struct version_counts {
    size_t classes[LESION_CLASSES]; // images with a label of each
    size_t outcomes[OUTCOMES];
};

// The newest version that is whole. Removes what a run that was killed left half written; a folder with a
// version's name and without a manifest that fits is told of with a warning and left alone. FATAL.
enum status version_find(const char *dataset, struct version *newest, struct error *err) MUST_CHECK;

// The manifest of a version whose number and name are set; fills in the rest. REJECTED: it is another one's,
// or none.
enum status version_parse_manifest(struct bytes text, struct version *version, struct error *err) MUST_CHECK;

// Writes left_out.csv, and a version behind `newest` where the labels differ from its own: *newest is then
// that one. Images that are not in the folder are left out. RETRY: the disk is full, or the like: nothing has
// changed but left_out.csv.
enum status version_make(struct feedback_index *index, const char *dataset, struct version *newest,
                         struct version_counts *counts, struct error *err) MUST_CHECK;

#endif
