// architectures.c: the architectures known, by name.
#include <stdio.h>
#include <string.h>

#include "common/base/memory.h"
#include "kernels/network/efficientnet.h"
#include "kernels/network/network.h"
#include "kernels/network/resnet.h"
#include "kernels/network/vit.h"

struct architecture {
    // Gets the network with its name, image size, classes and normalisation set.
    void (*build)(struct network *network);
    int least_size;
    int size_step; // sizes are multiples of it
};

enum { MAX_CLASSES = 100000, IMAGE_SIZE = 224, MAX_IMAGE_SIZE = 1024 };

// names[i] belongs to architectures[i].
static const char *const names[] = {"vit_tiny_patch16_224",
                                    "vit_small_patch16_224",
                                    "vit_base_patch16_224",
                                    "vit_large_patch16_224",
                                    "resnet18",
                                    "efficientnet_b4",
                                    "vit_small_patch14_dinov2",
                                    "efficientnet_lite0",
                                    "tf_efficientnet_lite0",
                                    NULL};
static const struct architecture architectures[] = {
    {vit_build, 16, 16}, {vit_build, 16, 16},         {vit_build, 16, 16},
    {vit_build, 16, 16}, {resnet_build, 32, 1},       {efficientnet_build, 32, 1},
    {vit_build, 14, 14}, {efficientnet_build, 32, 1}, {efficientnet_build, 32, 1},
};
enum { ARCHITECTURE_COUNT = sizeof architectures / sizeof architectures[0] };
_Static_assert(ARCHITECTURE_COUNT == sizeof names / sizeof names[0] - 1, "an entry for each name");

static const float imagenet_mean[3] = {0.485f, 0.456f, 0.406f};
static const float imagenet_std[3] = {0.229f, 0.224f, 0.225f};

const char *const *network_architectures(void)
{
    return names;
}

// Index of the name, or -1 with the error.
static int find_architecture(const char *name, struct error *err)
{
    char known[256] = "";
    for (int i = 0; i < ARCHITECTURE_COUNT; i++) {
        if (strcmp(name, names[i]) == 0)
            return i;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    }
    (void)error_set(err, STATUS_REJECTED, "architecture '%.64s' is not known; these are: %s", name, known);
    return -1;
}

static enum status build(struct network **result, int index, int image_size, int classes, struct error *err)
{
    const struct architecture *architecture = &architectures[index];
    *result = NULL;
    if (classes < 1 || classes > MAX_CLASSES)
        return error_set(err, STATUS_REJECTED, "a network of %d classes; 1 to %d are allowed", classes,
                         MAX_CLASSES);
    if (image_size < architecture->least_size || image_size > MAX_IMAGE_SIZE ||
        image_size % architecture->size_step != 0)
        return error_set(err, STATUS_REJECTED,
                         "%s can't take images of %d x %d: a side must be a multiple of %d from %d to %d",
                         names[index], image_size, image_size, architecture->size_step,
                         architecture->least_size, MAX_IMAGE_SIZE);
    struct network *network = memory_alloc(sizeof *network);
    snprintf(network->architecture, sizeof network->architecture, "%s", names[index]);
    network->image_size = image_size;
    network->classes = classes;
    network->explained_op = -1;
    memcpy(network->mean, imagenet_mean, sizeof network->mean);
    memcpy(network->std, imagenet_std, sizeof network->std);
    architecture->build(network);
    *result = network;
    return STATUS_OK;
}

enum status network_build_sized(struct network **result, const char *architecture, int image_size,
                                int classes, struct error *err)
{
    *result = NULL;
    int index = find_architecture(architecture, err);
    return index < 0 ? STATUS_REJECTED : build(result, index, image_size, classes, err);
}

enum status network_build(struct network **result, const char *architecture, int classes, struct error *err)
{
    *result = NULL;
    int index = find_architecture(architecture, err);
    return index < 0 ? STATUS_REJECTED : build(result, index, IMAGE_SIZE, classes, err);
}
