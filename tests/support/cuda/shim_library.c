// shim_library.c: kernels/cuda/library.h where there is no library: all products are our own.
#include "kernels/cuda/library.h"

#include <stdio.h>
#include <stdlib.h>

enum status library_open(struct library **library, struct device *device, struct error *err)
{
    (void)device;
    (void)err;
    *library = NULL;
    return STATUS_OK;
}

void library_close(struct library *library)
{
    (void)library;
}

size_t library_memory(const struct library *library)
{
    (void)library;
    return 0;
}

void library_class(const struct library *library, char text[16])
{
    (void)library;
    snprintf(text, 16, "own");
}

enum status library_choose(struct library *library, const struct product_call *call, const void *bias_half,
                           bool may_tune, struct library_choice *choice, struct error *err)
{
    (void)may_tune, (void)library, (void)call, (void)bias_half, (void)choice, (void)err;
    abort(); // is not asked where there is no library
}

enum status library_product(struct library *library, const struct product_call *call, const void *bias_half,
                            const struct library_choice *choice, struct error *err)
{
    (void)library, (void)call, (void)bias_half, (void)choice, (void)err;
    abort();
}
