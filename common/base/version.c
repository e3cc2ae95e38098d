// version.c: common/base/build_name.sh writes the header into the build folder.
#include "common/base/version.h"

#include "common/base/build_name.h"

const char skinsight_build[] = SKINSIGHT_BUILD;
