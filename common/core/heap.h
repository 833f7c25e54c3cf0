/* A binary heap of elements that know their place in it, so that any of them can be removed or
 * moved in O(log n): deadlines, delays. Elements with equal keys come out in the order of adding.
 *
 * Invariants: nodes[i]->place == i + 1; no node comes before its parent. An element is owned by
 * whoever made it and must leave the heap before it is freed. Not thread-safe. */
#ifndef LEAT_CORE_HEAP_H
#define LEAT_CORE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/container.h"
#include "core/err.h"
#include "core/instant.h"

/* Lives in the element; zeroed memory is a valid start. The heap writes it, others read key. */
struct leat_heap_node {
    int64_t key;
    uint64_t sequence;
    size_t place; /* 0: in no heap */
};

struct leat_heap {
    struct leat_heap_node **nodes; /* owned */
    size_t count;
    size_t capacity;
    uint64_t next_sequence;
};

void leat_heap_init(struct leat_heap *heap);
/* Elements that are still in it keep a stale place; do not use them again. */
void leat_heap_fini(struct leat_heap *heap);
/* Room for `count` elements in all, so that leat_heap_add cannot fail until then. */
LEAT_MUST_USE enum leat_err leat_heap_reserve(struct leat_heap *heap, size_t count);

static inline bool leat_heap_is_in(const struct leat_heap_node *node)
{
    return node->place != 0;
}

/* `node` must be in no heap. LEAT_ERR_MEMORY: nothing has changed. */
LEAT_MUST_USE enum leat_err leat_heap_add(struct leat_heap *heap, struct leat_heap_node *node,
                                          int64_t key);
/* Gives `node`, which must be in this heap, another key. It counts as added now. */
void leat_heap_move(struct leat_heap *heap, struct leat_heap_node *node, int64_t key);
/* Takes `node` out, wherever it stands; nothing happens when it is in no heap. */
void leat_heap_remove(struct leat_heap *heap, struct leat_heap_node *node);

/* The element with the smallest key, which stays; NULL when empty. */
static inline struct leat_heap_node *leat_heap_first(const struct leat_heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}

/* Its key; LEAT_NEVER_US when empty, so that it can serve as a deadline. */
static inline int64_t leat_heap_first_key(const struct leat_heap *heap)
{
    return heap->count == 0 ? LEAT_NEVER_US : heap->nodes[0]->key;
}

/* Takes out the first element if its key is `until` or less; else NULL. */
struct leat_heap_node *leat_heap_take_until(struct leat_heap *heap, int64_t until);

#endif
