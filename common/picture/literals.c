// literals.c: one block with a Huffman code of its own, or stored blocks where that would be smaller.
//
// The code is made from every fourth byte; all 256 values get one, so that the others are written too. No
// code is longer than 14 bits: four of them and what is left of the last byte fit 64 bits.
#include "common/picture/literals.h"

#include <assert.h>
#include <string.h>

enum {
    END = 256, // of the block; the last symbol
    SYMBOLS = 257,
    NODES = 2 * SYMBOLS - 1,
    MAX_BITS = 14,
    DEEPEST = 40, // of a tree of such counts: a deeper one would need more, as Fibonacci's numbers grow
    COUNT_STEP = 4,
    COUNT_MAX = 65535,
    STORED_MAX = 65535,
    PIECE = 1024, // bytes between two looks at the room that is left
    PIECE_ROOM = PIECE * MAX_BITS / 8 + 2 * sizeof(uint64_t),
    HEAD_ROOM = 256, // what stands before the first piece
    FRAME = 6,       // zlib's two bytes, and the checksum
};

// What is written for a symbol: its bits, the first one lowest.
struct code {
    uint16_t bits;
    uint16_t length;
};

struct bit_writer {
    uint8_t *out;
    uint64_t pending; // the lowest `count` bits; fewer than 8 between two calls
    unsigned count;
};

static inline void put_bits(struct bit_writer *writer, uint64_t bits, unsigned count)
{
    writer->pending |= bits << writer->count;
    writer->count += count;
    memcpy(writer->out, &writer->pending, sizeof writer->pending);
    writer->out += writer->count / 8;
    writer->pending >>= writer->count & ~7u;
    writer->count &= 7;
}

static void count_symbols(struct bytes data, uint32_t counts[SYMBOLS])
{
    uint32_t other[END] = {0}; // equal neighbours need not wait for each other
    size_t i = 0;
    for (; i + COUNT_STEP < data.size; i += 2 * COUNT_STEP) {
        counts[data.data[i]]++;
        other[data.data[i + COUNT_STEP]]++;
    }
    if (i < data.size)
        counts[data.data[i]]++;
    uint32_t most = 0;
    for (int symbol = 0; symbol < END; symbol++) {
        counts[symbol] += other[symbol];
        most = counts[symbol] > most ? counts[symbol] : most;
    }
    for (int symbol = 0; symbol < SYMBOLS; symbol++)
        counts[symbol] = 1 + (uint32_t)((uint64_t)counts[symbol] * (COUNT_MAX - 1) / (most + 1));
}

// Symbols by their counts, the rarest first, equal ones by their values.
static void sort_symbols(const uint32_t counts[SYMBOLS], uint16_t sorted[SYMBOLS])
{
    uint16_t halfway[SYMBOLS];
    for (int i = 0; i < SYMBOLS; i++)
        halfway[i] = (uint16_t)i;
    const uint16_t *from = halfway;
    uint16_t *to = sorted, between[SYMBOLS];
    for (int shift = 0; shift <= 8; shift += 8) {
        to = shift == 0 ? between : sorted;
        unsigned places[257] = {0};
        for (int i = 0; i < SYMBOLS; i++)
            places[(counts[from[i]] >> shift & 255) + 1]++;
        for (int i = 0; i < 256; i++)
            places[i + 1] += places[i];
        for (int i = 0; i < SYMBOLS; i++)
            to[places[counts[from[i]] >> shift & 255]++] = from[i];
        from = to;
    }
}

// How many symbols have a code of each length: Huffman's tree from leaves in order of weight.
static void count_lengths(const uint32_t counts[SYMBOLS], const uint16_t sorted[SYMBOLS],
                          unsigned lengths[DEEPEST + 1])
{
    uint32_t weights[NODES];
    uint16_t parents[NODES];
    uint8_t depths[NODES];
    for (int i = 0; i < SYMBOLS; i++)
        weights[i] = counts[sorted[i]];
    int leaf = 0, inner = SYMBOLS;
    for (int node = SYMBOLS; node < NODES; node++) {
        weights[node] = 0;
        for (int child = 0; child < 2; child++) {
            bool take_leaf = leaf < SYMBOLS && (inner == node || weights[leaf] <= weights[inner]);
            int taken = take_leaf ? leaf++ : inner++;
            weights[node] += weights[taken];
            parents[taken] = (uint16_t)node;
        }
    }
    depths[NODES - 1] = 0;
    for (int node = NODES - 2; node >= 0; node--) {
        depths[node] = (uint8_t)(depths[parents[node]] + 1);
        if (node < SYMBOLS) {
            assert(depths[node] <= DEEPEST);
            lengths[depths[node]]++;
        }
    }
}

// Longer codes become codes of MAX_BITS; for what that takes too much of the code space, the longest of the
// shorter codes are made longer.
static void limit_lengths(unsigned lengths[DEEPEST + 1])
{
    for (int length = MAX_BITS + 1; length <= DEEPEST; length++)
        lengths[MAX_BITS] += lengths[length];
    unsigned space = 0;
    for (int length = 1; length <= MAX_BITS; length++)
        space += lengths[length] << (MAX_BITS - length);
    for (; space > 1u << MAX_BITS; space--) {
        int length = MAX_BITS - 1;
        while (lengths[length] == 0)
            length--;
        lengths[length]--;
        lengths[length + 1] += 2;
        lengths[MAX_BITS]--;
    }
}

static uint16_t reverse(unsigned bits, unsigned length)
{
    unsigned reversed = 0;
    for (unsigned i = 0; i < length; i++)
        reversed |= (bits >> i & 1) << (length - 1 - i);
    return (uint16_t)reversed;
}

static void make_codes(struct bytes data, struct code codes[SYMBOLS])
{
    uint32_t counts[SYMBOLS] = {0};
    uint16_t sorted[SYMBOLS];
    unsigned lengths[DEEPEST + 1] = {0}, next[MAX_BITS + 1] = {0};
    count_symbols(data, counts);
    sort_symbols(counts, sorted);
    count_lengths(counts, sorted, lengths);
    limit_lengths(lengths);
    int rarest = 0;
    for (unsigned length = MAX_BITS; length > 0; length--)
        for (unsigned i = 0; i < lengths[length]; i++)
            codes[sorted[rarest++]].length = (uint16_t)length;
    for (int length = 1; length < MAX_BITS; length++)
        next[length + 1] = (next[length] + lengths[length]) << 1;
    for (int symbol = 0; symbol < SYMBOLS; symbol++)
        codes[symbol].bits = reverse(next[codes[symbol].length]++, codes[symbol].length);
}

// One last block with codes of its own. The lengths of these are written in codes of four bits each, which
// are the lengths themselves; the code for distances, which nothing uses, is zlib's for such a block.
static void put_head(struct bit_writer *writer, const struct code codes[SYMBOLS])
{
    enum { LAST_BLOCK = 1, OWN_CODES = 2, DISTANCES = 2, LENGTHS = 19, REPEATS = 3, LENGTH_BITS = 4 };
    put_bits(writer, LAST_BLOCK | OWN_CODES << 1, 3);
    put_bits(writer, SYMBOLS - 257, 5);
    put_bits(writer, DISTANCES - 1, 5);
    put_bits(writer, LENGTHS - 4, 4);
    for (int i = 0; i < LENGTHS; i++)
        put_bits(writer, i < REPEATS ? 0 : LENGTH_BITS, 3);
    for (int symbol = 0; symbol < SYMBOLS; symbol++)
        put_bits(writer, reverse(codes[symbol].length, LENGTH_BITS), LENGTH_BITS);
    for (int i = 0; i < DISTANCES; i++)
        put_bits(writer, reverse(1, LENGTH_BITS), LENGTH_BITS);
}

static void put_piece(struct bit_writer *writer, const struct code codes[SYMBOLS], struct bytes piece)
{
    size_t i = 0;
    for (; i + 4 <= piece.size; i += 4) {
        const struct code a = codes[piece.data[i]], b = codes[piece.data[i + 1]];
        const struct code c = codes[piece.data[i + 2]], d = codes[piece.data[i + 3]];
        uint64_t first = a.bits | (uint64_t)b.bits << a.length;
        uint64_t second = c.bits | (uint64_t)d.bits << c.length;
        unsigned half = (unsigned)a.length + b.length;
        put_bits(writer, first | second << half, half + c.length + d.length);
    }
    for (; i < piece.size; i++)
        put_bits(writer, codes[piece.data[i]].bits, codes[piece.data[i]].length);
}

// The end of the block behind data; NULL where it would take more room than data do.
static uint8_t *put_coded(struct bytes data, uint8_t *out)
{
    struct code codes[SYMBOLS];
    make_codes(data, codes);
    const uint8_t *end = out + data.size + HEAD_ROOM;
    struct bit_writer writer = {.out = out};
    put_head(&writer, codes);
    for (size_t at = 0; at < data.size; at += PIECE) {
        if (writer.out > end)
            return NULL;
        size_t left = data.size - at;
        put_piece(&writer, codes, (struct bytes){data.data + at, left < PIECE ? left : PIECE});
    }
    put_bits(&writer, codes[END].bits, codes[END].length);
    put_bits(&writer, 0, 7); // the rest of the last byte
    return writer.out <= out + data.size ? writer.out : NULL;
}

static uint8_t *put_stored(struct bytes data, uint8_t *out)
{
    do {
        size_t size = data.size < STORED_MAX ? data.size : STORED_MAX;
        *out++ = size == data.size; // the last one
        *out++ = (uint8_t)size;
        *out++ = (uint8_t)(size >> 8);
        *out++ = (uint8_t)~size;
        *out++ = (uint8_t)(~size >> 8);
        memcpy(out, data.data, size);
        out += size;
        data.data += size;
        data.size -= size;
    } while (data.size > 0);
    return out;
}

size_t literals_bound(size_t size)
{
    return size + (size / STORED_MAX + 1) * 5 + FRAME + HEAD_ROOM + PIECE_ROOM;
}

size_t literals_pack(struct bytes data, uint32_t adler32, uint8_t *out)
{
    static const uint8_t head[] = {0x78, 0x01}; // window of 32 KB, the fastest kind
    memcpy(out, head, sizeof head);
    uint8_t *end = put_coded(data, out + sizeof head);
    if (!end)
        end = put_stored(data, out + sizeof head);
    for (int shift = 24; shift >= 0; shift -= 8)
        *end++ = (uint8_t)(adler32 >> shift);
    return (size_t)(end - out);
}
