// ood.c: see ood.h.
#include "kernels/model/ood.h"

#include <math.h>

float ood_energy(const float logits[LESION_CLASSES])
{
    double largest = logits[0], sum = 0;
    for (int i = 1; i < LESION_CLASSES; i++)
        largest = fmax(largest, logits[i]);
    for (int i = 0; i < LESION_CLASSES; i++)
        sum += exp(logits[i] - largest);
    return (float)-(largest + log(sum));
}
