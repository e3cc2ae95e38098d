// signing.h: heads of the chain, signed with Ed25519. A head says that the chain had this hash at this entry:
//
//     {"head":{"at":1796074307317,"chain":"gateway-1","hash":"<64 hex>","seq":17},"signature":"<128 hex>"}
//
// on one line; the signature is over "skinsight.audit.head.v1", a zero byte, and the head's canonical text.
// Keys are PEM files as openssl makes them:
//
//     openssl genpkey -algorithm ed25519 -out audit-key.pem; openssl pkey -in audit-key.pem -pubout -out
//     audit-public.pem
//
// A signer is read-only after the start: any thread.
#ifndef SKINSIGHT_PRODUCER_AUDIT_SIGNING_H
#define SKINSIGHT_PRODUCER_AUDIT_SIGNING_H

#include "producer/audit/entry.h"

enum { AUDIT_SIGNATURE_SIZE = 64, AUDIT_HEAD_LINE_MOST = 512 };

struct audit_head {
    char chain[AUDIT_NAME_SIZE];
    int64_t seq, at;
    struct digest hash;
};

struct audit_signer;   // a private key
struct audit_verifier; // a public one

// path: a file for its owner alone (file_read_secret). REJECTED: it holds no private key of Ed25519.
enum status audit_signer_open(struct audit_signer **signer, const char *path, struct error *err) MUST_CHECK;
void audit_signer_close(struct audit_signer *signer); // NULL is allowed
// path: PEM of a public key.
enum status audit_verifier_open(struct audit_verifier **verifier, const char *path,
                                struct error *err) MUST_CHECK;
void audit_verifier_close(struct audit_verifier *verifier); // NULL is allowed

// Appends the line, with its '\n'.
enum status audit_head_write(const struct audit_signer *signer, const struct audit_head *head,
                             struct buffer *line, struct error *err) MUST_CHECK;
// line: without its '\n'. False unless it is, byte for byte, a line that audit_head_write writes; *genuine:
// the signature is the verifier's key's; with verifier NULL it is not looked at.
bool audit_head_read(const struct audit_verifier *verifier, struct bytes line, struct audit_head *head,
                     bool *genuine);

#endif
