#include "core/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

#define BLOCK_BYTES_FIRST ((size_t)16 << 10)
#define BLOCK_BYTES_MAX   ((size_t)1 << 20) /* a bigger one is made for one piece, and not kept */
#define ALIGNMENT         _Alignof(max_align_t)

struct leat_arena_block {
    struct leat_arena_block *next;
    size_t size; /* of bytes */
    size_t used;
    _Alignas(max_align_t) uint8_t bytes[];
};

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
/* Whoever still reads what was cleared is found at once. */
#define POISON(bytes, size)   ASAN_POISON_MEMORY_REGION(bytes, size)
#define UNPOISON(bytes, size) ASAN_UNPOISON_MEMORY_REGION(bytes, size)
#else
#define POISON(bytes, size)   ((void)(bytes), (void)(size))
#define UNPOISON(bytes, size) ((void)(bytes), (void)(size))
#endif

static size_t align_up(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static void free_block(struct leat_arena_block *block)
{
    if (block != NULL) {
        UNPOISON(block->bytes, block->size);
        free(block);
    }
}

void leat_arena_init(struct leat_arena *arena, size_t limit_bytes)
{
    LEAT_ASSERT(limit_bytes <= SIZE_MAX / 2);
    *arena = (struct leat_arena){.limit_bytes = limit_bytes};
}

void leat_arena_fini(struct leat_arena *arena)
{
    struct leat_arena_block *block = arena->first;
    while (block != NULL) {
        struct leat_arena_block *next = block->next;
        free_block(block);
        block = next;
    }
    leat_arena_init(arena, arena->limit_bytes);
}

void leat_arena_clear(struct leat_arena *arena)
{
    /* Of several blocks the biggest that is no oversize stays: after a few rounds one block holds
     * all that a round needs. */
    struct leat_arena_block *kept = NULL;
    struct leat_arena_block *block = arena->first;
    while (block != NULL) {
        struct leat_arena_block *next = block->next;
        if (block->size <= BLOCK_BYTES_MAX && (kept == NULL || block->size > kept->size)) {
            free_block(kept);
            kept = block;
        } else {
            free_block(block);
        }
        block = next;
    }
    if (kept != NULL) {
        kept->next = NULL;
        POISON(kept->bytes, kept->used); /* the rest of it is so already */
        kept->used = 0;
    }
    arena->first = kept;
    arena->last = kept;
    arena->used_bytes = 0;
}

static struct leat_arena_block *add_block(struct leat_arena *arena, size_t at_least)
{
    size_t size = BLOCK_BYTES_FIRST;
    if (arena->last != NULL && arena->last->size >= size) {
        size = arena->last->size * 2;
    }
    size = size > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : size;
    size = size < at_least ? at_least : size;
    struct leat_arena_block *block = malloc(sizeof(*block) + size);
    if (block == NULL) {
        return NULL;
    }
    *block = (struct leat_arena_block){.size = size};
    POISON(block->bytes, block->size);
    if (arena->last == NULL) {
        arena->first = block;
    } else {
        arena->last->next = block;
    }
    arena->last = block;
    return block;
}

void *leat_arena_take_unset(struct leat_arena *arena, size_t size)
{
    if (size == 0) {
        return arena; /* valid, never read */
    }
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    /* Every piece counts with its padding, so that many small ones cannot pass the limit. */
    size_t step = align_up(size);
    if (step > align_up(arena->limit_bytes) - arena->used_bytes) {
        return NULL;
    }
    struct leat_arena_block *block = arena->last;
    if (block == NULL || block->size - block->used < step) {
        block = add_block(arena, step);
        if (block == NULL) {
            return NULL;
        }
    }
    uint8_t *bytes = block->bytes + block->used;
    block->used += step;
    arena->used_bytes += step;
    UNPOISON(bytes, size);
    return bytes;
}

void *leat_arena_take(struct leat_arena *arena, size_t size)
{
    void *bytes = leat_arena_take_unset(arena, size);
    if (bytes != NULL && size > 0) {
        memset(bytes, 0, size);
    }
    return bytes;
}

struct leat_bytes leat_arena_copy(struct leat_arena *arena, struct leat_bytes bytes)
{
    void *copy = leat_arena_take_unset(arena, bytes.size);
    if (copy != NULL && bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return leat_bytes_of(copy, bytes.size);
}

struct leat_str leat_arena_copy_str(struct leat_arena *arena, struct leat_str text)
{
    struct leat_bytes copy = leat_arena_copy(arena, leat_bytes_of(text.data, text.size));
    return (struct leat_str){(const char *)copy.data, copy.size};
}

__attribute__((format(printf, 2, 0))) static struct leat_str
format_into(struct leat_arena *arena, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    /* One byte more for the zero that vsnprintf writes. */
    char *text = size < 0 ? NULL : leat_arena_take_unset(arena, (size_t)size + 1);
    if (text == NULL) {
        return (struct leat_str){0};
    }
    vsnprintf(text, (size_t)size + 1, format, args);
    return (struct leat_str){text, (size_t)size};
}

struct leat_str leat_arena_format(struct leat_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct leat_str text = format_into(arena, format, args);
    va_end(args);
    return text;
}
