#include "store/slab.h"

#include <assert.h>
#include <stdlib.h>

#define BLOCK_BYTES_MIN 4096
#define BLOCK_BYTES_MAX (256 << 10)
/* Sizes go by 16 bytes up to FINE_BYTES_MAX, by COARSE_STEP above. */
#define FINE_STEP      16
#define FINE_BYTES_MAX 512
#define FINE_CLASSES   (FINE_BYTES_MAX / FINE_STEP)
#define COARSE_STEP    128

_Static_assert(LEAT_SLAB_CLASSES ==
                   FINE_CLASSES + (LEAT_SLAB_SMALL_BYTES_MAX - FINE_BYTES_MAX) / COARSE_STEP,
               "one list per size");
_Static_assert(LEAT_SLAB_SMALL_BYTES_MAX < BLOCK_BYTES_MIN / 2 + 1, "a piece fits a block");

struct leat_slab_block {
    struct leat_slab_block *next;
    size_t bytes; /* of `data` */
    _Alignas(16) unsigned char data[];
};

struct leat_slab_large {
    struct leat_slab_large *next;
    struct leat_slab_large *previous;
    size_t holders; /* the slab is one, while it is in its list */
    _Alignas(16) unsigned char data[];
};

/* A piece that was given back. That was long ago when it is taken again, so each leads not only to
 * the next but also to the one that is taken AHEAD pieces later, which is asked for in time. */
#define AHEAD 4
struct leat_slab_free {
    struct leat_slab_free *next;
    struct leat_slab_free *ahead; /* NULL: there are not so many */
};
_Static_assert(sizeof(struct leat_slab_free) <= FINE_STEP, "the smallest piece holds it");

/* Which list a small piece belongs to, and how many bytes it really has. */
struct size_class {
    size_t list;
    size_t bytes;
};

static inline struct size_class class_of(size_t size)
{
    assert(size > 0 && size <= LEAT_SLAB_SMALL_BYTES_MAX);
    if (size <= FINE_BYTES_MAX) {
        size_t steps = (size + FINE_STEP - 1) / FINE_STEP;
        return (struct size_class){steps - 1, steps * FINE_STEP};
    }
    size_t steps = (size - FINE_BYTES_MAX + COARSE_STEP - 1) / COARSE_STEP;
    return (struct size_class){FINE_CLASSES + steps - 1, FINE_BYTES_MAX + steps * COARSE_STEP};
}

size_t leat_slab_capacity(size_t size)
{
    return size > LEAT_SLAB_SMALL_BYTES_MAX ? size : class_of(size).bytes;
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

void leat_slab_init(struct leat_slab *slab, size_t keep_bytes)
{
    *slab = (struct leat_slab){.block_bytes = BLOCK_BYTES_MIN, .keep_bytes = keep_bytes};
}

static void free_blocks(struct leat_slab_block **blocks)
{
    while (*blocks != NULL) {
        struct leat_slab_block *next = (*blocks)->next;
        free(*blocks);
        *blocks = next;
    }
}

static void let_go(struct leat_slab_large *large)
{
    if (--large->holders == 0) {
        free(large);
    }
}

static void free_large(struct leat_slab *slab)
{
    while (slab->large != NULL) {
        struct leat_slab_large *next = slab->large->next;
        let_go(slab->large);
        slab->large = next;
    }
}

void leat_slab_fini(struct leat_slab *slab)
{
    free_large(slab);
    free_blocks(&slab->blocks);
    free_blocks(&slab->spare);
    *slab = (struct leat_slab){0};
}

void leat_slab_reset(struct leat_slab *slab)
{
    struct leat_slab fresh;
    leat_slab_init(&fresh, slab->keep_bytes);
    free_large(slab);
    size_t kept_bytes = 0;
    struct leat_slab_block *lists[2] = {slab->blocks, slab->spare};
    for (int i = 0; i < 2; i++) {
        while (lists[i] != NULL) {
            struct leat_slab_block *block = lists[i];
            lists[i] = block->next;
            if (kept_bytes + block->bytes > slab->keep_bytes) {
                free(block);
                continue;
            }
            kept_bytes += block->bytes;
            block->next = fresh.spare;
            fresh.spare = block;
            fresh.block_bytes = slab->block_bytes;
        }
    }
    *slab = fresh;
}

/* Apart from leat_slab_take, which is quick without. */
__attribute__((noinline)) static void add_block(struct leat_slab *slab)
{
    struct leat_slab_block *block = slab->spare;
    if (block != NULL) {
        slab->spare = block->next;
    } else {
        block = allocate(slab->block_bytes);
        block->bytes = slab->block_bytes - sizeof *block;
        if (slab->block_bytes < BLOCK_BYTES_MAX) {
            slab->block_bytes *= 2;
        }
    }
    block->next = slab->blocks;
    slab->blocks = block;
    slab->cut = block->data;
    slab->cut_left = block->bytes;
}

__attribute__((noinline)) static void *take_large(struct leat_slab *slab, size_t size)
{
    struct leat_slab_large *large = allocate(sizeof *large + size);
    large->holders = 1;
    large->previous = NULL;
    large->next = slab->large;
    if (slab->large != NULL) {
        slab->large->previous = large;
    }
    slab->large = large;
    return large->data;
}

void *leat_slab_take(struct leat_slab *slab, size_t size)
{
    if (size > LEAT_SLAB_SMALL_BYTES_MAX) {
        slab->used_bytes += size;
        return take_large(slab, size);
    }
    const struct size_class class = class_of(size);
    slab->used_bytes += class.bytes;
    struct leat_slab_free *free_piece = slab->free[class.list];
    if (free_piece != NULL) {
        slab->free[class.list] = free_piece->next;
        if (free_piece->ahead != NULL) {
            __builtin_prefetch(free_piece->ahead);
            __builtin_prefetch((const char *)free_piece->ahead + 64);
        }
        return free_piece;
    }
    if (slab->cut_left < class.bytes) {
        add_block(slab);
    }
    void *piece = slab->cut;
    slab->cut += class.bytes;
    slab->cut_left -= class.bytes;
    return piece;
}

static struct leat_slab_large *large_of(void *piece)
{
    return (void *)((unsigned char *)piece - offsetof(struct leat_slab_large, data));
}

void leat_slab_hold(void *piece)
{
    large_of(piece)->holders++;
}

void leat_slab_let_go(void *piece)
{
    let_go(large_of(piece));
}

void leat_slab_give(struct leat_slab *slab, void *piece, size_t size)
{
    if (size > LEAT_SLAB_SMALL_BYTES_MAX) {
        slab->used_bytes -= size;
        struct leat_slab_large *large = large_of(piece);
        if (large->next != NULL) {
            large->next->previous = large->previous;
        }
        if (large->previous != NULL) {
            large->previous->next = large->next;
        } else {
            slab->large = large->next;
        }
        let_go(large);
        return;
    }
    const struct size_class class = class_of(size);
    slab->used_bytes -= class.bytes;
    struct leat_slab_free *free_piece = piece;
    struct leat_slab_free *ahead = slab->free[class.list];
    free_piece->next = ahead;
    for (int i = 1; i < AHEAD && ahead != NULL; i++) {
        ahead = ahead->next;
    }
    free_piece->ahead = ahead;
    slab->free[class.list] = free_piece;
}
