// cache_terms.c: names in one text what decides an answer, and reads the secret.
#include "worker/cache/cache_terms.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/version.h"
#include "common/services/redis.h"

// Names in 8 digits what decides a map's bits besides image and model.
static void init_map_suffix(struct cache_terms *terms, const struct engine *engine)
{
    char text[256], digits[DIGEST_TEXT_SIZE];
    int length =
        snprintf(text, sizeof text, "%s %s %s %s", engine->backend->name, engine->backend->device_class,
                 precision_names[engine->plan->precision], skinsight_build);
    struct digest digest = digest_of(text, (size_t)length);
    digest_text(&digest, digits);
    snprintf(terms->map_suffix, sizeof terms->map_suffix, "-%.12s-%.8s.png", engine->model_sha256, digits);
}

// So that workers with another secret, before and after a change of it, keep to keys of their own.
static void name_secret(const struct cache_terms *terms, char name[17])
{
    static const char purpose[] = "skinsight: which cache secret";
    struct bytes secret = {terms->secret, terms->secret_size};
    char digits[DIGEST_TEXT_SIZE];
    struct digest digest = digest_keyed(secret, purpose, sizeof purpose - 1);
    digest_text(&digest, digits);
    snprintf(name, 17, "%.16s", terms->secret_size > 0 ? digits : "none");
}

enum status cache_check(const struct config *config, struct error *err)
{
    const char *cache = config_text(config, "cache");
    if (strcmp(cache, "none") == 0 || *config_text(config, "cache_secret") || redis_url_is_local(cache))
        return STATUS_OK;
    return error_set(err, STATUS_REJECTED,
                     "a Redis on another machine decides no diagnoses: give every worker the same "
                     "cache_secret, or use a Redis on the loopback interface or a local socket");
}

enum status cache_read_secret(struct cache_terms *terms, const struct config *config, struct error *err)
{
    const char *path = config_text(config, "cache_secret");
    struct buffer secret;
    terms->secret_size = 0;
    if (!*path || strcmp(config_text(config, "cache"), "none") == 0)
        return STATUS_OK;
    buffer_init(&secret, CACHE_SECRET_MOST);
    enum status status = file_read_secret(path, CACHE_SECRET_LEAST, &secret, err);
    if (status == STATUS_OK) {
        memcpy(terms->secret, secret.data, secret.size);
        terms->secret_size = secret.size;
    }
    buffer_release(&secret);
    return status;
}

enum status cache_terms_init(struct cache_terms *terms, const struct engine *engine,
                             const struct object_store *objects, const struct config *config,
                             struct error *err)
{
    char root[OBJECT_URI_SIZE], root_digest[DIGEST_TEXT_SIZE], reference[DIGEST_TEXT_SIZE] = "none",
                                                               secret[17];
    object_store_uri(objects, "", root);
    struct digest digest = digest_of(root, strlen(root));
    digest_text(&digest, root_digest);
    terms->has_reference = engine->model->reference != NULL;
    if (terms->has_reference)
        digest_text(&engine->model->manifest.reference_sha256, reference);
    init_map_suffix(terms, engine);
    enum status status = cache_read_secret(terms, config, err);
    if (status != STATUS_OK)
        return status;
    name_secret(terms, secret);
    int length = snprintf(terms->scope, sizeof terms->scope,
                          "model=%s preprocessing=%s backend=%s precision=%s device=%s build=%s "
                          "objects=%.16s reference=%.16s secret=%s",
                          engine->model_sha256, engine->model->manifest.preprocessing.version,
                          engine->backend->name, precision_names[engine->plan->precision],
                          engine->backend->device_class, skinsight_build, root_digest, reference, secret);
    assert(length < (int)sizeof terms->scope);
    return STATUS_OK;
}

void cache_map_key(const struct cache_terms *terms, const struct digest *image, char key[OBJECT_KEY_SIZE])
{
    char digits[DIGEST_TEXT_SIZE];
    digest_text(image, digits);
    memset(key, 0, OBJECT_KEY_SIZE);
    snprintf(key, OBJECT_KEY_SIZE, "attention/%s%s", digits, terms->map_suffix);
}
