/* One batch of writes: per table, the last thing written to each key. Filled by the owner's thread,
 * then read only (by two threads at once, while it is on its way), then cleared. */
#ifndef LEAT_STORE_BATCH_H
#define LEAT_STORE_BATCH_H

#include "store/sorted.h"
#include "store/store.h"

/* Blocks that a cleared batch keeps: what a busy broker writes in one commit. */
#define LEAT_BATCH_KEEP_BYTES ((size_t)8 << 20)

struct leat_batch {
    struct leat_slab slab;
    struct leat_sorted tables[LEAT_STORE_TABLES_MAX];
};

/* Caller's storage, never moved (the tables point to the slab). */
void leat_batch_init(struct leat_batch *batch, size_t keep_bytes);
void leat_batch_fini(struct leat_batch *batch);
void leat_batch_clear(struct leat_batch *batch);
bool leat_batch_is_empty(const struct leat_batch *batch);
/* Keys written. */
size_t leat_batch_count(const struct leat_batch *batch);

#endif
