/* Memory that is freed all at once: what one step emits, what one message was decoded into.
 *
 * An arena grows by blocks up to `limit_bytes` (each piece counts with its padding to the
 * alignment) and keeps its biggest block, at most 1 MiB, when it is cleared, so that the steady
 * state allocates nothing. Not thread-safe. Under AddressSanitizer, reading what was cleared is
 * reported. */
#ifndef LEAT_CORE_ARENA_H
#define LEAT_CORE_ARENA_H

#include <stddef.h>

#include "core/view.h"

struct leat_arena_block;

struct leat_arena {
    struct leat_arena_block *first; /* owned */
    struct leat_arena_block *last;
    size_t used_bytes;
    size_t limit_bytes;
};

/* Caller's storage. Allocates nothing yet. limit_bytes at most SIZE_MAX / 2. */
void leat_arena_init(struct leat_arena *arena, size_t limit_bytes);
void leat_arena_fini(struct leat_arena *arena);
/* Everything that was taken becomes invalid. */
void leat_arena_clear(struct leat_arena *arena);
/* `size` zeroed bytes, aligned for any object, valid until clear or fini. NULL when the limit is
 * reached or memory is out; size 0 gives a valid pointer that must not be read. */
void *leat_arena_take(struct leat_arena *arena, size_t size);
/* The same without zeroing, for what the caller writes whole. */
void *leat_arena_take_unset(struct leat_arena *arena, size_t size);
/* Copies. On failure data is NULL and size is what was asked for. */
struct leat_bytes leat_arena_copy(struct leat_arena *arena, struct leat_bytes bytes);
struct leat_str leat_arena_copy_str(struct leat_arena *arena, struct leat_str text);
/* printf into the arena; empty on failure. */
struct leat_str leat_arena_format(struct leat_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
