// object_store.c: the rules for keys, URIs and roots, and the choice of the kind of store. What reaches
// object_files.c or object_s3.c is a key that can't leave the root. Any thread.
#include "common/services/object_store.h"

#include <stdio.h>
#include <string.h>

#include "common/services/object_internal.h"

static const char key_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";

bool object_key_valid(const char *key)
{
    size_t length = strnlen(key, OBJECT_KEY_SIZE);
    if (length == 0 || length >= OBJECT_KEY_SIZE || strspn(key, key_characters) != length)
        return false;
    for (const char *part = key;; part++) {
        size_t size = strcspn(part, "/");
        if (size == strspn(part, ".")) // empty, or dots only
            return false;
        part += size;
        if (*part == '\0')
            return true;
    }
}

static enum status check_key(const char *key, struct error *err)
{
    if (object_key_valid(key))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "the object key is no relative path of up to %d characters of A-Z a-z 0-9 . _ - /",
                     OBJECT_KEY_SIZE - 1);
}

// Copies root without slashes at its end; false when it is too long to hold keys as well.
static bool trim_root(const char *root, char trimmed[OBJECT_URI_SIZE])
{
    size_t length = strnlen(root, OBJECT_URI_SIZE);
    while (length > 0 && root[length - 1] == '/')
        length--;
    if (length + 1 + OBJECT_KEY_SIZE > OBJECT_URI_SIZE)
        return false;
    memcpy(trimmed, root, length);
    trimmed[length] = '\0';
    return true;
}

static void access_init(struct object_access *access)
{
    circuit_init(&access->circuit);
    pthread_mutex_init(&access->lock, NULL);
    access->last_failure = (struct error){""};
}

static void access_release(struct object_access *access)
{
    circuit_release(&access->circuit);
    pthread_mutex_destroy(&access->lock);
}

// Where the place begins in a root that one of the kinds knows, and its kind; 0 in others.
static size_t place_of(const char *root, bool *is_s3)
{
    *is_s3 = strncmp(root, "s3://", 5) == 0;
    return *is_s3 ? 5 : strncmp(root, "file:///", 8) == 0 ? 7 : 0;
}

enum status object_root_check(const char *root, struct error *err)
{
    char trimmed[OBJECT_URI_SIZE];
    bool is_s3;
    if (!trim_root(root, trimmed))
        return error_set(err, STATUS_REJECTED, "the root of the object store is longer than %d characters",
                         OBJECT_URI_SIZE - OBJECT_KEY_SIZE - 1);
    size_t place = place_of(trimmed, &is_s3);
    if (place == 0)
        return error_set(err, STATUS_REJECTED,
                         "the object store '%.200s' is neither file:///folder nor s3://bucket/prefix", root);
    return is_s3 ? object_s3_check(trimmed + place, err) : object_files_check(trimmed + place, err);
}

enum status object_store_open(struct object_store **store, const struct object_store_options *options,
                              struct error *err)
{
    char root[OBJECT_URI_SIZE];
    bool is_s3;
    *store = NULL;
    enum status status = object_root_check(options->root, err);
    if (status != STATUS_OK)
        return status;
    trim_root(options->root, root);
    const char *place = root + place_of(root, &is_s3);
    if (is_s3)
        status = object_s3_open(store, place, options, err);
    else
        *store = object_files_new(place);
    if (status == STATUS_OK) {
        memcpy((*store)->root, root, sizeof root);
        access_init(&(*store)->writes);
        access_init(&(*store)->reads);
    }
    return status;
}

void object_store_close(struct object_store *store)
{
    if (!store)
        return;
    access_release(&store->writes);
    access_release(&store->reads);
    store->ops->close(store);
}

void object_store_set_watches(struct object_store *store, const struct circuit_watch *reads,
                              const struct circuit_watch *writes)
{
    circuit_set_watch(&store->reads.circuit, reads);
    circuit_set_watch(&store->writes.circuit, writes);
}

bool object_store_is_down(struct object_store *store)
{
    return circuit_is_open(&store->writes.circuit);
}

static enum status refuse(struct object_access *access, struct error *err)
{
    pthread_mutex_lock(&access->lock);
    enum status status = error_set(
        err, STATUS_RETRY, "the object store is left alone for a while after %d failures; the last: %s",
        circuit_failures(&access->circuit), access->last_failure.message);
    pthread_mutex_unlock(&access->lock);
    return status;
}

// The failure is remembered before the circuit can refuse anyone because of it.
static void leave(struct object_access *access, enum circuit_pass pass, enum status status,
                  const struct error *err)
{
    if (status == STATUS_RETRY) {
        pthread_mutex_lock(&access->lock);
        access->last_failure = *err;
        pthread_mutex_unlock(&access->lock);
    }
    circuit_leave(&access->circuit, pass, status != STATUS_RETRY);
}

enum status object_store_put(struct object_store *store, const char *key, struct bytes data,
                             const char *content_type, struct error *err)
{
    enum status status = check_key(key, err);
    if (status != STATUS_OK)
        return status;
    enum circuit_pass pass = circuit_enter(&store->writes.circuit);
    if (pass == CIRCUIT_REFUSED)
        return refuse(&store->writes, err);
    status = store->ops->put(store, key, data, content_type, err);
    leave(&store->writes, pass, status, err);
    return status;
}

enum status object_store_get(struct object_store *store, const char *key, struct buffer *out,
                             struct error *err)
{
    buffer_clear(out);
    enum status status = check_key(key, err);
    if (status != STATUS_OK)
        return status;
    enum circuit_pass pass = circuit_enter(&store->reads.circuit);
    if (pass == CIRCUIT_REFUSED)
        return refuse(&store->reads, err);
    status = store->ops->get(store, key, out, err);
    leave(&store->reads, pass, status, err);
    if (status != STATUS_OK)
        out->size = 0; // overflowed stays: it tells too large from not there
    return status;
}

enum status object_store_check(struct object_store *store, struct error *err)
{
    static const char key[] = "doctor/probe";
    static const char text[] = "SkinSight wrote this to see whether it can.\n";
    const struct bytes probe = {(const uint8_t *)text, sizeof text - 1};
    struct buffer out;
    buffer_init(&out, sizeof text);
    enum status status = object_store_put(store, key, probe, "text/plain", err);
    if (status == STATUS_OK)
        status = object_store_get(store, key, &out, err);
    if (status == STATUS_OK && !bytes_equal(probe, buffer_bytes(&out)))
        status =
            error_set(err, STATUS_RETRY, "%s/%s does not hold what was just written to it", store->root, key);
    buffer_release(&out);
    return status;
}

void object_store_uri(const struct object_store *store, const char *key, char uri[OBJECT_URI_SIZE])
{
    size_t length = strlen(store->root);
    memcpy(uri, store->root, length);
    snprintf(uri + length, OBJECT_URI_SIZE - length, "/%s", key);
}

enum status object_store_key(const struct object_store *store, const char *uri, char key[OBJECT_KEY_SIZE],
                             struct error *err)
{
    size_t length = strlen(store->root);
    if (strncmp(uri, store->root, length) != 0 || uri[length] != '/' || !object_key_valid(uri + length + 1))
        return error_set(err, STATUS_REJECTED, "the URI names no object under the root of the object store");
    strcpy(key, uri + length + 1); // object_key_valid bounds the length
    return STATUS_OK;
}
