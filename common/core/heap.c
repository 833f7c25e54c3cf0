#include "core/heap.h"

#include <stdlib.h>

#include "core/check.h"

#define CAPACITY_FIRST 32
#define ELEMENTS_MAX   (SIZE_MAX / 4 / sizeof(struct leat_heap_node *)) /* twice that still fits */

void leat_heap_init(struct leat_heap *heap)
{
    *heap = (struct leat_heap){0};
}

void leat_heap_fini(struct leat_heap *heap)
{
    free(heap->nodes);
    leat_heap_init(heap);
}

enum leat_err leat_heap_reserve(struct leat_heap *heap, size_t count)
{
    if (count <= heap->capacity) {
        return LEAT_OK;
    }
    if (count > ELEMENTS_MAX) {
        return LEAT_ERR_MEMORY;
    }
    size_t capacity = heap->capacity == 0 ? CAPACITY_FIRST : heap->capacity * 2;
    capacity = capacity < count ? count : capacity;
    struct leat_heap_node **nodes = realloc(heap->nodes, capacity * sizeof(nodes[0]));
    if (nodes == NULL) {
        return LEAT_ERR_MEMORY;
    }
    heap->nodes = nodes;
    heap->capacity = capacity;
    return LEAT_OK;
}

static bool comes_before(const struct leat_heap_node *a, const struct leat_heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

static void set(struct leat_heap *heap, size_t index, struct leat_heap_node *node)
{
    heap->nodes[index] = node;
    node->place = index + 1;
}

/* Brings the node at `index` to where it belongs towards the root. */
static void sift_up(struct leat_heap *heap, size_t index)
{
    struct leat_heap_node *node = heap->nodes[index];
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!comes_before(node, heap->nodes[parent])) {
            break;
        }
        set(heap, index, heap->nodes[parent]);
        index = parent;
    }
    set(heap, index, node);
}

static void sift_down(struct leat_heap *heap, size_t index)
{
    struct leat_heap_node *node = heap->nodes[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= heap->count) {
            break;
        }
        if (child + 1 < heap->count && comes_before(heap->nodes[child + 1], heap->nodes[child])) {
            child++;
        }
        if (!comes_before(heap->nodes[child], node)) {
            break;
        }
        set(heap, index, heap->nodes[child]);
        index = child;
    }
    set(heap, index, node);
}

static void settle(struct leat_heap *heap, size_t index)
{
    struct leat_heap_node *node = heap->nodes[index];
    sift_up(heap, index);
    sift_down(heap, node->place - 1);
}

static size_t index_of(const struct leat_heap *heap, const struct leat_heap_node *node)
{
    LEAT_ASSERT(node->place >= 1 && node->place <= heap->count);
    LEAT_ASSERT(heap->nodes[node->place - 1] == node);
    return node->place - 1;
}

enum leat_err leat_heap_add(struct leat_heap *heap, struct leat_heap_node *node, int64_t key)
{
    LEAT_ASSERT(!leat_heap_is_in(node));
    enum leat_err err = leat_heap_reserve(heap, heap->count + 1);
    if (err != LEAT_OK) {
        return err;
    }
    node->key = key;
    node->sequence = heap->next_sequence++;
    heap->nodes[heap->count++] = node;
    sift_up(heap, heap->count - 1);
    return LEAT_OK;
}

void leat_heap_move(struct leat_heap *heap, struct leat_heap_node *node, int64_t key)
{
    size_t index = index_of(heap, node);
    node->key = key;
    node->sequence = heap->next_sequence++;
    settle(heap, index);
}

void leat_heap_remove(struct leat_heap *heap, struct leat_heap_node *node)
{
    if (!leat_heap_is_in(node)) {
        return;
    }
    size_t index = index_of(heap, node);
    struct leat_heap_node *last = heap->nodes[--heap->count];
    if (last != node) {
        set(heap, index, last);
        settle(heap, index);
    }
    node->place = 0;
}

struct leat_heap_node *leat_heap_take_until(struct leat_heap *heap, int64_t until)
{
    struct leat_heap_node *first = leat_heap_first(heap);
    if (first == NULL || first->key > until) {
        return NULL;
    }
    leat_heap_remove(heap, first);
    return first;
}
