// fuzz_object_uri.c: any text as the URI of a job's image, and as the root of an object store. A URI that is
// accepted is the root, a slash and a key without any step upwards.
#include <stdlib.h>
#include <string.h>

#include "common/services/object_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_key(const char *key)
{
    check(key[0] != '\0' && key[0] != '/' && strlen(key) < OBJECT_KEY_SIZE);
    check(!strstr(key, "//") && !strstr(key, "/../") && strncmp(key, "../", 3) != 0 &&
          strcmp(key, "..") != 0);
    check(strlen(key) < 3 || strcmp(key + strlen(key) - 3, "/..") != 0);
    for (; *key; key++)
        check(*key > ' ' && *key < 0x7f && !strchr("%?#\\~", *key));
}

static void try_uri(const char *root, const char *uri)
{
    struct object_store *store;
    struct error err;
    char key[OBJECT_KEY_SIZE];
    char again[OBJECT_URI_SIZE];
    struct object_store_options options = {root, "http://127.0.0.1:1", "us-east-1", 1000};
    if (object_store_open(&store, &options, &err) != STATUS_OK)
        return;
    if (object_store_key(store, uri, key, &err) == STATUS_OK) {
        check_key(key);
        object_store_uri(store, key, again);
        check(strcmp(again, uri) == 0);
    }
    object_store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setenv("AWS_ACCESS_KEY_ID", "key", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    try_uri("file:///srv/objects", text);
    try_uri("s3://bucket/prefix", text);
    char *second = strchr(text, '\n'); // a root of its own, and a URI
    if (second) {
        *second = '\0';
        try_uri(text, second + 1);
    }
    free(text);
    return 0;
}
