// offsets.c: a ring bitmap over the window and its text form.
#include "worker/group/offsets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"

void offsets_init(struct offsets *offsets, int64_t first, int window)
{
    memset(offsets, 0, sizeof *offsets);
    offsets->first = offsets->next = offsets->seen = first;
    offsets->witness = -1;
    offsets->window = window < OFFSETS_MAX_WINDOW ? window : OFFSETS_MAX_WINDOW;
}

static uint64_t *word_of(struct offsets *offsets, int64_t offset)
{
    return &offsets->done[offset % OFFSETS_MAX_WINDOW / 64];
}

static bool bit_at(const struct offsets *offsets, int64_t offset)
{
    return offsets->done[offset % OFFSETS_MAX_WINDOW / 64] >> (offset % 64) & 1;
}

static int span_of(int deaths)
{
    return deaths == 1 ? OFFSETS_WARY_SPAN : OFFSETS_WARY_JOBS;
}

// The offset behind so many open ones. Those that are answered in between don't count: a slow first record
// may have many behind it, and the one that killed behind all of those.
static int64_t behind_open(const struct offsets *offsets, int count)
{
    int64_t offset = offsets->first;
    for (; count > 0; offset++)
        count -= !offsets_is_finished(offsets, offset);
    return offset;
}

static int open_before(const struct offsets *offsets, int64_t end)
{
    int count = 0;
    for (int64_t offset = offsets->first; offset < end; offset++)
        count += !offsets_is_finished(offsets, offset);
    return count;
}

// first has moved: it is another record's turn, and enough progress clears the partition of suspicion.
static void forget(struct offsets *offsets)
{
    offsets->alone_deaths = 0;
    offsets->alone = offsets->reading = false;
    if (!offsets_marks_reading(offsets))
        offsets->unmarked = 0;
    bool idle = offsets->at_end && offsets->first >= offsets->seen;
    if (offsets->first >= offsets->forgiven_at || idle)
        offsets->deaths = offsets->unmarked = 0;
}

static void advance(struct offsets *offsets)
{
    int64_t before = offsets->first;
    while (offsets->first < offsets->next && bit_at(offsets, offsets->first)) {
        *word_of(offsets, offsets->first) &= ~(UINT64_C(1) << (offsets->first % 64));
        offsets->first++;
    }
    if (offsets->first != before)
        forget(offsets);
}

// Moves an idle window to offset: everything before it is answered or was never a record.
static void jump(struct offsets *offsets, int64_t offset)
{
    while (offsets->first < offset) {
        *word_of(offsets, offsets->first) &= ~(UINT64_C(1) << (offsets->first % 64));
        offsets->first++;
        if (offsets->first >= offsets->next)
            offsets->first = offset;
    }
    if (offsets->next < offset)
        offsets->next = offset;
    forget(offsets);
}

enum offsets_take offsets_take(struct offsets *offsets, int64_t offset)
{
    if (offset < offsets->first || offset < offsets->seen)
        return OFFSETS_ANSWERED;
    offsets->at_end = false;
    if (offsets->first >= offsets->seen && offset > offsets->first)
        jump(offsets, offset);
    if (offset - offsets->first >= offsets->window)
        return OFFSETS_NO_ROOM;
    int64_t skipped = offsets->seen > offsets->first ? offsets->seen : offsets->first;
    for (; skipped < offset; skipped++)
        *word_of(offsets, skipped) |= UINT64_C(1) << (skipped % 64);
    bool answered = offset < offsets->next && bit_at(offsets, offset);
    if (offsets->next <= offset)
        offsets->next = offset + 1;
    offsets->seen = offset + 1;
    advance(offsets);
    return answered ? OFFSETS_ANSWERED : OFFSETS_NEW;
}

void offsets_finish(struct offsets *offsets, int64_t offset)
{
    if (offset < offsets->first || offset >= offsets->next)
        return;
    *word_of(offsets, offset) |= UINT64_C(1) << (offset % 64);
    advance(offsets);
}

void offsets_note(struct offsets *offsets, int64_t offset, uint64_t digest)
{
    if (digest == 0 || offset <= offsets->witness)
        return;
    offsets->witness = offset;
    offsets->witness_digest = digest;
}

void offsets_skip(struct offsets *offsets, int64_t offset)
{
    jump(offsets, offset);
    if (offsets->seen < offset)
        offsets->seen = offset;
    advance(offsets);
}

bool offsets_is_finished(const struct offsets *offsets, int64_t offset)
{
    return offset < offsets->first || (offset < offsets->next && bit_at(offsets, offset));
}

enum offsets_caution offsets_caution(const struct offsets *offsets)
{
    return offsets->deaths == 0 ? CAUTION_NONE : offsets->deaths == 1 ? CAUTION_WARY : CAUTION_CAREFUL;
}

void offsets_new_owner(struct offsets *offsets, uint32_t owner)
{
    bool died = offsets->owner != 0 && offsets->owner != owner;
    bool marked = offsets->alone || offsets->reading;
    if (died && !marked && offsets_caution(offsets) == CAUTION_CAREFUL) {
        if (offsets->unmarked < OFFSETS_UNMARKED)
            offsets->unmarked++;
    } else if (died) {
        offsets->deaths++;
        offsets->forgiven_at = behind_open(offsets, span_of(offsets->deaths));
        offsets->alone_deaths += marked;
    } else if (offsets->owner == 0 && offsets->deaths >= OFFSETS_DEATHS_LIMIT) {
        offsets->deaths = CAUTION_CAREFUL;
    }
    offsets->owner = owner;
    offsets->alone = offsets->reading = false;
}

bool offsets_marks_reading(const struct offsets *offsets)
{
    return offsets->unmarked >= OFFSETS_UNMARKED;
}

bool offsets_is_hopeless(const struct offsets *offsets)
{
    return offsets->deaths >= OFFSETS_DEATHS_LIMIT;
}

bool offsets_reach_end(struct offsets *offsets)
{
    offsets->at_end = true;
    bool cleared = offsets->first >= offsets->seen && offsets->deaths > 0;
    if (cleared) {
        offsets->deaths = offsets->alone_deaths = offsets->unmarked = 0;
        offsets->reading = false;
    }
    return cleared;
}

bool offsets_is_convicted(const struct offsets *offsets)
{
    return offsets->alone_deaths >= OFFSETS_CONVICTION;
}

// The word "alone". Builds from before know 1, and take all else for 0.
enum { WORD_ALONE = 1, WORD_READING = 6 };

static int alone_word(const struct offsets *offsets)
{
    if (offsets->alone)
        return WORD_ALONE;
    if (offsets->reading)
        return WORD_READING;
    return offsets->unmarked > 0 ? offsets->unmarked + 1 : 0;
}

static int since_word(const struct offsets *offsets)
{
    return offsets->deaths > 0 ? span_of(offsets->deaths) - open_before(offsets, offsets->forgiven_at) : 0;
}

// Builds from before write how far first has moved, which is no less.
static void read_since_word(struct offsets *offsets, int word)
{
    int left = span_of(offsets->deaths) - word;
    offsets->forgiven_at = behind_open(offsets, left > 0 ? left : 0);
}

static void read_alone_word(struct offsets *offsets, int word)
{
    offsets->alone = word == WORD_ALONE;
    offsets->reading = word == WORD_READING;
    offsets->unmarked = word > WORD_ALONE ? word - 1 : 0;
    if (offsets->unmarked > OFFSETS_UNMARKED)
        offsets->unmarked = OFFSETS_UNMARKED;
}

static void encode_witness(const struct offsets *offsets, char *end)
{
    if (offsets->witness < 0)
        strcpy(end, " -");
    else
        sprintf(end, " %" PRId64 ":%016" PRIx64, offsets->witness, offsets->witness_digest);
}

int offsets_text_most(int window)
{
    enum { WORDS_MOST = 96 }; // all but the bitmap
    return WORDS_MOST + (int)base64_encoded_size((size_t)window / 8 + 1);
}

void offsets_encode(const struct offsets *offsets, bool old_form, char text[OFFSETS_TEXT_SIZE])
{
    uint8_t bitmap[OFFSETS_MAX_WINDOW / 8] = {0};
    size_t size = 0;
    for (int64_t offset = offsets->first; offset < offsets->next; offset++) {
        size_t index = (size_t)(offset - offsets->first);
        if (bit_at(offsets, offset)) {
            bitmap[index / 8] |= (uint8_t)(1u << index % 8);
            size = index / 8 + 1;
        }
    }
    int length = snprintf(text, OFFSETS_TEXT_SIZE, "ss%d %08x %d %d %d %d ", old_form ? 1 : 2, offsets->owner,
                          offsets->deaths, since_word(offsets), offsets->alone_deaths, alone_word(offsets));
    char *end = text + length;
    if (size == 0)
        strcpy(end, "-");
    else
        base64_encode(bitmap, size, end);
    end += strcspn(end, "=");
    *end = '\0';
    if (!old_form)
        encode_witness(offsets, end);
}

static bool decode_bitmap(struct offsets *offsets, const char *text)
{
    uint8_t bitmap[OFFSETS_MAX_WINDOW / 8 + 3];
    size_t length = strlen(text), size = 0;
    if (strcmp(text, "-") == 0)
        return true;
    if (base64_decoded_size(length) > sizeof bitmap || !base64_decode(text, length, bitmap, &size))
        return false;
    if (size > OFFSETS_MAX_WINDOW / 8)
        return false;
    for (size_t index = 0; index < size * 8; index++) {
        int64_t offset = offsets->first + (int64_t)index;
        if (bitmap[index / 8] >> index % 8 & 1) {
            *word_of(offsets, offset) |= UINT64_C(1) << (offset % 64);
            offsets->next = offset + 1;
        }
    }
    return !bit_at(offsets, offsets->first) || size == 0; // first is unfinished by definition
}

static bool decode_witness(struct offsets *offsets, const char *text)
{
    if (strcmp(text, "-") == 0)
        return true;
    size_t digits = strspn(text, "0123456789");
    const char *digest = text + digits + 1;
    if (digits == 0 || digits > 18 || text[digits] != ':' || strspn(digest, "0123456789abcdef") != 16 ||
        digest[16])
        return false;
    offsets->witness = strtoll(text, NULL, 10);
    offsets->witness_digest = strtoull(digest, NULL, 16);
    return offsets_is_finished(offsets, offsets->witness);
}

// The bitmap and, in the newer form, the word behind it.
static bool decode_rest(struct offsets *offsets, const char *text, int form)
{
    char bitmap[OFFSETS_TEXT_SIZE];
    size_t size = form == 2 ? strcspn(text, " ") : strlen(text);
    if (size == 0 || size >= sizeof bitmap || (form == 2 && text[size] != ' '))
        return false;
    memcpy(bitmap, text, size);
    bitmap[size] = '\0';
    return decode_bitmap(offsets, bitmap) && (form == 1 || decode_witness(offsets, text + size + 1));
}

enum status offsets_decode(struct offsets *offsets, int64_t first, int window, const char *text,
                           struct error *err)
{
    offsets_init(offsets, first, window);
    if (!text || !*text)
        return STATUS_OK;
    unsigned owner;
    int form, deaths, since, alone_deaths, alone, start = 0;
    int fields = sscanf(text, "ss%1d %8x %6d %6d %6d %1d %n", &form, &owner, &deaths, &since, &alone_deaths,
                        &alone, &start);
    bool sound = fields == 6 && (form == 1 || form == 2) && start > 0 && deaths >= 0 && since >= 0 &&
                 alone_deaths >= 0 && alone >= 0 && alone <= WORD_READING;
    if (!sound || !decode_rest(offsets, text + start, form)) {
        offsets_init(offsets, first, window);
        return error_set(err, STATUS_REJECTED,
                         "the commit metadata of offset %lld is not in a form this build knows",
                         (long long)first);
    }
    offsets->owner = owner;
    offsets->deaths = deaths;
    read_since_word(offsets, since);
    offsets->alone_deaths = alone_deaths;
    read_alone_word(offsets, alone);
    return STATUS_OK;
}
