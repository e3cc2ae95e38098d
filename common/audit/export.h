// export.h: chains as a file that needs no database to be checked (verify.h). Lines of JSON: first
//     {"schema":"skinsight.audit.v1"}
// then for each chain, in the order of its numbers, {"entry":{...},"hash":"<64 hex>"}, and behind the entry
// it is of a head's line (signing.h). A head whose entry is gone is written all the
// same. A part of a chain begins with a signed head's line, from which its entries go on. One thread.
#ifndef SKINSIGHT_COMMON_AUDIT_EXPORT_H
#define SKINSIGHT_COMMON_AUDIT_EXPORT_H

#include <stdio.h>

#include "common/services/sql.h"

#define AUDIT_EXPORT_FIRST_LINE "{\"schema\":\"skinsight.audit.v1\"}"

enum { AUDIT_CHAINS_MOST = 1000 }; // in one export

// chain "": all of them. from: each chain from its newest signed head below that number; 1: whole chains.
// entries counts what was written. FATAL also: out can't be written.
enum status audit_export(struct sql *sql, const char *chain, int64_t from, FILE *out, int64_t *entries,
                         struct error *err) MUST_CHECK;

#endif
