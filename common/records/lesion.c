// lesion.c: the names.
#include "common/records/lesion.h"

#include <string.h>

const char *const lesion_codes[LESION_CLASSES] = {"MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"};
const char *const lesion_names[LESION_CLASSES] = {
    "melanoma",         "melanocytic_nevus", "basal_cell_carcinoma", "actinic_keratosis",
    "benign_keratosis", "dermatofibroma",    "vascular_lesion",      "squamous_cell_carcinoma"};
const char *const action_names[ACTION_COUNT] = {"monitor", "routine_referral", "urgent_referral"};

int lesion_from_code(const char *code)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        if (strcmp(code, lesion_codes[i]) == 0)
            return i;
    return -1;
}
