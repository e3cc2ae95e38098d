// http_address.c: "host:port" as options have it, and the socket that listens there.
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/services/http_internal.h"

enum { BACKLOG = 1024, HOST_SIZE = 256 };

struct address {
    char host[HOST_SIZE]; // without brackets
    char port[6];
};

// The first length characters of text are the host: a name, IPv4, [IPv6], or nothing for loopback.
static enum status parse_host(const char *text, size_t length, struct address *address, struct error *err)
{
    if (!length) {
        strcpy(address->host, "127.0.0.1");
        return STATUS_OK;
    }
    bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';
    if (bracketed) {
        text++;
        length -= 2;
    }
    if (length >= HOST_SIZE)
        return error_set(err, STATUS_REJECTED, "the host of an address has at most %d characters",
                         HOST_SIZE - 1);
    memcpy(address->host, text, length);
    address->host[length] = '\0';
    if (strpbrk(address->host, bracketed ? "[]" : "[]:"))
        return error_set(err, STATUS_REJECTED, "'%s' is no host; an IPv6 address stands in brackets",
                         address->host);
    return STATUS_OK;
}

static enum status parse_address(const char *text, struct address *address, struct error *err)
{
    const char *colon = strrchr(text, ':');
    const char *port = colon ? colon + 1 : "";
    size_t digits = strspn(port, "0123456789");
    if (!digits || port[digits] || digits > 5 || atoi(port) > UINT16_MAX)
        return error_set(err, STATUS_REJECTED, "'%s' is not host:port or :port with a port up to 65535",
                         text);
    snprintf(address->port, sizeof address->port, "%s", port);
    return parse_host(text, (size_t)(colon - text), address, err);
}

enum status http_address_check(const char *address, struct error *err)
{
    struct address parsed;
    return parse_address(address, &parsed, err);
}

static int listen_on(const struct addrinfo *found)
{
    int on = 1;
    int listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (found->ai_family == AF_INET6) // exactly the address given, not IPv4's as well
        setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(listener, found->ai_addr, found->ai_addrlen) == 0 && listen(listener, BACKLOG) == 0)
        return listener;
    int reason = errno;
    close(listener);
    errno = reason;
    return -1;
}

enum status http_listen(const char *text, int *listener, struct error *err)
{
    struct address address;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    enum status status = parse_address(text, &address, err);
    if (status != STATUS_OK)
        return status;
    int failure = getaddrinfo(address.host, address.port, &hints, &found);
    if (failure)
        return error_set(err, failure == EAI_AGAIN ? STATUS_RETRY : STATUS_REJECTED,
                         "the host of '%s' is unknown: %s", text, gai_strerror(failure));
    *listener = listen_on(found);
    freeaddrinfo(found);
    if (*listener < 0)
        return error_set(err, errno == EADDRINUSE ? STATUS_RETRY : STATUS_REJECTED, "can't listen on %s: %s",
                         text, strerror(errno));
    return STATUS_OK;
}

uint16_t http_listener_port(int listener)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    getsockname(listener, (struct sockaddr *)&bound, &size);
    if (bound.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&bound)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&bound)->sin_port);
}
