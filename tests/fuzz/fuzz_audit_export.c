// fuzz_audit_export.c: any bytes as an export of the audit, judged with a fixed public key (RFC 8032's first
// test key, so nothing here is signed by anybody).
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/audit/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char public_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                 "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                 "-----END PUBLIC KEY-----\n";

static struct verifier *open_verifier(void)
{
    char path[] = "/tmp/fuzz-audit-XXXXXX";
    struct verifier *verifier;
    struct error err;
    int file = mkstemp(path);
    if (file < 0 || write(file, public_key, strlen(public_key)) != (ssize_t)strlen(public_key))
        abort();
    close(file);
    if (verifier_open(&verifier, path, &err) != STATUS_OK)
        abort();
    unlink(path);
    return verifier;
}

static void on_flaw(void *context, int64_t line, const char *sentence)
{
    if (line < 0 || !*sentence)
        abort();
    ++*(int64_t *)context;
}

static void on_chain(void *context, const struct audit_chain_verdict *verdict)
{
    (void)context;
    if (verdict->first < 1 || verdict->last < verdict->first - 1 || verdict->anchored != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct verifier *verifier;
    struct audit_heads heads = {0};
    int64_t told = 0, flaws;
    struct error err;
    FILE *file = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;
    if (!file)
        return 0;
    if (!verifier)
        verifier = open_verifier();
    const struct audit_verify_options options = {
        .verifier = verifier, .heads = &heads, .flaw = on_flaw, .chain = on_chain, .context = &told};
    if (audit_verify(file, &options, &flaws, &err) != STATUS_OK || flaws != told)
        abort();
    audit_heads_release(&heads);
    fclose(file);
    return 0;
}
