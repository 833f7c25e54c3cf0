#include "store/batch.h"

static void init_tables(struct leat_batch *batch)
{
    for (size_t i = 0; i < LEAT_STORE_TABLES_MAX; i++) {
        leat_sorted_init(&batch->tables[i], &batch->slab);
    }
}

void leat_batch_init(struct leat_batch *batch, size_t keep_bytes)
{
    leat_slab_init(&batch->slab, keep_bytes);
    init_tables(batch);
}

void leat_batch_fini(struct leat_batch *batch)
{
    leat_slab_fini(&batch->slab);
    init_tables(batch);
}

void leat_batch_clear(struct leat_batch *batch)
{
    leat_slab_reset(&batch->slab);
    init_tables(batch);
}

size_t leat_batch_count(const struct leat_batch *batch)
{
    size_t count = 0;
    for (size_t i = 0; i < LEAT_STORE_TABLES_MAX; i++) {
        count += batch->tables[i].count;
    }
    return count;
}

bool leat_batch_is_empty(const struct leat_batch *batch)
{
    return leat_batch_count(batch) == 0;
}
