// reference.h: what a clinic is like while all is well: the analyses of a time in bins, of all sites
// together, of each site and of each device, and the limits that its charts need ("skinsight.reference.v1",
// docs/schemas/reference.json).
//
//     reference create: archive -> drift_reference_build -> limits -> ID.json
//     reference sign:   ID.json -> ID.sig, a line {"reference":{"id":...,"sha256":...},"signature":...}
//     drift report:     ID.json and ID.sig -> struct drift_reference
//
// The file's bytes are what is signed, so that any byte that changes is seen. One thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_REFERENCE_H
#define SKINSIGHT_MONITOR_DRIFT_REFERENCE_H

#include <stddef.h>

#include "common/base/bytes.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "monitor/drift/features.h"
#include "monitor/drift/limits.h"

enum drift_stratum_kind { STRATUM_ALL, STRATUM_SITE, STRATUM_DEVICE, STRATUM_KINDS };
#define DRIFT_REFERENCE_SCHEMA "skinsight.reference.v1"

extern const char *const drift_stratum_kinds[STRATUM_KINDS]; // "all", "site", "capture_device"

enum {
    DRIFT_SITES_MOST = DRIFT_NAMES_MOST, // the largest; the others count in all of them together alone
    DRIFT_DEVICES_MOST = 20,
    DRIFT_STRATA_MOST = 1 + DRIFT_SITES_MOST + DRIFT_DEVICES_MOST,
    DRIFT_ID_SIZE = 65,
    DRIFT_REFERENCE_BYTES_MOST = 4 * 1024 * 1024,
};

struct drift_stratum {
    enum drift_stratum_kind kind;
    char name[DRIFT_NAME_SIZE]; // "" for all
    struct drift_tally tally;
    struct drift_limit input; // of its chart of looks (charts.h)
};

struct drift_reference {
    char id[DRIFT_ID_SIZE], model_version[DRIFT_NAME_SIZE]; // "": of all models
    int64_t from, to;                                       // Unix ms, midnights of UTC
    struct digest sha256;                                   // of the file
    struct drift_bins bins;
    size_t stratum_count; // the first one is all
    struct drift_stratum strata[DRIFT_STRATA_MOST];
    double weekdays[7]; // mean number of predictions, from Monday
    // What the model said of lesions whose diagnosis is known.
    struct drift_output truth[LESION_CLASSES];
    double effects[DRIFT_CHARTS]; // of the charts on daily output (effects.h)
    struct drift_limits limits;
};

// 1 to 64 of A-Za-z0-9_.-, not beginning with a dot: it is a file's name.
bool drift_reference_id_good(const char *id);

struct drift_reference *drift_reference_new(void);
void drift_reference_free(struct drift_reference *reference); // NULL is allowed

int drift_weekday(int64_t at); // of a Unix time in ms: 0 Monday ... 6 Sunday, of UTC

// The stratum of that kind and name, or -1.
int drift_stratum_find(const struct drift_reference *reference, enum drift_stratum_kind kind,
                       const char *name);

enum status drift_reference_write(const struct drift_reference *reference, struct buffer *out,
                                  struct error *err) MUST_CHECK;
// REJECTED: it is no reference of this version, or its bins, counts and limits do not fit each other.
enum status drift_reference_parse(struct bytes text, struct drift_reference *reference,
                                  struct error *err) MUST_CHECK;

#endif
