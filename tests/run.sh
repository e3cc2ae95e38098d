#!/usr/bin/env bash
# run.sh: the whole test run on a fresh machine: installs and fetches what is missing, builds, runs every test.
#
# As most tests wait most of their time, two run at once for each processor (tests/CMakeLists.txt says what each takes).
#
# Two builds: `dev` (address and undefined-behaviour sanitizers) runs the unit and kernel tests, `release` runs
# all of them, the integration tests included. Both stand in one ctest run, so that its summary counts everything;
# behind it stand the parts of tests that were skipped, and why. The exit code is ctest's. Arguments go to ctest:
# `tests/run.sh -R jpeg`; `--full` in front of them also runs whole networks under sanitizers. Without the CUDA
# toolkit all else is tested; without Kafka or the S3 server nothing is.
set -euo pipefail
cd "$(dirname "$0")/.."

passed_over=(--label-exclude '^full$')
if [ "${1:-}" = --full ]; then
    passed_over=()
    shift
fi
sh deploy/install.sh --tests
SKINSIGHT_KAFKA_LIBS=$(sh deploy/services.sh fetch-kafka)
SKINSIGHT_VERSITYGW=$(sh deploy/services.sh fetch-s3)
export SKINSIGHT_KAFKA_LIBS SKINSIGHT_VERSITYGW
sh deploy/services.sh archive-kafka || echo "Kafka's classes are not archived: each server takes twice as long to start" >&2
# Compiled and linked everywhere, run where a GPU is. Said to CMake each time: it remembers what an earlier build had.
if SKINSIGHT_CUDA_ROOT=$(sh deploy/cuda.sh); then
    cuda=ON
    export SKINSIGHT_CUDA_ROOT
else
    cuda=OFF
    unset SKINSIGHT_CUDA_ROOT
fi

if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
fi
for preset in dev release; do
    cmake --preset "$preset" "-DSKINSIGHT_CUDA=$cuda"
    cmake --build --preset "$preset"
done

mkdir -p build/all
echo "subdirs($PWD/build/dev $PWD/build/release)" >build/all/CTestTestfile.cmake
status=0
ctest --test-dir build/all --output-on-failure --no-tests=error --parallel $((2 * $(nproc))) \
    "${passed_over[@]}" --exclude-regex '^sanitized/(integration|chaos)/' "$@" || status=$?
awk '/^[0-9]+\/[0-9]+ Testing: / { test = $3 }
    /^skipped: / && !seen[test, $0]++ { print test " " $0 }' build/all/Testing/Temporary/LastTest.log
[ $cuda = ON ] || echo "kernels/cuda skipped: what needs the CUDA toolkit: deploy/cuda.sh could not fetch it"
exit "$status"
