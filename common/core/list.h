/* An intrusive, doubly linked list: the link sits in the element, so that adding needs no memory
 * and an element leaves its list in O(1) without a search.
 *
 * A list is a ring of links with the list's own link as the start. An element owns nothing and is
 * owned by whoever made it; it must leave the list before it is freed. One link, one list at a
 * time. */
#ifndef LEAT_CORE_LIST_H
#define LEAT_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "core/check.h"
#include "core/container.h"

struct leat_list_node {
    struct leat_list_node *next; /* NULL: in no list */
    struct leat_list_node *prev;
};

struct leat_list {
    struct leat_list_node ring; /* ring.next is the first element, ring.prev the last */
    size_t count;
};

/* The list may not be moved in memory after init while it has elements. */
static inline void leat_list_init(struct leat_list *list)
{
    list->ring.next = &list->ring;
    list->ring.prev = &list->ring;
    list->count = 0;
}

/* For elements whose memory is not zeroed. */
static inline void leat_list_init_node(struct leat_list_node *node)
{
    node->next = NULL;
    node->prev = NULL;
}

static inline bool leat_list_is_linked(const struct leat_list_node *node)
{
    return node->next != NULL;
}

static inline bool leat_list_is_empty(const struct leat_list *list)
{
    return list->ring.next == &list->ring;
}

/* Puts `node`, which is in no list, before `where`: a member of `list`, or &list->ring for the end.
 */
static inline void leat_list_insert_before(struct leat_list *list, struct leat_list_node *where,
                                           struct leat_list_node *node)
{
    LEAT_ASSERT(!leat_list_is_linked(node));
    node->prev = where->prev;
    node->next = where;
    where->prev->next = node;
    where->prev = node;
    list->count++;
}

static inline void leat_list_push_back(struct leat_list *list, struct leat_list_node *node)
{
    leat_list_insert_before(list, &list->ring, node);
}

static inline void leat_list_push_front(struct leat_list *list, struct leat_list_node *node)
{
    leat_list_insert_before(list, list->ring.next, node);
}

/* `node` must be in this list. */
static inline void leat_list_remove(struct leat_list *list, struct leat_list_node *node)
{
    LEAT_ASSERT(leat_list_is_linked(node) && list->count > 0);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    leat_list_init_node(node);
    list->count--;
}

/* `node` is in this list. */
static inline void leat_list_move_to_back(struct leat_list *list, struct leat_list_node *node)
{
    leat_list_remove(list, node);
    leat_list_push_back(list, node);
}

/* First, last, and what follows; NULL when there is none. */
static inline struct leat_list_node *leat_list_first(const struct leat_list *list)
{
    return leat_list_is_empty(list) ? NULL : list->ring.next;
}

static inline struct leat_list_node *leat_list_last(const struct leat_list *list)
{
    return leat_list_is_empty(list) ? NULL : list->ring.prev;
}

static inline struct leat_list_node *leat_list_next(const struct leat_list *list,
                                                    const struct leat_list_node *node)
{
    return node->next == &list->ring ? NULL : node->next;
}

/* Takes the first element out; NULL when the list is empty. */
static inline struct leat_list_node *leat_list_pop_front(struct leat_list *list)
{
    struct leat_list_node *node = leat_list_first(list);
    if (node != NULL) {
        leat_list_remove(list, node);
    }
    return node;
}

/* Runs over all elements; the body may remove `node` (only). `after` is a second variable of the
 * same type that the loop needs for itself. */
#define LEAT_LIST_FOR_EACH(list, node, after)                                                      \
    for ((node) = (list)->ring.next, (after) = (node)->next; (node) != &(list)->ring;              \
         (node) = (after), (after) = (node)->next)

#endif
