// http_tls.h: certificate and key of the HTTP server, read again while it serves. One object for each server;
// the thread that serves binds it, as the callback that libmicrohttpd takes is given no context.
#ifndef SKINSIGHT_COMMON_SERVICES_HTTP_TLS_H
#define SKINSIGHT_COMMON_SERVICES_HTTP_TLS_H

#include <gnutls/abstract.h>
#include <stdint.h>

#include "common/base/status.h"

// For gnutls_priority_init: forward secrecy and authenticated encryption only.
#define HTTP_TLS_PRIORITIES                                                                                  \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-AES-128-CBC:-AES-256-CBC:-CAMELLIA-128-CBC:"        \
    "-CAMELLIA-256-CBC:%SERVER_PRECEDENCE"

struct http_tls;

// The paths are copied. keep_ms: no handshake takes longer; what was replaced is kept that long. REJECTED: a
// file can't be read, is no PEM, or the two are no pair.
enum status http_tls_open(struct http_tls **tls, const char *certificate, const char *key, int64_t keep_ms,
                          struct error *err) MUST_CHECK;
enum status http_tls_reload(struct http_tls *tls, struct error *err) MUST_CHECK; // any thread
void http_tls_bind(struct http_tls *tls);  // the calling thread's handshakes use it
void http_tls_close(struct http_tls *tls); // NULL is allowed

int http_tls_choose(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
                    const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **chain,
                    unsigned *chain_length, gnutls_privkey_t *key);

#endif
