// fuzz_s3_answer.c: any bytes as what an S3 server answers to a GET: an object within its limit, or a
// sentence.
#include "common/services/object_store.h"
#include "tests/support/scripted_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char answer[64 << 10]; // the server may still hold it when the client has read it all
static struct scripted_server server = {.answer = answer};

static void start(void)
{
    signal(SIGPIPE, SIG_IGN); // as the programs do
    setenv("AWS_ACCESS_KEY_ID", "key", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    scripted_start(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { OBJECT_MOST = 4096, TIMEOUT_MS = 2000 };
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct error err = {""};
    struct object_store *store; // a new one each time: one that fails often is left alone
    struct buffer out;
    char endpoint[64];
    pthread_once(&once, start);
    if (size > sizeof answer)
        return 0;
    memcpy(answer, data, size);
    server.answer_size = size;
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", server.port);
    struct object_store_options options = {"s3://bucket", endpoint, "us-east-1", TIMEOUT_MS};
    if (object_store_open(&store, &options, &err) != STATUS_OK)
        abort();
    buffer_init(&out, OBJECT_MOST);
    enum status status = object_store_get(store, "images/a.jpg", &out, &err);
    if (out.size > OBJECT_MOST || (status != STATUS_OK && (out.size > 0 || !err.message[0])))
        abort();
    buffer_release(&out);
    object_store_close(store);
    return 0;
}
