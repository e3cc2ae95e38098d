// entry.c: reading is writing again: a text is an entry's where the writer, given what was read, writes the
// same bytes.
#include "common/audit/entry.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/json_write.h"

static const char *const action_names[AUDIT_ACTION_COUNT] = {
    [AUDIT_REQUEST] = "request",
    [AUDIT_ANSWER_READ] = "answer_read",
    [AUDIT_MAP_READ] = "map_read",
    [AUDIT_REVIEWS_READ] = "reviews_read",
    [AUDIT_REVIEW_CLOSED] = "review_closed",
    [AUDIT_FEEDBACK] = "feedback",
    [AUDIT_KEY_ADDED] = "key_added",
    [AUDIT_KEY_REVOKED] = "key_revoked",
    [AUDIT_AUDIT_READ] = "audit_read",
    [AUDIT_REFUSED] = "refused",
    [AUDIT_INCIDENT_READ] = "incident_read",
    [AUDIT_PLAN_REGISTERED] = "plan_registered",
};

const char *audit_action_name(enum audit_action action)
{
    return action_names[action];
}

bool audit_chain_name_good(const char *chain)
{
    size_t size = strnlen(chain, AUDIT_NAME_SIZE);
    return size >= 1 && size < AUDIT_NAME_SIZE && *chain != '.' && // which has a meaning in keys of objects
           strspn(chain, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == size;
}

// Such a text stands for itself in JSON: nothing is escaped.
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f || *text == '"' || *text == '\\')
            return false;
    return true;
}

static void add_text(struct json_writer *writer, const char *name, const char *text)
{
    if (*text)
        json_add_text(writer, name, text);
    else
        json_add_null(writer, name);
}

static void add_list(struct json_writer *writer, const struct audit_list *list)
{
    json_add_object(writer, "list");
    json_add_integer(writer, "answers", list->answers);
    json_add_integer(writer, "from", list->from);
    add_text(writer, "model", list->model);
    add_text(writer, "site", list->site);
    json_add_integer(writer, "to", list->to);
    json_end_object(writer);
}

static bool is_number(int64_t number)
{
    return number >= 0 && number <= JSON_WHOLE_MOST;
}

static bool is_fit_list(const struct audit_list *list)
{
    return is_number(list->answers) && is_number(list->from) && is_number(list->to) &&
           is_plain(list->model) && is_plain(list->site);
}

static bool is_fit(const struct audit_entry *entry)
{
    return is_plain(entry->actor) && is_plain(entry->site) && is_plain(entry->request_id) &&
           is_plain(entry->outcome) && (entry->action != AUDIT_INCIDENT_READ || is_fit_list(&entry->list));
}

enum status audit_entry_write(const struct audit_entry *entry, const struct audit_place *place,
                              struct buffer *text, struct error *err)
{
    struct json_writer writer;
    if (!is_fit(entry) || !audit_chain_name_good(place->chain))
        return error_set(err, STATUS_REJECTED, "a text or a number is not fit for the audit");
    json_write_begin(&writer, text, err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "action", action_names[entry->action]);
    add_text(&writer, "actor", entry->actor);
    json_add_integer(&writer, "at", place->at);
    json_add_text(&writer, "chain", place->chain);
    if (entry->action == AUDIT_INCIDENT_READ)
        add_list(&writer, &entry->list);
    add_text(&writer, "outcome", entry->outcome);
    add_text(&writer, "request_id", entry->request_id);
    json_add_integer(&writer, "seq", place->seq);
    add_text(&writer, "site", entry->site);
    json_end_object(&writer);
    return json_write_end(&writer);
}

static bool read_text(const cJSON *json, const char *name, size_t size, char *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    *out = '\0';
    return cJSON_IsNull(item) || json_copy_text(item, out, size);
}

static bool read_action(const cJSON *json, enum audit_action *action)
{
    char name[32];
    if (!read_text(json, "action", sizeof name, name))
        return false;
    for (int i = 0; i < AUDIT_ACTION_COUNT; i++)
        if (strcmp(action_names[i], name) == 0) {
            *action = (enum audit_action)i;
            return true;
        }
    return false;
}

static bool read_whole(const cJSON *json, const char *name, int64_t least, int64_t *out)
{
    return json_whole_number(cJSON_GetObjectItemCaseSensitive(json, name), least, JSON_WHOLE_MOST, out);
}

static bool read_list(const cJSON *json, struct audit_list *list)
{
    return read_whole(json, "answers", 0, &list->answers) && read_whole(json, "from", 0, &list->from) &&
           read_whole(json, "to", 0, &list->to) &&
           read_text(json, "model", sizeof list->model, list->model) &&
           read_text(json, "site", sizeof list->site, list->site);
}

static bool read_fields(const cJSON *json, struct audit_entry *entry, char chain[AUDIT_NAME_SIZE],
                        struct audit_place *place)
{
    place->chain = chain;
    return read_whole(json, "at", 0, &place->at) && read_whole(json, "seq", 1, &place->seq) &&
           read_action(json, &entry->action) &&
           (entry->action != AUDIT_INCIDENT_READ ||
            read_list(cJSON_GetObjectItemCaseSensitive(json, "list"), &entry->list)) &&
           read_text(json, "actor", sizeof entry->actor, entry->actor) &&
           read_text(json, "site", sizeof entry->site, entry->site) &&
           read_text(json, "request_id", sizeof entry->request_id, entry->request_id) &&
           read_text(json, "outcome", sizeof entry->outcome, entry->outcome) &&
           read_text(json, "chain", AUDIT_NAME_SIZE, chain);
}

bool audit_entry_read(struct bytes text, struct audit_entry *entry, char chain[AUDIT_NAME_SIZE],
                      struct audit_place *place)
{
    static const struct json_limits limits = {.bytes = AUDIT_TEXT_MOST, .values = 16, .depth = 2};
    struct error err;
    struct buffer again;
    cJSON *json = NULL;
    memset(entry, 0, sizeof *entry);
    *place = (struct audit_place){.seq = 0};
    buffer_init(&again, AUDIT_TEXT_MOST);
    bool good =
        json_parse(text, &limits, &json, &err) == STATUS_OK && read_fields(json, entry, chain, place) &&
        audit_entry_write(entry, place, &again, &err) == STATUS_OK && bytes_equal(buffer_bytes(&again), text);
    cJSON_Delete(json);
    buffer_release(&again);
    return good;
}

struct digest audit_link(const struct digest *previous, struct bytes text)
{
    struct digest_stream *stream = digest_stream_new();
    digest_stream_add(stream, previous->value, sizeof previous->value);
    digest_stream_add(stream, text.data, text.size);
    return digest_stream_finish(stream);
}
