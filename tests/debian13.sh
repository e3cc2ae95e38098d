#!/bin/sh
# debian13.sh: builds and tests this working tree on Debian 13, in a root folder that mmdebstrap makes.
#
#   debian13.sh [CTEST-ARGUMENT...]     without any: -L 'unit|kernels|fuzz|integration'
#
# It needs root, mmdebstrap, a network, and apt's own mirror of Debian. The root folder (2 GB with the build) is
# $SKINSIGHT_DEBIAN13, else debian13 in the cache folder; the first run makes it, later ones build what changed. Kafka and
# the S3 server are those of deploy/services.sh; Java, Redis and all libraries are Debian 13's.
# Where build/release/bin has a worker, Debian 13's then works beside it in one group, with another librdkafka
# (tests/chaos/mixed_builds.py).
set -eu
cd "$(dirname "$0")/.."

cache=${SKINSIGHT_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?is not set; SKINSIGHT_CACHE_DIR can stand in}/.cache}/skinsight}
root=$(realpath -m "${SKINSIGHT_DEBIAN13:-$cache/debian13}")
bin=${SKINSIGHT_BIN:-build/release/bin}
outside=$root/outside # programs of the root folder that run outside of it

fail() {
    echo "debian13.sh: $*" >&2
    exit 1
}

make_root() {
    command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing"
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || fail "apt has no lists of a mirror of Debian: run apt-get update"
    packages=$(sh deploy/install.sh --print-packages | tr '\n' ',')
    rm -rf "$root.part"
    mmdebstrap --variant=apt --format=directory --include="$packages" trixie "$root.part" "deb $mirror trixie main"
    mv "$root.part" "$root"
}

copy_sources() {
    mkdir -p "$root/skinsight"
    find "$root/skinsight" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
    git ls-files -z --cached --others --exclude-standard |
        tar -c --ignore-failed-read --null -T - | tar -x -C "$root/skinsight"
}

# The mounts are this command's own and end with it.
inside() { # COMMAND...
    # shellcheck disable=SC2016
    unshare --mount sh -euc '
        root=$1 kafka=$2 gateway=$3
        shift 3
        mkdir -p "$root/opt/kafka"
        cp "$gateway" "$root/opt/versitygw"
        mount --bind "$kafka" "$root/opt/kafka"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            SKINSIGHT_KAFKA_LIBS=/opt/kafka SKINSIGHT_VERSITYGW=/opt/versitygw "$@"
    ' sh "$root" "$kafka" "$gateway" "$@"
}

# Debian 13's loader and libraries carry the worker outside the root folder.
make_outside() {
    mkdir -p "$outside"
    libraries=$root/usr/lib/x86_64-linux-gnu
    cat >"$outside/skinsight-worker" <<END
#!/bin/sh
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$root/skinsight/build/release/bin/skinsight-worker" "\$@"
END
    chmod +x "$outside/skinsight-worker"
}

[ "$(id -u)" -eq 0 ] || fail "it needs root: for mounts and chroot"
kafka=$(sh deploy/services.sh fetch-kafka)
gateway=$(sh deploy/services.sh fetch-s3)
[ -d "$root" ] || make_root
copy_sources
inside sh -euc 'cd /skinsight
    cmake --preset release -DSKINSIGHT_CUDA=OFF
    cmake --build --preset release'
[ $# -gt 0 ] || set -- -L 'unit|kernels|fuzz|integration'
inside ctest --test-dir /skinsight/build/release --output-on-failure --no-tests=error "$@"
if [ -x "$bin/skinsight-worker" ]; then
    make_outside
    python3 tests/chaos/mixed_builds.py --old-bin "$outside"
else
    echo "debian13.sh: $bin has no worker: two versions of librdkafka in one group are not tested"
fi
