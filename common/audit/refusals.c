// refusals.c: a linear search: the table is small, and refusals are slow anyway.
#include "common/audit/refusals.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static struct refusal *row_of(struct refusals *refusals, const char *address, const char *code)
{
    for (size_t i = 0; i < refusals->count; i++) {
        struct refusal *row = &refusals->rows[i];
        if (strcmp(row->address, address) == 0 && strcmp(row->code, code) == 0)
            return row;
    }
    if (refusals->count >= AUDIT_ADDRESSES_MOST) {
        address = "others";
        code = "any";
        if (refusals->count > AUDIT_ADDRESSES_MOST)
            return &refusals->rows[AUDIT_ADDRESSES_MOST];
    }
    struct refusal *row = &refusals->rows[refusals->count++];
    *row = (struct refusal){.count = 0};
    snprintf(row->address, sizeof row->address, "%s", address);
    snprintf(row->code, sizeof row->code, "%s", code);
    return row;
}

// As a row holds it: cut, and fit for an entry.
static void copy_plain(const char *text, char *out, size_t size)
{
    snprintf(out, size, "%s", text);
    for (; *out; out++)
        if (*out <= ' ' || *out >= 0x7f || *out == '"' || *out == '\\')
            *out = '?';
}

static void copy_network(const char *address, char out[REFUSAL_ADDRESS_SIZE])
{
    struct in6_addr network;
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, address, &network) != 1 || IN6_IS_ADDR_V4MAPPED(&network)) {
        copy_plain(address, out, REFUSAL_ADDRESS_SIZE);
        return;
    }
    memset(network.s6_addr + 8, 0, 8);
    inet_ntop(AF_INET6, &network, text, sizeof text);
    snprintf(out, REFUSAL_ADDRESS_SIZE, "%.43s/64", text);
}

void refusals_add(struct refusals *refusals, const char *address, const char *code)
{
    char plain_address[REFUSAL_ADDRESS_SIZE], plain_code[REFUSAL_CODE_SIZE];
    copy_network(address, plain_address);
    copy_plain(code, plain_code, sizeof plain_code);
    row_of(refusals, plain_address, plain_code)->count++;
}

size_t refusals_take(struct refusals *refusals, struct audit_entry *entries)
{
    size_t count = refusals->count;
    for (size_t i = 0; i < count; i++) {
        const struct refusal *row = &refusals->rows[i];
        struct audit_entry *entry = &entries[i];
        *entry = (struct audit_entry){.action = AUDIT_REFUSED};
        snprintf(entry->actor, sizeof entry->actor, "address:%s", row->address);
        snprintf(entry->outcome, sizeof entry->outcome, "%s:%lld", row->code, (long long)row->count);
    }
    refusals->count = 0;
    return count;
}
