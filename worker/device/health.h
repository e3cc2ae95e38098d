// health.h: whether the device is well and computes right. It is asked for faults (of its memory, its driver)
// after every batch, before an answer is passed on, and every second while there is none; its figures go to
// the metrics. Images made from seeds are computed before the first job,
// after every device error and every known_answer_batches batches, and compared
//   - with the answers the model directory holds, within a tolerance that depends on the precision, and
//   - with this device's own first answers, bit for bit: a flipped bit in its memory shows.
// A device that fails is never used again: the worker takes no further job, drops the predictions that are
// not yet published, deletes what it cached since the last good check and ends with exit code 1. What was
// published since then can't be recalled; the log says since when. The simulated device is compared with
// itself only.
#ifndef SKINSIGHT_WORKER_DEVICE_HEALTH_H
#define SKINSIGHT_WORKER_DEVICE_HEALTH_H

#include "kernels/model/known_answers.h"
#include "worker/worker.h"

struct health;

// Thread for all of these: infer.
struct health *health_new(struct worker *worker);
void health_free(struct health *health);

// Checks now. FATAL: the device is not to be used any more; worker->device says so.
enum status health_check(struct health *health, struct error *err) MUST_CHECK;
// Asks the device whether it has a fault, and once a second for its figures. FATAL: as for health_check.
enum status health_look(struct health *health, struct error *err) MUST_CHECK;
// Checks where known_answer_batches have been run since the last check.
enum status health_check_if_due(struct health *health, struct error *err) MUST_CHECK;
// plan_run for a batch of jobs. A device error, or a logit that is no number (the input is bytes: it should
// never be), is followed by a check and, where the device passes it, by a second try. FATAL: as for
// health_check, or the second try ended in an error too.
enum status health_run(struct health *health, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err) MUST_CHECK;

// The model's known images, once, for a program that takes no jobs; the engine is opened without maps. OK
// where there are none, and on a device that is simulated. FATAL: a sentence as for health_check.
enum status health_check_engine(const struct engine *engine, struct error *err) MUST_CHECK;

bool health_is_finite(const float *logits, int count); // (count, LESION_CLASSES)

// Whether the job holds a prediction that must not be published, since the device was found to compute wrong.
// Any thread.
bool health_is_suspect(struct worker *worker, const struct job *job);

// Whether found is close enough to the stored answer; FATAL says how far off it is. Pure.
struct health_tolerance {
    enum precision precision;
    float temperature;
};
enum status health_compare(const float stored[LESION_CLASSES], const float found[LESION_CLASSES],
                           const struct health_tolerance *tolerance, struct error *err) MUST_CHECK;

#endif
