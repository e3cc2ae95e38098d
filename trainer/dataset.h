// dataset.h: labelled images: where they lie, what they show, and which part of them each belongs to.
//
// --data takes four forms: a CSV with the columns file and label (and lesion_id, patient_id, image_id, age,
// sex, lesion_location or site, skin_type, ita, atypical, split where they are there), a folder with a folder
// for each class, ISIC's ground truth (image and a column for each class), and HAM10000's metadata (image_id,
// dx). Without a column split each image gets its part here: images of one lesion (else of one patient, else
// with one image_id, else the file alone), those with one image_id and copies of one file stay together. The
// seed draws each group's place from its name, and the shares cut there: neither the order of rows nor which
// other rows are taken changes it, but where a class would have nothing in a part.
//
// dataset_open reads every image once: what can't be decoded, copies, pictures that nearly are copies of one
// in another part, lesions in two parts, classes without examples: all of it is told before an hour is spent.
// The dataset doesn't change afterwards; any thread may read it.
#ifndef SKINSIGHT_TRAINER_DATASET_H
#define SKINSIGHT_TRAINER_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/collect.h"
#include "common/base/digest.h"
#include "common/picture/image.h"
#include "common/program/progress.h"
#include "common/records/lesion.h"

enum dataset_part { PART_TRAIN, PART_VALIDATION, PART_TEST, DATASET_PARTS };
extern const char *const dataset_part_names[DATASET_PARTS]; // "train"

enum { DATASET_MOST_FILE_BYTES = 64 << 20, DATASET_MOST_PIXELS = 64 << 20, SAMPLE_REDUCED_SIDE = 17 };

struct sample {
    char *file; // as the data set names it, relative to its folder
    char *path; // to open
    int label;  // enum lesion_class
    char *lesion, *patient, *image_id, *sex, *location, *skin_type; // "": not known
    double age, ita;                                                // NaN: not known
    int atypical;                                                   // -1: not known
    int line;                                                       // of the CSV; 0: it came from a folder
    enum dataset_part part;
    // What the file is.
    struct digest sha256;
    int width, height;
    uint8_t reduced[SAMPLE_REDUCED_SIDE * SAMPLE_REDUCED_SIDE * 3]; // the picture, very small
    uint64_t look[4]; // 256 bits: whether grey grows from a point of it to the one at its right
    bool readable;
};

struct dataset {
    struct sample *samples; // all of them readable, in the order of rows or names
    size_t count;
    char *folder;         // that files are relative to
    struct digest sha256; // over each sample's image digest, label, lesion and part
    bool split_given;     // by the column
    // What the check has found.
    size_t left_out;        // files that can't be decoded
    size_t copies;          // files with the bytes of an earlier one
    size_t near_copies;     // pairs in different parts that look nearly alike
    size_t divided_lesions; // lesions with images in several parts
    size_t divided_patients;
};

struct dataset_options {
    const char *data;
    const char *images;          // folder of the files; NULL or "": where the CSV lies
    const char *metadata;        // NULL or "", or a second CSV with the lesions, ages ... of the images
    const char *where;           // NULL or "", or "column=value,column!=value,...": the rows that are taken
    double split[DATASET_PARTS]; // shares; their sum is 1
    uint64_t split_seed;
    bool skip_bad;     // leave out what can't be decoded
    bool lone_lesions; // a class with one lesion is all for training, and told of, not refused
    int threads;       // 0: every core
    struct collect_complaints complaints; // is told what was found, a sentence each
    struct progress *progress;            // NULL: none
};

// REJECTED: the data can't be used, with the way out. *dataset is the caller's, dataset_free.
enum status dataset_open(struct dataset **dataset, const struct dataset_options *options,
                         struct error *err) MUST_CHECK;
void dataset_free(struct dataset *dataset); // NULL is allowed

// Decodes a sample's file. REJECTED or FATAL; the sentence names the file.
enum status dataset_picture(const struct dataset *dataset, size_t sample, struct image *image,
                            struct error *err) MUST_CHECK;

// What images a sample belongs to in the split: "lesion L1", else "patient P1", "image I1", "file N". The
// caller frees it.
char *sample_group(const struct sample *sample);
// How many images of each class a part has.
void dataset_count(const struct dataset *dataset, enum dataset_part part, size_t counts[LESION_CLASSES]);
// Indices of a part's samples in order, *count of them; the caller frees them.
size_t *dataset_part_samples(const struct dataset *dataset, enum dataset_part part, size_t *count);

// Writes which image is in which part, as a CSV that --data reads with --images, closed to others. FATAL.
enum status dataset_write_split(const struct dataset *dataset, const char *path,
                                struct error *err) MUST_CHECK;

// "0.70,0.15,0.15". REJECTED: not three shares from 0 to 1 with the sum 1, the first above 0.
enum status dataset_parse_split(const char *text, double split[DATASET_PARTS], struct error *err) MUST_CHECK;

#endif
