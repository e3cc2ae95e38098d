// train_epochs.c: the loop: batches, checkpoints, validation, history. Main thread.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "kernels/image/preprocess.h"
#include "trainer/average.h"
#include "trainer/train_private.h"
#include "trainer/validate.h"

#define MOST_WAITING 0.1 // of an epoch's time

static void show(struct trainer *trainer, double loss, int images)
{
    struct progress *progress = trainer->options->data.progress;
    if (!progress)
        return;
    snprintf(trainer->verb, sizeof trainer->verb, "images, epoch %d of %d, loss %.4f",
             trainer->checkpoint->epoch + 1, trainer->options->schedule.epochs, loss);
    progress->verb = trainer->verb;
    progress->sent += (size_t)images;
    progress->done += (size_t)images;
    progress_update(progress, clock_monotonic_us());
}

// Copies one block to a file of the checkpoint.
static enum status save_block(struct trainer *trainer, enum training_block block, enum checkpoint_part part,
                              struct error *err)
{
    enum status status = training_save(trainer->training, block, trainer->block, err);
    if (status == STATUS_OK)
        status = checkpoint_write_block(trainer->folder, trainer->checkpoint, part, trainer->block, err);
    return status;
}

// What the user of a disk that is full wants to know.
static enum status explain_unsaved(enum status status, struct error *err)
{
    size_t length = strlen(err->message);
    if (status != STATUS_OK)
        snprintf(err->message + length, sizeof err->message - length,
                 ": the checkpoint before it holds; make room and go on with --resume");
    return status;
}

// The running mean, or the parameters where there is none: what is judged and kept.
static enum status save_judged(struct trainer *trainer, enum checkpoint_part part, struct error *err)
{
    if (!trainer->average)
        return save_block(trainer, TRAINING_PARAMETERS, part, err);
    return checkpoint_write_block(trainer->folder, trainer->checkpoint, part, trainer->average, err);
}

static enum status write_checkpoint(struct trainer *trainer, struct error *err)
{
    trainer->checkpoint->steps = (int64_t)trainer->training->steps;
    enum status status = save_block(trainer, TRAINING_PARAMETERS, CHECKPOINT_PARAMETERS, err);
    if (status == STATUS_OK)
        status = save_block(trainer, TRAINING_FIRST_MOMENTS, CHECKPOINT_FIRST, err);
    if (status == STATUS_OK)
        status = save_block(trainer, TRAINING_SECOND_MOMENTS, CHECKPOINT_SECOND, err);
    if (status == STATUS_OK && trainer->average)
        status = save_judged(trainer, CHECKPOINT_AVERAGE, err);
    if (status == STATUS_OK)
        status = checkpoint_write(trainer->folder, trainer->checkpoint, err);
    trainer->saved_us = clock_monotonic_us();
    return explain_unsaved(status, err);
}

static enum status save_checkpoint(struct trainer *trainer, struct error *err)
{
    enum status status = trainer->leads ? write_checkpoint(trainer, err) : STATUS_OK;
    return exchange_agree(trainer->options->exchange, status, err);
}

// It sees what the one it teaches sees, erased areas included: answers that nothing in the picture explains
// can't be learnt (Touvron et al. 2021, section 4; Beyer et al. 2022: "consistent").
static enum status ask_teacher(struct trainer *trainer, const struct feed_batch *batch, struct error *err)
{
    if (!trainer->teacher_plan)
        return STATUS_OK;
    for (int i = 0; i < batch->count; i++)
        augmentation_erase(&batch->draws[i], trainer->network->image_size, trainer->network->mean,
                           batch->views[i]);
    return run_views(trainer->teacher_plan, batch->views, batch->count, trainer->teacher_logits, err);
}

// This process's share of the next batch, once all have theirs.
static enum status next_batch(struct trainer *trainer, struct feed_batch *batch, struct error *err)
{
    int64_t start_us = clock_monotonic_us();
    enum status status = feed_next(trainer->feed, batch, err);
    trainer->waited_us += clock_monotonic_us() - start_us;
    if (status == STATUS_OK)
        status = ask_teacher(trainer, batch, err);
    return exchange_agree(trainer->options->exchange, status, err);
}

static enum status train_batch(struct trainer *trainer, const struct feed_batch *batch, double rate,
                               struct training_result *result, struct error *err)
{
    int size = trainer->network->image_size;
    size_t values = (size_t)size * (size_t)size * 3;
    for (int i = 0; i < batch->count; i++) {
        augmentation_normalise(batch->views[i], size, trainer->table, &batch->draws[i],
                               trainer->images + (size_t)i * values);
        trainer->batch_labels[i] = trainer->dataset->samples[batch->samples[i]].label;
    }
    const struct training_batch step = {.count = batch->count,
                                        .images = trainer->image_rows,
                                        .labels = trainer->batch_labels,
                                        .counters = batch->counters,
                                        .teacher = trainer->teacher_plan ? trainer->teacher_logits : NULL};
    return training_step(trainer->training, &step, rate, result, err);
}

static enum status take_average(struct trainer *trainer, struct error *err)
{
    if (!trainer->average)
        return STATUS_OK;
    enum status status = training_save(trainer->training, TRAINING_PARAMETERS, trainer->block, err);
    if (status == STATUS_OK)
        average_take(trainer->average, trainer->block, trainer->training->size,
                     trainer->options->average_decay, trainer->training->steps);
    return exchange_agree(trainer->options->exchange, status, err);
}

static enum status export_judged(struct trainer *trainer, struct weights **weights, struct error *err)
{
    if (!trainer->average)
        return training_export(trainer->training, weights, err);
    *weights = training_weights(trainer->network, trainer->average);
    return STATUS_OK;
}

static void begin_epoch(struct trainer *trainer)
{
    const struct checkpoint *at = trainer->checkpoint;
    size_t count = trainer->counts[PART_TRAIN];
    const struct sampler sampler = {trainer->options->sampler, trainer->options->seed, trainer->labels,
                                    count};
    sampler_epoch(&sampler, at->epoch, trainer->order);
    for (size_t i = 0; i < count; i++)
        trainer->order[i] = trainer->samples[PART_TRAIN][trainer->order[i]];
    const struct feed_epoch epoch = {.epoch = at->epoch,
                                     .samples = trainer->order,
                                     .count = count,
                                     .first_batch = (size_t)at->batch,
                                     .augment = trainer->options->augment,
                                     .rank = exchange_rank(trainer->options->exchange),
                                     .processes = exchange_size(trainer->options->exchange)};
    feed_begin(trainer->feed, &epoch);
}

// Whether a checkpoint is due after a batch that is not the epoch's last.
static bool is_due(const struct trainer *trainer)
{
    int64_t wait_us = (int64_t)trainer->options->checkpoint_s * 1000000;
    return clock_monotonic_us() - trainer->saved_us >= wait_us;
}

// What comes before the next batch: any process's wish to leave is everybody's, the clock is rank 0's.
static enum status decide(const struct trainer *trainer, bool *leave, bool *save, struct error *err)
{
    const struct train_options *options = trainer->options;
    double wishes[2] = {options->stop && options->stop(), trainer->leads && is_due(trainer)};
    enum status status = exchange_sum_doubles(options->exchange, wishes, 2, err);
    *leave = wishes[0] > 0;
    *save = *leave || wishes[1] > 0;
    return status;
}

// The batches that are left of an epoch.
static enum status train_epoch(struct trainer *trainer, double rate, bool *stopped, struct error *err)
{
    struct checkpoint *at = trainer->checkpoint;
    struct feed_batch batch;
    begin_epoch(trainer);
    for (;;) {
        struct training_result result;
        bool save;
        int64_t start_us = clock_monotonic_us();
        enum status status = next_batch(trainer, &batch, err);
        if (status != STATUS_OK || batch.whole == 0)
            return status;
        status = train_batch(trainer, &batch, rate, &result, err);
        if (status != STATUS_OK) {
            error_prefix(err, "epoch %d, batch %lld, step %llu", at->epoch, (long long)at->batch,
                         (unsigned long long)trainer->training->steps);
            return status;
        }
        at->loss_sum += result.loss * batch.whole;
        at->seconds += (double)(clock_monotonic_us() - start_us) / 1e6;
        trainer->worked_us += clock_monotonic_us() - start_us;
        at->batch++;
        show(trainer, result.loss, batch.whole);
        status = take_average(trainer, err);
        if (status == STATUS_OK)
            status = decide(trainer, stopped, &save, err);
        if (status == STATUS_OK && save)
            status = save_checkpoint(trainer, err);
        if (status != STATUS_OK || *stopped)
            return status;
    }
}

static enum status validate_epoch(struct trainer *trainer, struct history_row *row, struct error *err)
{
    struct weights *weights = NULL;
    struct validation validation = {NAN, NAN};
    enum status status = STATUS_OK;
    if (trainer->counts[PART_VALIDATION] > 0) {
        status = exchange_agree(trainer->options->exchange, export_judged(trainer, &weights, err), err);
        const struct validation_options options = {.backend = trainer->backend,
                                                   .network = trainer->network,
                                                   .weights = weights,
                                                   .feed = trainer->feed,
                                                   .dataset = trainer->dataset,
                                                   .samples = trainer->samples[PART_VALIDATION],
                                                   .count = trainer->counts[PART_VALIDATION],
                                                   .class_weights = trainer->class_weights,
                                                   .exchange = trainer->options->exchange};
        if (status == STATUS_OK)
            status = validate(&options, &validation, err);
    }
    row->validation_loss = validation.loss;
    row->validation_balanced_accuracy = validation.balanced_accuracy;
    weights_close(weights);
    return status;
}

static bool is_better(const struct history *history, const struct history_row *row)
{
    if (history->best < 0 || isnan(row->validation_balanced_accuracy))
        return true;
    return row->validation_balanced_accuracy > history->rows[history->best].validation_balanced_accuracy;
}

static void tell_epoch(const struct trainer *trainer, const struct history_row *row)
{
    char *sentence;
    if (isnan(row->validation_loss))
        sentence = memory_format("epoch %d of %d: loss %.4f, learning rate %.3g, %.1f images/s",
                                 trainer->checkpoint->history.epochs, trainer->options->schedule.epochs,
                                 row->train_loss, row->rate, row->images_per_s);
    else
        sentence = memory_format(
            "epoch %d of %d: loss %.4f, validation loss %.4f, balanced accuracy %.4f, learning rate %.3g, "
            "%.1f images/s",
            trainer->checkpoint->history.epochs, trainer->options->schedule.epochs, row->train_loss,
            row->validation_loss, row->validation_balanced_accuracy, row->rate, row->images_per_s);
    if (trainer->options->tell)
        trainer->options->tell(trainer->options->tell_context, sentence);
    free(sentence);
}

// The first batch of an epoch is always waited for; a share above this has another reason.
static void tell_waiting(struct trainer *trainer)
{
    const struct collect_complaints *complaints = &trainer->options->data.complaints;
    double share = (double)trainer->waited_us / (double)trainer->worked_us;
    if (share > MOST_WAITING && trainer->checkpoint->epoch > 1 && complaints->complain) {
        char *sentence =
            memory_format("%.0f %% of the epoch's time was spent waiting for pictures: smaller files or "
                          "a larger --picture-cache would help",
                          100 * share);
        complaints->complain(complaints->context, sentence);
        free(sentence);
    }
    trainer->waited_us = trainer->worked_us = 0;
}

static enum status save_best(struct trainer *trainer, struct error *err)
{
    enum status status = STATUS_OK;
    trainer->checkpoint->steps = (int64_t)trainer->training->steps; // in the block's name
    if (trainer->leads)
        status = explain_unsaved(save_judged(trainer, CHECKPOINT_BEST, err), err);
    return exchange_agree(trainer->options->exchange, status, err);
}

static enum status save_history(const struct trainer *trainer, struct error *err)
{
    enum status status = STATUS_OK;
    if (trainer->leads)
        status = history_write(&trainer->checkpoint->history, trainer->options->directory,
                               trainer->manifest.model_version, err);
    return exchange_agree(trainer->options->exchange, status, err);
}

// Validates, keeps the parameters where they are the best so far, and makes the epoch's row and checkpoint.
// Every process comes to the same row, but for its own speed.
static enum status end_epoch(struct trainer *trainer, double rate, struct error *err)
{
    struct checkpoint *at = trainer->checkpoint;
    struct history *history = &at->history;
    struct history_row row = {.train_loss = at->loss_sum / (double)trainer->counts[PART_TRAIN],
                              .rate = rate,
                              .images_per_s = (double)trainer->counts[PART_TRAIN] / at->seconds};
    enum status status = validate_epoch(trainer, &row, err);
    if (status != STATUS_OK)
        return status;
    bool better = is_better(history, &row);
    at->waiting = better ? 0 : at->waiting + 1;
    if (better) {
        status = save_best(trainer, err);
        if (status != STATUS_OK)
            return status;
        history->best = history->epochs;
    }
    history->rows[history->epochs++] = row;
    at->epoch++;
    at->batch = 0;
    at->loss_sum = at->seconds = 0;
    status = save_checkpoint(trainer, err);
    if (status == STATUS_OK)
        status = save_history(trainer, err);
    if (status == STATUS_OK) {
        tell_epoch(trainer, &row);
        tell_waiting(trainer);
    }
    return status;
}

static bool is_over(const struct trainer *trainer)
{
    int patience = trainer->options->patience;
    return trainer->checkpoint->epoch >= trainer->options->schedule.epochs ||
           (patience > 0 && trainer->checkpoint->waiting >= patience);
}

// Of the images that are left, so that the time left is of this run's speed.
static void begin_progress(struct trainer *trainer)
{
    struct progress *progress = trainer->options->data.progress;
    const struct checkpoint *at = trainer->checkpoint;
    if (!progress)
        return;
    size_t left = (size_t)(trainer->options->schedule.epochs - at->epoch) * trainer->counts[PART_TRAIN];
    size_t done = (size_t)at->batch * (size_t)trainer->options->batch; // a last batch may be smaller
    progress->total = left > done ? left - done : 0;
    progress->sent = progress->done = 0;
    progress->start_us = clock_monotonic_us();
}

enum status trainer_run(struct trainer *trainer, bool *stopped, struct error *err)
{
    struct checkpoint *at = trainer->checkpoint;
    const struct train_options *options = trainer->options;
    enum status status = STATUS_OK;
    begin_progress(trainer);
    trainer->saved_us = clock_monotonic_us();
    *stopped = false;
    while (status == STATUS_OK && !*stopped && !is_over(trainer)) {
        double rate = schedule_rate(&options->schedule, at->epoch);
        status = train_epoch(trainer, rate, stopped, err);
        if (status == STATUS_OK && !*stopped)
            status = end_epoch(trainer, rate, err);
        // The epoch's checkpoint is there: nothing more has to be computed to leave.
        bool save;
        if (status == STATUS_OK && !*stopped && !is_over(trainer))
            status = decide(trainer, stopped, &save, err);
    }
    return status;
}
