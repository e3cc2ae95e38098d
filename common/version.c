// version.c: SKINSIGHT_BUILD is set by CMake.
#include "common/version.h"

const char skinsight_build[] = SKINSIGHT_BUILD;
