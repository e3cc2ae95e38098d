// verify.h: judges an export (export.h), with the public key and nothing else. Every line has to be, byte for
// byte, one that the program writes; every entry has to follow from the one before; every head has to be
// signed and to name the hash that the chain has there. So up to the last signed head any byte that was
// changed, and any entry dropped, doubled or put elsewhere is found. What lies behind that head is consistent
// in itself, but whoever can write to the database could have written it: it is told as unanchored.
//
// Heads from elsewhere (the object store) tell also of an export whose end, heads included, was cut off.
// Memory does not depend on the length of the export. One thread.
#ifndef SKINSIGHT_COMMON_AUDIT_VERIFY_H
#define SKINSIGHT_COMMON_AUDIT_VERIFY_H

#include <stdio.h>

#include "common/audit/signing.h"

enum { AUDIT_HEADS_MOST = 100000 };

// Heads from elsewhere, of any chains.
struct audit_heads {
    struct audit_head *heads;
    bool *met; // its chain is in the export
    size_t count;
};

// Adds the head of a file. REJECTED: it holds none, or its signature is another key's.
enum status audit_heads_add(struct audit_heads *heads, const char *path, const struct verifier *verifier,
                            struct error *err) MUST_CHECK;
void audit_heads_release(struct audit_heads *heads);

// What a chain is like, and what is wrong in the export. Texts live during the call.
struct audit_chain_verdict {
    const char *chain;
    int64_t first, last; // entries; first > 1: a part, from a signed head on
    int64_t anchored;    // the last one that a signed head vouches for; 0: none
    int64_t flaws;
};

struct audit_verify_options {
    const struct verifier *verifier;
    struct audit_heads *heads; // are put in order
    // line 0: of no line.
    void (*flaw)(void *context, int64_t line, const char *sentence);
    void (*chain)(void *context, const struct audit_chain_verdict *verdict);
    void *context;
};

// flaws: how many were told. FATAL: the file can't be read.
enum status audit_verify(FILE *file, const struct audit_verify_options *options, int64_t *flaws,
                         struct error *err) MUST_CHECK;

#endif
