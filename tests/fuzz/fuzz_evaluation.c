// fuzz_evaluation.c: any bytes as an evaluation's report. What is accepted can be written again, and the
// documents made of it hold no markup of others.
#include <stdlib.h>

#include "trainer/assess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct estimate *estimate)
{
    if (estimate->reason)
        return;
    if (!(estimate->low >= 0 && estimate->low <= estimate->high && estimate->high <= 1) || !estimate->method)
        abort();
}

static void write_documents(const struct evaluation *evaluation)
{
    static const struct manifest manifest = {
        .model_version = "model-v1.0.0", .temperature = 1, .licence = "none"};
    const struct assessment assessment = {&manifest, evaluation, "", "<b>", ""};
    struct buffer text;
    struct error err;
    buffer_init(&text, 64 << 20);
    if (ethics_write(&assessment, &text, &err) != STATUS_OK ||
        card_write(&assessment, &text, &err) != STATUS_OK)
        abort();
    for (size_t i = 1; i < text.size; i++) // none of ours has one
        if (text.data[i] == '<' && text.data[i - 1] != '\\')
            abort();
    buffer_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct evaluation evaluation;
    struct buffer copy;
    buffer_init(&copy, 64 << 20);
    if (evaluation_read_json((struct bytes){data, size}, &evaluation, &err) == STATUS_OK) {
        check(&evaluation.figures.accuracy);
        check(&evaluation.figures.classes[LESION_CLASSES - 1].auroc);
        for (size_t i = 0; i < evaluation.subgroup_count; i++)
            check(&evaluation.subgroups[i].figures.melanoma_sensitivity);
        write_documents(&evaluation);
        if (evaluation_write_json(&evaluation, &copy, &err) != STATUS_OK)
            abort();
    }
    evaluation_release(&evaluation);
    buffer_release(&copy);
    return 0;
}
