#!/bin/sh
# test_tsan.sh: builds the programs with the thread sanitizer and runs the pipeline and a kill test with them, on a real Kafka
# broker and Redis; 0 reports is a pass. Arguments go to tests/chaos/thread_sanitizer.py: --full, --seed N, names of tests.
set -eu
cd "$(dirname "$0")/../.."

SKINSIGHT_KAFKA_LIBS=$(sh deploy/services.sh fetch-kafka)
export SKINSIGHT_KAFKA_LIBS
if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
cmake --preset tsan >/dev/null
cmake --build --preset tsan --target skinsight-worker skinsight-worker-faults skinsight-producer skinsight-trainer fault_proxy tsan_threads
SKINSIGHT_BIN=$PWD/build/tsan/bin exec tests/chaos/thread_sanitizer.py "$@"
