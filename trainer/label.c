// label.c: a table of names. The ISIC archive's are those of its 2018 and 2019 challenges; its benign
// keratoses are three diagnoses that the challenges count as one class.
#include "trainer/label.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/records/lesion.h"

static const struct {
    const char *name;
    enum lesion_class lesion;
} others[] = {
    {"nevus", LESION_NV},
    {"bcc", LESION_BCC},
    {"akiec", LESION_AK},
    {"actinic keratosis intraepithelial carcinoma", LESION_AK},
    {"solar keratosis", LESION_AK},
    {"pigmented benign keratosis", LESION_BKL},
    {"seborrheic keratosis", LESION_BKL},
    {"solar lentigo", LESION_BKL},
    {"lichenoid keratosis", LESION_BKL},
    {"lichen planus like keratosis", LESION_BKL},
    {"benign keratosis like lesion", LESION_BKL},
    {"vascular", LESION_VASC},
};

static char fold(char c)
{
    return c == '_' || c == '-' ? ' ' : (char)tolower((unsigned char)c);
}

static bool is_same(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (fold(*a) != fold(*b))
            return false;
    return *a == *b;
}

int label_parse(const char *text)
{
    for (int i = 0; i < LESION_CLASSES; i++)
        if (is_same(text, lesion_codes[i]) || is_same(text, lesion_names[i]))
            return i;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (is_same(text, others[i].name))
            return (int)others[i].lesion;
    return -1;
}
