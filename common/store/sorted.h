/* An ordered map of byte keys to byte values or tombstones, in memory: the writes of a batch that
 * are not on disk yet, and the whole content of the memory store.
 *
 * A B+ tree. A node keeps the first sixteen bytes of each key as numbers, so that most comparisons
 * touch nothing else. A key beyond the last one goes straight to the last leaf (queues are written
 * so); a leaf that becomes empty is freed and never merged with a neighbour, which keeps deletes
 * simple and costs little when, as in a queue, deletes come in runs.
 *
 * All memory comes from a slab, which several maps may share; dropping the slab drops the maps.
 * Not thread-safe; many threads may read while none writes.
 */
#ifndef LEAT_STORE_SORTED_H
#define LEAT_STORE_SORTED_H

#include "core/view.h"
#include "store/slab.h"

struct leat_sorted_node;
struct leat_sorted_leaf;

struct leat_sorted {
    struct leat_slab *slab;        /* borrowed */
    struct leat_sorted_node *root; /* NULL when empty */
    struct leat_sorted_leaf *last; /* NULL when empty */
    struct leat_sorted_leaf *run;  /* the latest key below others went to its end; NULL: to none */
    size_t count;                  /* entries, tombstones included */
    unsigned height;               /* levels above the leaves */
};

struct leat_sorted_entry {
    struct leat_bytes key;
    struct leat_bytes value; /* empty for a tombstone */
    bool is_tombstone;
    bool is_new; /* of an entry that goes in: see leat_sorted_add */
};

/* A place in the map; any put or erase makes it invalid. */
struct leat_sorted_cursor {
    const struct leat_sorted_leaf *leaf;
    size_t index;
};

/* Caller's storage. Also how to empty a map whose slab has been reset. */
void leat_sorted_init(struct leat_sorted *sorted, struct leat_slab *slab);

/* Key 1 to 255 bytes. Copies; replaces what the key had. Key and value may point into the map
 * itself. A value whose data is NULL gets its place, for the caller to fill. */
void leat_sorted_put(struct leat_sorted *sorted, struct leat_bytes key, struct leat_bytes value);
/* As put, for a key that nothing below this map has: leat_sorted_del then takes the entry away
 * again without a trace. That holds until the entry has been a tombstone. */
void leat_sorted_add(struct leat_sorted *sorted, struct leat_bytes key, struct leat_bytes value);
/* A tombstone, or nothing if the entry was added. */
void leat_sorted_del(struct leat_sorted *sorted, struct leat_bytes key);
void leat_sorted_put_tombstone(struct leat_sorted *sorted, struct leat_bytes key);
/* From now on what was added counts as put. */
void leat_sorted_forget_new(struct leat_sorted *sorted);
/* Removes the entry itself; whether there was one. */
bool leat_sorted_erase(struct leat_sorted *sorted, struct leat_bytes key);

/* Whether the key has an entry, and which. Borrowed until the key is written again. */
bool leat_sorted_find(const struct leat_sorted *sorted, struct leat_bytes key,
                      struct leat_sorted_entry *ret_entry);

/* The entry of a key that is there and has a value of more than LEAT_SLAB_SMALL_BYTES_MAX, and the
 * slab's piece that it lies in: it is never changed, and stays as long as somebody holds it. */
void *leat_sorted_piece(const struct leat_sorted *sorted, struct leat_bytes key,
                        struct leat_sorted_entry *ret_entry);

/* The entry with the greatest key; false when the map is empty. */
bool leat_sorted_last(const struct leat_sorted *sorted, struct leat_sorted_entry *ret_entry);

/* The place of the first key >= from (empty: of the first key). */
struct leat_sorted_cursor leat_sorted_seek(const struct leat_sorted *sorted,
                                           struct leat_bytes from);
/* The entry at a place; false at the end. */
bool leat_sorted_at(const struct leat_sorted_cursor *cursor, struct leat_sorted_entry *ret_entry);
void leat_sorted_next(struct leat_sorted_cursor *cursor);

/* The order of keys: as memcmp, shorter first. */
int leat_sorted_compare(struct leat_bytes a, struct leat_bytes b);

#endif
