// memory.c: checked allocation and arenas.
#include "common/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK_SIZE = 16 * 1024, ARENA_ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *next;
    size_t used;
    size_t size;
    _Alignas(ARENA_ALIGNMENT) unsigned char data[];
};

static void *check(void *memory)
{
    if (!memory) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *memory_alloc(size_t size)
{
    return check(calloc(1, size ? size : 1));
}

void *memory_realloc(void *old, size_t size)
{
    return check(realloc(old, size ? size : 1));
}

void *memory_try_alloc(size_t size)
{
    return malloc(size ? size : 1);
}

char *memory_strdup(const char *text)
{
    return check(strdup(text));
}

char *memory_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return check(length < 0 ? NULL : text);
}

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    size_t capacity = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
    struct arena_block *block = memory_try_alloc(sizeof *block + capacity);
    if (!block)
        return NULL;
    block->used = 0;
    block->size = capacity;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > arena->limit - arena->used)
        return NULL;
    size_t rounded = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    struct arena_block *block = arena->blocks;
    if (!block || block->size - block->used < rounded)
        block = add_block(arena, rounded);
    if (!block)
        return NULL;
    void *piece = block->data + block->used;
    block->used += rounded;
    arena->used += size;
    return memset(piece, 0, rounded);
}

void *arena_copy(struct arena *arena, const void *bytes, size_t size)
{
    void *piece = arena_alloc(arena, size);
    return piece && size ? memcpy(piece, bytes, size) : piece;
}

void arena_release(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    arena->used = 0;
}
