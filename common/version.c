// version.c: common/build_name.sh writes the header into the build folder.
#include "common/version.h"

#include "common/build_name.h"

const char skinsight_build[] = SKINSIGHT_BUILD;
