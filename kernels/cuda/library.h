// library.h: matrix products by cuBLASLt, and which of the products each shape gets.
//
// A family is a product's shape without its rows. Each family has one choice for every number of rows: an
// image's bits must not depend on its batch, so an algorithm that is faster for one image only is not taken
// for it. Sums are never split over blocks (split-K), since that would add in another order.
// tests/bench/gpu.sh measures what this costs.
//
// The choice: what the tuning file says; else, with SKINSIGHT_CUDA_TUNE=1 in the environment, the fastest of
// the library's candidates and our own product, timed at 1, 8 and 64 images and then written to the file;
// else the library's first proposal for 8 images. Tuning is asked for and not done by itself, because two
// workers that tuned for themselves could answer the same image with different bits. The file:
// SKINSIGHT_CUDA_TUNING, else cuda-tuning.txt in $SKINSIGHT_CACHE_DIR or ~/.cache/skinsight.
// SKINSIGHT_CUDA_PRODUCTS=own leaves the library out.
//
// The library has no exact GELU (its epilogue is the approximation by tanh, 5e-4 away): after its products
// gelu.cu runs, before ours nothing has to. Bytes are always ours: the library would write the sums as int32.
// So are convolutions with a window, products with another activation than GELU behind them, or with GELU
// before a sum, which it would have to leave to a kernel of its own, and rows that do not begin at multiples
// of 16 bytes.
#ifndef SKINSIGHT_KERNELS_CUDA_LIBRARY_H
#define SKINSIGHT_KERNELS_CUDA_LIBRARY_H

#include "kernels/cuda/device.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/tuning.h"

struct library;

// *library is NULL where the products are all ours. REJECTED: cuBLASLt does not work with this device.
enum status library_open(struct library **library, struct device *device, struct error *err) MUST_CHECK;
void library_close(struct library *library); // NULL is allowed
size_t library_memory(const struct library *library);
// Eight hexadecimal digits that differ where choices, and so bits, may differ: what the library proposes
// depends on the device's model and its own version. They change when a product is tuned.
void library_class(const struct library *library, char text[16]);

// call: the product for one image's rows. may_tune: its operands have room for 64 images, whose values may be
// overwritten. FATAL when trying or timing loses the device.
enum status library_choose(struct library *library, const struct product_call *call, const void *bias_half,
                           bool may_tune, struct library_choice *choice, struct error *err) MUST_CHECK;
// With bias, residual and GELU as cuda_product. FATAL: the device is lost, or the library refuses what it
// took before, which is no fault of the device.
enum status library_product(struct library *library, const struct product_call *call, const void *bias_half,
                            const struct library_choice *choice, struct error *err) MUST_CHECK;

#endif
