// train_private.h: what the files of `train` share; everyone else includes train.h.
#ifndef SKINSIGHT_TRAINER_TRAIN_PRIVATE_H
#define SKINSIGHT_TRAINER_TRAIN_PRIVATE_H

#include "kernels/model/model.h"
#include "trainer/checkpoint.h"
#include "trainer/feed.h"
#include "trainer/lineage.h"
#include "trainer/train.h"

struct trainer {
    const struct train_options *options;
    int share;  // images of a batch that are this process's at most
    bool leads; // rank 0: it alone writes and speaks
    struct dataset *dataset;
    size_t *samples[DATASET_PARTS], counts[DATASET_PARTS];
    int *labels; // of the training part
    struct manifest manifest;
    struct network *network; // as it is trained
    struct weights *start;   // weights of --init that it starts from; NULL: none, or the training has them
    struct model *teacher;
    struct origin init_origin, teacher_origin;
    struct plan *teacher_plan;
    struct backend *backend;
    struct training *training;
    struct picture_cache *cache;
    struct feed *feed;
    double class_weights[LESION_CLASSES];
    float table[3 * 256];          // of preprocess_table
    char *folder;                  // of the checkpoint
    struct checkpoint *checkpoint; // where the training stands; its parts are the last written
    float *block;                  // training->size floats, for checkpoints
    float *average;                // training->size floats: the running mean; NULL: none
    size_t *order;                 // of the epoch: indices of the training part, then of the dataset
    float *images;                 // (share, size * size, 3)
    const float **image_rows;      // (share)
    float *teacher_logits;         // (share, LESION_CLASSES)
    int *batch_labels;             // (share)
    int64_t saved_us;              // when the last checkpoint was written
    int64_t waited_us, worked_us;  // of the epoch in this process: for pictures, and all of it
    char verb[96];                 // for the progress line
};

// Network, weights, names: what is to be trained.
enum status trainer_start(struct trainer *trainer, struct error *err) MUST_CHECK;
// The epochs that are left. *stopped: it was asked to leave, and has saved.
enum status trainer_run(struct trainer *trainer, bool *stopped, struct error *err) MUST_CHECK;
// The model directory of the best epoch.
enum status trainer_finish(struct trainer *trainer, struct error *err) MUST_CHECK;

#endif
