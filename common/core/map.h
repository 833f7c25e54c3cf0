/* A hash map from keys of one fixed size (ids, mostly) to numbers or pointers.
 *
 * Entries lie densely in the order in which their keys were added; a table of open addressing
 * beside them holds where each key's entry is. So the order of iteration depends on what was done
 * and never on the seed: a run can be repeated. An erased entry stays as a gap until the next
 * rebuild, and a table slot that leads to a gap is the tombstone.
 *
 * Invariants: count <= used <= capacity; table_size >= 2 * capacity, a power of two; every live
 * entry is reached from its hash without crossing an empty slot; no entry before `oldest` is live.
 * Not thread-safe. Pointers that are stored stay the caller's. */
#ifndef LEAT_CORE_MAP_H
#define LEAT_CORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/hash.h"

#define LEAT_MAP_KEY_BYTES_MAX 256
#define LEAT_MAP_ENTRIES_MAX   (UINT32_C(1) << 30)

struct leat_map {
    struct leat_hash_key hash_key;
    struct leat_hash_words_key words_key; /* for keys that are ids */
    uint8_t *entries;                     /* owned; `capacity` of them, entry_bytes each */
    uint64_t *table;                      /* owned; 0: empty, else hash and entry number */
    size_t key_bytes;
    size_t entry_bytes;
    size_t capacity;
    size_t table_size;
    size_t used;   /* entries taken, gaps included */
    size_t oldest; /* where the first live entry is looked for */
    size_t count;  /* keys in the map */
    uint64_t rebuilds;
};

/* Caller's storage; allocates nothing yet. Keys of 1 to LEAT_MAP_KEY_BYTES_MAX bytes. The seed
 * should be unknown to peers: draw it from the core's generator. */
void leat_map_init(struct leat_map *map, size_t key_bytes, uint64_t seed);
void leat_map_fini(struct leat_map *map);
/* Forgets all keys, keeps the memory. */
void leat_map_clear(struct leat_map *map);

/* Adds the key or replaces its value. LEAT_ERR_MEMORY: nothing has changed (never for a key that is
 * in the map). */
LEAT_MUST_USE enum leat_err leat_map_put(struct leat_map *map, const void *key, uint64_t value);
/* False: the key is not in the map, *ret_value is untouched. ret_value may be NULL. */
bool leat_map_get(const struct leat_map *map, const void *key, uint64_t *ret_value);
/* Same, and the key is no longer in the map. */
bool leat_map_erase(struct leat_map *map, const void *key, uint64_t *ret_value);

/* The key will be looked for soon: what that needs of the table comes from memory meanwhile. */
void leat_map_prefetch(const struct leat_map *map, const void *key);

/* The same for pointers; a value that is stored so must not be NULL, NULL means not in the map. */
LEAT_MUST_USE enum leat_err leat_map_put_pointer(struct leat_map *map, const void *key,
                                                 void *value);
void *leat_map_get_pointer(const struct leat_map *map, const void *key);
void *leat_map_erase_pointer(struct leat_map *map, const void *key);

/* Iteration in the order of adding, oldest first:
 *     struct leat_map_cursor at = {0};
 *     while (leat_map_next(&map, &at)) { ... at.key, at.value, leat_map_pointer(&at) ... }
 * Between two calls any keys may be erased and values of keys that are there replaced; adding a key
 * is our bug and caught when it moved the entries. */
struct leat_map_cursor {
    const void *key; /* valid until a key is added or the map is cleared */
    uint64_t value;
    size_t next;
    uint64_t rebuilds;
};

bool leat_map_next(const struct leat_map *map, struct leat_map_cursor *cursor);

static inline void *leat_map_pointer(const struct leat_map_cursor *cursor)
{
    return (void *)(uintptr_t)cursor->value;
}

#endif
