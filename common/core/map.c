#include "core/map.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

#define CAPACITY_FIRST ((size_t)16)
#define ID_BYTES       ((size_t)16)

/* An entry, followed by its key. */
struct entry {
    uint64_t value;
    uint32_t hash; /* the upper half of the key's hash */
    uint32_t is_live;
    uint8_t key[];
};

/* A slot of the table: the hash above, the entry's number + 1 below; 0 is empty. */
static uint64_t slot_of(uint32_t hash, size_t index)
{
    return (uint64_t)hash << 32 | (uint64_t)(index + 1);
}

static struct entry *entry_at(const struct leat_map *map, size_t index)
{
    return (struct entry *)(void *)(map->entries + index * map->entry_bytes);
}

static uint32_t hash_of(const struct leat_map *map, const void *key)
{
    if (map->key_bytes == ID_BYTES) {
        return leat_hash_words(&map->words_key, key, ID_BYTES);
    }
    return (uint32_t)(leat_hash_bytes(map->hash_key, key, map->key_bytes) >> 32);
}

void leat_map_init(struct leat_map *map, size_t key_bytes, uint64_t seed)
{
    LEAT_ASSERT(key_bytes >= 1 && key_bytes <= LEAT_MAP_KEY_BYTES_MAX);
    *map = (struct leat_map){
        .hash_key = leat_hash_key_of(seed),
        .words_key = leat_hash_words_key_of(seed),
        .key_bytes = key_bytes,
        .entry_bytes = (sizeof(struct entry) + key_bytes + 7) & ~(size_t)7,
    };
}

void leat_map_fini(struct leat_map *map)
{
    free(map->entries);
    free(map->table);
    *map = (struct leat_map){.key_bytes = map->key_bytes};
}

void leat_map_clear(struct leat_map *map)
{
    if (map->table != NULL) {
        memset(map->table, 0, map->table_size * sizeof(*map->table));
    }
    map->used = 0;
    map->oldest = 0;
    map->count = 0;
    map->rebuilds++;
}

/* Mostly ids: without a call, then. */
static inline bool is_key(const struct leat_map *map, const struct entry *entry, const void *key)
{
    return map->key_bytes == ID_BYTES ? memcmp(entry->key, key, ID_BYTES) == 0
                                      : memcmp(entry->key, key, map->key_bytes) == 0;
}

/* The entry of the key; NULL when there is none. */
static struct entry *find(const struct leat_map *map, const void *key, uint32_t hash)
{
    if (map->count == 0) {
        return NULL;
    }
    size_t mask = map->table_size - 1;
    for (size_t at = hash & mask; map->table[at] != 0; at = (at + 1) & mask) {
        if ((uint32_t)(map->table[at] >> 32) != hash) {
            continue;
        }
        struct entry *entry = entry_at(map, (uint32_t)map->table[at] - 1);
        if (entry->is_live && is_key(map, entry, key)) {
            return entry;
        }
    }
    return NULL;
}

void leat_map_prefetch(const struct leat_map *map, const void *key)
{
    if (map->count > 0) {
        __builtin_prefetch(&map->table[hash_of(map, key) & (map->table_size - 1)]);
    }
}

static void link_entry(struct leat_map *map, uint32_t hash, size_t index)
{
    size_t mask = map->table_size - 1;
    size_t at = hash & mask;
    while (map->table[at] != 0) {
        at = (at + 1) & mask;
    }
    map->table[at] = slot_of(hash, index);
}

/* Moves the live entries together and makes the table anew, which ends all gaps and tombstones. */
static void compact(struct leat_map *map)
{
    size_t live = 0;
    memset(map->table, 0, map->table_size * sizeof(*map->table));
    for (size_t i = map->oldest; i < map->used; i++) {
        struct entry *entry = entry_at(map, i);
        if (!entry->is_live) {
            continue;
        }
        link_entry(map, entry->hash, live);
        if (i != live) {
            memcpy(entry_at(map, live), entry, map->entry_bytes);
        }
        live++;
    }
    LEAT_ASSERT(live == map->count);
    map->used = live;
    map->oldest = 0;
    map->rebuilds++;
}

/* Another capacity, at least as large as what is in use after compaction. */
static enum leat_err resize(struct leat_map *map, size_t capacity)
{
    if (capacity > LEAT_MAP_ENTRIES_MAX) {
        return LEAT_ERR_MEMORY;
    }
    uint64_t *table = calloc(capacity * 2, sizeof(*table));
    uint8_t *entries = table == NULL ? NULL : reallocarray(NULL, capacity, map->entry_bytes);
    if (entries == NULL) {
        free(table);
        return LEAT_ERR_MEMORY;
    }
    struct leat_map old = *map;
    map->table = table;
    map->table_size = capacity * 2;
    map->entries = entries;
    map->capacity = capacity;
    size_t live = 0;
    for (size_t i = old.oldest; i < old.used; i++) {
        const struct entry *entry = entry_at(&old, i);
        if (entry->is_live) {
            memcpy(entry_at(map, live), entry, map->entry_bytes);
            link_entry(map, entry->hash, live);
            live++;
        }
    }
    LEAT_ASSERT(live == map->count);
    map->used = live;
    map->oldest = 0;
    map->rebuilds++;
    free(old.entries);
    free(old.table);
    return LEAT_OK;
}

/* Makes room for one entry. Half of the capacity at least is free afterwards, or was erased since
 * the last time, so the work is O(1) per change on average. */
static enum leat_err make_room(struct leat_map *map)
{
    if (map->used < map->capacity) {
        return LEAT_OK;
    }
    if (map->capacity == 0 || map->count > map->capacity / 2) {
        return resize(map, map->capacity == 0 ? CAPACITY_FIRST : map->capacity * 2);
    }
    if (map->capacity > CAPACITY_FIRST && map->count < map->capacity / 8 &&
        resize(map, map->capacity / 2) == LEAT_OK) {
        return LEAT_OK;
    }
    compact(map);
    return LEAT_OK;
}

enum leat_err leat_map_put(struct leat_map *map, const void *key, uint64_t value)
{
    uint32_t hash = hash_of(map, key);
    struct entry *entry = find(map, key, hash);
    if (entry != NULL) {
        entry->value = value;
        return LEAT_OK;
    }
    enum leat_err err = make_room(map);
    if (err != LEAT_OK) {
        return err;
    }
    entry = entry_at(map, map->used);
    entry->value = value;
    entry->hash = hash;
    entry->is_live = 1;
    memcpy(entry->key, key, map->key_bytes);
    link_entry(map, hash, map->used);
    map->used++;
    map->count++;
    return LEAT_OK;
}

bool leat_map_get(const struct leat_map *map, const void *key, uint64_t *ret_value)
{
    const struct entry *entry = find(map, key, hash_of(map, key));
    if (entry == NULL) {
        return false;
    }
    if (ret_value != NULL) {
        *ret_value = entry->value;
    }
    return true;
}

bool leat_map_erase(struct leat_map *map, const void *key, uint64_t *ret_value)
{
    struct entry *entry = find(map, key, hash_of(map, key));
    if (entry == NULL) {
        return false;
    }
    if (ret_value != NULL) {
        *ret_value = entry->value;
    }
    entry->is_live = 0;
    map->count--;
    /* A map used as a queue would else look over all gaps again and again. */
    while (map->oldest < map->used && !entry_at(map, map->oldest)->is_live) {
        map->oldest++;
    }
    return true;
}

enum leat_err leat_map_put_pointer(struct leat_map *map, const void *key, void *value)
{
    LEAT_ASSERT(value != NULL);
    return leat_map_put(map, key, (uint64_t)(uintptr_t)value);
}

void *leat_map_get_pointer(const struct leat_map *map, const void *key)
{
    uint64_t value = 0;
    leat_map_get(map, key, &value);
    return (void *)(uintptr_t)value;
}

void *leat_map_erase_pointer(struct leat_map *map, const void *key)
{
    uint64_t value = 0;
    leat_map_erase(map, key, &value);
    return (void *)(uintptr_t)value;
}

bool leat_map_next(const struct leat_map *map, struct leat_map_cursor *cursor)
{
    if (cursor->key == NULL && cursor->next == 0) {
        cursor->rebuilds = map->rebuilds;
        cursor->next = map->oldest;
    }
    LEAT_ASSERT(cursor->rebuilds == map->rebuilds);
    while (cursor->next < map->used) {
        const struct entry *entry = entry_at(map, cursor->next++);
        if (entry->is_live) {
            cursor->key = entry->key;
            cursor->value = entry->value;
            return true;
        }
    }
    return false;
}
