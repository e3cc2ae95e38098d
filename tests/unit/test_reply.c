// test_reply.c: what a client reads of a terminal record: SPEC's response, field by field, in its order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "producer/gateway/reply.h"

#define ID "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"

static const char record[] =
    "{\"schema\":\"skinsight.prediction.v1\",\"request_id\":\"" ID "\",\"prediction\":{"
    "\"primary_diagnosis\":\"melanoma\",\"confidence\":0.87,\"differential\":["
    "{\"class\":\"melanoma\",\"probability\":0.87},{\"class\":\"melanocytic_nevus\",\"probability\":0.08},"
    "{\"class\":\"basal_cell_carcinoma\",\"probability\":0.02},{\"class\":\"actinic_keratosis\","
    "\"probability\":0.01},{\"class\":\"benign_keratosis\",\"probability\":0.01},{\"class\":"
    "\"dermatofibroma\",\"probability\":0.005},{\"class\":\"vascular_lesion\",\"probability\":0.003},"
    "{\"class\":\"squamous_cell_carcinoma\",\"probability\":0.002}],\"risk_score\":92,"
    "\"recommended_action\":\"urgent_referral\",\"abstained\":true,\"abstain_reasons\":["
    "\"out_of_distribution\"],\"review\":{\"within_h\":48,\"reasons\":[\"abstained\"]},"
    "\"attention_map_url\":\"s3://bucket/attention/x.png\"},"
    "\"model_info\":{\"model_version\":\"vit-base-v2.1.0\",\"trained\":false,\"inference_time_ms\":118,"
    "\"preprocessing_time_ms\":45},\"context\":{\"site\":\"clinic-7\",\"subject\":\"marker\"},"
    "\"regulatory\":{\"disclaimer\":\"\\\"attention_map_url\\\":null\",\"fda_clearance\":\"K1\"},"
    "\"provenance\":{\"worker\":\"marker\"}}";

#define BEFORE                                                                                               \
    "{\"request_id\":\"" ID                                                                                  \
    "\",\"prediction\":{\"primary_diagnosis\":\"melanoma\",\"confidence\":0.870000005,"                      \
    "\"differential\":[{\"class\":\"melanoma\",\"probability\":0.870000005},{\"class\":"                     \
    "\"melanocytic_nevus\",\"probability\":0.0799999982},{\"class\":\"basal_cell_carcinoma\","               \
    "\"probability\":0.0199999996},{\"class\":\"actinic_keratosis\",\"probability\":0.00999999978},"         \
    "{\"class\":\"benign_keratosis\",\"probability\":0.00999999978},{\"class\":\"dermatofibroma\","          \
    "\"probability\":0.00499999989},{\"class\":\"vascular_lesion\",\"probability\":0.00300000003},"          \
    "{\"class\":\"squamous_cell_carcinoma\",\"probability\":0.00200000009}],\"risk_score\":92,"              \
    "\"recommended_action\":\"urgent_referral\",\"attention_map_url\":"
#define BEHIND                                                                                               \
    ",\"abstained\":true,\"abstain_reasons\":[\"out_of_distribution\"],\"review\":{\"within_h\":48,"         \
    "\"reasons\":[\"abstained\"]}},\"model_info\":{\"model_version\":"                                       \
    "\"vit-base-v2.1.0\",\"trained\":false,\"inference_time_ms\":118,\"preprocessing_time_ms\":45},"         \
    "\"regulatory\":{\"disclaimer\":\"\\\"attention_map_url\\\":null\",\"fda_clearance\":\"K1\"}}"

static void expect(const struct buffer *found, const char *wanted)
{
    if (found->size != strlen(wanted) || memcmp(found->data, wanted, found->size) != 0)
        fail_msg("found\n%.*s\nwanted\n%s", (int)found->size, (const char *)found->data, wanted);
}

static void test_reply(void **state)
{
    (void)state;
    struct prediction prediction;
    struct buffer reply, linked;
    struct error err;
    buffer_init(&reply, 1 << 16);
    buffer_init(&linked, 1 << 16);
    struct bytes value = {(const uint8_t *)record, sizeof record - 1};
    if (prediction_parse(value, &prediction, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(reply_write(&prediction, &reply, &err), STATUS_OK);
    prediction_release(&prediction);
    expect(&reply, BEFORE "null" BEHIND);
    assert_int_equal(reply_add_link(buffer_bytes(&reply), "", &linked, &err), STATUS_OK);
    expect(&linked, BEFORE "null" BEHIND);
    buffer_clear(&linked);
    const char *url = "https://h/attention/" ID ".png?expires=1&signature=2";
    assert_int_equal(reply_add_link(buffer_bytes(&reply), url, &linked, &err), STATUS_OK);
    expect(&linked, BEFORE "\"https://h/attention/" ID ".png?expires=1&signature=2\"" BEHIND);
    buffer_clear(&linked);
    struct bytes other = {(const uint8_t *)"{}", 2};
    assert_int_equal(reply_add_link(other, url, &linked, &err), STATUS_REJECTED);
    buffer_release(&linked);
    buffer_release(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
