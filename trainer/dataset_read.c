// dataset_read.c: the four forms of labelled data become samples. Nothing is decoded here. Main thread.
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/csv.h"
#include "common/base/memory.h"
#include "trainer/dataset_private.h"
#include "trainer/label.h"

enum { MOST_CONDITIONS = 16, NAMES_SIZE = 256 };

struct columns {
    int file;  // or, without an ending, image
    int image; // ISIC's image or HAM10000's image_id: files are <image>.jpg
    int label; // -1: one_hot
    int one_hot[LESION_CLASSES];
    int lesion, patient, image_id, age, sex, location, skin_type, ita, atypical, split;
};

struct condition {
    int column;
    bool differs; // column!=value
    char *value;
};

struct table_reader {
    struct dataset *dataset;
    const struct dataset_options *options;
    struct csv csv, metadata;
    struct columns columns, extra; // extra: of the metadata
    int extra_key;                 // the metadata's column of image names
    size_t *extra_rows;            // sorted by that name
    struct condition conditions[MOST_CONDITIONS];
    int condition_count;
    size_t unjoined;  // rows that the metadata don't know
    size_t strangers; // rows whose label is none of ours
    struct error *err;
};

static bool is_given(const char *text)
{
    return text && text[0];
}

static int first_column(const struct csv *csv, const char *const *names)
{
    for (; *names; names++) {
        int column = csv_column(csv, *names);
        if (column >= 0)
            return column;
    }
    return -1;
}

#define COLUMN(csv, ...) first_column(csv, (const char *const[]){__VA_ARGS__, NULL})

static struct columns find_columns(const struct csv *csv)
{
    struct columns columns = {
        .file = COLUMN(csv, "file"),
        .image = -1,
        .label = COLUMN(csv, "label", "dx"),
        .lesion = COLUMN(csv, "lesion_id"),
        .patient = COLUMN(csv, "patient_id"),
        .image_id = COLUMN(csv, "image_id", "isic_id", "image"),
        .age = COLUMN(csv, "age", "age_approx", "patient_age"),
        .sex = COLUMN(csv, "sex"),
        .location = COLUMN(csv, "lesion_location", "site", "anatom_site_general", "localization"),
        .skin_type = COLUMN(csv, "skin_type", "fitzpatrick_type"),
        .ita = COLUMN(csv, "ita"),
        .atypical = COLUMN(csv, "atypical"),
        .split = COLUMN(csv, "split"),
    };
    for (int i = 0; i < LESION_CLASSES; i++)
        columns.one_hot[i] = csv_column(csv, lesion_codes[i]);
    if (columns.file < 0)
        columns.image = columns.image_id;
    return columns;
}

static enum status check_columns(const struct table_reader *reader)
{
    const struct columns *columns = &reader->columns;
    bool one_hot = true;
    for (int i = 0; i < LESION_CLASSES; i++)
        one_hot = one_hot && columns->one_hot[i] >= 0;
    if ((columns->file >= 0 || columns->image >= 0) && (columns->label >= 0 || one_hot))
        return STATUS_OK;
    char names[NAMES_SIZE];
    csv_list_names(&reader->csv, names, sizeof names);
    return error_set(reader->err, STATUS_REJECTED,
                     "%s: it needs the columns file and label (or ISIC's image, MEL, NV ... or HAM10000's "
                     "image_id and dx), and has: %s",
                     reader->options->data, names);
}

// "column=value,column!=value"
static enum status read_conditions(struct table_reader *reader)
{
    if (!is_given(reader->options->where))
        return STATUS_OK;
    char names[NAMES_SIZE], *text = memory_strdup(reader->options->where), *rest = text, *part;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && (part = strsep(&rest, ","))) {
        char *equals = strchr(part, '=');
        if (!equals || equals == part || (equals == part + 1 && part[0] == '!')) {
            status = error_set(reader->err, STATUS_REJECTED,
                               "--where '%s': column=value or column!=value is wanted", part);
            break;
        }
        bool differs = equals[-1] == '!';
        *equals = equals[-differs] = '\0';
        int column = csv_column(&reader->csv, part);
        csv_list_names(&reader->csv, names, sizeof names);
        if (column < 0)
            status = error_set(reader->err, STATUS_REJECTED, "--where: %s has no column '%s'; it has: %s",
                               reader->options->data, part, names);
        else if (reader->condition_count == MOST_CONDITIONS)
            status =
                error_set(reader->err, STATUS_REJECTED, "--where: more than %d conditions", MOST_CONDITIONS);
        else
            reader->conditions[reader->condition_count++] =
                (struct condition){column, differs, memory_strdup(equals + 1)};
    }
    free(text);
    return status;
}

static bool is_wanted(const struct table_reader *reader, size_t row)
{
    for (int i = 0; i < reader->condition_count; i++)
        if ((strcmp(csv_field(&reader->csv, row, reader->conditions[i].column),
                    reader->conditions[i].value) != 0) != reader->conditions[i].differs)
            return false;
    return true;
}

static int by_image(const void *a, const void *b, void *context)
{
    const struct table_reader *reader = context;
    return strcmp(csv_field(&reader->metadata, *(const size_t *)a, reader->extra_key),
                  csv_field(&reader->metadata, *(const size_t *)b, reader->extra_key));
}

static enum status read_metadata(struct table_reader *reader)
{
    if (!is_given(reader->options->metadata))
        return STATUS_OK;
    enum status status = csv_read(reader->options->metadata, &reader->metadata, reader->err);
    if (status != STATUS_OK)
        return status;
    reader->extra = find_columns(&reader->metadata);
    reader->extra_key = reader->extra.image_id;
    if (reader->extra_key < 0 || reader->columns.image_id < 0)
        return error_set(reader->err, STATUS_REJECTED,
                         "%s and %s need a column image, image_id or isic_id by which their rows are joined",
                         reader->options->data, reader->options->metadata);
    reader->extra_rows = memory_alloc((reader->metadata.rows + 1) * sizeof *reader->extra_rows);
    for (size_t i = 0; i < reader->metadata.rows; i++)
        reader->extra_rows[i] = i;
    qsort_r(reader->extra_rows, reader->metadata.rows, sizeof *reader->extra_rows, by_image, reader);
    return STATUS_OK;
}

// The metadata's row of an image, or its number of rows.
static size_t find_extra(const struct table_reader *reader, const char *image)
{
    size_t low = 0, high = reader->extra_rows ? reader->metadata.rows : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t row = reader->extra_rows[middle];
        int order = strcmp(csv_field(&reader->metadata, row, reader->extra_key), image);
        if (order == 0)
            return row;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return reader->metadata.rows;
}

static double number_of(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    return *text && *end == '\0' && isfinite(value) ? value : NAN;
}

static int flag_of(const char *text)
{
    if (strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
        return 1;
    return strcmp(text, "0") == 0 || strcmp(text, "false") == 0 ? 0 : -1;
}

// What a row says beside file and label; a later call fills what is still unknown.
static void take_fields(struct sample *sample, const struct csv *csv, const struct columns *columns,
                        size_t row)
{
    const struct {
        char **text;
        int column;
    } texts[] = {{&sample->lesion, columns->lesion},     {&sample->patient, columns->patient},
                 {&sample->image_id, columns->image_id}, {&sample->sex, columns->sex},
                 {&sample->location, columns->location}, {&sample->skin_type, columns->skin_type}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!(*texts[i].text)[0]) {
            free(*texts[i].text);
            *texts[i].text = memory_strdup(csv_field(csv, row, texts[i].column));
        }
    if (isnan(sample->age))
        sample->age = number_of(csv_field(csv, row, columns->age));
    if (isnan(sample->ita))
        sample->ita = number_of(csv_field(csv, row, columns->ita));
    if (sample->atypical < 0)
        sample->atypical = flag_of(csv_field(csv, row, columns->atypical));
}

static int label_of(const struct table_reader *reader, size_t row)
{
    const struct columns *columns = &reader->columns;
    if (columns->label >= 0)
        return label_parse(csv_field(&reader->csv, row, columns->label));
    int label = -1;
    for (int i = 0; i < LESION_CLASSES; i++)
        if (number_of(csv_field(&reader->csv, row, columns->one_hot[i])) == 1)
            label = label < 0 ? i : LESION_CLASSES; // two of them: none
    return label < LESION_CLASSES ? label : -1;
}

// Nobody's file outside of the folder is read because a table names it.
static bool is_inside(const char *file)
{
    if (!file[0] || file[0] == '/')
        return false;
    for (const char *part = file; part; part = strchr(part, '/')) {
        part += part != file;
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return true;
}

// An image's name becomes a file's: with the ending that is there, or .jpg, which is told as missing later.
static char *file_of_image(const struct dataset *dataset, const char *image)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".JPG", ".JPEG", ""};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char *file = memory_format("%s%s", image, endings[i]);
        char *path = memory_format("%s/%s", dataset->folder, file);
        bool there = access(path, F_OK) == 0;
        free(path);
        if (there)
            return file;
        free(file);
    }
    return memory_format("%s.jpg", image);
}

static enum status take_split(const struct table_reader *reader, struct sample *sample, size_t row)
{
    if (reader->columns.split < 0)
        return STATUS_OK;
    const char *text = csv_field(&reader->csv, row, reader->columns.split);
    for (int i = 0; i < DATASET_PARTS; i++)
        if (strcmp(text, dataset_part_names[i]) == 0) {
            sample->part = (enum dataset_part)i;
            return STATUS_OK;
        }
    return error_set(reader->err, STATUS_REJECTED,
                     "%s, line %d: split is '%s'; train, validation and test are known",
                     reader->options->data, sample->line, text);
}

static enum status take_row(struct table_reader *reader, size_t row)
{
    const struct columns *columns = &reader->columns;
    int line = reader->csv.lines[row], label = label_of(reader, row);
    const char *name = csv_field(&reader->csv, row, columns->file >= 0 ? columns->file : columns->image);
    if (!is_inside(name))
        return error_set(reader->err, STATUS_REJECTED,
                         "%s, line %d: '%s' leads out of the folder; name files inside of it, and the folder "
                         "with --images",
                         reader->options->data, line, name);
    if (label < 0) {
        if (reader->strangers++ == 0)
            error_set(reader->err, STATUS_REJECTED, "%s, line %d: the label '%s' is none of ours",
                      reader->options->data, line,
                      columns->label >= 0 ? csv_field(&reader->csv, row, columns->label)
                                          : "of another column");
        return STATUS_OK;
    }
    char *file = columns->file >= 0 ? memory_strdup(name) : file_of_image(reader->dataset, name);
    struct sample *sample = dataset_add(reader->dataset, file);
    free(file);
    sample->label = label;
    sample->line = line;
    take_fields(sample, &reader->csv, columns, row);
    size_t extra = find_extra(reader, sample->image_id);
    if (extra < reader->metadata.rows)
        take_fields(sample, &reader->metadata, &reader->extra, extra);
    else
        reader->unjoined += reader->extra_rows != NULL;
    return take_split(reader, sample, row);
}

static enum status take_rows(struct table_reader *reader)
{
    enum status status = STATUS_OK;
    size_t wanted = 0;
    for (size_t row = 0; row < reader->csv.rows && status == STATUS_OK; row++) {
        if (!is_wanted(reader, row))
            continue;
        wanted++;
        status = take_row(reader, row);
    }
    if (status == STATUS_OK && reader->strangers > 0) {
        char first[sizeof reader->err->message];
        memcpy(first, reader->err->message, sizeof first);
        return error_set(
            reader->err, STATUS_REJECTED,
            "%.300s (%zu such rows); MEL, NV, BCC, AK, BKL, DF, VASC and SCC are, and --where leaves "
            "rows out",
            first, reader->strangers);
    }
    if (status == STATUS_OK && wanted == 0)
        status = error_set(reader->err, STATUS_REJECTED, "%s has no rows%s%s", reader->options->data,
                           reader->condition_count > 0 ? " with " : "",
                           reader->condition_count > 0 ? reader->options->where : "");
    return status;
}

static enum status read_table(struct table_reader *reader)
{
    reader->columns = find_columns(&reader->csv);
    reader->dataset->split_given = reader->columns.split >= 0;
    enum status status = check_columns(reader);
    if (status == STATUS_OK)
        status = read_conditions(reader);
    if (status == STATUS_OK)
        status = read_metadata(reader);
    if (status == STATUS_OK)
        status = take_rows(reader);
    if (status == STATUS_OK && reader->unjoined > 0)
        dataset_tell(reader->options, "%zu images are not in %s: their lesions are not known",
                     reader->unjoined, reader->options->metadata);
    return status;
}

static enum status add_class_folder(struct dataset *dataset, const struct dataset_options *options,
                                    const char *name, struct error *err)
{
    struct file_list files;
    size_t prefix = strlen(dataset->folder) + 1;
    int label = label_parse(name);
    char *path = memory_format("%s/%s", dataset->folder, name);
    file_list_init(&files);
    enum status status = file_list_collect(&files, path, &options->complaints, err);
    for (size_t i = 0; i < files.count && status == STATUS_OK; i++)
        dataset_add(dataset, files.paths[i] + prefix)->label = label;
    file_list_release(&files);
    free(path);
    return status;
}

static bool is_folder(const char *folder, const char *name)
{
    struct stat about;
    char *path = memory_format("%s/%s", folder, name);
    bool yes = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    free(path);
    return yes;
}

static enum status read_folders(struct dataset *dataset, const struct dataset_options *options,
                                struct error *err)
{
    struct dirent **entries = NULL;
    enum status status = STATUS_OK;
    if (is_given(options->where) || is_given(options->metadata) || is_given(options->images))
        return error_set(err, STATUS_REJECTED, "--where, --metadata and --images need a CSV; %s is a folder",
                         options->data);
    int count = scandir(dataset->folder, &entries, NULL, alphasort);
    if (count < 0)
        return error_set(err, STATUS_REJECTED, "%s: %s", dataset->folder, strerror(errno));
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        const char *name = entries[i]->d_name;
        if (name[0] == '.' || !is_folder(dataset->folder, name))
            continue;
        status =
            label_parse(name) >= 0
                ? add_class_folder(dataset, options, name, err)
                : error_set(
                      err, STATUS_REJECTED,
                      "the folder '%s' in %s is named for none of MEL, NV, BCC, AK, BKL, DF, VASC and SCC; "
                      "rename it or move it away",
                      name, options->data);
    }
    if (status == STATUS_OK && dataset->count == 0)
        status = error_set(err, STATUS_REJECTED,
                           "%s holds no JPEG files in folders named for a class; give such a folder or a CSV",
                           options->data);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return status;
}

// Files are relative to --images, to the folder itself, or to where the CSV lies.
static char *folder_of(const struct dataset_options *options, bool is_table)
{
    if (is_given(options->images))
        return memory_strdup(options->images);
    if (!is_table)
        return memory_strdup(options->data);
    const char *slash = strrchr(options->data, '/');
    if (!slash)
        return memory_strdup(".");
    return memory_format("%.*s", slash == options->data ? 1 : (int)(slash - options->data), options->data);
}

static void release(struct table_reader *reader)
{
    for (int i = 0; i < reader->condition_count; i++)
        free(reader->conditions[i].value);
    free(reader->extra_rows);
    csv_release(&reader->csv);
    csv_release(&reader->metadata);
}

enum status dataset_read(struct dataset *dataset, const struct dataset_options *options, struct error *err)
{
    struct stat about;
    struct table_reader reader = {.dataset = dataset, .options = options, .err = err};
    if (stat(options->data, &about) != 0)
        return error_set(err, STATUS_REJECTED, "%s: %s", options->data, strerror(errno));
    dataset->folder = folder_of(options, !S_ISDIR(about.st_mode));
    if (S_ISDIR(about.st_mode))
        return read_folders(dataset, options, err);
    enum status status = csv_read(options->data, &reader.csv, err);
    if (status == STATUS_OK)
        status = read_table(&reader);
    release(&reader);
    return status;
}
