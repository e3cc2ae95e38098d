"""structured_weights.py: weights with the shape of trained ones, for networks that nobody could train here.

Random weights are kind to rounding: every channel is alike, attention is flat, a random head hardly tells two images
apart. What trained networks are known for is put in by hand, from a seed and from real images:

- Every activation is centred and scaled on real images (data-dependent initialisation, Kraehenbuehl et al. 2016), so
  that images differ as much as they do in a trained network; batch normalisations get their statistics from them.
- Weights have heavy tails (Student's t, 5 degrees of freedom).
- ViT: LayerNorm gains spread by a factor of e^0.4, one channel in a hundred four times as large (the outlier
  channels that SmoothQuant is about); three channels of the sums get a constant 15 to 30 times the rest
  (massive activations, Sun et al. 2024); queries and keys make attention peaked; GELU's inputs lie around -1, so that
  most outputs are near zero and skewed; each block changes the sums by a fifth.
- The head is fitted in closed form (ridge regression on the labels of real images) and scaled until the mean
  confidence on images left out of the fit is 0.8. So margins between classes are as narrow and as wide as real ones.

The diagnoses still mean little: of the layers before the head nothing was learnt. A head that is fitted to all directions
reads differences between images that are as small as rounding; a trained one reads the directions in which its images
differ most (neural collapse, Papyan et al. 2020), for which `components` is there. Both are harder than trained weights
should be: the second less so.
"""
import math

import torch

SPREAD = 0.4
OUTLIER = 4.0
MASSIVE = (20.0, -30.0, 15.0)
SHARE = 0.2  # of a block's output in the sums
PEAKED = 1.3
RIDGE = 0.3
CONFIDENCE = 0.8


def heavy_tailed(shape, generator, freedom=5):
    chi = sum(torch.randn(shape, generator=generator) ** 2 for _ in range(freedom)) / freedom
    return torch.randn(shape, generator=generator) / chi.sqrt() * math.sqrt((freedom - 2) / freedom)


def fill_layer(layer, generator):
    layer.weight.copy_(heavy_tailed(layer.weight.shape, generator) / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        layer.bias.zero_()


def fill_norm(norm, generator):
    width = norm.weight.numel()
    norm.weight.copy_(torch.exp(SPREAD * torch.randn(width, generator=generator)))
    norm.weight[torch.randperm(width, generator=generator)[:width // 100]] *= OUTLIER
    norm.bias.copy_(0.2 * torch.randn(width, generator=generator))


def scale_update(layer, update, sums):
    """Makes a block's output centred and SHARE of the sums."""
    rows = update.flatten(0, -2)
    factor = SHARE * sums.std() / rows.std()
    layer.weight *= factor
    layer.bias.copy_((layer.bias - rows.mean(0)) * factor)


def fill_block(block, sums, generator):
    width = sums.shape[-1]
    fill_norm(block.norm1, generator)
    fill_norm(block.norm2, generator)
    for layer in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
        fill_layer(layer, generator)
    block.attn.qkv.weight[:2 * width] *= PEAKED
    block.attn.qkv.bias.copy_(0.2 * torch.randn(3 * width, generator=generator))
    scale_update(block.attn.proj, block.attn(block.norm1(sums)), sums)
    sums = sums + block.attn(block.norm1(sums))
    hidden = block.mlp.fc1(block.norm2(sums)).flatten(0, -2)
    factor = 1.5 / hidden.std(0)
    block.mlp.fc1.weight *= factor[:, None]
    block.mlp.fc1.bias.copy_(-hidden.mean(0) * factor - 1)
    scale_update(block.mlp.fc2, block.mlp(block.norm2(sums)), sums)
    return sums


@torch.no_grad()
def fill_vit(model, images, seed):
    generator = torch.Generator().manual_seed(seed)
    width = model.embed_dim
    projection = model.patch_embed.proj
    fill_layer(projection, generator)
    patches = model.patch_embed(images).flatten(0, -2)
    projection.weight /= patches.std(0)[:, None, None, None]
    projection.bias.copy_(-patches.mean(0) / patches.std(0))
    model.cls_token.copy_(0.5 * torch.randn(model.cls_token.shape, generator=generator))
    model.pos_embed.copy_(0.3 * torch.randn(model.pos_embed.shape, generator=generator))
    sums = model._pos_embed(model.patch_embed(images))
    for number, block in enumerate(model.blocks):
        sums = fill_block(block, sums, generator)
        if number == 2:
            massive = torch.randperm(width, generator=generator)[:len(MASSIVE)]
            block.mlp.fc2.bias[massive] += torch.tensor(MASSIVE) * sums.std()
        sums = sums + block.mlp(block.norm2(sums))
    model.norm.weight.fill_(1)
    model.norm.bias.zero_()


@torch.no_grad()
def fill_cnn(model, images, seed):
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
            fill_layer(layer, generator)
            layer.weight *= math.sqrt(2)
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.weight.copy_(torch.exp(SPREAD * torch.randn(layer.weight.shape, generator=generator)))
            layer.bias.copy_(0.2 * torch.randn(layer.bias.shape, generator=generator))
            layer.momentum = 1.0  # the statistics are those of these images
    model.train()
    model(images)
    model.eval()


@torch.no_grad()
def features_of(model, images, batch=8):
    parts = [model.forward_head(model.forward_features(part), pre_logits=True) for part in images.split(batch)]
    return torch.cat(parts)


@torch.no_grad()
def fit_head(head, features, labels, components=0):
    """Returns the accuracy on images left out of the fit, one at a time (in closed form). components: read only so many
    of the directions in which the images differ most; 0: all."""
    mean = features.mean(0)
    centred = (features - mean).double()
    if components:
        directions = torch.linalg.svd(centred, full_matrices=False)[2][:components]
        centred = centred @ directions.T @ directions
    kernel = centred @ centred.T
    count, classes = len(features), head.weight.shape[0]
    inverse = torch.linalg.inv(kernel + RIDGE * kernel.trace() / count * torch.eye(count, dtype=torch.float64))
    targets = torch.nn.functional.one_hot(labels, classes).double()
    prior = targets.mean(0)
    hat, targets = kernel @ inverse, targets - prior
    left_out = (hat @ targets - hat.diagonal()[:, None] * targets) / (1 - hat.diagonal())[:, None] + prior
    low, high = 0.1, 1e4
    for _ in range(60):
        scale = math.sqrt(low * high)
        confident = torch.softmax(scale * left_out, 1).amax(1).mean() > CONFIDENCE
        low, high = (low, scale) if confident else (scale, high)
    weight = (centred.T @ (inverse @ targets)).T
    head.weight.copy_(weight * scale)
    head.bias.copy_(scale * (prior - weight @ mean.double()))
    return (left_out.argmax(1) == labels).double().mean().item()


def fill(model, images, labels, seed, components=0):
    """Gives a timm model structured weights; images are normalised, labels class numbers."""
    some = images[:32]
    (fill_vit if hasattr(model, "patch_embed") else fill_cnn)(model, some, seed)
    return fit_head(model.get_classifier(), features_of(model, images), labels, components)
