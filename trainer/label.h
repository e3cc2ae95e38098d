// label.h: the names under which data sets know the eight diagnoses. Pure functions.
#ifndef SKINSIGHT_TRAINER_LABEL_H
#define SKINSIGHT_TRAINER_LABEL_H

// Index of the class that a text names: a code (MEL), an API name (melanoma), one of ISIC's names (nevus,
// solar lentigo, pigmented benign keratosis ...) or of HAM10000's (akiec). Case doesn't matter; blanks,
// dashes and underscores are the same. -1: none of them.
int label_parse(const char *text);

#endif
