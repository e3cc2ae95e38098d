// train.h: trains a network on labelled images: from nothing, from a model directory, or from a checkpoint.
//
// --out gets split.csv (which image is in which part), history.csv and history.html after each epoch,
// checkpoint/ after each epoch and every checkpoint_s seconds, and at the end the model directory of the
// epoch with the best balanced accuracy on the validation part (the last epoch's where there is none; the
// first of equals).
//
// With an exchange each process computes its share of every batch and of the validation part, and all hold
// the same parameters. Rank 0 alone writes and speaks; what one process can't do ends all with its sentence.
//
// Same bits: parameters depend on options, data, build and number of processes alone, neither on threads, nor
// on the cache, nor on how often the training was left and gone on with.
#ifndef SKINSIGHT_TRAINER_TRAIN_H
#define SKINSIGHT_TRAINER_TRAIN_H

#include "common/program/config.h"
#include "kernels/training.h"
#include "trainer/dataset.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"

struct train_options {
    struct dataset_options data; // its complaints and progress are the training's too
    const char *directory;       // to make; with resume, one that was left
    const char *architecture;    // NULL or empty: that of init
    const char *init;    // NULL or empty, or a model directory to start from; an untrained head is made anew
    const char *teacher; // NULL or empty, or a model directory whose answers are learnt too
    const char *name, *model_version; // new_manifest.h
    int image_size;                   // 0: that of init, else 224
    struct schedule schedule;
    int batch;
    enum sampler_kind sampler;
    bool inverse_weights; // of the classes in the loss: images / (8 * images of the class)
    bool augment;
    uint64_t seed;
    double average_decay;         // of the running mean that is judged and kept (average.h); 0: none
    struct training_options step; // class weights, seed and max_batch are filled in from the above
    int patience;                 // epochs without a better one before the end; 0: all epochs
    int checkpoint_s;             // seconds between checkpoints within an epoch; 0: after each batch
    int threads;
    size_t picture_cache; // bytes
    bool resume, any_build;
    struct exchange *exchange; // NULL: one process. Must outlive the training
    const char *recipe;        // lines "name=value": what decides the result, but for init and teacher
    bool (*stop)(void);        // asked between batches: save and leave
    void (*tell)(void *context, const char *sentence); // of each epoch
    void *tell_context;
};

struct train_result {
    char model_version[65];
    int epochs, best_epoch;
    double balanced_accuracy; // NaN: no validation part
    bool stopped;             // stop said so; there is a checkpoint and no model yet
};

// REJECTED: data, options or checkpoint don't fit, or loss or gradients are not finite: the last checkpoint
// holds. FATAL: no memory, disk full, device lost: it holds too.
enum status train_model(const struct train_options *options, struct train_result *result,
                        struct error *err) MUST_CHECK;

// The subcommand `train`.
extern const struct option train_flags[];
enum status train_check(const struct config *config, struct error *err) MUST_CHECK; // wrong usage
enum status train_command(struct config *config, struct error *err) MUST_CHECK;

#endif
