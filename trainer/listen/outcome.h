// outcome.h: what becomes of each label in the index: it speaks for its image, gives way to a better one, or
// is of no use for a reason that has a name. Main thread.
#ifndef SKINSIGHT_TRAINER_LISTEN_OUTCOME_H
#define SKINSIGHT_TRAINER_LISTEN_OUTCOME_H

#include "trainer/listen/feedback_index.h"

enum outcome {
    OUTCOME_LABEL, // one of the eight classes; the best of its image
    // Of one label:
    OUTCOME_WITHDRAWN,       // some record of its picture supersedes it
    OUTCOME_CONTRADICTORY,   // its feedback_id has two meanings for its picture
    OUTCOME_UNKNOWN_REQUEST, // no answer to its request with an image was seen
    OUTCOME_SEVERAL_IMAGES,  // it names its request alone, and that has answers for several images
    OUTCOME_IMAGE_DISAGREES, // its image is not its request's
    // Of an image, told with its best label:
    OUTCOME_CONFLICT, // labels that tie differ
    OUTCOME_OTHER,    // a diagnosis outside the eight
    OUTCOME_UNGRADABLE,
    OUTCOME_IMAGE_ABSENT,  // as enum image_state says; told by whoever looks for the image
    OUTCOME_IMAGE_DIFFERS, // the same
    OUTCOMES
};
extern const char *const outcome_names[OUTCOMES]; // "withdrawn"

// Calls take for each label that is of no use and once for each image that has labels which hold; what
// gives way to a better label of its image is not told. By image; within it in no order that matters. Stops
// with take's status.
struct outcome_taker {
    enum status (*take)(void *context, const struct label_row *row, enum outcome outcome, struct error *err);
    void *context;
};
enum status outcomes_walk(struct feedback_index *index, const struct outcome_taker *taker,
                          struct error *err) MUST_CHECK;

#endif
