// kafka_frames.c: frames to and from sockets, and the fields of a request header.
#include "tests/support/kafka_frames.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LENGTH_SIZE = 4, HEADER_SIZE = LENGTH_SIZE + 2 + 2 + 4 + 2, END_TXN = 26, END_TXN_FLEXIBLE = 3 };

static const struct {
    int key;
    const char *name;
} apis[] = {
    {0, "Produce"},          {1, "Fetch"},         {2, "ListOffsets"},      {3, "Metadata"},
    {8, "OffsetCommit"},     {9, "OffsetFetch"},   {10, "FindCoordinator"}, {11, "JoinGroup"},
    {12, "Heartbeat"},       {13, "LeaveGroup"},   {14, "SyncGroup"},       {17, "SaslHandshake"},
    {18, "ApiVersions"},     {19, "CreateTopics"}, {22, "InitProducerId"},  {24, "AddPartitionsToTxn"},
    {25, "AddOffsetsToTxn"}, {END_TXN, "EndTxn"},  {28, "TxnOffsetCommit"},
};
enum { API_COUNT = sizeof apis / sizeof *apis };

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static int read_i16(const uint8_t *bytes)
{
    return (int16_t)(bytes[0] << 8 | bytes[1]);
}

static bool read_all(int socket, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = recv(socket, bytes, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        bytes += got;
        size -= (size_t)got;
    }
    return true;
}

static void reserve(struct kafka_frame *frame, size_t size)
{
    if (size <= frame->capacity)
        return;
    frame->data = realloc(frame->data, size);
    if (!frame->data)
        abort();
    frame->capacity = size;
}

bool kafka_frame_read(int socket, struct kafka_frame *frame)
{
    reserve(frame, LENGTH_SIZE);
    if (!read_all(socket, frame->data, LENGTH_SIZE))
        return false;
    uint32_t length = read_u32(frame->data);
    if (length > KAFKA_FRAME_MAX)
        return false;
    frame->size = LENGTH_SIZE + (size_t)length;
    reserve(frame, frame->size);
    return read_all(socket, frame->data + LENGTH_SIZE, length);
}

bool kafka_frame_write(int socket, const struct kafka_frame *frame)
{
    for (size_t sent = 0; sent < frame->size;) {
        ssize_t done = send(socket, frame->data + sent, frame->size - sent, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        sent += (size_t)done;
    }
    return true;
}

void kafka_frame_release(struct kafka_frame *frame)
{
    free(frame->data);
    *frame = (struct kafka_frame){0};
}

static void copy_client(struct kafka_request *request, const uint8_t *text, size_t size)
{
    if (size >= sizeof request->client)
        size = sizeof request->client - 1;
    for (size_t i = 0; i < size; i++)
        request->client[i] = isalnum(text[i]) || strchr("._-", text[i]) ? (char)text[i] : '_';
    request->client[size] = '\0';
}

bool kafka_request_read(const struct kafka_frame *frame, struct kafka_request *request)
{
    *request = (struct kafka_request){0};
    if (frame->size < HEADER_SIZE)
        return false;
    const uint8_t *at = frame->data + LENGTH_SIZE;
    request->api_key = read_i16(at);
    request->api_version = read_i16(at + 2);
    request->correlation = (int32_t)read_u32(at + 4);
    int length = read_i16(at + 8);
    if (length > 0 && (size_t)length <= frame->size - HEADER_SIZE)
        copy_client(request, at + 10, (size_t)length);
    if (request->api_key == END_TXN) {
        // The last field; from version 3 on an empty list of tags follows it.
        size_t behind = request->api_version >= END_TXN_FLEXIBLE ? 2 : 1;
        request->commits = frame->data[frame->size - behind] != 0;
    }
    return true;
}

int64_t kafka_reply_correlation(const struct kafka_frame *frame)
{
    return frame->size < LENGTH_SIZE + 4 ? -1 : (int64_t)(int32_t)read_u32(frame->data + LENGTH_SIZE);
}

const char *kafka_api_name(int api_key, char buffer[16])
{
    for (int i = 0; i < API_COUNT; i++)
        if (apis[i].key == api_key)
            return apis[i].name;
    snprintf(buffer, 16, "api-%d", api_key);
    return buffer;
}

bool kafka_api_matches(const char *name, const struct kafka_request *request)
{
    char buffer[16];
    if (strcmp(name, "*") == 0)
        return true;
    if (request->api_key == END_TXN && strcmp(name, request->commits ? "EndTxnCommit" : "EndTxnAbort") == 0)
        return true;
    return strcmp(name, kafka_api_name(request->api_key, buffer)) == 0;
}

bool kafka_api_known(const char *name)
{
    if (strcmp(name, "*") == 0 || strcmp(name, "EndTxnCommit") == 0 || strcmp(name, "EndTxnAbort") == 0)
        return true;
    for (int i = 0; i < API_COUNT; i++)
        if (strcmp(apis[i].name, name) == 0)
            return true;
    return false;
}
