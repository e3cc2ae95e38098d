// verify.c: reads line by line. After a flaw it goes on from what the export says, so that one changed byte
// is one sentence, and later ones are found too.
#include "common/audit/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/export.h"
#include "common/base/file.h"
#include "common/base/memory.h"

enum { LINE_MOST = AUDIT_TEXT_MOST + 128, SENTENCE_SIZE = 256 };

struct verify {
    const struct audit_verify_options *options;
    int64_t line;
    int64_t flaws;
    // The chain being read; "" before the first.
    struct audit_chain_verdict verdict;
    char chain[AUDIT_NAME_SIZE];
    bool linked;            // the hash of entry verdict.last is known
    struct digest stated;   // as the export says
    struct digest computed; // as it follows
    size_t ended_count;
    char (*ended)[AUDIT_NAME_SIZE]; // AUDIT_CHAINS_MOST chains that were read to their end
};

static void PRINTF_LIKE(3, 4) tell(struct verify *verify, int64_t line, const char *format, ...)
{
    char sentence[SENTENCE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    verify->flaws++;
    verify->verdict.flaws++;
    verify->options->flaw(verify->options->context, line, sentence);
}

// ---- heads from elsewhere ----

void audit_heads_release(struct audit_heads *heads)
{
    free(heads->heads);
    free(heads->met);
    *heads = (struct audit_heads){0};
}

enum status audit_heads_add(struct audit_heads *heads, const char *path, const struct verifier *verifier,
                            struct error *err)
{
    struct buffer text;
    struct audit_head head;
    bool genuine = false;
    if (heads->count == AUDIT_HEADS_MOST)
        return error_set(err, STATUS_REJECTED, "more than %d heads", AUDIT_HEADS_MOST);
    buffer_init(&text, AUDIT_HEAD_LINE_MOST);
    enum status status = file_read(path, &text, err);
    if (status == STATUS_OK) {
        text.size -= text.size > 0 && text.data[text.size - 1] == '\n';
        if (!audit_head_read(verifier, buffer_bytes(&text), &head, &genuine))
            status = error_set(err, STATUS_REJECTED, "%s holds no head of an audit", path);
        else if (!genuine)
            status = error_set(err, STATUS_REJECTED, "the head in %s is not signed by this key", path);
    }
    buffer_release(&text);
    if (status != STATUS_OK)
        return status;
    heads->heads = memory_realloc(heads->heads, (heads->count + 1) * sizeof head);
    heads->heads[heads->count++] = head;
    return STATUS_OK;
}

// ---- a chain ----

static bool chain_has(const struct verify *verify, const struct digest *hash)
{
    return digest_equal(hash, &verify->stated) || digest_equal(hash, &verify->computed);
}

// A genuine head that names the present entry.
static void anchor(struct verify *verify, const struct audit_head *head, int64_t line)
{
    struct audit_chain_verdict *verdict = &verify->verdict;
    if (verify->linked && !chain_has(verify, &head->hash))
        tell(verify, line,
             "the signed head of entry %lld of chain %s is another one's: something was changed in %lld to "
             "%lld",
             (long long)head->seq, verify->chain, (long long)verdict->anchored + 1, (long long)head->seq);
    else
        verdict->anchored = head->seq;
}

// By chain, then by number.
static int compare_heads(const void *a, const void *b)
{
    const struct audit_head *one = a, *other = b;
    int order = strcmp(one->chain, other->chain);
    return order ? order : (one->seq > other->seq) - (one->seq < other->seq);
}

// The first of the heads from elsewhere that is not before this place.
static size_t head_at(const struct audit_heads *heads, const char *chain, int64_t seq)
{
    struct audit_head key = {.seq = seq};
    size_t low = 0, high = heads->count;
    strcpy(key.chain, chain);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_heads(&heads->heads[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void anchor_by_others(struct verify *verify)
{
    const struct audit_heads *heads = verify->options->heads;
    for (size_t i = head_at(heads, verify->chain, verify->verdict.last); i < heads->count; i++) {
        if (heads->heads[i].seq != verify->verdict.last || strcmp(heads->heads[i].chain, verify->chain) != 0)
            break;
        anchor(verify, &heads->heads[i], 0);
    }
}

static void end_chain(struct verify *verify)
{
    const struct audit_heads *heads = verify->options->heads;
    int64_t beyond = 0;
    if (!*verify->chain)
        return;
    for (size_t i = head_at(heads, verify->chain, 0);
         i < heads->count && strcmp(heads->heads[i].chain, verify->chain) == 0; i++) {
        heads->met[i] = true;
        beyond = heads->heads[i].seq;
    }
    if (beyond > verify->verdict.last)
        tell(verify, 0, "entries %lld to %lld of chain %s are missing: a head of the last one is signed",
             (long long)verify->verdict.last + 1, (long long)beyond, verify->chain);
    if (verify->verdict.last < verify->verdict.first)
        tell(verify, 0, "chain %s has a signed head of entry %lld, and no entry", verify->chain,
             (long long)verify->verdict.last);
    verify->options->chain(verify->options->context, &verify->verdict);
    if (verify->ended_count < AUDIT_CHAINS_MOST)
        strcpy(verify->ended[verify->ended_count++], verify->chain);
    *verify->chain = '\0';
}

// Chains that are known by their heads alone.
static void tell_chains_missing(struct verify *verify)
{
    const struct audit_heads *heads = verify->options->heads;
    for (size_t i = 0; i < heads->count; i++)
        if (!heads->met[i] && (i == 0 || strcmp(heads->heads[i].chain, heads->heads[i - 1].chain) != 0))
            tell(verify, 0, "chain %s is missing: heads of it are signed", heads->heads[i].chain);
}

// An export has each chain in one piece. A piece that begins later, with a genuine head, would hide what was
// cut out in front of it.
static void check_new(struct verify *verify)
{
    for (size_t i = 0; i < verify->ended_count; i++)
        if (strcmp(verify->ended[i], verify->chain) == 0) {
            tell(verify, verify->line, "chain %s begins a second time", verify->chain);
            return;
        }
    if (verify->ended_count == AUDIT_CHAINS_MOST)
        tell(verify, verify->line, "chain %s is one too many: an export has %d", verify->chain,
             AUDIT_CHAINS_MOST);
}

static void begin_chain(struct verify *verify, const char *chain, int64_t first)
{
    static const struct digest zero;
    end_chain(verify);
    strcpy(verify->chain, chain);
    verify->verdict = (struct audit_chain_verdict){.chain = verify->chain, .first = first, .last = first - 1};
    verify->linked = first == 1;
    verify->stated = verify->computed = zero;
    check_new(verify);
}

static void take_entry(struct verify *verify, const char *chain, int64_t seq, struct bytes text,
                       const struct digest *stated)
{
    struct audit_chain_verdict *verdict = &verify->verdict;
    if (strcmp(chain, verify->chain) != 0)
        begin_chain(verify, chain, 1);
    if (seq <= verdict->last) {
        tell(verify, verify->line,
             "entry %lld of chain %s stands a second time, or in another place than its own", (long long)seq,
             chain);
        return;
    }
    if (seq > verdict->last + 1) {
        tell(verify, verify->line, "entries %lld to %lld of chain %s are missing in front of this one",
             (long long)verdict->last + 1, (long long)seq - 1, chain);
        verify->linked = false;
    }
    struct digest computed = audit_link(&verify->stated, text);
    if (verify->linked && !digest_equal(&computed, stated)) {
        struct digest other = audit_link(&verify->computed, text);
        if (digest_equal(&other, stated))
            computed = other; // the flaw was in the hash before this one
        else
            tell(verify, verify->line, "entry %lld of chain %s, or its hash, was changed", (long long)seq,
                 chain);
    }
    verdict->last = seq;
    verify->stated = *stated;
    verify->computed = verify->linked ? computed : *stated;
    verify->linked = true;
    anchor_by_others(verify);
}

// ---- lines ----

// A line {"entry":TEXT,"hash":"HEX"}; false where it is none.
static bool read_entry(struct verify *verify, struct bytes line)
{
    static const char front[] = "{\"entry\":", middle[] = ",\"hash\":\"", back[] = "\"}";
    const size_t tail = sizeof middle - 1 + DIGEST_TEXT_SIZE - 1 + sizeof back - 1;
    char hex[DIGEST_TEXT_SIZE], again[DIGEST_TEXT_SIZE], chain[AUDIT_NAME_SIZE];
    struct audit_entry entry;
    struct audit_place place;
    struct digest stated;
    if (line.size < sizeof front - 1 + tail || memcmp(line.data, front, sizeof front - 1) != 0)
        return false;
    struct bytes text = {.data = line.data + sizeof front - 1, .size = line.size - (sizeof front - 1) - tail};
    const uint8_t *at = text.data + text.size;
    memcpy(hex, at + sizeof middle - 1, DIGEST_TEXT_SIZE - 1);
    hex[DIGEST_TEXT_SIZE - 1] = '\0';
    if (memcmp(at, middle, sizeof middle - 1) != 0 ||
        memcmp(line.data + line.size - (sizeof back - 1), back, sizeof back - 1) != 0 ||
        !digest_parse(hex, &stated))
        return false;
    digest_text(&stated, again);
    if (strcmp(hex, again) != 0 || !audit_entry_read(text, &entry, chain, &place))
        return false;
    take_entry(verify, chain, place.seq, text, &stated);
    return true;
}

static bool read_head(struct verify *verify, struct bytes line)
{
    struct audit_head head;
    bool genuine;
    if (!audit_head_read(verify->options->verifier, line, &head, &genuine))
        return false;
    if (!genuine) {
        tell(verify, verify->line, "the head of entry %lld of chain %s is not signed by this key",
             (long long)head.seq, head.chain);
        return true;
    }
    if (strcmp(head.chain, verify->chain) != 0) { // a part of a chain: from here on
        begin_chain(verify, head.chain, head.seq + 1);
        verify->stated = verify->computed = head.hash;
        verify->linked = true;
        verify->verdict.anchored = head.seq;
        anchor_by_others(verify);
    } else if (head.seq == verify->verdict.last) {
        anchor(verify, &head, verify->line);
    } else {
        tell(verify, verify->line, "the head of entry %lld of chain %s stands in another place than its own",
             (long long)head.seq, head.chain);
    }
    return true;
}

static void read_line(struct verify *verify, struct bytes line)
{
    const struct bytes first = {.data = (const uint8_t *)AUDIT_EXPORT_FIRST_LINE,
                                .size = sizeof AUDIT_EXPORT_FIRST_LINE - 1};
    if (verify->line == 1 && !bytes_equal(line, first))
        tell(verify, 1, "the first line is not that of an export");
    else if (verify->line > 1 && !read_entry(verify, line) && !read_head(verify, line))
        tell(verify, verify->line, "this line is neither an entry nor a head, or was changed");
}

// Up to and without the next '\n'. size LINE_MOST: the line is longer. False: the end.
static bool next_line(struct verify *verify, FILE *file, uint8_t line[LINE_MOST], size_t *size)
{
    int byte;
    *size = 0;
    while ((byte = getc(file)) != EOF && byte != '\n')
        if (*size < LINE_MOST)
            line[(*size)++] = (uint8_t)byte;
    if (byte == EOF && *size == 0)
        return false;
    verify->line++;
    if (byte == EOF)
        tell(verify, verify->line, "the last line has no end");
    return true;
}

enum status audit_verify(FILE *file, const struct audit_verify_options *options, int64_t *flaws,
                         struct error *err)
{
    struct verify verify = {.options = options};
    uint8_t line[LINE_MOST];
    size_t size;
    verify.ended = memory_alloc(AUDIT_CHAINS_MOST * sizeof *verify.ended);
    struct audit_heads *heads = options->heads;
    if (heads->count > 0)
        qsort(heads->heads, heads->count, sizeof *heads->heads, compare_heads);
    heads->met = memory_realloc(heads->met, heads->count + 1);
    memset(heads->met, 0, heads->count + 1);
    while (next_line(&verify, file, line, &size))
        read_line(&verify, (struct bytes){.data = line, .size = size});
    end_chain(&verify);
    tell_chains_missing(&verify);
    if (verify.line == 0)
        tell(&verify, 0, "the export is empty");
    free(verify.ended);
    *flaws = verify.flaws;
    if (ferror(file))
        return error_set(err, STATUS_FATAL, "the export can't be read: %s", strerror(errno));
    return STATUS_OK;
}
