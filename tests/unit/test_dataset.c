// test_dataset.c: the four forms of labelled data, the split, and what is told of bad data.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/lesions.h"
#include "tests/support/process.h"
#include "trainer/dataset.h"
#include "trainer/label.h"

static char folder[SCRATCH_SIZE], table[SCRATCH_SIZE + 16], told[1 << 14];
static struct dataset *dataset;
static struct error err;

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    snprintf(table, sizeof table, "%s/data.csv", folder);
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof name, "images/i%02d.jpg", i);
        write_lesion(folder, name, 40 + i, 30, 90, (uint64_t)i);
    }
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    dataset_free(dataset);
    scratch_remove(folder);
    return 0;
}

static void complain(void *context, const char *sentence)
{
    (void)context;
    snprintf(told + strlen(told), sizeof told - strlen(told), "%s\n", sentence);
}

static struct dataset_options options(void)
{
    return (struct dataset_options){
        .data = table, .split = {0.7, 0.15, 0.15}, .threads = 2, .complaints = {.complain = complain}};
}

static enum status open_with(const struct dataset_options *wanted)
{
    dataset_free(dataset);
    dataset = NULL;
    told[0] = err.message[0] = '\0';
    return dataset_open(&dataset, wanted, &err);
}

static void open_table(const char *text)
{
    const struct dataset_options plain = options();
    write_text(folder, "data.csv", text);
    if (open_with(&plain) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void check_refused_with(const struct dataset_options *wanted, const char *text, const char *sentence)
{
    if (text)
        write_text(folder, "data.csv", text);
    assert_int_equal(open_with(wanted), STATUS_REJECTED);
    if (!strstr(err.message, sentence))
        fail_msg("'%s' does not say '%s'", err.message, sentence);
}

static void check_refused(const char *text, const char *sentence)
{
    const struct dataset_options plain = options();
    check_refused_with(&plain, text, sentence);
}

static void check_told(const char *sentence)
{
    if (!strstr(told, sentence))
        fail_msg("'%s' does not say '%s'", told, sentence);
}

// Rows of two classes over images i00.jpg .. , two images for each lesion where paired.
static void many_rows(char *text, size_t size, int count, bool paired)
{
    size_t used = (size_t)snprintf(text, size, "file,label,lesion_id\n");
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, size - used, "images/i%02d.jpg,%s,L%d\n", i,
                                 i < count / 2 ? "MEL" : "nevus", paired ? i / 2 : i);
}

static void names_of_labels(void **state)
{
    (void)state;
    assert_int_equal(label_parse("MEL"), LESION_MEL);
    assert_int_equal(label_parse("melanocytic_nevus"), LESION_NV);
    assert_int_equal(label_parse("Nevus"), LESION_NV);
    assert_int_equal(label_parse("basal cell carcinoma"), LESION_BCC);
    assert_int_equal(label_parse("akiec"), LESION_AK);
    assert_int_equal(label_parse("solar-lentigo"), LESION_BKL);
    assert_int_equal(label_parse("pigmented benign keratosis"), LESION_BKL);
    assert_int_equal(label_parse("scc"), LESION_SCC);
    assert_int_equal(label_parse("UNK"), -1);
    assert_int_equal(label_parse(""), -1);
    assert_int_equal(label_parse("MELA"), -1);
}

static void a_table_gives_all_that_is_known(void **state)
{
    (void)state;
    open_table("file,extra,label,lesion_id,age,sex,site,ita,atypical,split\n"
               "images/i00.jpg,x,MEL,L1,45.0,female,trunk,49.5,1,train\n"
               "images/i01.jpg,y,melanocytic nevus,,,,,,,validation\n"
               "images/i02.jpg,z,NV,L3,unknown,male,,-3,0,test\n");
    assert_int_equal(dataset->count, 3);
    const struct sample *first = &dataset->samples[0], *second = &dataset->samples[1];
    assert_int_equal(first->label, LESION_MEL);
    assert_string_equal(first->lesion, "L1");
    assert_string_equal(first->location, "trunk");
    assert_true(first->age == 45 && first->ita == 49.5 && first->atypical == 1);
    assert_int_equal(first->width, 40);
    assert_int_equal(first->height, 30);
    assert_true(isnan(second->age) && isnan(second->ita) && second->atypical == -1);
    assert_int_equal(second->label, LESION_NV);
    assert_true(isnan(dataset->samples[2].age));
    assert_int_equal(first->part, PART_TRAIN);
    assert_int_equal(second->part, PART_VALIDATION);
    assert_int_equal(dataset->samples[2].part, PART_TEST);
    assert_true(dataset->split_given);
    check_told("no example of NV, BCC, AK, BKL, DF, VASC, SCC in the part train");
    struct image image;
    assert_int_equal(dataset_picture(dataset, 2, &image, &err), STATUS_OK);
    assert_int_equal(image.width, 42);
    image_release(&image);
}

static void a_folder_per_class(void **state)
{
    (void)state;
    char path[sizeof folder + 16];
    struct dataset_options wanted = options();
    snprintf(path, sizeof path, "%s/classes", folder);
    wanted.data = path;
    for (int i = 0; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "classes/%s/%d.jpg", i < 3 ? "melanoma" : "NV", i);
        write_lesion(folder, name, 40, 30, 90, 100 + (uint64_t)i);
    }
    write_text(folder, "classes/notes.txt", "no class");
    assert_int_equal(open_with(&wanted), STATUS_OK);
    assert_int_equal(dataset->count, 6);
    assert_string_equal(dataset->samples[0].file, "NV/3.jpg");
    assert_int_equal(dataset->samples[0].label, LESION_NV);
    assert_int_equal(dataset->samples[5].label, LESION_MEL);
    size_t counts[LESION_CLASSES];
    for (int part = 0; part < DATASET_PARTS; part++) { // three lesions of each class, one in each part
        dataset_count(dataset, (enum dataset_part)part, counts);
        assert_int_equal(counts[LESION_MEL], 1);
        assert_int_equal(counts[LESION_NV], 1);
    }
    wanted.where = "a=b";
    check_refused_with(&wanted, NULL, "need a CSV");
    wanted.where = NULL;
    write_text(folder, "classes/other/1.jpg", "");
    check_refused_with(&wanted, NULL, "the folder 'other'");
}

static void isic_and_ham_tables(void **state)
{
    (void)state;
    char images[sizeof folder + 16], metadata[sizeof folder + 16];
    struct dataset_options wanted = options();
    snprintf(images, sizeof images, "%s/images", folder);
    snprintf(metadata, sizeof metadata, "%s/meta.csv", folder);
    wanted.images = images;
    wanted.metadata = metadata;
    write_text(folder, "data.csv",
               "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
               "i03,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\ni01,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
               "i02,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\ni00,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n");
    write_text(folder, "meta.csv",
               "image,age_approx,anatom_site_general,lesion_id,sex\n"
               "i01,55.0,anterior torso,BCN_1,male\ni03,30.0,,BCN_3,female\ni09,1,,,\n");
    assert_int_equal(open_with(&wanted), STATUS_OK);
    assert_int_equal(dataset->count, 4);
    assert_string_equal(dataset->samples[1].file, "i01.jpg");
    assert_int_equal(dataset->samples[1].label, LESION_MEL);
    assert_string_equal(dataset->samples[1].lesion, "BCN_1");
    assert_string_equal(dataset->samples[1].location, "anterior torso");
    assert_true(dataset->samples[0].age == 30);
    assert_string_equal(dataset->samples[2].lesion, "");
    assert_string_equal(dataset->samples[2].image_id, "i02");
    check_told("2 images are not in ");
    check_told("2 of 4 images have no lesion_id");
    check_refused_with(&wanted,
                       "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\n"
                       "i03,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0\n",
                       "line 2: the label");
    wanted.metadata = NULL;
    write_text(folder, "data.csv",
               "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
               "H1,i05,akiec,histo,80.0,male,scalp\nH2,i06,akiec,histo,80.0,male,scalp\n"
               "H3,i07,df,histo,80.0,male,back\nH4,i08,df,histo,80.0,male,back\n");
    assert_int_equal(open_with(&wanted), STATUS_OK);
    assert_int_equal(dataset->samples[0].label, LESION_AK);
    assert_string_equal(dataset->samples[3].location, "back");
    assert_string_equal(dataset->samples[3].lesion, "H4");
}

static void rows_are_chosen(void **state)
{
    (void)state;
    struct dataset_options wanted = options();
    static const char text[] = "file,label,source,sex\nimages/i00.jpg,MEL,a,f\nimages/i01.jpg,MEL,a,m\n"
                               "images/i02.jpg,MEL,b,f\nimages/i03.jpg,MEL,a,f\n";
    wanted.where = "source=a,sex=f";
    write_text(folder, "data.csv", text);
    assert_int_equal(open_with(&wanted), STATUS_OK);
    assert_int_equal(dataset->count, 2);
    assert_string_equal(dataset->samples[1].file, "images/i03.jpg");
    wanted.where = "source!=b,file!=images/i01.jpg";
    assert_int_equal(open_with(&wanted), STATUS_OK);
    assert_int_equal(dataset->count, 2);
    wanted.where = "!=b";
    check_refused_with(&wanted, text, "is wanted");
    wanted.where = "source=c";
    check_refused_with(&wanted, text, "has no rows with source=c");
    wanted.where = "origin=a";
    check_refused_with(&wanted, text, "has no column 'origin'; it has: file, label, source, sex");
    wanted.where = "source";
    check_refused_with(&wanted, text, "column=value or column!=value is wanted");
}

static void a_lesion_stays_in_one_part(void **state)
{
    (void)state;
    static char text[4096];
    size_t sums[DATASET_PARTS] = {0}, counts[LESION_CLASSES];
    many_rows(text, sizeof text, 40, true);
    open_table(text);
    assert_int_equal(dataset->count, 40);
    for (size_t i = 0; i < 40; i += 2)
        assert_int_equal(dataset->samples[i].part, dataset->samples[i + 1].part);
    for (int part = 0; part < DATASET_PARTS; part++) {
        static const size_t melanomas[] = {14, 4, 2}, naevi[] = {12, 2, 6}; // by the places below
        dataset_count(dataset, (enum dataset_part)part, counts);
        assert_int_equal(counts[LESION_MEL], melanomas[part]);
        assert_int_equal(counts[LESION_NV], naevi[part]);
        size_t *samples = dataset_part_samples(dataset, (enum dataset_part)part, &sums[part]);
        for (size_t i = 0; i < sums[part]; i++)
            assert_int_equal(dataset->samples[samples[i]].part, part);
        free(samples);
    }
    assert_int_equal(sums[0] + sums[1] + sums[2], 40);
    assert_int_equal(dataset->divided_lesions, 0);
}

// int(hashlib.sha256(b"0 lesion L3").hexdigest()[:16], 16) / 2**64 in Python is 0.1439: for the test. Below
// 0.15 are L3, L13, L18, L19, below 0.3 L1, L7; no naevus (L10 and on) is from 0.15 to 0.3, so the next one,
// L10 with 0.3056, validates.
static enum dataset_part part_by_place(int lesion)
{
    bool test = lesion == 3 || lesion == 13 || lesion == 18 || lesion == 19;
    bool validation = lesion == 1 || lesion == 7 || lesion == 10;
    return test ? PART_TEST : validation ? PART_VALIDATION : PART_TRAIN;
}

static void a_selection_of_rows_has_the_same_parts(void **state)
{
    (void)state;
    static char text[4096];
    struct dataset_options wanted = options();
    static const char *const selections[] = {"", "lesion_id!=L19,lesion_id!=L0,file!=images/i06.jpg",
                                             "label=MEL"};
    many_rows(text, sizeof text, 40, true);
    write_text(folder, "data.csv", text);
    for (int i = 0; i < 3; i++) {
        wanted.where = selections[i];
        assert_int_equal(open_with(&wanted), STATUS_OK);
        for (size_t k = 0; k < dataset->count; k++)
            assert_int_equal(dataset->samples[k].part, part_by_place(atoi(dataset->samples[k].lesion + 1)));
    }
}

// L3 is for the test, L0 for training; the picture i01 is of both, so it takes L3 to L0's place, the least
// key.
static void pictures_with_one_image_id_stay_together(void **state)
{
    (void)state;
    open_table(
        "file,label,lesion_id,image_id,patient_id\nimages/i00.jpg,MEL,L0,a,P1\nimages/i01.jpg,MEL,L0,b,P1\n"
        "images/i02.jpg,MEL,L3,b,P1\nimages/i03.jpg,MEL,L3,,P2\nimages/i04.jpg,MEL,L13,,P1\n"
        "images/i05.jpg,MEL,L7,,P1\nimages/i06.jpg,MEL,L2,,\nimages/i07.jpg,MEL,L4,,\n");
    static const enum dataset_part parts[] = {PART_TRAIN, PART_TRAIN,      PART_TRAIN, PART_TRAIN,
                                              PART_TEST,  PART_VALIDATION, PART_TRAIN, PART_TRAIN};
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(dataset->samples[i].part, parts[i]);
    assert_int_equal(dataset->divided_patients, 1);
    check_told("1 patients have images in more than one part");
    assert_null(strstr(told, "P1"));
}

static void the_seed_decides_and_not_the_order(void **state)
{
    (void)state;
    static char text[4096], turned[4096];
    enum dataset_part parts[40];
    many_rows(text, sizeof text, 40, false);
    open_table(text);
    struct digest digest = dataset->sha256;
    for (size_t i = 0; i < 40; i++)
        parts[i] = dataset->samples[i].part;
    strcpy(turned, "file,label,lesion_id\n");
    for (int i = 39; i >= 0; i--)
        snprintf(turned + strlen(turned), sizeof turned - strlen(turned), "images/i%02d.jpg,%s,L%d\n", i,
                 i < 20 ? "MEL" : "NV", i);
    open_table(turned);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(dataset->samples[39 - i].part, parts[i]);
    struct dataset_options wanted = options();
    wanted.split_seed = 1;
    write_text(folder, "data.csv", text);
    assert_int_equal(open_with(&wanted), STATUS_OK);
    size_t others = 0;
    for (size_t i = 0; i < 40; i++)
        others += dataset->samples[i].part != parts[i];
    assert_true(others > 0);
    assert_false(digest_equal(&digest, &dataset->sha256));
}

static void a_split_is_written_down(void **state)
{
    (void)state;
    static char text[4096];
    char path[sizeof folder + 16];
    many_rows(text, sizeof text, 40, true);
    open_table(text);
    struct digest digest = dataset->sha256;
    snprintf(path, sizeof path, "%s/split.csv", folder);
    assert_int_equal(dataset_write_split(dataset, path, &err), STATUS_OK);
    struct dataset_options wanted = options();
    wanted.data = path;
    wanted.split_seed = 77; // of no use: the column says it
    assert_int_equal(open_with(&wanted), STATUS_OK);
    assert_true(dataset->split_given);
    assert_true(digest_equal(&digest, &dataset->sha256));
}

static void bad_data_are_told(void **state)
{
    (void)state;
    write_lesion(folder, "images/large.jpg", 320, 240, 95, 900);
    write_lesion(folder, "images/near.jpg", 240, 180, 75, 900);
    open_table("file,label,lesion_id,split\nimages/i00.jpg,MEL,A,train\nimages/large.jpg,MEL,B,train\n"
               "images/i00.jpg,MEL,C,test\nimages/near.jpg,MEL,D,validation\n"
               "images/i04.jpg,NV,A,test\n");
    check_told("images/i00.jpg (MEL, train) and images/i00.jpg (MEL, test) are the same file");
    check_told("1 files are copies of another one, 1 of them in another part, 0 with another label");
    check_told("images/large.jpg (train) and images/near.jpg (validation) look nearly alike");
    check_told("images/i00.jpg (train) and images/i04.jpg (test) show one lesion");
    check_told("1 lesions have images with different labels");
    check_told("no example of NV, BCC");
    assert_int_equal(dataset->copies, 1);
    assert_int_equal(dataset->near_copies, 1);
    assert_int_equal(dataset->divided_lesions, 1);
}

static void copies_stay_together(void **state)
{
    (void)state;
    static char text[4096];
    many_rows(text, sizeof text, 30, false);
    for (int i = 0; i < 10; i++) // copies of ten of them under other lesions
        snprintf(text + strlen(text), sizeof text - strlen(text), "images/i%02d.jpg,MEL,other%d\n", i, i);
    open_table(text);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(dataset->samples[i].part, dataset->samples[30 + i].part);
    check_told("10 files are copies of another one, 0 of them in another part");
}

static void bad_tables_are_refused_with_the_way_out(void **state)
{
    (void)state;
    check_refused("a,b\n1,2\n", "needs the columns file and label");
    check_refused("file,label\n", "has no rows");
    check_refused("file,label\n../x.jpg,MEL\n", "line 2: '../x.jpg' leads out of the folder");
    check_refused("file,label\n/etc/x.jpg,MEL\n", "leads out of the folder");
    check_refused("file,label\na/../../x.jpg,MEL\n", "leads out of the folder");
    check_refused("file,label\nimages/i00.jpg,UNK\nimages/i01.jpg,XXX\nimages/i02.jpg,MEL\n",
                  "line 2: the label 'UNK' is none of ours (2 such rows)");
    check_refused("file,label,split\nimages/i00.jpg,MEL,dev\n", "split is 'dev'; train, validation and test");
    check_refused("file,label\nimages/i00.jpg,MEL\nimages/i01.jpg,NV\nimages/i02.jpg,NV\n",
                  "MEL has one lesion");
    struct dataset_options tolerant = options();
    tolerant.lone_lesions = true;
    assert_int_equal(open_with(&tolerant), STATUS_OK);
    check_told("MEL has one lesion");
    assert_int_equal(dataset->samples[0].part, PART_TRAIN);
    check_refused("file,label\n\"images/i00.jpg,MEL\n", "a quote is not closed");
    struct dataset_options wanted = options();
    wanted.data = "/nowhere/data.csv";
    check_refused_with(&wanted, NULL, "/nowhere/data.csv");
}

static void what_can_not_be_decoded_is_left_out_on_request(void **state)
{
    (void)state;
    static const char text[] = "file,label\nimages/i00.jpg,MEL\nimages/bad.jpg,MEL\nimages/none.jpg,MEL\n"
                               "images/i01.jpg,MEL\nimages/i02.jpg,MEL\n";
    struct dataset_options wanted = options();
    write_text(folder, "images/bad.jpg", "no picture");
    check_refused(text, "2 of 5 files can't be decoded");
    check_refused(text, "--skip-bad");
    check_told("bad.jpg");
    check_told("none.jpg");
    wanted.skip_bad = true;
    assert_int_equal(open_with(&wanted), STATUS_OK);
    assert_int_equal(dataset->count, 3);
    assert_int_equal(dataset->left_out, 2);
    assert_string_equal(dataset->samples[1].file, "images/i01.jpg");
    check_told("2 of 5 files can't be decoded and are left out");
    check_refused_with(&wanted, "file,label\nimages/bad.jpg,MEL\n", "none of its images");
}

static void shares_of_a_split(void **state)
{
    (void)state;
    double split[DATASET_PARTS];
    assert_int_equal(dataset_parse_split("0.70,0.15,0.15", split, &err), STATUS_OK);
    assert_true(split[0] == 0.70 && split[1] == 0.15 && split[2] == 0.15);
    assert_int_equal(dataset_parse_split("1,0,0", split, &err), STATUS_OK);
    static const char *const bad[] = {
        "", "0.5,0.5", "0.5,0.3,0.3", "0,0.5,0.5", "0.7,0.15,0.15,0", "a,b,c", "1.5,-0.25,-0.25", "nan,0,0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dataset_parse_split(bad[i], split, &err), STATUS_REJECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_labels),
        cmocka_unit_test(a_table_gives_all_that_is_known),
        cmocka_unit_test(a_folder_per_class),
        cmocka_unit_test(isic_and_ham_tables),
        cmocka_unit_test(rows_are_chosen),
        cmocka_unit_test(a_lesion_stays_in_one_part),
        cmocka_unit_test(a_selection_of_rows_has_the_same_parts),
        cmocka_unit_test(pictures_with_one_image_id_stay_together),
        cmocka_unit_test(the_seed_decides_and_not_the_order),
        cmocka_unit_test(a_split_is_written_down),
        cmocka_unit_test(bad_data_are_told),
        cmocka_unit_test(copies_stay_together),
        cmocka_unit_test(bad_tables_are_refused_with_the_way_out),
        cmocka_unit_test(what_can_not_be_decoded_is_left_out_on_request),
        cmocka_unit_test(shares_of_a_split),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
