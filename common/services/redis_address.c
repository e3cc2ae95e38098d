// redis_address.c: takes a redis:// or unix:// URL apart. Any thread.
#include "common/services/redis_address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/bytes.h"

// Copies size characters, decoding %XX; false when they don't fit or the encoding is wrong.
static bool decode_part(const char *text, size_t size, char target[REDIS_PART_SIZE])
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == '%') {
            char digits[3] = {0};
            if (size - i < 3)
                return false;
            memcpy(digits, text + i + 1, 2);
            if (!hex_decode(digits, &byte, 1) || byte == 0)
                return false;
            i += 2;
        }
        if (length >= REDIS_PART_SIZE - 1)
            return false;
        target[length++] = (char)byte;
    }
    target[length] = '\0';
    return true;
}

// A whole number of at most five digits that ends at end; -1 otherwise.
static int decode_number(const char *text, const char *end)
{
    int value = 0;
    if (text == end || end - text > 5)
        return -1;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        value = 10 * value + (*text - '0');
    }
    return value;
}

// [user:password@] in front of end.
static bool parse_credentials(struct redis_address *address, const char *text, const char *end)
{
    const char *colon = memchr(text, ':', (size_t)(end - text));
    return colon && decode_part(text, (size_t)(colon - text), address->user) &&
           decode_part(colon + 1, (size_t)(end - colon - 1), address->password) && address->password[0];
}

// host[:port], the host of IPv6 in brackets, up to end.
static bool parse_host(struct redis_address *address, const char *text, const char *end)
{
    const char *host_end;
    const char *port;
    if (*text == '[') {
        text++;
        host_end = memchr(text, ']', (size_t)(end - text));
        port = host_end ? host_end + 1 : NULL;
    } else {
        host_end = memchr(text, ':', (size_t)(end - text));
        host_end = host_end ? host_end : end;
        port = host_end;
    }
    if (!host_end || host_end == text || (size_t)(host_end - text) >= sizeof address->host)
        return false;
    memcpy(address->host, text, (size_t)(host_end - text));
    address->host[host_end - text] = '\0';
    if (strspn(address->host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:") !=
        (size_t)(host_end - text))
        return false;
    address->port = port == end ? REDIS_PORT : *port == ':' ? decode_number(port + 1, end) : -1;
    return address->port > 0 && address->port <= UINT16_MAX;
}

static bool parse_path(struct redis_address *address, const char *text)
{
    size_t length = strlen(text);
    if (length < 2 || length >= sizeof address->path || text[length - 1] == '/' || strchr(text, '?'))
        return false;
    for (const char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~')
            return false;
    memcpy(address->path, text, length + 1);
    memcpy(address->name, text, length + 1);
    return true;
}

// host[:port] up to end, and the database behind it.
static bool parse_server(struct redis_address *address, const char *text, const char *end)
{
    const char *database = *end == '/' ? end + 1 : end;
    if (!parse_host(address, text, end))
        return false;
    snprintf(address->name, sizeof address->name, "%s:%d", address->host, address->port);
    address->database = *database ? decode_number(database, database + strlen(database)) : 0;
    return address->database >= 0;
}

bool redis_address_parse(const char *url, struct redis_address *address)
{
    bool is_socket = strncmp(url, "unix://", 7) == 0;
    *address = (struct redis_address){0};
    if (!is_socket && strncmp(url, "redis://", 8) != 0)
        return false;
    url += is_socket ? 7 : 8;
    const char *end = url + strcspn(url, "/");
    const char *at = memrchr(url, '@', (size_t)(end - url));
    if (at && !parse_credentials(address, url, at))
        return false;
    url = at ? at + 1 : url;
    return is_socket ? url == end && parse_path(address, end) : parse_server(address, url, end);
}

bool redis_address_is_local(const struct redis_address *address)
{
    struct in_addr ipv4;
    struct in6_addr ipv6;
    if (address->path[0] || strcasecmp(address->host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, address->host, &ipv4) == 1)
        return ntohl(ipv4.s_addr) >> 24 == IN_LOOPBACKNET;
    return inet_pton(AF_INET6, address->host, &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}
