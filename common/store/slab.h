/* Memory for things that are made one by one and dropped all at once: the entries of a batch.
 *
 * Small pieces come from blocks and go back to a list per size; pieces over
 * LEAT_SLAB_SMALL_BYTES_MAX come from malloc. leat_slab_reset drops everything at the cost of a few
 * blocks, not of every piece, and keeps up to `keep_bytes` of blocks, so that a steady stream of
 * batches allocates nothing. A large piece may be held beyond that: what is on its way to a disk
 * need not be copied.
 *
 * Not thread-safe. Aborts when memory is out: a store that cannot note a write cannot go on.
 */
#ifndef LEAT_STORE_SLAB_H
#define LEAT_STORE_SLAB_H

#include <stddef.h>

#define LEAT_SLAB_SMALL_BYTES_MAX 2048
#define LEAT_SLAB_CLASSES         44

struct leat_slab_block;
struct leat_slab_large;
struct leat_slab_free;

struct leat_slab {
    struct leat_slab_block *blocks; /* owned; the first is the one being cut */
    struct leat_slab_block *spare;  /* owned; kept by reset */
    struct leat_slab_large *large;  /* owned */
    struct leat_slab_free *free[LEAT_SLAB_CLASSES];
    unsigned char *cut; /* in the first block: where the next piece is cut off */
    size_t cut_left;    /* bytes behind it in that block */
    size_t block_bytes; /* size of the next block; doubles */
    size_t used_bytes;  /* taken and not given back */
    size_t keep_bytes;
};

/* Caller's storage. Allocates nothing yet. */
void leat_slab_init(struct leat_slab *slab, size_t keep_bytes);
void leat_slab_fini(struct leat_slab *slab);
/* Everything that was taken becomes invalid. */
void leat_slab_reset(struct leat_slab *slab);
/* `size` bytes (at least 1), not zeroed, aligned to 16. */
void *leat_slab_take(struct leat_slab *slab, size_t size);
/* Gives a piece back; `size` is what was asked for. */
void leat_slab_give(struct leat_slab *slab, void *piece, size_t size);
/* A piece of more than LEAT_SLAB_SMALL_BYTES_MAX stays where it is, as it is, also when it is given
 * back or the slab is gone, until it has been let go as often as it was held. */
void leat_slab_hold(void *piece);
void leat_slab_let_go(void *piece);
/* How many bytes a piece of `size` really has: what may be written without taking a new one. */
size_t leat_slab_capacity(size_t size);

#endif
