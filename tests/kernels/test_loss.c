// The loss of one image against PyTorch in float64:
// F.cross_entropy(logits + 0.5 * log(frequencies), label, label_smoothing=0.1) and its gradient.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/loss.h"

static void offsets_are_added_to_the_logits(void **state)
{
    (void)state;
    static const struct {
        int label;
        double loss, gradient[3];
    } rows[] = {
        {0, 0.3767819701247186, {-0.14681356179750815, 0.03972340499051739, 0.10709015680699085}},
        {2, 1.9274415371996094, {0.7531864382024919, 0.03972340499051739, -0.7929098431930092}},
    };
    static const double logits[3] = {1.5, -0.25, 0.75}, frequencies[3] = {0.7, 0.2, 0.1};
    struct training_options options = training_options_default();
    struct loss_scale scale = {.weight_sum = 1, .images = 1};
    options.label_smoothing = 0.1;
    for (int i = 0; i < 3; i++)
        options.logit_offsets[i] = 0.5 * log(frequencies[i]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double gradient[3];
        double loss = loss_classification(&options, &scale, 3, logits, rows[i].label, NULL, gradient);
        assert_true(fabs(loss - rows[i].loss) < 1e-14);
        for (int j = 0; j < 3; j++)
            assert_true(fabs(gradient[j] - rows[i].gradient[j]) < 1e-14);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(offsets_are_added_to_the_logits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
