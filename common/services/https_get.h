// https_get.h: one document from a web server, whose certificate is checked. No redirects, no proxy; HTTP
// without TLS only where it is asked for. Any thread.
#ifndef SKINSIGHT_COMMON_SERVICES_HTTPS_GET_H
#define SKINSIGHT_COMMON_SERVICES_HTTPS_GET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/bytes.h"
#include "common/base/status.h"

struct https_get_options {
    const char *url;         // https://
    bool plain;              // http:// too
    const char *authorities; // PEM of those who may sign the server's certificate; empty: the system's
    int64_t timeout_ms;      // of the whole call
};

bool https_url_good(const char *url);

// Replaces what out held. RETRY: the server is away, slow, or answers with anything but 200; its certificate
// is not good. REJECTED: the document is larger than out's limit.
enum status https_get(const struct https_get_options *options, struct buffer *out,
                      struct error *err) MUST_CHECK;

#endif
