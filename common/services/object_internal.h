// object_internal.h: what object_store.c and its two kinds of store share. Nobody else includes this.
#ifndef SKINSIGHT_COMMON_SERVICES_OBJECT_INTERNAL_H
#define SKINSIGHT_COMMON_SERVICES_OBJECT_INTERNAL_H

#include "common/services/circuit.h"
#include "common/services/object_store.h"

// Keys given to these have passed object_key_valid; out is empty when get begins.
struct object_store_ops {
    enum status (*put)(struct object_store *store, const char *key, struct bytes data,
                       const char *content_type, struct error *err);
    enum status (*get)(struct object_store *store, const char *key, struct buffer *out, struct error *err);
    void (*close)(struct object_store *store); // frees the store
};

struct object_access {
    struct circuit circuit;
    pthread_mutex_t lock;      // for last_failure
    struct error last_failure; // tells why calls are refused
};

// First member of each kind's own structure.
struct object_store {
    const struct object_store_ops *ops;
    char root[OBJECT_URI_SIZE];         // without a slash at its end
    struct object_access writes, reads; // a full disk must not keep anyone from reading
};

bool object_key_valid(const char *key);

// REJECTED: no place that open takes.
enum status object_files_check(const char *place, struct error *err) MUST_CHECK;
enum status object_s3_check(const char *place, struct error *err) MUST_CHECK;

// place: what follows "file://" or "s3://" in the root, without slashes at its end.
struct object_store *object_files_new(const char *place);
enum status object_s3_open(struct object_store **store, const char *place,
                           const struct object_store_options *options, struct error *err) MUST_CHECK;

#endif
