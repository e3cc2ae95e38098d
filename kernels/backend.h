// backend.h: what a device offers. A backend prepares a plan from a network (checks that it has every
// operation, packs weights, fuses neighbours, lays out memory once) and runs it (no allocation, no choice, no
// error but the device's).
//
// Same image, same bits: an image's outputs don't depend on the batch's size, its slot or its neighbours.
// Read by the C and the CUDA compiler alike. A backend or plan is used by one thread at a time.
#ifndef SKINSIGHT_KERNELS_BACKEND_H
#define SKINSIGHT_KERNELS_BACKEND_H

#include <stdint.h>

#include "common/base/status.h"
#include "kernels/model/weights.h"
#include "kernels/network/network.h"
#include "kernels/network/precision.h"

// What a plan tells about where it looked.
enum explanation {
    EXPLAIN_NOTHING,
    EXPLAIN_LAST,    // network.h: the last block's class-token row of each head, or a class-activation map
    EXPLAIN_ROLLOUT, // attention rollout (Abnar and Zuidema 2020): class-token row of the product over the
                     // blocks, last first, of (mean over heads + 1) / 2; one map. Networks with attention
                     // only.
};

// Is shown every row that a LayerNorm writes, by the thread that runs the plan.
struct row_observer {
    void (*see)(void *context, const struct operation *layernorm, const float *row, int columns);
    void *context;
};

struct plan_options {
    enum precision precision;
    int max_batch;              // largest count that will be run
    enum explanation attention; // the maps wanted
    // NULL, or shown the rows. Must outlive the plan. A network with LayerNorms is REJECTED where they can't
    // be shown: in another precision than fp32, and on any device but a CPU with AVX2.
    const struct row_observer *observer;
};

struct backend;
struct inference;
struct plan;
struct training;
struct training_options;

// What a plan can do; each kind of plan brings its own.
struct plan_ops {
    // views: count pointers to view_size bytes each, 1 <= count <= max_batch. FATAL only.
    enum status (*run)(struct plan *plan, const uint8_t *const *views, int count,
                       const struct inference *result, struct error *err);
    void (*free)(struct plan *plan);
};

// One image's results lie at [i * classes], [i * heads * map_height * map_width] and [i * embedding_width].
// The memory is the caller's.
struct inference {
    float *logits;    // (count, classes)
    float *attention; // (count, heads, map_height, map_width): of the attentions softmax weights without the
                      // class token's own; NULL when the plan was prepared without
    float *embedding; // (count, embedding_width): what the head turns into logits; NULL: not wanted
};

// What a caller may know of a plan; backends put it first in their own struct.
struct plan {
    const struct plan_ops *ops; // every slot filled
    struct backend *backend;
    int max_batch;
    int classes;
    int view_size;                    // bytes of one input: image_size * image_size * 3
    int heads, map_height, map_width; // of the attention output; heads 0: none; 1: one map
    int embedding_width;
    double flops;         // of one image
    uint64_t weight_size; // bytes the plan holds for weights
    uint64_t memory_size; // bytes of activations and workspace
    enum precision precision;
    bool observed; // the observer is shown its rows
    // Where run adds what each part of the network took, in milliseconds, by enum network_part; NULL, as
    // prepare leaves it: nothing is measured, at no cost. Set by the caller between runs. A backend whose
    // steps are not timed leaves the values alone.
    double *part_ms;
};

// Of what a program shares with the CUDA backend's library: one more whenever a struct here, in network.h or
// in weights.h changes.
enum { BACKEND_INTERFACE_VERSION = 7 };

// What a device tells of itself; -1: it does not.
struct device_figures {
    int utilisation_percent;
    int64_t memory_used, memory_total; // bytes
    int temperature_c;
    int power_mw, power_limit_mw;
    int clock_mhz, clock_max_mhz;
    int64_t ecc_uncorrected; // since the driver was loaded
    int64_t program_faults;  // that some program on it caused, since the backend was opened
};

struct backend_ops {
    // REJECTED: an operation, shape or precision this device lacks, by name. FATAL: no memory, device lost.
    // The network is folded (network_fold). It may be freed and the weights closed afterwards.
    enum status (*prepare)(struct backend *backend, const struct network *network,
                           const struct weights *weights, const struct plan_options *options,
                           struct plan **plan, struct error *err);
    // As training_prepare (training.h), whose checks are done. The network is not folded.
    enum status (*prepare_training)(struct backend *backend, const struct network *network,
                                    const struct weights *weights, const struct training_options *options,
                                    struct training **training, struct error *err);
    enum status (*health)(struct backend *backend, struct error *err); // FATAL: the device is lost
    void (*figures)(struct backend *backend, struct device_figures *figures);
    // 10^9 operations a second that it can do at most, measured (cpu/peak.h); 0: not measured.
    double (*peak_gflops)(struct backend *backend, enum precision precision);
    void (*close)(struct backend *backend);
};

struct backend {
    const struct backend_ops *ops; // every slot filled
    char name[16];                 // "cpu"
    char device[128];              // "AMD EPYC 9R14, 2 threads, avx512bf16+vnni"
    char device_class[64];         // what decides the bits, for cache keys: "avx512"
    int threads;
    bool simulated; // its answers are no network's, and not to be compared with any
};

// name: "cpu", "cuda", "auto" (cuda where there is one, else cpu) or "simulated". threads 0: every core.
enum status backend_open(struct backend **backend, const char *name, int threads,
                         struct error *err) MUST_CHECK;
void backend_close(struct backend *backend); // NULL is allowed; after its plans are freed

enum status backend_prepare(struct backend *backend, const struct network *network,
                            const struct weights *weights, const struct plan_options *options,
                            struct plan **plan, struct error *err) MUST_CHECK;
enum status plan_run(struct plan *plan, const uint8_t *const *views, int count,
                     const struct inference *result, struct error *err) MUST_CHECK;
void plan_free(struct plan *plan); // NULL is allowed

enum status backend_health(struct backend *backend, struct error *err) MUST_CHECK;
void backend_figures(struct backend *backend, struct device_figures *figures);
double backend_peak_gflops(struct backend *backend, enum precision precision);

// For backends: a plan's figures as far as network and options decide them; sizes of memory 0.
struct plan plan_describe(struct backend *backend, const struct plan_ops *ops, const struct network *network,
                          const struct plan_options *options);
// The places of the results from image `first` on; attention NULL where the plan gives none.
struct inference inference_from(const struct plan *plan, const struct inference *result, int first);
// The slots of a device that can't train, that can't be lost, that tells nothing of itself, and whose peak is
// not measured.
enum status backend_no_training(struct backend *backend, const struct network *network,
                                const struct weights *weights, const struct training_options *options,
                                struct training **training, struct error *err);
enum status backend_always_healthy(struct backend *backend, struct error *err);
void backend_no_figures(struct backend *backend, struct device_figures *figures);
double backend_no_peak(struct backend *backend, enum precision precision);

#endif
