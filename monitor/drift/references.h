// references.h: the folder of references: each is ID.json with the line that signs it, ID.sig:
//
//     {"id":"north-2026","sha256":"<64 hex>","signature":"<128 hex>"}
//
// The signature is over "skinsight.reference.v1", a zero byte and the 32 bytes of the file's SHA-256. A
// reference without its line is a draft, which reports leave alone. One thread.
#ifndef SKINSIGHT_MONITOR_DRIFT_REFERENCES_H
#define SKINSIGHT_MONITOR_DRIFT_REFERENCES_H

#include "common/base/signature.h"
#include "monitor/drift/reference.h"

enum { DRIFT_REFERENCES_MOST = 1000 };

// Reads ID.json. REJECTED: it is none, or it has another id.
enum status drift_references_read(const char *folder, const char *id, struct drift_reference *reference,
                                  struct error *err) MUST_CHECK;
// Writes ID.json. REJECTED: it is there already: references are never changed.
enum status drift_references_add(const char *folder, const struct drift_reference *reference,
                                 struct error *err) MUST_CHECK;
// Writes ID.sig for what ID.json is now.
enum status drift_references_sign(const char *folder, const char *id, const struct signer *signer,
                                  struct error *err) MUST_CHECK;
// REJECTED: there is no line, it is of another file, or, unless verifier is NULL, of another key.
enum status drift_references_check(const char *folder, const struct drift_reference *reference,
                                   const struct verifier *verifier, struct error *err) MUST_CHECK;

struct drift_wanted {
    const char *model_version; // NULL: any; a reference of all models fits each
    const char *sha256;        // NULL: any
    int64_t before;            // it ends here at the latest
    const char *verifying_key; // path; NULL: signatures are not checked, digests are
};
// The signed reference that fits and ends last, or by id where several do. *found: there is one. REJECTED: a
// signed one is not what was signed, or can't be read: nothing is chosen past it. Of one that is wanted by
// its digest the others' signatures don't matter.
enum status drift_references_find(const char *folder, const struct drift_wanted *wanted,
                                  struct drift_reference *reference, bool *found,
                                  struct error *err) MUST_CHECK;

#endif
