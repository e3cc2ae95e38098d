// png.c: RGB pictures to PNG bytes and back, with libpng.
//
// The encoder's settings are fixed, so the same picture gives the same bytes with the same libpng and zlib.
// libpng reports errors by longjmp; write_rows and read_rows are the only functions that call setjmp, and
// what must be released is owned by their callers. Any thread.
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

#include "common/image.h"

enum {
    MAX_DIMENSION = 65500,
    MAX_CHUNK_SIZE = 4 * 1024 * 1024, // of what a text or profile chunk may unpack to
    // An overlay takes 2 ms and 69 kB; at level 4 it is 5 ms and 58 kB, at level 6 9 ms and 59 kB.
    COMPRESSION_LEVEL = 1,
};

// What the callbacks need; libpng hands it back as error and io pointer.
struct codec {
    png_structp png;
    png_infop info;
    struct error *err;
    enum status status; // of the failure
    struct buffer *out; // encoding
    struct bytes data;  // decoding: what is left to read
    int64_t max_pixels;
    struct image *image;
};

__attribute__((noreturn)) static void on_error(png_structp png, png_const_charp text)
{
    struct codec *codec = png_get_error_ptr(png);
    if (codec->status == STATUS_OK)
        codec->status = error_set(codec->err, STATUS_REJECTED, "the PNG can't be read or written: %s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep data, size_t size)
{
    struct codec *codec = png_get_io_ptr(png);
    codec->status = buffer_append(codec->out, data, size, codec->err);
    if (codec->status != STATUS_OK)
        png_error(png, "no room");
}

static void on_flush(png_structp png)
{
    (void)png;
}

static void on_read(png_structp png, png_bytep data, size_t size)
{
    struct codec *codec = png_get_io_ptr(png);
    if (size > codec->data.size) {
        codec->status = error_set(codec->err, STATUS_REJECTED, "the PNG is truncated");
        png_error(png, "truncated");
    }
    memcpy(data, codec->data.data, size);
    codec->data.data += size;
    codec->data.size -= size;
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_FATAL, "no memory for libpng");
}

static enum status write_rows(struct codec *codec, const struct image *image)
{
    png_structp png = codec->png;
    if (setjmp(png_jmpbuf(png)))
        return codec->status;
    png_set_write_fn(png, codec, on_write, on_flush);
    png_set_IHDR(png, codec->info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, COMPRESSION_LEVEL);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_PAETH);
    png_set_compression_strategy(png, Z_RLE); // of filtered photographs smaller and faster than the default
    png_write_info(png, codec->info);
    for (int y = 0; y < image->height; y++)
        png_write_row(png, image->pixels + (size_t)y * (size_t)image->width * 3);
    png_write_end(png, codec->info);
    return STATUS_OK;
}

enum status png_encode(const struct image *image, struct buffer *out, struct error *err)
{
    struct codec codec = {.err = err, .out = out};
    codec.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &codec, on_error, on_warning);
    if (!codec.png)
        return no_memory(err);
    codec.info = png_create_info_struct(codec.png);
    size_t size_before = out->size;
    enum status status = codec.info ? write_rows(&codec, image) : no_memory(err);
    if (status != STATUS_OK)
        out->size = size_before;
    png_destroy_write_struct(&codec.png, &codec.info);
    return status;
}

// Every kind of PNG becomes 8-bit RGB; transparency is dropped, not blended.
static void ask_for_rgb(png_structp png, png_infop info)
{
    if (png_get_bit_depth(png, info) == 16)
        png_set_strip_16(png);
    png_byte color_type = png_get_color_type(png, info);
    if (color_type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (color_type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (!(color_type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
    png_set_strip_alpha(png);
}

static enum status read_rows(struct codec *codec)
{
    png_structp png = codec->png;
    if (setjmp(png_jmpbuf(png)))
        return codec->status;
    png_set_read_fn(png, codec, on_read);
    png_set_user_limits(png, MAX_DIMENSION, MAX_DIMENSION);
    png_set_chunk_malloc_max(png, MAX_CHUNK_SIZE);
    png_read_info(png, codec->info);
    png_uint_32 width = png_get_image_width(png, codec->info);
    png_uint_32 height = png_get_image_height(png, codec->info);
    if ((int64_t)width * height > codec->max_pixels)
        return error_set(codec->err, STATUS_REJECTED, "the PNG has %u x %u pixels, %lld are allowed in all",
                         width, height, (long long)codec->max_pixels);
    ask_for_rgb(png, codec->info);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, codec->info);
    if (png_get_rowbytes(png, codec->info) != (size_t)width * 3)
        return error_set(codec->err, STATUS_REJECTED, "the PNG has a kind of pixel that is not supported");
    enum status status = image_init(codec->image, (int)width, (int)height, codec->err);
    if (status != STATUS_OK)
        return status;
    for (int pass = 0; pass < passes; pass++)
        for (png_uint_32 y = 0; y < height; y++)
            png_read_row(png, codec->image->pixels + (size_t)y * width * 3, NULL);
    png_read_end(png, NULL);
    return STATUS_OK;
}

enum status png_decode(struct bytes data, int64_t max_pixels, struct image *image, struct error *err)
{
    *image = (struct image){0};
    if (data.size == 0)
        return error_set(err, STATUS_REJECTED, "the image is empty (0 bytes)");
    if (data.size < 8 || png_sig_cmp(data.data, 0, 8) != 0)
        return error_set(err, STATUS_REJECTED, "the image is not a PNG");
    struct codec codec = {.err = err, .data = data, .max_pixels = max_pixels, .image = image};
    codec.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &codec, on_error, on_warning);
    if (!codec.png)
        return no_memory(err);
    codec.info = png_create_info_struct(codec.png);
    enum status status = codec.info ? read_rows(&codec) : no_memory(err);
    png_destroy_read_struct(&codec.png, &codec.info, NULL);
    if (status != STATUS_OK)
        image_release(image);
    return status;
}
