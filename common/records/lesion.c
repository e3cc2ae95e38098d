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

int lesion_from_name(const char *name)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        if (strcmp(name, lesion_names[i]) == 0)
            return i;
    return -1;
}

bool lesion_is_malignant(int lesion)
{
    return lesion == LESION_MEL || lesion == LESION_BCC || lesion == LESION_AK || lesion == LESION_SCC;
}

const char *const lesion_colours[LESION_CLASSES] = {"#b3261e", "#2e6e9e", "#d9692a", "#e0a030",
                                                    "#3f8f7f", "#7a8fc4", "#6a7f99", "#8f3b5c"};
