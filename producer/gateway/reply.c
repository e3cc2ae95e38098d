// reply.c: the fields of a reply, in their order.
#include "producer/gateway/reply.h"

#include <string.h>

#include "common/base/json_write.h"

#define MAP_FIELD "attention_map_url"

static void add_text(struct json_writer *writer, const char *name, const char *text)
{
    if (text)
        json_add_text(writer, name, text);
}

static void add_reasons(struct json_writer *writer, const char *name,
                        const struct prediction_reasons *reasons)
{
    json_add_array(writer, name);
    for (int i = 0; i < reasons->count; i++)
        json_add_text(writer, NULL, reasons->names[i]);
    json_end_array(writer);
}

static void add_result(struct json_writer *writer, const struct prediction_result *result)
{
    json_add_object(writer, "prediction");
    json_add_text(writer, "primary_diagnosis", result->primary_diagnosis);
    json_add_float(writer, "confidence", result->confidence);
    json_add_array(writer, "differential");
    for (int i = 0; i < LESION_CLASSES && result->differential[i].class; i++) {
        json_add_object(writer, NULL);
        json_add_text(writer, "class", result->differential[i].class);
        json_add_float(writer, "probability", result->differential[i].probability);
        json_end_object(writer);
    }
    json_end_array(writer);
    json_add_integer(writer, "risk_score", result->risk_score);
    json_add_text(writer, "recommended_action", result->recommended_action);
    json_add_null(writer, MAP_FIELD);
    json_add_bool(writer, "abstained", result->abstained > 0);
    add_reasons(writer, "abstain_reasons", &result->abstain_reasons);
    if (result->review.within_h > 0) {
        json_add_object(writer, "review");
        json_add_integer(writer, "within_h", result->review.within_h);
        add_reasons(writer, "reasons", &result->review.reasons);
        json_end_object(writer);
    }
    json_end_object(writer);
}

enum status reply_write(const struct prediction *prediction, struct buffer *out, struct error *err)
{
    struct json_writer writer;
    json_write_begin(&writer, out, err);
    json_add_object(&writer, NULL);
    json_add_text(&writer, "request_id", prediction->request_id);
    add_result(&writer, &prediction->result);
    json_add_object(&writer, "model_info");
    add_text(&writer, "model_version", prediction->model_info.model_version);
    if (prediction->model_info.trained >= 0)
        json_add_bool(&writer, "trained", prediction->model_info.trained);
    json_add_integer(&writer, "inference_time_ms", prediction->model_info.inference_time_ms);
    json_add_integer(&writer, "preprocessing_time_ms", prediction->model_info.preprocessing_time_ms);
    json_end_object(&writer);
    json_add_object(&writer, "regulatory");
    add_text(&writer, "disclaimer", prediction->regulatory.disclaimer);
    add_text(&writer, "fda_clearance", prediction->regulatory.fda_clearance);
    json_end_object(&writer);
    json_end_object(&writer);
    return json_write_end(&writer);
}

enum status reply_add_link(struct bytes reply, const char *url, struct buffer *out, struct error *err)
{
    // No text of the reply can hold this: inside of texts the writer escapes quotes.
    static const char place[] = "\"" MAP_FIELD "\":null";
    struct json_writer writer;
    if (!*url)
        return buffer_append(out, reply.data, reply.size, err);
    const uint8_t *found = memmem(reply.data, reply.size, place, sizeof place - 1);
    if (!found)
        return error_set(err, STATUS_REJECTED, "a stored reply has no place for its link");
    const uint8_t *behind = found + sizeof place - 1;
    enum status status = buffer_append(out, reply.data, (size_t)(found - reply.data), err);
    if (status != STATUS_OK)
        return status;
    json_write_begin(&writer, out, err);
    json_add_text(&writer, MAP_FIELD, url);
    status = json_write_end(&writer);
    if (status != STATUS_OK)
        return status;
    return buffer_append(out, behind, (size_t)(reply.data + reply.size - behind), err);
}
