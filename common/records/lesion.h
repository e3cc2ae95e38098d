// lesion.h: the eight diagnoses and three actions, the vocabulary of every record.
#ifndef SKINSIGHT_COMMON_RECORDS_LESION_H
#define SKINSIGHT_COMMON_RECORDS_LESION_H

#include <stdbool.h>

enum lesion_class {
    LESION_MEL,
    LESION_NV,
    LESION_BCC,
    LESION_AK,
    LESION_BKL,
    LESION_DF,
    LESION_VASC,
    LESION_SCC,
    LESION_CLASSES
};

enum lesion_action { ACTION_MONITOR, ACTION_ROUTINE_REFERRAL, ACTION_URGENT_REFERRAL, ACTION_COUNT };

extern const char *const lesion_codes[LESION_CLASSES]; // "MEL"
extern const char *const lesion_names[LESION_CLASSES]; // "melanoma"
extern const char *const action_names[ACTION_COUNT];   // "monitor"

int lesion_from_code(const char *code); // index, or -1
int lesion_from_name(const char *name); // the same

// The group that plots show together: MEL, BCC, AK (precancerous) and SCC.
bool lesion_is_malignant(int lesion);
// "#b3261e": warm for the malignant group, cool for the others, each apart from its neighbours.
extern const char *const lesion_colours[LESION_CLASSES];

#endif
