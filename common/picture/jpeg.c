// jpeg.c: JPEG bytes to RGB with libjpeg-turbo, accepting and refusing what Pillow does.
//
// The library reads from memory through a source of our own: when it asks for bytes beyond the end while rows
// are still missing, the file is truncated and refused; once every row is there, a missing end marker is
// forgiven. Warnings about corrupt data are ignored, as in Pillow: the library fills in what it can.
// libjpeg reports errors by a callback that must not return, so decode_rows is the one place that uses
// setjmp; what must be released is owned by its caller, decode_once.
//
// Half of the time would go into libjpeg's Huffman decoding, so jpeg_scan.c takes its place where it can: the
// one function of libjpeg's that turns bytes into coefficients is replaced (jpegint.h, which Debian installs;
// this part is the same from libjpeg-turbo 1.0 to 3.1), all that follows stays libjpeg's. Where the data are
// out of order, decoding starts anew with libjpeg alone. Any thread.
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>
// Needs jpeglib.h before it.
#include <jpegint.h>

#include "common/picture/image.h"
#include "common/picture/jpeg_scan.h"

enum {
    MAX_DIMENSION = 65500, // libjpeg's JPEG_MAX_DIMENSION
    MAX_SCANS = 500,       // a progressive file of a camera has about ten
    LARGEST_SCANS = 20,    // of a picture of max_pixels; a smaller one may have more, for the same work
    PIXEL_BYTES = 3,
    BUFFERED_PIXEL_BYTES = 9, // and a coefficient of two bytes for each of the three
    ROWS_PER_CALL = 16,       // the most that libjpeg gives at once is far less
    OWN_MIN_SIZE = 8192,      // of a file; below it, making the tables costs more than they save
};

struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    enum status status; // of the failure
    struct error *err;
    struct image *image;
    int64_t max_pixels;
    enum jpeg_entropy entropy;
    struct jpeg_scan *scan; // NULL: libjpeg decodes the entropy-coded data itself
    bool out_of_order;      // the scan has given up
    bool complete;          // every row has been given out
    bool too_large;         // refused for its size, or for that of all its scans together
};

static struct decoder *decoder_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

__attribute__((noreturn)) static void fail(struct decoder *decoder, enum status status)
{
    decoder->status = status;
    longjmp(decoder->failed, 1);
}

__attribute__((noreturn)) static void on_error(j_common_ptr jpeg)
{
    struct decoder *decoder = decoder_of(jpeg);
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    if (jpeg->err->msg_code == JERR_OUT_OF_MEMORY)
        fail(decoder, error_set(decoder->err, STATUS_FATAL, "no memory to decode the JPEG"));
    fail(decoder, error_set(decoder->err, STATUS_REJECTED, "the JPEG can't be decoded: %s", text));
}

static void on_warning(j_common_ptr jpeg, int level)
{
    if (level < 0)
        jpeg->err->num_warnings++;
}

static void on_message(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void on_source_start_or_end(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

// The whole file was there from the start, so being asked for more means that it ends too early.
static boolean on_more_bytes(j_decompress_ptr jpeg)
{
    static const JOCTET end_marker[] = {0xff, JPEG_EOI};
    struct decoder *decoder = decoder_of((j_common_ptr)jpeg);
    if (!decoder->complete)
        fail(decoder, error_set(decoder->err, STATUS_REJECTED, "the JPEG is truncated"));
    jpeg->src->next_input_byte = end_marker;
    jpeg->src->bytes_in_buffer = sizeof end_marker;
    return TRUE;
}

static void on_skip(j_decompress_ptr jpeg, long count)
{
    if (count <= 0)
        return;
    size_t skipped = (size_t)count;
    if (skipped > jpeg->src->bytes_in_buffer)
        skipped = jpeg->src->bytes_in_buffer;
    jpeg->src->next_input_byte += skipped;
    jpeg->src->bytes_in_buffer -= skipped;
}

// Each scan is a walk over the whole picture, however few bytes it has.
static void on_progress(j_common_ptr jpeg)
{
    struct decoder *decoder = decoder_of(jpeg);
    int scan = ((j_decompress_ptr)jpeg)->input_scan_number;
    int64_t pixels = (int64_t)decoder->image->width * decoder->image->height;
    decoder->too_large = scan * pixels / LARGEST_SCANS > decoder->max_pixels;
    if (scan > MAX_SCANS || decoder->too_large)
        fail(decoder,
             error_set(decoder->err, STATUS_REJECTED, "the JPEG has more than %d scans of %d x %d pixels",
                       scan - 1, decoder->image->width, decoder->image->height));
}

static void decoder_init(struct decoder *decoder, struct bytes data)
{
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    jpeg->err = jpeg_std_error(&decoder->errors);
    jpeg->client_data = decoder; // jpeg_create_decompress keeps err and client_data
    decoder->errors.error_exit = on_error;
    decoder->errors.emit_message = on_warning;
    decoder->errors.output_message = on_message;
    decoder->source = (struct jpeg_source_mgr){
        .next_input_byte = data.data,
        .bytes_in_buffer = data.size,
        .init_source = on_source_start_or_end,
        .fill_input_buffer = on_more_bytes,
        .skip_input_data = on_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = on_source_start_or_end,
    };
    decoder->progress.progress_monitor = on_progress;
}

static enum status check_header(struct decoder *decoder)
{
    const struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK)
        return error_set(decoder->err, STATUS_REJECTED, "CMYK JPEGs are not supported, only grey and RGB");
    if (jpeg->num_components != 1 && jpeg->num_components != 3)
        return error_set(decoder->err, STATUS_REJECTED,
                         "the JPEG has %d colour components, 1 or 3 are needed", jpeg->num_components);
    if (jpeg->image_width > MAX_DIMENSION || jpeg->image_height > MAX_DIMENSION)
        return error_set(decoder->err, STATUS_REJECTED,
                         "the JPEG has %u x %u pixels, %d is the most per side", jpeg->image_width,
                         jpeg->image_height, MAX_DIMENSION);
    decoder->too_large = (int64_t)jpeg->image_width * jpeg->image_height > decoder->max_pixels;
    if (decoder->too_large)
        return error_set(decoder->err, STATUS_REJECTED,
                         "the JPEG has %u x %u pixels, %lld are allowed in all", jpeg->image_width,
                         jpeg->image_height, (long long)decoder->max_pixels);
    return STATUS_OK;
}

__attribute__((noreturn)) static void give_up(struct decoder *decoder)
{
    decoder->out_of_order = true;
    fail(decoder, STATUS_REJECTED);
}

static boolean on_mcu(j_decompress_ptr jpeg, JBLOCKROW *blocks)
{
    struct decoder *decoder = decoder_of((j_common_ptr)jpeg);
    if (!jpeg_scan_decode_mcu(decoder->scan, jpeg, blocks))
        give_up(decoder);
    return TRUE;
}

static void read_rows(struct decoder *decoder)
{
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    size_t stride = (size_t)jpeg->output_width * 3;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rows[ROWS_PER_CALL];
        JDIMENSION count = jpeg->output_height - jpeg->output_scanline;
        if (count > ROWS_PER_CALL)
            count = ROWS_PER_CALL;
        for (JDIMENSION i = 0; i < count; i++)
            rows[i] = decoder->image->pixels + (jpeg->output_scanline + i) * stride;
        jpeg_read_scanlines(jpeg, rows, count);
    }
}

static enum status decode_rows(struct decoder *decoder)
{
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    if (setjmp(decoder->failed))
        return decoder->status;
    jpeg_create_decompress(jpeg);
    jpeg->src = &decoder->source;
    jpeg->progress = &decoder->progress;
    jpeg_read_header(jpeg, TRUE);
    enum status status = check_header(decoder);
    if (status == STATUS_OK)
        status = image_init(decoder->image, (int)jpeg->image_width, (int)jpeg->image_height, decoder->err);
    if (status != STATUS_OK)
        return status;
    jpeg->out_color_space = JCS_RGB; // grey becomes three equal channels
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(jpeg);
    if (decoder->entropy == JPEG_ENTROPY_OWN)
        decoder->scan = jpeg_scan_new(jpeg);
    if (decoder->scan)
        jpeg->entropy->decode_mcu = on_mcu;
    read_rows(decoder);
    if (decoder->scan && !jpeg_scan_is_complete(decoder->scan))
        give_up(decoder);
    decoder->complete = true;
    jpeg_finish_decompress(jpeg);
    return STATUS_OK;
}

static size_t read_size(struct decoder *decoder)
{
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    if (setjmp(decoder->failed))
        return 0;
    jpeg_create_decompress(jpeg);
    jpeg->src = &decoder->source;
    jpeg_read_header(jpeg, TRUE);
    if (check_header(decoder) != STATUS_OK)
        return 0;
    size_t pixels = (size_t)jpeg->image_width * jpeg->image_height;
    return pixels * (jpeg_has_multiple_scans(jpeg) ? BUFFERED_PIXEL_BYTES : PIXEL_BYTES);
}

size_t jpeg_decoding_size(struct bytes data, int64_t max_pixels)
{
    struct error err;
    struct decoder decoder = {.err = &err, .max_pixels = max_pixels};
    decoder_init(&decoder, data);
    size_t size = read_size(&decoder);
    jpeg_destroy_decompress(&decoder.jpeg);
    return size;
}

static enum status decode_once(struct decoder *decoder, struct bytes data)
{
    decoder_init(decoder, data);
    enum status status = decode_rows(decoder);
    jpeg_destroy_decompress(&decoder->jpeg);
    jpeg_scan_free(decoder->scan);
    if (status != STATUS_OK) {
        image_release(decoder->image);
        decoder->image->too_large = decoder->too_large;
    }
    return status;
}

enum status jpeg_decode_with(enum jpeg_entropy entropy, struct bytes data, int64_t max_pixels,
                             struct image *image, struct error *err)
{
    *image = (struct image){0};
    if (data.size == 0)
        return error_set(err, STATUS_REJECTED, "the image is empty (0 bytes)");
    if (data.size < 3 || data.data[0] != 0xff || data.data[1] != 0xd8 || data.data[2] != 0xff)
        return error_set(err, STATUS_REJECTED, "the image is not a JPEG");
    if (entropy == JPEG_ENTROPY_FASTEST)
        entropy = data.size < OWN_MIN_SIZE ? JPEG_ENTROPY_LIBJPEG : JPEG_ENTROPY_OWN;
    struct decoder decoder = {.err = err, .image = image, .max_pixels = max_pixels, .entropy = entropy};
    enum status status = decode_once(&decoder, data);
    if (!decoder.out_of_order)
        return status;
    struct decoder again = {
        .err = err, .image = image, .max_pixels = max_pixels, .entropy = JPEG_ENTROPY_LIBJPEG};
    return decode_once(&again, data);
}

enum status jpeg_decode(struct bytes data, int64_t max_pixels, struct image *image, struct error *err)
{
    return jpeg_decode_with(JPEG_ENTROPY_FASTEST, data, max_pixels, image, err);
}
