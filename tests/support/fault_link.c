// fault_link.c: the two threads of a connection through the proxy.
//
// Requests: whole frames are read, judged by the rules, and forwarded by one thread, which therefore holds
// back everything behind a frame that it delays or holds. Replies: matched with their requests by correlation
// id. Cutting is a shutdown of the sockets, so that both threads notice; they are closed by the last of the
// two.
#include "tests/support/fault_link.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PENDING_MAX = 1024,
    PIECE_SIZE = 16 * 1024,
    SLOW_TICK_MS = 50,
    MARKER_MS = 150,  // the broker writes a transaction's markers after it has answered EndTxn
    RELEASE_MS = 2000 // longest wait for the answers to what was let go
};

struct pending {
    struct kafka_request request;
    struct fault fault;
};

struct link {
    struct fault_proxy *proxy;
    int number;
    int client, server;
    pthread_mutex_t lock;
    struct pending pending[PENDING_MAX]; // a ring, oldest first
    int first, count;
    bool client_gone; // cut on purpose; replies are read and thrown away
    bool holding;     // counted in proxy->held
    int threads;
    struct fault fault;  // plain bytes: of this connection
    unsigned rules_seen; // plain bytes: the rules since which bytes are counted
    long replied;        // plain bytes: bytes of replies since then
};

int64_t fault_proxy_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

// Caller holds proxy->lock. details: more JSON members, beginning with a comma, or "".
static void log_line(const struct link *link, const char *what, const struct kafka_request *request,
                     const char *details)
{
    char name[16];
    FILE *log = link->proxy->log;
    fprintf(log, "{\"at\": %" PRId64 ", \"link\": %d, \"did\": \"%s\"", fault_proxy_now_ms(), link->number,
            what);
    if (request)
        fprintf(log, ", \"api\": \"%s\", \"version\": %d, \"correlation\": %" PRId32 ", \"client\": \"%s\"",
                kafka_api_name(request->api_key, name), request->api_version, request->correlation,
                request->client);
    fprintf(log, "%s}\n", details);
    fflush(log);
}

static void log_locked(struct link *link, const char *what, const struct kafka_request *request,
                       const char *details)
{
    pthread_mutex_lock(&link->proxy->lock);
    log_line(link, what, request, details);
    pthread_mutex_unlock(&link->proxy->lock);
}

// ---- cutting and holding ---------------------------------------------------------------------------------

static void cut_client(struct link *link, bool reset)
{
    pthread_mutex_lock(&link->lock);
    link->client_gone = true;
    if (reset) {
        struct linger none = {1, 0};
        setsockopt(link->client, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        // A reset is sent by close only. A thread that reads must let go first, and the number stays taken,
        // by a socket that leads nowhere.
        shutdown(link->client, SHUT_RD);
        int nowhere = socket(AF_INET, SOCK_STREAM, 0);
        dup2(nowhere, link->client);
        close(nowhere);
    } else {
        shutdown(link->client, SHUT_RDWR);
    }
    pthread_mutex_unlock(&link->lock);
}

static void cut_both(struct link *link, bool reset)
{
    cut_client(link, reset);
    shutdown(link->server, SHUT_RDWR);
}

void fault_proxy_release(struct fault_proxy *proxy)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RELEASE_MS / 1000;
    pthread_mutex_lock(&proxy->lock);
    bool any = proxy->held > 0;
    proxy->releases++;
    pthread_cond_broadcast(&proxy->changed);
    int result = 0;
    while (proxy->held > 0 && result == 0)
        result = pthread_cond_timedwait(&proxy->changed, &proxy->lock, &until);
    pthread_mutex_unlock(&proxy->lock);
    if (any)
        wait_ms(MARKER_MS);
}

// Returns when the request may go on to the broker.
static void hold(struct link *link)
{
    struct fault_proxy *proxy = link->proxy;
    pthread_mutex_lock(&proxy->lock);
    unsigned releases = proxy->releases;
    proxy->held++;
    link->holding = true;
    pthread_mutex_unlock(&proxy->lock);
    cut_client(link, false);
    pthread_mutex_lock(&proxy->lock);
    while (proxy->releases == releases)
        pthread_cond_wait(&proxy->changed, &proxy->lock);
    pthread_mutex_unlock(&proxy->lock);
}

static void end_hold(struct link *link)
{
    struct fault_proxy *proxy = link->proxy;
    pthread_mutex_lock(&proxy->lock);
    if (link->holding) {
        link->holding = false;
        proxy->held--;
        pthread_cond_broadcast(&proxy->changed);
    }
    pthread_mutex_unlock(&proxy->lock);
}

// ---- Kafka -----------------------------------------------------------------------------------------------

static bool remember(struct link *link, const struct pending *pending)
{
    pthread_mutex_lock(&link->lock);
    bool room = link->count < PENDING_MAX;
    if (room)
        link->pending[(link->first + link->count++) % PENDING_MAX] = *pending;
    pthread_mutex_unlock(&link->lock);
    return room;
}

// The broker answers in order; a correlation id that is not the oldest one's ends the connection.
static bool recall(struct link *link, int64_t correlation, struct pending *pending)
{
    pthread_mutex_lock(&link->lock);
    bool found = link->count > 0 && link->pending[link->first].request.correlation == correlation;
    if (found) {
        *pending = link->pending[link->first];
        link->first = (link->first + 1) % PENDING_MAX;
        link->count--;
    }
    pthread_mutex_unlock(&link->lock);
    return found;
}

static struct fault judge(struct link *link, const struct kafka_request *request)
{
    struct fault_proxy *proxy = link->proxy;
    char details[48];
    pthread_mutex_lock(&proxy->lock);
    proxy->rules.holding = proxy->held > 0;
    struct fault fault = fault_rules_of_request(&proxy->rules, request);
    snprintf(details, sizeof details, ", \"number\": %ld", fault.number);
    if (fault.kind != FAULT_NONE || proxy->every_request)
        log_line(link, fault.kind == FAULT_NONE ? "pass" : fault_name(fault.kind), request, details);
    pthread_mutex_unlock(&proxy->lock);
    return fault;
}

// False: this connection's requests are over.
static bool forward_request(struct link *link, const struct kafka_frame *frame)
{
    struct pending pending;
    if (!kafka_request_read(frame, &pending.request))
        return false;
    pending.fault = judge(link, &pending.request);
    switch (pending.fault.kind) {
    case FAULT_CUT:
    case FAULT_RESET:
        cut_both(link, pending.fault.kind == FAULT_RESET);
        return false;
    case FAULT_DELAY:
        wait_ms(pending.fault.number);
        break;
    case FAULT_HOLD:
        hold(link);
        log_locked(link, "released", &pending.request, "");
        break;
    default:
        break;
    }
    if (!remember(link, &pending) || !kafka_frame_write(link->server, frame))
        return false;
    return pending.fault.kind != FAULT_HOLD;
}

// What the broker said to a request that came late, in hex and cut to fit: the error code is in it.
static void log_late_reply(struct link *link, const struct pending *pending, const struct kafka_frame *frame)
{
    char details[512] = ", \"reply\": \"";
    size_t shown = frame->size < 240 ? frame->size : 240;
    char *end = details + strlen(details);
    for (size_t i = 8; i < shown; i++)
        end += sprintf(end, "%02x", frame->data[i]);
    strcpy(end, "\"");
    log_locked(link, "late-reply", &pending->request, details);
}

// Of TxnOffsetCommit, whose last field is the last partition's error; from version 3 on three empty lists of
// tags follow.
static void set_error(const struct kafka_frame *frame, const struct kafka_request *request, long code)
{
    size_t behind = request->api_version >= 3 ? 5 : 2;
    if (frame->size < behind)
        return;
    frame->data[frame->size - behind] = (uint8_t)(code >> 8);
    frame->data[frame->size - behind + 1] = (uint8_t)code;
}

// False: this connection's replies are over.
static bool forward_reply(struct link *link, const struct kafka_frame *frame)
{
    struct pending pending;
    if (!recall(link, kafka_reply_correlation(frame), &pending))
        return false;
    switch (pending.fault.kind) {
    case FAULT_HOLD:
        log_late_reply(link, &pending, frame);
        end_hold(link);
        return false;
    case FAULT_DROP_RESPONSE:
        log_locked(link, "dropped", &pending.request, "");
        cut_both(link, false);
        return false;
    case FAULT_ERROR:
        set_error(frame, &pending.request, pending.fault.number);
        break;
    case FAULT_RELEASE:
        fault_proxy_release(link->proxy);
        log_locked(link, "release-over", &pending.request, "");
        wait_ms(pending.fault.number);
        break;
    default:
        break;
    }
    return link->client_gone || kafka_frame_write(link->client, frame);
}

// ---- plain bytes -----------------------------------------------------------------------------------------

// The fault that holds for this connection now.
static struct fault fault_of_bytes(struct link *link)
{
    struct fault_proxy *proxy = link->proxy;
    pthread_mutex_lock(&proxy->lock);
    struct fault all = fault_rules_of_all_connections(&proxy->rules);
    if (link->rules_seen != proxy->rules_version) {
        link->rules_seen = proxy->rules_version;
        link->replied = 0;
    }
    pthread_mutex_unlock(&proxy->lock);
    return link->fault.kind != FAULT_NONE ? link->fault : all;
}

static bool send_all(int socket, const uint8_t *bytes, size_t size)
{
    struct kafka_frame frame = {(uint8_t *)bytes, size, size};
    return kafka_frame_write(socket, &frame);
}

static bool send_slowly(struct link *link, const uint8_t *bytes, size_t size, long bytes_per_s)
{
    size_t step = (size_t)(bytes_per_s * SLOW_TICK_MS / 1000);
    if (step == 0)
        step = 1;
    for (size_t sent = 0; sent < size; sent += step) {
        wait_ms(SLOW_TICK_MS);
        if (!send_all(link->client, bytes + sent, size - sent < step ? size - sent : step))
            return false;
    }
    return true;
}

// False: the connection is over.
static bool forward_bytes(struct link *link, const uint8_t *bytes, size_t size)
{
    struct fault fault = fault_of_bytes(link);
    long before = link->replied;
    link->replied += (long)size;
    if (fault.kind == FAULT_HANG)
        return true; // swallowed
    if (fault.kind == FAULT_SLOW)
        return send_slowly(link, bytes, size, fault.number > 0 ? fault.number : 1);
    if (fault.kind == FAULT_DELAY)
        wait_ms(fault.number);
    bool ends = (fault.kind == FAULT_RESET || fault.kind == FAULT_TRUNCATE) && link->replied >= fault.number;
    if (!ends)
        return send_all(link->client, bytes, size);
    long left = fault.number > before ? fault.number - before : 0;
    send_all(link->client, bytes, (size_t)left);
    wait_ms(SLOW_TICK_MS); // so that the bytes are there before the reset throws away what is not
    log_locked(link, fault_name(fault.kind), NULL, "");
    cut_both(link, fault.kind == FAULT_RESET);
    return false;
}

static void pump_bytes(struct link *link, bool replies)
{
    uint8_t *piece = malloc(PIECE_SIZE);
    ssize_t size;
    bool open = piece != NULL;
    while (open && (size = recv(replies ? link->server : link->client, piece, PIECE_SIZE, 0)) > 0) {
        if (replies)
            open = forward_bytes(link, piece, (size_t)size);
        else if (fault_of_bytes(link).kind != FAULT_HANG)
            open = send_all(link->server, piece, (size_t)size);
    }
    free(piece);
}

// ---- threads ---------------------------------------------------------------------------------------------

static void end_thread(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    bool last = --link->threads == 0;
    pthread_mutex_unlock(&link->lock);
    if (!last)
        return;
    end_hold(link);
    close(link->client);
    close(link->server);
    pthread_mutex_destroy(&link->lock);
    free(link);
}

static void *run_requests(void *context)
{
    struct link *link = context;
    struct kafka_frame frame = {0};
    if (link->proxy->of_bytes)
        pump_bytes(link, false);
    else
        while (kafka_frame_read(link->client, &frame) && forward_request(link, &frame))
            continue;
    kafka_frame_release(&frame);
    if (!link->holding)
        shutdown(link->server, SHUT_WR); // what is on its way to the server still arrives
    end_thread(link);
    return NULL;
}

static void *run_replies(void *context)
{
    struct link *link = context;
    struct kafka_frame frame = {0};
    if (link->proxy->of_bytes)
        pump_bytes(link, true);
    else
        while (kafka_frame_read(link->server, &frame) && forward_reply(link, &frame))
            continue;
    kafka_frame_release(&frame);
    cut_both(link, false);
    end_thread(link);
    return NULL;
}

void fault_link_start(struct fault_proxy *proxy, int client, int server)
{
    static int last_number;
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        abort();
    *link = (struct link){.proxy = proxy, .client = client, .server = server, .threads = 2};
    pthread_mutex_init(&link->lock, NULL);
    int on = 1;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pthread_mutex_lock(&proxy->lock);
    link->number = ++last_number;
    link->rules_seen = proxy->rules_version;
    if (proxy->of_bytes)
        link->fault = fault_rules_of_connection(&proxy->rules);
    pthread_mutex_unlock(&proxy->lock);
    pthread_t requests, replies;
    if (pthread_create(&requests, NULL, run_requests, link) != 0 ||
        pthread_create(&replies, NULL, run_replies, link) != 0)
        abort();
    pthread_detach(requests);
    pthread_detach(replies);
}
