// jpeg_scan.c: Huffman decoding of a baseline scan. Sections and figures are those of ITU-T T.81.
//
// The bytes up to the next marker are copied without their stuffing (B.1.1.5), so that the bit reader can
// take eight at a time without looking. A table indexed by the next bits yields whole coefficients, two where
// two fit: all that one look-up needs of the one before is by how many bits to shift. Any thread.
#include "common/picture/jpeg_scan.h"

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"

enum {
    LOOKUP_BITS = 10, // two tables of 8 KB stay in the first-level cache; more bits gain nothing
    MAX_CODE_BITS = 16,
    MAX_DC_SIZE = 11, // of 8-bit samples: table F.1
    MAX_AC_SIZE = 10, // table F.2
    MAX_SYMBOL_BITS = MAX_CODE_BITS + MAX_DC_SIZE,
    LAST_COEFFICIENT = DCTSIZE2 - 1,
    // Advances that lead out of the block from anywhere within, to places that tell them apart.
    FAULT = DCTSIZE2,
    END_OF_BLOCK = 2 * DCTSIZE2,
    // What an MCU without a fault can take at most, and what the bit reader loads ahead.
    PADDING = D_MAX_BLOCKS_IN_MCU * DCTSIZE2 * MAX_SYMBOL_BITS / 8 + 16,
    RESTART_MARKERS = 8,
};

// One coefficient or two, or an end of block, with the codes before them. Where the next bits hold a code but
// not its whole coefficient, bits is 0, first_bits is the code's length and advance is its symbol; where they
// do not hold a whole code, all is 0.
struct found {
    uint8_t bits;           // of all codes and coefficients
    uint8_t first_bits;     // of the first code and coefficient
    uint8_t advance;        // from the last coefficient's place to the first one's
    uint8_t second_advance; // 0, and the first one's value again, where there is no second
    int16_t value;
    int16_t second_value;
};

struct code_table {
    struct found found[1 << LOOKUP_BITS]; // by the next bits
    uint32_t limit[MAX_CODE_BITS + 1];    // codes up to this length are below it, left-aligned in 16 bits
    int offset[MAX_CODE_BITS + 1];        // from a code of this length to its place in values
    uint8_t values[256];
    int max_size; // of a coefficient in bits; no 8-bit picture needs more
};

struct bit_reader {
    uint64_t bits; // the next ones, from the top
    unsigned count;
    const uint8_t *next;
};

struct jpeg_scan {
    struct code_table dc[NUM_HUFF_TBLS];
    struct code_table ac[NUM_HUFF_TBLS];
    struct bit_reader reader;
    unsigned last_dc[MAX_COMPS_IN_SCAN];
    int64_t mcus_left;
    unsigned segment_mcus_left; // before the next restart marker
    int next_restart;           // number of the restart marker that must come next
    int marker;                 // that ended the segment
    const uint8_t *source;      // behind that marker
    const uint8_t *source_end;
    const uint8_t *segment_end;
    uint8_t segment[]; // without stuffing, followed by PADDING
};

// Figure A.6. What lies beyond the block goes where an end of block leaves a zero.
static const uint8_t zigzag[256] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, [63 ... 255] = 63};

static const struct found fault = {.bits = 1, .first_bits = 1, .advance = FAULT};

// What a code and the bits behind it mean; after_code is left-aligned.
static struct found found_of(int symbol, int code_bits, uint64_t after_code)
{
    int size = symbol & 15, run = symbol >> 4;
    // Of the codes without a coefficient only 15/0 is no end of block (F.1.2.2.1), but 16 zeros.
    bool is_end = size == 0 && run != 15;
    int value = (int)(after_code >> 1 >> (63 - size));
    if (!(after_code >> 63))
        value -= (1 << size) - 1; // EXTEND of F.2.2.1
    return (struct found){.bits = (uint8_t)(code_bits + size),
                          .first_bits = (uint8_t)(code_bits + size),
                          .advance = (uint8_t)(is_end ? END_OF_BLOCK : run + 1),
                          .value = (int16_t)value,
                          .second_value = (int16_t)value};
}

// Section F.2.2.3, where the look-up gave no coefficient but entry.
static struct found search(const struct code_table *table, const struct found *entry, uint64_t bits)
{
    if (entry->first_bits != 0)
        return found_of(entry->advance, entry->first_bits, bits << entry->first_bits);
    uint32_t code = (uint32_t)(bits >> (64 - MAX_CODE_BITS));
    for (int length = LOOKUP_BITS + 1; length <= MAX_CODE_BITS; length++)
        if (code < table->limit[length]) {
            int symbol = table->values[(int)(code >> (MAX_CODE_BITS - length)) + table->offset[length]];
            if ((symbol & 15) <= table->max_size)
                return found_of(symbol, length, bits << length);
            break;
        }
    return fault;
}

// The answers for all next bits that begin with this code, which is left-aligned in 16 bits.
static void fill(struct code_table *table, int symbol, uint32_t code, int length)
{
    int size = symbol & 15;
    if (length > LOOKUP_BITS)
        return;
    unsigned begin = code >> (MAX_CODE_BITS - LOOKUP_BITS);
    unsigned end = begin + (1u << (LOOKUP_BITS - length));
    for (uint64_t i = begin; i < end; i++)
        if (size > table->max_size)
            table->found[i] = fault;
        else if (length + size > LOOKUP_BITS)
            table->found[i] = (struct found){.first_bits = (uint8_t)length, .advance = (uint8_t)symbol};
        else
            table->found[i] = found_of(symbol, length, i << (64 - LOOKUP_BITS) << length);
}

// Codes of one length follow each other, and a longer one begins where the shorter ones end (C.2).
static bool code_table_init(struct code_table *table, const JHUFF_TBL *source, int max_size)
{
    memset(table->found, 0, sizeof table->found);
    memcpy(table->values, source->huffval, sizeof table->values);
    table->max_size = max_size;
    uint32_t code = 0; // left-aligned in 16 bits
    int place = 0;
    for (int length = 1; length <= MAX_CODE_BITS; length++) {
        uint32_t step = 1u << (MAX_CODE_BITS - length);
        table->offset[length] = place - (int)(code / step);
        if (place + source->bits[length] > 256 || code + source->bits[length] * step > 1u << MAX_CODE_BITS)
            return false;
        for (int i = 0; i < source->bits[length]; i++, place++, code += step)
            fill(table, table->values[place], code, length);
        table->limit[length] = code;
    }
    return true;
}

// Where the bits behind a coefficient hold another whole one, the answer becomes both.
static void add_second(struct code_table *table)
{
    struct found single[1 << LOOKUP_BITS];
    memcpy(single, table->found, sizeof single);
    for (unsigned i = 0; i < 1 << LOOKUP_BITS; i++) {
        struct found *first = &table->found[i];
        const struct found *second = &single[i << first->bits & ((1 << LOOKUP_BITS) - 1)];
        if (first->bits == 0 || first->advance >= FAULT || second->bits == 0 ||
            first->bits + second->bits > LOOKUP_BITS)
            continue;
        first->bits += second->bits;
        first->second_advance = second->advance;
        first->second_value = second->value;
    }
}

// At least 56 bits are there afterwards.
static inline void refill(struct bit_reader *reader)
{
    uint64_t loaded;
    memcpy(&loaded, reader->next, sizeof loaded);
    reader->bits |= be64toh(loaded) >> reader->count;
    reader->next += (63 - reader->count) >> 3;
    reader->count |= 56;
}

static inline void consume(struct bit_reader *reader, unsigned bits)
{
    reader->bits <<= bits;
    reader->count -= bits;
}

// The bits to look up are there before the reader loads more, so that neither waits for the other.
static inline struct found next_found(const struct code_table *table, struct bit_reader *reader)
{
    const struct found *found = &table->found[reader->bits >> (64 - LOOKUP_BITS)];
    refill(reader);
    return __builtin_expect(found->bits != 0, true) ? *found : search(table, found, reader->bits);
}

// Not inlined, so that the tables' addresses stay in registers.
__attribute__((noinline)) static bool decode_block(struct bit_reader *state, const struct code_table *dc,
                                                   const struct code_table *ac, unsigned *last_dc,
                                                   JCOEF *block)
{
    struct bit_reader reader = *state;
    refill(&reader);
    struct found found = next_found(dc, &reader);
    *last_dc += (unsigned)found.value;
    block[0] = (JCOEF)*last_dc;
    if (found.advance == FAULT)
        return false;
    unsigned first, second = 0;
    do {
        consume(&reader, found.bits);
        found = next_found(ac, &reader);
        first = second + found.advance;
        second = first + found.second_advance;
        block[zigzag[second]] = found.second_value;
        block[zigzag[first]] = found.value; // afterwards: a first one that fills the block stays
    } while (second < LAST_COEFFICIENT);
    if (first >= LAST_COEFFICIENT) { // then the second is not this block's
        second = first;
        found.bits = found.first_bits;
    }
    consume(&reader, found.bits);
    *state = reader;
    return second == LAST_COEFFICIENT || second >= END_OF_BLOCK;
}

// Copies up to the next marker. False when the file ends before it, or where byte FF is written FF FF 00:
// libjpeg makes of that MCU something that only libjpeg does (test_jpeg_scan.c says what).
static bool segment_begin(struct jpeg_scan *scan)
{
    uint8_t *to = scan->segment;
    for (;;) {
        const uint8_t *stuffed = memchr(scan->source, 0xff, (size_t)(scan->source_end - scan->source));
        if (!stuffed)
            return false;
        size_t size = (size_t)(stuffed - scan->source);
        memcpy(to, scan->source, size);
        to += size;
        const uint8_t *behind = stuffed + 1;
        while (behind < scan->source_end && *behind == 0xff) // before a marker several count as one
            behind++;
        if (behind == scan->source_end)
            return false;
        scan->source = behind + 1;
        if (*behind != 0) {
            scan->marker = *behind;
            break;
        }
        if (behind - stuffed > 1)
            return false;
        *to++ = 0xff;
    }
    memset(to, 0, PADDING);
    scan->segment_end = to;
    scan->reader = (struct bit_reader){.next = scan->segment};
    memset(scan->last_dc, 0, sizeof scan->last_dc);
    return true;
}

static bool segment_has_been_exceeded(const struct jpeg_scan *scan)
{
    return scan->reader.next - scan->reader.count / 8 > scan->segment_end;
}

static bool is_common(j_decompress_ptr jpeg)
{
    if (jpeg->progressive_mode || jpeg->arith_code || jpeg->data_precision != 8 ||
        jpeg_has_multiple_scans(jpeg) || jpeg->comps_in_scan != jpeg->num_components ||
        jpeg->unread_marker != 0)
        return false;
    for (int i = 0; i < jpeg->comps_in_scan; i++)
        if (!jpeg->cur_comp_info[i]->component_needed)
            return false;
    return true;
}

// Components share tables: each is made once.
static bool tables_init(struct jpeg_scan *scan, j_decompress_ptr jpeg)
{
    bool have_dc[NUM_HUFF_TBLS] = {false}, have_ac[NUM_HUFF_TBLS] = {false};
    for (int i = 0; i < jpeg->comps_in_scan; i++) {
        int dc = jpeg->cur_comp_info[i]->dc_tbl_no, ac = jpeg->cur_comp_info[i]->ac_tbl_no;
        if (dc < 0 || dc >= NUM_HUFF_TBLS || !jpeg->dc_huff_tbl_ptrs[dc] || ac < 0 || ac >= NUM_HUFF_TBLS ||
            !jpeg->ac_huff_tbl_ptrs[ac])
            return false;
        if (!have_dc[dc] && !code_table_init(&scan->dc[dc], jpeg->dc_huff_tbl_ptrs[dc], MAX_DC_SIZE))
            return false;
        if (!have_ac[ac] && !code_table_init(&scan->ac[ac], jpeg->ac_huff_tbl_ptrs[ac], MAX_AC_SIZE))
            return false;
        if (!have_ac[ac])
            add_second(&scan->ac[ac]);
        have_dc[dc] = have_ac[ac] = true;
    }
    return true;
}

struct jpeg_scan *jpeg_scan_new(j_decompress_ptr jpeg)
{
    if (!is_common(jpeg))
        return NULL;
    size_t size = jpeg->src->bytes_in_buffer;
    struct jpeg_scan *scan = memory_try_alloc(sizeof *scan + size + PADDING);
    if (!scan)
        return NULL;
    scan->mcus_left = (int64_t)jpeg->MCUs_per_row * jpeg->MCU_rows_in_scan;
    scan->segment_mcus_left = jpeg->restart_interval;
    scan->next_restart = 0;
    scan->source = jpeg->src->next_input_byte;
    scan->source_end = scan->source + size;
    if (!tables_init(scan, jpeg) || !segment_begin(scan)) {
        jpeg_scan_free(scan);
        return NULL;
    }
    return scan;
}

void jpeg_scan_free(struct jpeg_scan *scan)
{
    free(scan);
}

// Section E.2.4: a restart marker between two segments, numbered in turn.
static bool restart(struct jpeg_scan *scan, unsigned interval)
{
    if (scan->marker != JPEG_RST0 + scan->next_restart || !segment_begin(scan))
        return false;
    scan->next_restart = (scan->next_restart + 1) % RESTART_MARKERS;
    scan->segment_mcus_left = interval;
    return true;
}

bool jpeg_scan_decode_mcu(struct jpeg_scan *scan, j_decompress_ptr jpeg, JBLOCKROW *blocks)
{
    if (scan->mcus_left == 0)
        return false;
    if (jpeg->restart_interval != 0 && scan->segment_mcus_left-- == 0 &&
        !restart(scan, jpeg->restart_interval - 1))
        return false;
    struct bit_reader reader = scan->reader;
    for (int i = 0; i < jpeg->blocks_in_MCU; i++) {
        int component = jpeg->MCU_membership[i];
        const jpeg_component_info *info = jpeg->cur_comp_info[component];
        if (!decode_block(&reader, &scan->dc[info->dc_tbl_no], &scan->ac[info->ac_tbl_no],
                          &scan->last_dc[component], blocks[i][0]))
            return false;
    }
    scan->reader = reader;
    if (segment_has_been_exceeded(scan))
        return false;
    if (--scan->mcus_left == 0) {
        jpeg->unread_marker = scan->marker;
        jpeg->src->next_input_byte = scan->source;
        jpeg->src->bytes_in_buffer = (size_t)(scan->source_end - scan->source);
    }
    return true;
}

bool jpeg_scan_is_complete(const struct jpeg_scan *scan)
{
    return scan->mcus_left == 0;
}
