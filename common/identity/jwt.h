// jwt.h: an identity from a JWT of the clinics' identity provider: signed by a key of its JWK set (jwks.h),
// issued by jwt_issuer for jwt_audience, valid now give or take jwt_clock_skew_s. "sub" is the actor; the
// claims jwt_site_claim and jwt_role_claim (a text, or a list of texts) are site and role: a list of roles
// gives the highest that is known, a list of sites must have one. Such an identity may not ask for urgent
// analyses. Any thread; no call waits.
#ifndef SKINSIGHT_COMMON_IDENTITY_JWT_H
#define SKINSIGHT_COMMON_IDENTITY_JWT_H

#include "common/base/status.h"
#include "common/identity/identity.h"
#include "common/identity/jwks.h"

struct jwt_options {
    struct jwks_options jwks;
    const char *issuer, *audience, *site_claim, *role_claim; // none is empty
    int64_t clock_skew_s;
};

struct jwt;

// The texts are copied. REJECTED: one is empty; also as by jwks_open.
enum status jwt_open(struct jwt **jwt, const struct jwt_options *options, struct error *err) MUST_CHECK;
void jwt_close(struct jwt *jwt); // NULL is allowed

// now_s: Unix seconds. REJECTED: the token is not good; the sentence says why, and holds nothing of it.
// RETRY: as by jwks_verify.
enum status jwt_identity(struct jwt *jwt, const char *token, size_t size, int64_t now_s,
                         struct identity *identity, struct error *err) MUST_CHECK;

#endif
