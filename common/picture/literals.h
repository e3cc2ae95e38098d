// literals.h: bytes to a zlib stream (RFC 1950 and 1951) for data that hardly repeat, as the differences
// between the pixels of a photograph: one Huffman code for all of them, no search for repetitions. A general
// compressor spends most of its time on that search and finds nothing there.
#ifndef SKINSIGHT_COMMON_PICTURE_LITERALS_H
#define SKINSIGHT_COMMON_PICTURE_LITERALS_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/bytes.h"

// The most bytes that literals_pack writes or touches.
size_t literals_bound(size_t size);

// Writes the stream of data, whose Adler-32 checksum is given, to out and returns its size: at most five
// bytes for each 65,535 of data, and twelve, beyond theirs. Same data, same bytes. Any thread.
size_t literals_pack(struct bytes data, uint32_t adler32, uint8_t *out);

#endif
