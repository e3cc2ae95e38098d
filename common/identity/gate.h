// gate.h: who is asking. The value of an Authorization header becomes an identity. Two kinds of credentials:
// an API key of our own (api_keys.h), or a JWT of the site's identity provider (jwt.h). A request without
// one, or with one that is not good, gets no further.
//
// identity_of never waits for another machine, so that an event loop may call it. Any thread. Secrets are
// compared in a time that does not depend on them, and stand in no sentence.
#ifndef SKINSIGHT_COMMON_IDENTITY_GATE_H
#define SKINSIGHT_COMMON_IDENTITY_GATE_H

#include "common/base/status.h"
#include "common/identity/identity.h"

enum { AUTHORIZATION_MOST = 8192 }; // bytes of the header's value

struct identity_options {
    const char *api_keys;        // file; empty: no API keys
    const char *jwt_jwks;        // file or https:// URL of a JWK set; empty: no JWTs
    const char *jwt_authorities; // PEM, of the URL's certificate; NULL or empty: the system's
    const char *jwt_issuer, *jwt_audience;
    const char *jwt_site_claim, *jwt_role_claim;
    int64_t jwt_clock_skew_s;
};

struct config; // common/program/config.h
struct identity_gate;

// The options api_keys and jwt_... of a program; texts are the config's.
void identity_options_read(struct identity_options *options, const struct config *config);
// Their names, for the table of commands.
#define IDENTITY_OPTIONS                                                                                     \
    "api_keys jwt_jwks jwt_authorities jwt_issuer jwt_audience jwt_site_claim jwt_role_claim "               \
    "jwt_clock_skew_s"

// REJECTED: neither kind of credential is set up, or an option is wrong. A file of keys that is not there is
// an empty one. Where the JWK set is a URL, a thread of the gate's reads it.
enum status identity_open(struct identity_gate **gate, const struct identity_options *options,
                          struct error *err) MUST_CHECK;
void identity_close(struct identity_gate *gate); // NULL is allowed

// authorization: the header's value, or NULL where there is none. REJECTED: unauthorized. RETRY: the keys
// can't be read now, or the issuer's are just being fetched.
enum status identity_of(struct identity_gate *gate, const char *authorization, struct identity *identity,
                        struct error *err) MUST_CHECK;

#endif
