// loss.c: softmax, cross-entropy and distillation as their formulas. See loss.h.
#include "kernels/loss.h"

#include <math.h>

enum status loss_scale_of(const struct training_options *options, const struct training_batch *batch,
                          struct loss_scale *scale, struct error *err)
{
    double halves[2] = {0, 0}, sums[2];
    int middle = exchange_middle(options->exchange, batch->count);
    for (int i = 0; i < batch->count; i++)
        halves[i >= middle] += options->class_weights[batch->labels[i]];
    sums[0] = halves[0] + halves[1];
    sums[1] = batch->count;
    enum status status = exchange_sum_doubles(options->exchange, sums, 2, err);
    *scale = (struct loss_scale){.weight_sum = sums[0], .images = sums[1]};
    return status;
}

// out[i] = log of softmax(in * factor)
static void log_softmax(int classes, const double *in, double factor, double *out)
{
    double greatest = in[0] * factor, sum = 0;
    for (int i = 1; i < classes; i++)
        greatest = in[i] * factor > greatest ? in[i] * factor : greatest;
    for (int i = 0; i < classes; i++)
        sum += exp(in[i] * factor - greatest);
    for (int i = 0; i < classes; i++)
        out[i] = in[i] * factor - greatest - log(sum);
}

// Adds share * T^2 * KL(teacher || student) and its gradient, share * T * (student - teacher).
static double add_teacher(const struct training_options *options, int classes, const double *logits,
                          const float *teacher, double share, double *gradient)
{
    double wide[TRAINING_MAX_CLASSES] = {0}, aim[TRAINING_MAX_CLASSES], student[TRAINING_MAX_CLASSES],
           sum = 0;
    double temperature = options->teacher_temperature;
    for (int i = 0; i < classes; i++)
        wide[i] = teacher[i];
    log_softmax(classes, wide, 1 / temperature, aim);
    log_softmax(classes, logits, 1 / temperature, student);
    for (int i = 0; i < classes; i++) {
        sum += exp(aim[i]) * (aim[i] - student[i]);
        gradient[i] += share * temperature * (exp(student[i]) - exp(aim[i]));
    }
    return share * temperature * temperature * sum;
}

double loss_classification(const struct training_options *options, const struct loss_scale *scale,
                           int classes, const double *logits, int label, const float *teacher,
                           double *gradient)
{
    double logs[TRAINING_MAX_CLASSES], loss = 0;
    double weight = options->class_weights[label] / scale->weight_sum;
    double share = teacher ? options->teacher_weight : 0, spread = options->label_smoothing / classes;
    log_softmax(classes, logits, 1, logs);
    for (int i = 0; i < classes; i++) {
        double target = spread + (i == label ? 1 - options->label_smoothing : 0);
        loss -= target * logs[i];
        gradient[i] = weight * (1 - share) * (exp(logs[i]) - target);
    }
    loss *= weight * (1 - share);
    if (share > 0)
        loss += add_teacher(options, classes, logits, teacher, weight * share, gradient);
    return loss;
}

enum status loss_result(const struct training_options *options, double classification, double diversity,
                        struct training_result *result, struct error *err)
{
    double sums[2] = {classification, diversity};
    enum status status = exchange_sum_doubles(options->exchange, sums, 2, err);
    result->classification = sums[0];
    result->diversity = sums[1];
    result->loss = sums[0] + options->diversity * sums[1];
    return status;
}
