// average.c: element by element, so the bits depend on nothing else.
#include "trainer/average.h"

void average_take(float *mean, const float *parameters, size_t size, double decay, uint64_t steps)
{
    double warm = (1 + (double)steps) / (10 + (double)steps);
    float share = (float)(1 - (decay < warm ? decay : warm));
    for (size_t i = 0; i < size; i++)
        mean[i] += share * (parameters[i] - mean[i]);
}
