// redis.c: a pool of connections to one Redis server, a time limit on every call, and a circuit that opens
// while the server is away. hiredis 0.14.1 frames the protocol; the waiting is done here, against one
// deadline for connecting, AUTH, SELECT, the command and its answer together (the system's resolver alone
// keeps its own limits where the URL names a host).
//
// A connection is used again only when its last answer was complete and nothing more has arrived since: a
// late answer must never be taken for the next one. Any thread; the lock is held to take and give back a
// slot, never while waiting. The program ignores SIGPIPE.
#include "common/services/redis.h"

#include <assert.h>
#include <errno.h>
#include <hiredis/hiredis.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/services/circuit.h"
#include "common/services/redis_address.h"

enum {
    REPLY_OVERHEAD = 64 << 10, // protocol around a value, and what one read may bring beyond it
    WORDS_MOST = 1 + REDIS_DELETE_MOST,
};

struct redis_slot {
    redisContext *context; // NULL: not connected
    bool busy;
    enum circuit_pass pass; // of the call that uses it
};

struct redis {
    struct redis_address address;
    redisReplyObjectFunctions functions; // how answers are built
    int64_t timeout_ms;
    pthread_mutex_t lock; // of the slots
    struct circuit circuit;
    int slot_count;
    struct redis_slot slots[];
};

struct command {
    int count;
    const char *words[WORDS_MOST];
    size_t sizes[WORDS_MOST];
    size_t reply_limit; // most bytes of an answer
};

// How a call went: what the circuit and the connection have to know.
enum outcome {
    OUTCOME_DONE,     // answered
    OUTCOME_DECLINED, // answered with an error that is about this key or value only
    OUTCOME_FAILED,   // answered with an error of the server
    OUTCOME_BROKEN,   // no whole answer: the connection is of no more use
    OUTCOME_OVERSIZE, // a larger answer than allowed: likewise, but the server is well
};

static void add_word(struct command *command, const char *word, size_t size)
{
    command->words[command->count] = word;
    command->sizes[command->count++] = size;
}

static struct command command_of(const char *name, const char *key)
{
    struct command command = {.reply_limit = REPLY_OVERHEAD};
    add_word(&command, name, strlen(name));
    if (key)
        add_word(&command, key, strlen(key));
    return command;
}

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

// No command here is answered by an array; hiredis would make one as large as its first line claims, up to
// 2^31 elements, and spend seconds on it.
static void *refuse_array(const redisReadTask *task, element_count elements)
{
    (void)task, (void)elements;
    return NULL;
}

static bool init_functions(redisReplyObjectFunctions *functions)
{
    redisReader *reader = redisReaderCreate();
    if (!reader)
        return false;
    *functions = *reader->fn;
    functions->createArray = refuse_array;
    redisReaderFree(reader);
    return true;
}

static enum status parse_url(const char *url, struct redis_address *address, struct error *err)
{
    if (strncmp(url, "rediss://", 9) == 0)
        return error_set(
            err, STATUS_REJECTED,
            "rediss:// is not supported: the Redis client library has no TLS; use redis:// to a TLS "
            "proxy on this machine");
    if (!redis_address_parse(url, address)) // the URL may hold a password: it is not quoted
        return error_set(err, STATUS_REJECTED,
                         "the URL of Redis must be redis://[user:password@]host[:port][/database] or "
                         "unix://[user:password@]/path");
    return STATUS_OK;
}

enum status redis_url_check(const char *url, struct error *err)
{
    struct redis_address address;
    return parse_url(url, &address, err);
}

enum status redis_open(struct redis **opened, const char *url, int64_t timeout_ms, int connections,
                       struct error *err)
{
    struct redis_address address;
    *opened = NULL;
    enum status status = parse_url(url, &address, err);
    if (status != STATUS_OK)
        return status;
    if (timeout_ms < 1 || connections < 1)
        return error_set(err, STATUS_REJECTED, "Redis needs a time limit and at least one connection");
    struct redis *redis = memory_alloc(sizeof *redis + (size_t)connections * sizeof *redis->slots);
    redis->address = address;
    if (!init_functions(&redis->functions)) {
        free(redis);
        return error_set(err, STATUS_FATAL, "no memory for connections to Redis");
    }
    redis->timeout_ms = timeout_ms;
    redis->slot_count = connections;
    pthread_mutex_init(&redis->lock, NULL);
    circuit_init(&redis->circuit);
    *opened = redis;
    return STATUS_OK;
}

void redis_set_watch(struct redis *redis, const struct circuit_watch *watch)
{
    circuit_set_watch(&redis->circuit, watch);
}

void redis_close(struct redis *redis)
{
    if (!redis)
        return;
    for (int i = 0; i < redis->slot_count; i++)
        if (redis->slots[i].context)
            redisFree(redis->slots[i].context);
    pthread_mutex_destroy(&redis->lock);
    circuit_release(&redis->circuit);
    OPENSSL_cleanse(redis->address.password, sizeof redis->address.password);
    free(redis);
}

bool redis_is_down(struct redis *redis)
{
    return circuit_is_open(&redis->circuit);
}

// ---- one connection ----

static int64_t left_ms(int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_monotonic_ms();
    return left > 0 ? left : 0;
}

static struct timeval left_time(int64_t deadline_ms)
{
    int64_t left = left_ms(deadline_ms);
    left = left > 0 ? left : 1; // zero would mean no limit
    return (struct timeval){.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
}

static enum status fail_timed_out(const struct redis *redis, struct error *err)
{
    return error_set(err, STATUS_RETRY, "Redis at %s did not answer within %lld ms", redis->address.name,
                     (long long)redis->timeout_ms);
}

static enum status fail_broken(const struct redis *redis, const redisContext *context, struct error *err)
{
    if (context->err == REDIS_ERR_IO && (errno == EAGAIN || errno == ETIMEDOUT))
        return fail_timed_out(redis, err);
    return error_set(err, STATUS_RETRY, "no connection to Redis at %s: %s", redis->address.name,
                     context->errstr);
}

static bool send_command(redisContext *context, const struct command *command, int64_t deadline_ms)
{
    const char *words[WORDS_MOST];
    memcpy(words, command->words, sizeof words);
    if (redisAppendCommandArgv(context, command->count, words, command->sizes) != REDIS_OK)
        return false;
    for (int sent = 0; !sent;) {
        if (left_ms(deadline_ms) == 0) {
            context->err = REDIS_ERR_IO;
            errno = EAGAIN;
            return false;
        }
        if (redisSetTimeout(context, left_time(deadline_ms)) != REDIS_OK ||
            redisBufferWrite(context, &sent) != REDIS_OK)
            return false;
    }
    return true;
}

// Waits for the whole answer; it is the caller's (freeReplyObject).
static enum outcome receive_reply(const struct redis *redis, redisContext *context, size_t limit,
                                  int64_t deadline_ms, redisReply **reply, struct error *err)
{
    for (;;) {
        void *whole = NULL;
        if (redisGetReplyFromReader(context, &whole) != REDIS_OK)
            break;
        *reply = whole;
        if (whole)
            return OUTCOME_DONE;
        if (context->reader->len > limit) {
            (void)error_set(err, STATUS_REJECTED, "Redis at %s holds a value larger than the allowed size",
                            redis->address.name);
            return OUTCOME_OVERSIZE;
        }
        struct pollfd socket = {.fd = context->fd, .events = POLLIN};
        int64_t left = left_ms(deadline_ms);
        if (left == 0 || poll(&socket, 1, left > INT32_MAX ? INT32_MAX : (int)left) == 0) {
            (void)fail_timed_out(redis, err);
            return OUTCOME_BROKEN;
        }
        if (redisBufferRead(context) != REDIS_OK)
            break;
    }
    (void)fail_broken(redis, context, err);
    return OUTCOME_BROKEN;
}

// Sends and waits. An error answered by the server is told by its first word only: the rest may quote the
// command.
static enum outcome exchange(const struct redis *redis, redisContext *context, const struct command *command,
                             int64_t deadline_ms, redisReply **reply, struct error *err)
{
    *reply = NULL;
    if (!send_command(context, command, deadline_ms)) {
        (void)fail_broken(redis, context, err);
        return OUTCOME_BROKEN;
    }
    enum outcome outcome = receive_reply(redis, context, command->reply_limit, deadline_ms, reply, err);
    if (outcome != OUTCOME_DONE || (*reply)->type != REDIS_REPLY_ERROR)
        return outcome;
    bool wrong_type = strncmp((*reply)->str, "WRONGTYPE", 9) == 0;
    (void)error_set(err, wrong_type ? STATUS_REJECTED : STATUS_RETRY, "Redis at %s answered %.*s to %s",
                    redis->address.name, (int)strcspn((*reply)->str, " "), (*reply)->str, command->words[0]);
    freeReplyObject(*reply);
    *reply = NULL;
    return wrong_type ? OUTCOME_DECLINED : OUTCOME_FAILED;
}

// A command of the greeting, whose answer only has to be no error.
static bool greet(const struct redis *redis, redisContext *context, const struct command *command,
                  int64_t deadline_ms, struct error *err)
{
    redisReply *reply;
    enum outcome outcome = exchange(redis, context, command, deadline_ms, &reply, err);
    if (reply)
        freeReplyObject(reply);
    return outcome == OUTCOME_DONE;
}

static redisContext *connect_slot(struct redis *redis, int64_t deadline_ms, struct error *err)
{
    const struct redis_address *address = &redis->address;
    struct timeval left = left_time(deadline_ms);
    redisContext *context = address->path[0] ? redisConnectUnixWithTimeout(address->path, left)
                                             : redisConnectWithTimeout(address->host, address->port, left);
    bool good = context && !context->err;
    if (!context)
        (void)error_set(err, STATUS_RETRY, "no memory for a connection to Redis");
    else if (!good)
        (void)fail_broken(redis, context, err);
    if (good)
        context->reader->fn = &redis->functions;
    if (good && address->password[0]) {
        struct command auth = command_of("AUTH", address->user[0] ? address->user : NULL);
        add_word(&auth, address->password, strlen(address->password));
        good = greet(redis, context, &auth, deadline_ms, err);
    }
    if (good && address->database > 0) {
        char number[16];
        snprintf(number, sizeof number, "%d", address->database);
        struct command choice = command_of("SELECT", number);
        good = greet(redis, context, &choice, deadline_ms, err);
    }
    if (!good && context) {
        redisFree(context);
        context = NULL;
    }
    return context;
}

// Nothing may have come beyond the last answer: neither bytes, read already or not, nor the server's goodbye.
static bool still_quiet(const redisContext *context)
{
    char byte;
    if (context->reader->pos != context->reader->len)
        return false;
    return recv(context->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

// ---- pool ----

// A slot for this call, one that is connected where there is one; NULL: none to be had now.
static struct redis_slot *take_slot(struct redis *redis, struct error *err)
{
    struct redis_slot *slot = NULL;
    pthread_mutex_lock(&redis->lock);
    for (int i = 0; i < redis->slot_count; i++) {
        struct redis_slot *candidate = &redis->slots[i];
        if (!candidate->busy && (!slot || (candidate->context && !slot->context)))
            slot = candidate;
    }
    if (!slot)
        (void)error_set(err, STATUS_RETRY, "all %d connections to Redis are in use", redis->slot_count);
    else if ((slot->pass = circuit_enter(&redis->circuit)) == CIRCUIT_REFUSED) {
        (void)error_set(err, STATUS_RETRY, "Redis at %s is left alone for a while after %d failures",
                        redis->address.name, circuit_failures(&redis->circuit));
        slot = NULL;
    } else {
        slot->busy = true;
    }
    pthread_mutex_unlock(&redis->lock);
    return slot;
}

static void give_slot(struct redis *redis, struct redis_slot *slot, enum outcome outcome)
{
    if (slot->context && (outcome == OUTCOME_BROKEN || outcome == OUTCOME_OVERSIZE)) {
        redisFree(slot->context);
        slot->context = NULL;
    }
    circuit_leave(&redis->circuit, slot->pass, outcome != OUTCOME_FAILED && outcome != OUTCOME_BROKEN);
    pthread_mutex_lock(&redis->lock);
    slot->busy = false;
    pthread_mutex_unlock(&redis->lock);
}

// OK: *reply is the answer and the caller's. REJECTED: it is the key's fault, not the server's.
static enum status run_command(struct redis *redis, const struct command *command, redisReply **reply,
                               struct error *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + redis->timeout_ms;
    enum outcome outcome = OUTCOME_BROKEN;
    *reply = NULL;
    struct redis_slot *slot = take_slot(redis, err);
    if (!slot)
        return STATUS_RETRY;
    if (slot->context && !still_quiet(slot->context)) {
        redisFree(slot->context);
        slot->context = NULL;
    }
    if (!slot->context)
        slot->context = connect_slot(redis, deadline_ms, err);
    if (slot->context)
        outcome = exchange(redis, slot->context, command, deadline_ms, reply, err);
    give_slot(redis, slot, outcome);
    if (outcome == OUTCOME_DECLINED || outcome == OUTCOME_OVERSIZE)
        return STATUS_REJECTED;
    return outcome == OUTCOME_DONE ? STATUS_OK : STATUS_RETRY;
}

// ---- the calls ----

static enum status fail_unexpected(const struct redis *redis, struct error *err)
{
    return error_set(err, STATUS_RETRY, "Redis at %s gave an answer of an unexpected kind",
                     redis->address.name);
}

static enum status run_for_status(struct redis *redis, const struct command *command, const char *expected,
                                  struct error *err)
{
    redisReply *reply;
    enum status status = run_command(redis, command, &reply, err);
    if (status != STATUS_OK)
        return status;
    if (reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, expected) != 0)
        status = fail_unexpected(redis, err);
    freeReplyObject(reply);
    return status;
}

bool redis_url_is_local(const char *url)
{
    struct redis_address address;
    return redis_address_parse(url, &address) && redis_address_is_local(&address);
}

enum status redis_ping(struct redis *redis, struct error *err)
{
    const struct command command = command_of("PING", NULL);
    return run_for_status(redis, &command, "PONG", err);
}

enum status redis_get(struct redis *redis, const char *key, struct buffer *out, bool *found,
                      struct error *err)
{
    struct command command = command_of("GET", key);
    redisReply *reply;
    *found = false;
    buffer_clear(out);
    command.reply_limit += out->limit;
    enum status status = run_command(redis, &command, &reply, err);
    if (status != STATUS_OK)
        return status;
    if (reply->type == REDIS_REPLY_STRING) {
        status = buffer_append(out, reply->str, (size_t)reply->len, err);
        if (status == STATUS_REJECTED)
            (void)error_set(err, status, "Redis at %s holds a value larger than the allowed size",
                            redis->address.name);
        *found = status == STATUS_OK;
    } else if (reply->type != REDIS_REPLY_NIL) {
        status = fail_unexpected(redis, err);
    }
    freeReplyObject(reply);
    return status;
}

enum status redis_set(struct redis *redis, const char *key, struct bytes value, int64_t ttl_ms,
                      struct error *err)
{
    char ttl[24];
    struct command command = command_of("SET", key);
    add_word(&command, value.size ? (const char *)value.data : "", value.size);
    if (ttl_ms > 0) { // otherwise the key stays until Redis needs the room
        snprintf(ttl, sizeof ttl, "%lld", (long long)ttl_ms);
        add_word(&command, "PX", 2);
        add_word(&command, ttl, strlen(ttl));
    }
    return run_for_status(redis, &command, "OK", err);
}

enum status redis_delete(struct redis *redis, const char *const *keys, int count, struct error *err)
{
    struct command command = command_of("DEL", NULL);
    redisReply *reply;
    assert(count >= 1 && count <= REDIS_DELETE_MOST);
    for (int i = 0; i < count; i++)
        add_word(&command, keys[i], strlen(keys[i]));
    enum status status = run_command(redis, &command, &reply, err);
    if (status == STATUS_OK && reply->type != REDIS_REPLY_INTEGER)
        status = fail_unexpected(redis, err);
    freeReplyObject(reply); // NULL is allowed
    return status;
}
