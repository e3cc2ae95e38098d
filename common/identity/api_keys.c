// api_keys.c: reads the file strictly: a name that stands twice, an unknown one or a value out of its range
// means that the file is not ours or damaged, and then it lets nobody in.
#include "common/identity/api_keys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/json_write.h"
#include "common/base/memory.h"

#define KEYS_SCHEMA "skinsight.api_keys.v1"
#define KEY_PREFIX  "ssk_"

enum {
    SECRET_BYTES = 32,
    ID_BYTES = 6,
    KEY_JSON_MOST = 512,
    FIELDS = 8,
    FILE_MODE = 0600,
};

// ---- reading ----

static bool read_name(const cJSON *json, const char *field, bool (*good)(const char *text),
                      char out[IDENTITY_NAME_SIZE])
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, field);
    if (!cJSON_IsString(item) || !good(item->valuestring))
        return false;
    strcpy(out, item->valuestring);
    return true;
}

static bool read_time(const cJSON *json, const char *field, int64_t *time)
{
    return json_whole_number(cJSON_GetObjectItemCaseSensitive(json, field), 1, JSON_WHOLE_MOST, time);
}

static bool read_key(const cJSON *json, struct api_key *key)
{
    uint8_t id_bytes[ID_BYTES];
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(json, "id");
    const cJSON *hash = cJSON_GetObjectItemCaseSensitive(json, "sha256");
    const cJSON *role = cJSON_GetObjectItemCaseSensitive(json, "role");
    const cJSON *urgent = cJSON_GetObjectItemCaseSensitive(json, "urgent");
    const cJSON *revoked = cJSON_GetObjectItemCaseSensitive(json, "revoked_at");
    if (!cJSON_IsObject(json) || cJSON_GetArraySize(json) != FIELDS)
        return false;
    if (!cJSON_IsString(id) || !hex_decode(id->valuestring, id_bytes, ID_BYTES))
        return false;
    hex_encode(id_bytes, ID_BYTES, key->id);
    if (!cJSON_IsString(hash) || !digest_parse(hash->valuestring, &key->hash))
        return false;
    if (!cJSON_IsString(role) || !role_parse(role->valuestring, &key->role) || !cJSON_IsBool(urgent))
        return false;
    key->urgent = cJSON_IsTrue(urgent);
    return read_name(json, "actor", identity_actor_good, key->actor) &&
           read_name(json, "site", identity_site_good, key->site) &&
           read_time(json, "created_at", &key->created_at) &&
           (cJSON_IsNull(revoked) || read_time(json, "revoked_at", &key->revoked_at));
}

static enum status read_keys(const cJSON *json, struct api_keys *keys, struct error *err)
{
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(json, "schema");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "keys");
    if (!cJSON_IsString(schema) || strcmp(schema->valuestring, KEYS_SCHEMA) != 0 || !cJSON_IsArray(list) ||
        cJSON_GetArraySize(json) != 2 || json_repeated_name(json))
        return error_set(err, STATUS_REJECTED, "this is no file of API keys (%s)", KEYS_SCHEMA);
    size_t count = (size_t)cJSON_GetArraySize(list);
    if (count > API_KEYS_MOST)
        return error_set(err, STATUS_REJECTED, "%zu keys, the limit is %d", count, API_KEYS_MOST);
    keys->keys = memory_alloc((count + 1) * sizeof *keys->keys); // one more, for api_keys_add
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (!read_key(item, &keys->keys[keys->count]))
            return error_set(err, STATUS_REJECTED, "key %zu of the file is not one", keys->count + 1);
        keys->count++;
    }
    return STATUS_OK;
}

enum status api_keys_read(const char *path, struct api_keys *keys, struct error *err)
{
    static const struct json_limits limits = {.bytes = (size_t)API_KEYS_MOST * KEY_JSON_MOST,
                                              .values = (size_t)API_KEYS_MOST * (FIELDS + 1) + 4,
                                              .depth = 3};
    struct buffer text;
    cJSON *json = NULL;
    *keys = (struct api_keys){0};
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        keys->keys = memory_alloc(sizeof *keys->keys);
        return STATUS_OK;
    }
    buffer_init(&text, limits.bytes);
    enum status status = file_read_secret(path, 0, &text, err);
    if (status == STATUS_OK) {
        status = json_parse(buffer_bytes(&text), &limits, &json, err);
        if (status == STATUS_OK)
            status = read_keys(json, keys, err);
        if (status != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    cJSON_Delete(json);
    buffer_release(&text);
    return status;
}

void api_keys_release(struct api_keys *keys)
{
    free(keys->keys);
    *keys = (struct api_keys){0};
}

// The hash of the text decides, so the time tells about hashes alone.
const struct api_key *api_keys_find(const struct api_keys *keys, const char *text, size_t size)
{
    if (size != API_KEY_SIZE - 1 || memcmp(text, KEY_PREFIX, strlen(KEY_PREFIX)) != 0)
        return NULL;
    struct digest hash = digest_of(text, size);
    const struct api_key *found = NULL;
    for (size_t i = 0; i < keys->count; i++)
        if (digest_equal(&keys->keys[i].hash, &hash))
            found = &keys->keys[i];
    return found && found->revoked_at == 0 ? found : NULL;
}

// ---- changing ----

static bool write_file(FILE *file, const void *context)
{
    const struct buffer *text = context;
    return fchmod(fileno(file), FILE_MODE) == 0 && fwrite(text->data, 1, text->size, file) == text->size;
}

static void write_key(struct json_writer *writer, const struct api_key *key)
{
    json_add_object(writer, NULL);
    json_add_text(writer, "id", key->id);
    json_add_digest(writer, "sha256", &key->hash);
    json_add_text(writer, "actor", key->actor);
    json_add_text(writer, "site", key->site);
    json_add_text(writer, "role", role_name(key->role));
    json_add_bool(writer, "urgent", key->urgent);
    json_add_integer(writer, "created_at", key->created_at);
    if (key->revoked_at)
        json_add_integer(writer, "revoked_at", key->revoked_at);
    else
        json_add_null(writer, "revoked_at");
    json_end_object(writer);
}

static enum status write_keys(const char *path, const struct api_keys *keys, struct error *err)
{
    struct buffer text;
    struct json_writer writer;
    buffer_init(&text, (size_t)API_KEYS_MOST * KEY_JSON_MOST);
    json_write_begin(&writer, &text, err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "schema", KEYS_SCHEMA);
    json_add_array(&writer, "keys");
    for (size_t i = 0; i < keys->count; i++)
        write_key(&writer, &keys->keys[i]);
    json_end_array(&writer);
    json_end_object(&writer);
    enum status status = json_write_end(&writer);
    if (status == STATUS_OK)
        status = buffer_append(&text, "\n", 1, err);
    if (status == STATUS_OK)
        status = file_replace_private(path, write_file, &text, err);
    buffer_release(&text);
    return status;
}

// Held by one command at a time, from before it reads until it has written. -1 with the sentence on failure.
static int lock_file(const char *path, struct error *err)
{
    char *name = memory_format("%s.lock", path);
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (lock >= 0 && flock(lock, LOCK_EX) != 0) {
        close(lock);
        lock = -1;
    }
    if (lock < 0)
        (void)error_set(err, STATUS_FATAL, "%s can't be locked: %s", name, strerror(errno));
    free(name);
    return lock;
}

enum status api_key_make(struct api_key *key, char text[API_KEY_SIZE], struct error *err)
{
    uint8_t secret[SECRET_BYTES], id[ID_BYTES];
    char base64[API_KEY_SIZE];
    static_assert(sizeof KEY_PREFIX - 1 + (SECRET_BYTES * 4 + 2) / 3 == API_KEY_SIZE - 1, "length of a key");
    if (RAND_priv_bytes(secret, sizeof secret) != 1 || RAND_bytes(id, sizeof id) != 1)
        return error_set(err, STATUS_FATAL, "no random bits for a key");
    base64_encode(secret, sizeof secret, base64);
    for (char *at = base64; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    memcpy(text, KEY_PREFIX, strlen(KEY_PREFIX));
    memcpy(text + strlen(KEY_PREFIX), base64, API_KEY_SIZE - 1 - strlen(KEY_PREFIX)); // without the '='
    text[API_KEY_SIZE - 1] = '\0';
    key->hash = digest_of(text, API_KEY_SIZE - 1);
    hex_encode(id, sizeof id, key->id);
    key->created_at = clock_wall_ms();
    key->revoked_at = 0;
    OPENSSL_cleanse(secret, sizeof secret);
    OPENSSL_cleanse(base64, sizeof base64);
    return STATUS_OK;
}

static struct api_key *find_id(const struct api_keys *keys, const char *id)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->keys[i].id, id) == 0)
            return &keys->keys[i];
    return NULL;
}

enum status api_keys_add(const char *path, const struct api_key *key, struct error *err)
{
    struct api_keys keys = {0};
    assert(identity_actor_good(key->actor) && identity_site_good(key->site));
    int lock = lock_file(path, err);
    if (lock < 0)
        return STATUS_FATAL;
    enum status status = api_keys_read(path, &keys, err);
    if (status == STATUS_OK && keys.count == API_KEYS_MOST)
        status = error_set(err, STATUS_REJECTED, "%s holds %d keys already", path, API_KEYS_MOST);
    else if (status == STATUS_OK && find_id(&keys, key->id))
        status = error_set(err, STATUS_RETRY, "%s has a key %s already", path, key->id);
    if (status == STATUS_OK) {
        keys.keys[keys.count++] = *key;
        status = write_keys(path, &keys, err);
    }
    api_keys_release(&keys);
    close(lock);
    return status;
}

static enum status find_key(const char *path, const char *id, struct api_keys *keys, struct api_key **key,
                            struct error *err)
{
    enum status status = api_keys_read(path, keys, err);
    *key = status == STATUS_OK ? find_id(keys, id) : NULL;
    if (status == STATUS_OK && !*key)
        status = error_set(err, STATUS_REJECTED, "%s has no key '%s'", path, id);
    return status;
}

enum status api_keys_look(const char *path, const char *id, struct api_key *key, struct error *err)
{
    struct api_keys keys;
    struct api_key *found;
    enum status status = find_key(path, id, &keys, &found, err);
    if (status == STATUS_OK)
        *key = *found;
    api_keys_release(&keys);
    return status;
}

enum status api_keys_revoke(const char *path, const char *id, struct error *err)
{
    struct api_keys keys;
    struct api_key *found;
    int lock = lock_file(path, err);
    if (lock < 0)
        return STATUS_FATAL;
    enum status status = find_key(path, id, &keys, &found, err);
    if (status == STATUS_OK && found->revoked_at)
        status = error_set(err, STATUS_REJECTED, "key '%s' is revoked already", id);
    if (status == STATUS_OK) {
        found->revoked_at = clock_wall_ms();
        status = write_keys(path, &keys, err);
    }
    api_keys_release(&keys);
    close(lock);
    return status;
}
