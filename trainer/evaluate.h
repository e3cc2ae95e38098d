// evaluate.h: a model judged on labelled images that it has not learnt from: predictions.csv, report.json
// ("skinsight.evaluation.v1", docs/FORMATS.md) and report.html.
//
// Nothing is chosen on the part that is reported: the temperature and melanoma's operating point come from
// the validation part.
#ifndef SKINSIGHT_TRAINER_EVALUATE_H
#define SKINSIGHT_TRAINER_EVALUATE_H

#include "common/program/config.h"
#include "kernels/model/model.h"
#include "trainer/dataset.h"
#include "trainer/figures.h"

#define EVALUATION_SCHEMA "skinsight.evaluation.v1"
enum { EVALUATE_REPLICATES = 2000, SUBGROUP_VALUES = 20, SUBGROUP_TEXT = 64 };

struct subgroup {
    const char *by; // "age"
    char value[SUBGROUP_TEXT];
    struct group_figures figures;
};

// p(MEL) from which an image is called melanoma.
struct operating_point {
    const char *reason; // not NULL: there is none
    double wanted;      // sensitivity on the validation part
    double threshold;
    struct estimate chosen_sensitivity, chosen_specificity; // on the validation part
    struct estimate sensitivity, specificity;               // on the part that is reported
};

struct evaluation {
    char model_version[MODEL_TEXT_SIZE], architecture[MODEL_TEXT_SIZE], precision[8];
    struct digest weights_sha256, data_sha256;
    bool trained;
    enum dataset_part part;
    size_t images, lesions;
    double temperature;
    size_t temperature_images; // of the validation part it was fitted on; 0: it is the model's
    struct predictions predictions;
    struct figures figures;
    struct operating_point operating_point;
    struct group_figures atypical;
    struct subgroup *subgroups;
    size_t subgroup_count;
    struct cJSON *document; // what was read, which texts are borrowed from; NULL where it was not
};
void evaluation_release(struct evaluation *evaluation);

// What evaluation_write_json wrote: everything but predictions, and what the operating point was on the
// validation part. REJECTED: the sentence names the field. Anyone may have written the file, so all of it is
// checked; texts may hold any character. *evaluation is the caller's also after a failure.
enum status evaluation_read_json(struct bytes json, struct evaluation *evaluation,
                                 struct error *err) MUST_CHECK;
// The same of a file. The sentence names the path; FATAL: it can't be read.
enum status evaluation_read_file(const char *path, struct evaluation *evaluation,
                                 struct error *err) MUST_CHECK;

// Everything that follows from the predictions; samples (count of the predictions) say what the subgroups
// are, NULL: none.
void evaluation_judge(struct evaluation *evaluation, const struct sample *const *samples,
                      const struct figures_options *options);
void evaluation_add_subgroups(struct evaluation *evaluation, const struct sample *const *samples,
                              const struct figures_options *options);
// From the predictions of the validation part, and measured on the evaluation's.
void evaluation_choose_threshold(struct evaluation *evaluation, const struct predictions *validation,
                                 double sensitivity);

enum status evaluation_write_json(const struct evaluation *evaluation, struct buffer *out,
                                  struct error *err) MUST_CHECK;

// The pictures of a report: images of the most confused pairs, and what the model looked at.
struct gallery {
    const struct dataset *dataset;
    const size_t *samples; // (count of the predictions) of the dataset
    const struct preprocessing *preprocessing;
    struct plan *plan; // with the explanation
};
enum status gallery_draw(struct html *page, const struct evaluation *evaluation,
                         const struct gallery *gallery, struct error *err) MUST_CHECK;
// gallery NULL: no pictures.
enum status evaluation_write_page(const struct evaluation *evaluation, const struct gallery *gallery,
                                  struct buffer *out, struct error *err) MUST_CHECK;

struct evaluate_options {
    const char *model, *folder;
    struct dataset_options data;
    enum dataset_part part;
    double sensitivity; // that the operating point shall have on the validation part
    enum precision precision;
    int threads;
    bool pictures; // in report.html
    bool store;    // temperature, operating point and report into the model directory; of the test part alone
    struct figures_options figures;
    void (*warn)(void *context, const char *sentence);
    void *warn_context;
};
// *evaluation is the caller's also after a failure.
enum status evaluate_model(const struct evaluate_options *options, struct evaluation *evaluation,
                           struct error *err) MUST_CHECK;

// The subcommand `evaluate`.
extern const struct option evaluate_flags[];
enum status evaluate_command(struct config *config, struct error *err) MUST_CHECK;

#endif
