// peak.h: what this machine's cores can do at most, measured: the yardstick of every benchmark line.
#ifndef SKINSIGHT_KERNELS_CPU_PEAK_H
#define SKINSIGHT_KERNELS_CPU_PEAK_H

#include "kernels/backend.h"

// 10^9 operations (a multiply-add counts two) a second of independent multiply-adds in registers, all threads
// together, the best of several short runs (about 0.1 s in all). 0 where the precision is missing.
double cpu_peak_gflops(enum precision precision, int threads);
// The slot `peak_gflops` of the CPU's backends.
double cpu_backend_peak_gflops(struct backend *backend, enum precision precision);

#endif
