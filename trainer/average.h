// average.h: the running mean of a training's parameters (Polyak and Juditsky 1992; as an exponential mean,
// Tarvainen and Valpola 2017): mean += (1 - d) (parameters - mean) after each step, d the lesser of decay and
// (1 + steps) / (10 + steps), so that the start is soon forgotten. It jumps less from step to step than the
// parameters do, and generalises better. One owner, one thread.
#ifndef SKINSIGHT_TRAINER_AVERAGE_H
#define SKINSIGHT_TRAINER_AVERAGE_H

#include <stddef.h>
#include <stdint.h>

// Takes in the parameters after step `steps` (from 1). mean, parameters: (size)
void average_take(float *mean, const float *parameters, size_t size, double decay, uint64_t steps);

#endif
