// fault_proxy.c: a TCP proxy that breaks things on purpose, in front of a real Kafka broker, Redis or S3
// server.
//
//   fault_proxy --listen PORT --upstream PORT [--bytes] [--rules FILE] [--control SOCKET] [--log FILE]
//   [--all]
//
// It changes no byte: the broker has a listener of its own that advertises the proxy's port (services.sh,
// KAFKA_PROXY_PORT). Rules (tests/support/fault_rules.h) come from a file (- is standard input), and at any
// time as lines through the Unix socket --control, which answers each with "ok" or "wrong". Both ends are on
// 127.0.0.1. The log has one JSON object per fault done; --all: per request.
// Threads: this one accepts, one reads the control socket, two per connection (fault_link.c).
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/fault_link.h"

enum { BACKLOG = 256 };

struct settings {
    int listen_port, upstream_port;
    const char *rules, *control, *log;
    bool bytes, all;
};

static struct fault_proxy proxy = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static int control_socket = -1;

static struct sockaddr_in local_address(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool take_line(const char *line)
{
    pthread_mutex_lock(&proxy.lock);
    enum rule_line taken = fault_rules_take(&proxy.rules, line);
    proxy.rules_version++;
    if (taken != RULE_NOTHING) {
        fprintf(proxy.log, "{\"at\": %" PRId64 ", \"did\": \"%s\", \"rule\": \"%.*s\"}\n",
                fault_proxy_now_ms(), taken == RULE_WRONG ? "refuse" : "take", (int)strcspn(line, "\"\\\r\n"),
                line);
        fflush(proxy.log);
    }
    pthread_mutex_unlock(&proxy.lock);
    if (taken == RULE_RELEASE)
        fault_proxy_release(&proxy);
    return taken != RULE_WRONG;
}

static bool read_rules(const char *path)
{
    char line[RULE_TEXT_SIZE];
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    bool sound = file != NULL;
    while (sound && fgets(line, sizeof line, file))
        sound = take_line(line);
    if (file && file != stdin)
        fclose(file);
    return sound;
}

// One connection after the other; each line is answered, so that its writer knows that it holds.
static void *run_control(void *context)
{
    char line[RULE_TEXT_SIZE];
    (void)context;
    for (;;) {
        int connection = accept(control_socket, NULL, NULL);
        FILE *stream = connection < 0 ? NULL : fdopen(connection, "r");
        if (!stream)
            continue;
        while (fgets(line, sizeof line, stream))
            if (dprintf(connection, take_line(line) ? "ok\n" : "wrong\n") < 0)
                break;
        fclose(stream);
    }
    return NULL;
}

static bool open_control(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return false;
    strcpy(address.sun_path, path);
    unlink(path);
    control_socket = socket(AF_UNIX, SOCK_STREAM, 0);
    pthread_t thread;
    return control_socket >= 0 && bind(control_socket, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(control_socket, BACKLOG) == 0 && pthread_create(&thread, NULL, run_control, NULL) == 0;
}

static int open_listener(int port)
{
    struct sockaddr_in address = local_address(port);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, BACKLOG) == 0)
        return listener;
    close(listener);
    return -1;
}

static void serve(int listener, int upstream_port)
{
    struct sockaddr_in upstream = local_address(upstream_port);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) {
            usleep(10 * 1000); // out of descriptors, perhaps
            continue;
        }
        int server = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(server, (struct sockaddr *)&upstream, sizeof upstream) == 0) {
            fault_link_start(&proxy, client, server);
            continue;
        }
        close(server); // the server is down: so is the proxy
        close(client);
    }
}

static bool read_settings(int count, char **arguments, struct settings *settings)
{
    static const struct option names[] = {
        {"listen", required_argument, NULL, 'p'}, {"upstream", required_argument, NULL, 'u'},
        {"rules", required_argument, NULL, 'r'},  {"control", required_argument, NULL, 'c'},
        {"log", required_argument, NULL, 'l'},    {"bytes", no_argument, NULL, 'b'},
        {"all", no_argument, NULL, 'a'},          {0},
    };
    for (int name; (name = getopt_long(count, arguments, "", names, NULL)) != -1;) {
        switch (name) {
        case 'p':
            settings->listen_port = atoi(optarg);
            break;
        case 'u':
            settings->upstream_port = atoi(optarg);
            break;
        case 'r':
            settings->rules = optarg;
            break;
        case 'c':
            settings->control = optarg;
            break;
        case 'l':
            settings->log = optarg;
            break;
        case 'b':
            settings->bytes = true;
            break;
        case 'a':
            settings->all = true;
            break;
        default:
            return false;
        }
    }
    return settings->listen_port > 0 && settings->upstream_port > 0 && optind == count;
}

static int fail(const char *sentence)
{
    fprintf(stderr, "fault_proxy: %s\n", sentence);
    return 1;
}

int main(int argument_count, char **arguments)
{
    struct settings settings = {0};
    if (!read_settings(argument_count, arguments, &settings)) {
        fail("usage: --listen PORT --upstream PORT [--bytes] [--rules FILE] [--control SOCKET] [--log FILE] "
             "[--all]");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    proxy.of_bytes = settings.bytes;
    proxy.every_request = settings.all;
    proxy.log = settings.log ? fopen(settings.log, "a") : stdout;
    if (!proxy.log)
        return fail("the log can't be opened");
    if (settings.rules && !read_rules(settings.rules))
        return fail("a rule is wrong, or there is no such file");
    if (settings.control && !open_control(settings.control))
        return fail("the control socket can't be opened");
    int listener = open_listener(settings.listen_port);
    if (listener < 0)
        return fail("the port can't be opened");
    serve(listener, settings.upstream_port);
    return 0;
}
