// version.h: which build this is, as it stands in --version and in every answer's provenance.
#ifndef SKINSIGHT_COMMON_BASE_VERSION_H
#define SKINSIGHT_COMMON_BASE_VERSION_H

extern const char skinsight_build[]; // "0.1.0+1a2b3c4d5e6f"

#endif
