// signing.h: heads of the chain, signed with Ed25519. A head says that the chain had this hash at this entry:
//
//     {"head":{"at":1796074307317,"chain":"gateway-1","hash":"<64 hex>","seq":17},"signature":"<128 hex>"}
//
// on one line; the signature is over "skinsight.audit.head.v1", a zero byte, and the head's canonical text.
// Keys: common/base/signature.h.
#ifndef SKINSIGHT_COMMON_AUDIT_SIGNING_H
#define SKINSIGHT_COMMON_AUDIT_SIGNING_H

#include "common/audit/entry.h"
#include "common/base/signature.h"

enum { AUDIT_HEAD_LINE_MOST = 512 };

struct audit_head {
    char chain[AUDIT_NAME_SIZE];
    int64_t seq, at;
    struct digest hash;
};

// Appends the line, with its '\n'.
enum status audit_head_write(const struct signer *signer, const struct audit_head *head, struct buffer *line,
                             struct error *err) MUST_CHECK;
// line: without its '\n'. False unless it is, byte for byte, a line that audit_head_write writes; *genuine:
// the signature is the verifier's key's; with verifier NULL it is not looked at.
bool audit_head_read(const struct verifier *verifier, struct bytes line, struct audit_head *head,
                     bool *genuine);

#endif
