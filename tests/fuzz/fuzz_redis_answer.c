// fuzz_redis_answer.c: any bytes as what a Redis server answers to a GET: a value within its limit, none, or
// a sentence.
#include "common/services/redis.h"
#include "tests/support/scripted_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char answer[64 << 10]; // the server may still hold it when the client has read it all
static struct scripted_server server = {.answer = answer};

static void start(void)
{
    signal(SIGPIPE, SIG_IGN); // as the programs do
    scripted_start(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { VALUE_MOST = 1000, TIMEOUT_MS = 2000 };
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct error err = {""};
    struct redis *redis; // a new one each time: one that fails often is left alone
    struct buffer out;
    char url[64];
    bool found;
    pthread_once(&once, start);
    if (size > sizeof answer)
        return 0;
    memcpy(answer, data, size);
    server.answer_size = size;
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", server.port);
    if (redis_open(&redis, url, TIMEOUT_MS, 1, &err) != STATUS_OK)
        abort();
    buffer_init(&out, VALUE_MOST);
    enum status status = redis_get(redis, "key", &out, &found, &err);
    if (out.size > VALUE_MOST || (out.size > 0 && !found) ||
        (status != STATUS_OK && (found || !err.message[0])))
        abort();
    buffer_release(&out);
    redis_close(redis);
    return 0;
}
