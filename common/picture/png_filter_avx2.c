// png_filter_avx2.c: the filter of png_filter.h with 256-bit vectors; called only where the CPU has AVX2.
#include "common/picture/png_filter.h"

uint32_t png_filter_avx2(const struct image *image, uint8_t *out)
{
    return filter(image, out);
}
