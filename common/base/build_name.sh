#!/bin/sh
# build_name.sh: writes the name of what is built into a header, and leaves the header alone while that is the same.
#
#   build_name.sh VERSION HEADER
#
# VERSION+COMMIT stands in every answer and in the cache's keys, so what may compute differently needs another name:
# sources that are not the commit's, or have no git, are named by their digest. Every build runs this, because only
# then does the name belong to what is compiled.
set -eu
cd "$(dirname "$0")/../.."
sources="CMakeLists.txt CMakePresets.json common kernels worker producer trainer"

digest() {
    # shellcheck disable=SC2086
    find $sources -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12
}

# shellcheck disable=SC2086
if ! commit=$(git describe --always --abbrev=12 2>/dev/null); then
    name=unknown-$(digest)
elif [ -n "$(git --no-optional-locks status --porcelain -- $sources)" ]; then
    name=$commit-dirty-$(digest)
else
    name=$commit
fi
line="#define SKINSIGHT_BUILD \"$1+$name\""
[ "$(cat "$2" 2>/dev/null)" = "$line" ] || echo "$line" >"$2"
