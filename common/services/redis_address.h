// redis_address.h: where redis.c finds its server: redis://[user:password@]host[:port][/database], or
// unix://[user:password@]/path of a socket on this machine, whose database is 0.
#ifndef SKINSIGHT_COMMON_SERVICES_REDIS_ADDRESS_H
#define SKINSIGHT_COMMON_SERVICES_REDIS_ADDRESS_H

#include <stdbool.h>

enum { REDIS_PART_SIZE = 256, REDIS_PATH_SIZE = 108, REDIS_PORT = 6379 }; // a path as in struct sockaddr_un

struct redis_address {
    char path[REDIS_PATH_SIZE];     // of the socket; empty: a host is named
    char host[REDIS_PART_SIZE];     // a name, an IPv4 address, or an IPv6 address without its brackets
    char name[REDIS_PART_SIZE + 8]; // for sentences: host:port, or the path
    char user[REDIS_PART_SIZE];     // empty: the default user
    char password[REDIS_PART_SIZE]; // empty: no AUTH
    int port;
    int database;
};

// User and password may hold %XX. False when url is anything else; *address is then of no use.
bool redis_address_parse(const char *url, struct redis_address *address);

// A socket, or the host is localhost, 127.0.0.0/8 or ::1.
bool redis_address_is_local(const struct redis_address *address);

#endif
