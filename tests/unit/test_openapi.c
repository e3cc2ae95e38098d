// test_openapi.c: the description of the API is true of the gateway's routes and of its table of problems:
// nothing is served that it lacks, nothing stands in it that is not there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/program/config_internal.h"
#include "producer/gateway/gateway.h"
#include "producer/gateway/problem.h"
#include "producer/gateway/routes.h"

enum { TEXT_MOST = 256 * 1024, PATH_SIZE = 64, METHOD_SIZE = 8 };

static int read_document(void **state)
{
    static const struct json_limits limits = {TEXT_MOST, 4096, 32};
    struct buffer text;
    struct error err = {""};
    cJSON *document = NULL;
    json_prepare_memory();
    buffer_init(&text, TEXT_MOST);
    if (file_read(TEST_SOURCE_DIR "/docs/openapi.json", &text, &err) != STATUS_OK ||
        json_parse(buffer_bytes(&text), &limits, &document, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return -1;
    }
    buffer_release(&text);
    *state = document;
    return 0;
}

static int free_document(void **state)
{
    cJSON_Delete(*state);
    return 0;
}

static void make_routes(struct http_route routes[ROUTE_COUNT])
{
    struct config *config = config_new(PROGRAM_PRODUCER);
    struct gateway gateway = {.options = {.config = config}};
    routes_make(&gateway, routes);
    config_free(config);
}

// "/v2/analyze/<id>" as the document has it: "/v2/analyze/{id}".
static void write_path(const struct http_route *route, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s", route->path);
    for (char *c = path; *c; c++)
        *c = *c == '<' ? '{' : *c == '>' ? '}' : *c;
}

static void write_method(const struct http_route *route, char method[METHOD_SIZE])
{
    snprintf(method, METHOD_SIZE, "%s", route->method);
    for (char *c = method; *c; c++)
        *c |= 0x20;
}

static void test_every_route_is_described(void **state)
{
    struct http_route routes[ROUTE_COUNT];
    char path[PATH_SIZE], method[METHOD_SIZE];
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(*state, "paths");
    make_routes(routes);
    for (int i = 0; i < ROUTE_COUNT; i++) {
        write_path(&routes[i], path);
        write_method(&routes[i], method);
        const cJSON *operation =
            cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(paths, path), method);
        if (!operation)
            fail_msg("%s %s is served and not described", method, path);
        assert_int_equal(cJSON_HasObjectItem(operation, "requestBody"), routes[i].body_limit > 0);
    }
}

static bool is_served(const struct http_route routes[ROUTE_COUNT], const char *path, const char *method)
{
    char served_path[PATH_SIZE], served_method[METHOD_SIZE];
    for (int i = 0; i < ROUTE_COUNT; i++) {
        write_path(&routes[i], served_path);
        write_method(&routes[i], served_method);
        if (strcmp(path, served_path) == 0 && strcmp(method, served_method) == 0)
            return true;
    }
    return false;
}

static void test_every_description_is_served(void **state)
{
    struct http_route routes[ROUTE_COUNT];
    const cJSON *path, *operation;
    make_routes(routes);
    cJSON_ArrayForEach(path, cJSON_GetObjectItemCaseSensitive(*state, "paths"))
        cJSON_ArrayForEach(operation, path) if (!is_served(routes, path->string, operation->string))
            fail_msg("%s %s is described and not served", operation->string, path->string);
}

static const cJSON *codes_of(const cJSON *response)
{
    static const char *const way[] = {"content", "application/problem+json", "schema", "allOf"};
    for (size_t i = 0; i < sizeof way / sizeof *way; i++)
        response = cJSON_GetObjectItemCaseSensitive(response, way[i]);
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(response, 1), "properties");
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(properties, "code"), "enum");
}

static const cJSON *responses_of(const cJSON *document)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(document, "components"),
                                            "responses");
}

static const cJSON *find_response(const cJSON *document, const char *code)
{
    const cJSON *response, *said;
    cJSON_ArrayForEach(response, responses_of(document)) cJSON_ArrayForEach(
        said, codes_of(response)) if (strcmp(said->valuestring, code) == 0) return response;
    return NULL;
}

static void test_every_problem_is_described(void **state)
{
    for (enum problem problem = PROBLEM_NONE + 1; problem < PROBLEM_COUNT; problem++)
        if (!find_response(*state, problem_code(problem)))
            fail_msg("the problem %s is not described", problem_code(problem));
}

// The status that a problem has is the one under which an operation names its response; "malformed_request"
// is the HTTP server's own.
static void test_problems_have_their_status(void **state)
{
    static const char reference[] = "#/components/responses/";
    const cJSON *path, *operation, *response, *code;
    int seen = 0;
    cJSON_ArrayForEach(path, cJSON_GetObjectItemCaseSensitive(*state, "paths"))
        cJSON_ArrayForEach(operation, path)
            cJSON_ArrayForEach(response, cJSON_GetObjectItemCaseSensitive(operation, "responses"))
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(response, "$ref"));
        if (!name)
            continue;
        const cJSON *named =
            cJSON_GetObjectItemCaseSensitive(responses_of(*state), name + sizeof reference - 1);
        assert_non_null(codes_of(named));
        cJSON_ArrayForEach(code, codes_of(named))
        {
            unsigned status = strcmp(code->valuestring, "malformed_request") == 0
                                  ? 400
                                  : problem_status(problem_of_code(code->valuestring));
            if (atoi(response->string) != (int)status)
                fail_msg("%s is described under %s", code->valuestring, response->string);
            seen++;
        }
    }
    assert_in_range(seen, PROBLEM_COUNT, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_is_described),
        cmocka_unit_test(test_every_description_is_served),
        cmocka_unit_test(test_every_problem_is_described),
        cmocka_unit_test(test_problems_have_their_status),
    };
    return cmocka_run_group_tests(tests, read_document, free_document);
}
