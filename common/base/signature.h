// signature.h: signatures of Ed25519 (RFC 8032). Keys are PEM files as openssl makes them:
//
//     openssl genpkey -algorithm ed25519 -out key.pem; openssl pkey -in key.pem -pubout -out public.pem
//
// What is signed begins with the name of its purpose and a zero byte, so that no signature serves two
// purposes; that is the caller's part. Both are read-only once they are open: any thread.
#ifndef SKINSIGHT_COMMON_BASE_SIGNATURE_H
#define SKINSIGHT_COMMON_BASE_SIGNATURE_H

#include "common/base/bytes.h"
#include "common/base/status.h"

enum { SIGNATURE_SIZE = 64 };

struct signer;   // a private key
struct verifier; // a public one

// path: a file for its owner alone (file_read_secret). REJECTED: it holds no private key of Ed25519.
enum status signer_open(struct signer **signer, const char *path, struct error *err) MUST_CHECK;
void signer_close(struct signer *signer); // NULL is allowed
enum status signer_sign(const struct signer *signer, struct bytes message, uint8_t signature[SIGNATURE_SIZE],
                        struct error *err) MUST_CHECK;

// path: PEM of a public key.
enum status verifier_open(struct verifier **verifier, const char *path, struct error *err) MUST_CHECK;
void verifier_close(struct verifier *verifier); // NULL is allowed
bool verifier_accepts(const struct verifier *verifier, struct bytes message,
                      const uint8_t signature[SIGNATURE_SIZE]);

#endif
