// jpeg_scan.h: the entropy-coded data of a baseline JPEG to coefficients, faster than libjpeg's own decoder.
//
// It takes the common case only: one interleaved scan of 8-bit baseline Huffman data without a fault. Where
// anything is out of order it says so and gives up, and jpeg.c starts anew with libjpeg's decoder: what is
// accepted, what is refused and what corrupt data looks like stay libjpeg's alone.
#ifndef SKINSIGHT_COMMON_PICTURE_JPEG_SCAN_H
#define SKINSIGHT_COMMON_PICTURE_JPEG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

struct jpeg_scan;

// To be called between jpeg_start_decompress and the first rows: the scan's bytes are those that the source
// holds then, and they must stay. NULL when the picture is not of the common case or memory is out.
// jpeg_scan_free takes NULL. Any thread.
struct jpeg_scan *jpeg_scan_new(j_decompress_ptr jpeg);
void jpeg_scan_free(struct jpeg_scan *scan);

// Fills the next MCU's blocks, which must be zeroed, as libjpeg's decode_mcu does. After the last MCU the
// source stands behind the marker that ended the scan, and jpeg->unread_marker is that marker. False: the
// data are out of order; the source has not been touched.
bool jpeg_scan_decode_mcu(struct jpeg_scan *scan, j_decompress_ptr jpeg, JBLOCKROW *blocks);

// Every MCU has been decoded.
bool jpeg_scan_is_complete(const struct jpeg_scan *scan);

#endif
