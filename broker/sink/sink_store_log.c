/* The typed store: the log. */
#include "broker/sink/sink_store_inside.h"
#include "core/check.h"

/* ---- writing ---- */

void leat_sink_store_put_block(struct leat_sink_store *store, uint64_t last,
                               struct leat_wall stored, struct leat_item_kept_entry *entries,
                               size_t count)
{
    struct leat_sink_number_key number = leat_sink_number_key(last);
    struct leat_bytes key = leat_bytes_of(number.bytes, sizeof number.bytes);
    struct leat_item_kept_block block = {.stored_us = stored.us};
    block.entries.items = entries;
    block.entries.count = count;
    leat_wire_buffer_clear(&store->buffer);
    leat_sink_store_must(leat_wire_seal_item_kept_block(
        &block, leat_sink_at(LEAT_SINK_TABLE_LOG, key), &store->buffer));
    leat_store_put(store->store, LEAT_SINK_TABLE_LOG, key, leat_wire_buffer_view(&store->buffer));
}

void leat_sink_store_close_block(struct leat_sink_store *store)
{
    if (store->block_count > 0) {
        leat_sink_store_put_block(store, store->block_last, store->block_stored, store->block,
                                  store->block_count);
        store->block_count = 0;
    }
}

void leat_sink_store_log(struct leat_sink_store *store, const struct leat_id *id,
                         enum leat_sink_entry kind, struct leat_wall stored, uint64_t number)
{
    if (store->block_count == LEAT_SINK_BLOCK_MAX ||
        (store->block_count > 0 && store->block_stored.us != stored.us)) {
        leat_sink_store_close_block(store);
    }
    LEAT_ASSERT(store->block_count == 0 || number == store->block_last + 1);
    store->block[store->block_count++] =
        (struct leat_item_kept_entry){.id = *id, .kind = (uint64_t)kind};
    store->block_last = number;
    store->block_stored = stored;
}

/* ---- reading ---- */

enum leat_err leat_sink_store_read_block(struct leat_sink_store *store, struct leat_bytes key,
                                         struct leat_bytes value,
                                         struct leat_item_kept_block *ret_kept,
                                         struct leat_sink_block *ret_block)
{
    uint64_t last = 0;
    struct leat_item_kept_block kept;
    leat_arena_clear(&store->scratch);
    if (leat_sink_number_key_read(key, &last) != LEAT_OK ||
        leat_wire_unseal_item_kept_block(value, leat_sink_at(LEAT_SINK_TABLE_LOG, key),
                                         &store->scratch, &kept, NULL) != LEAT_OK ||
        kept.entries.count == 0 || kept.entries.count > last) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_kept = kept;
    *ret_block = (struct leat_sink_block){
        .first = last - kept.entries.count + 1,
        .last = last,
        .stored = {kept.stored_us},
    };
    return LEAT_OK;
}

struct reading {
    struct leat_sink_store *store;
    uint64_t next;
    size_t max;
    struct leat_item_job_id *ids;
    size_t count;
    enum leat_err err;
};

static bool visit_ids(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct reading *reading = context;
    struct leat_item_kept_block kept;
    struct leat_sink_block block;
    if (leat_sink_store_read_block(reading->store, key, value, &kept, &block) != LEAT_OK ||
        block.first > reading->next) {
        reading->err = LEAT_ERR_CORRUPT;
        return false;
    }
    while (reading->next <= block.last && reading->count < reading->max) {
        reading->ids[reading->count++].id = kept.entries.items[reading->next - block.first].id;
        reading->next++;
    }
    return reading->count < reading->max;
}

enum leat_err leat_sink_store_stream(struct leat_sink_store *store, uint64_t first, size_t max,
                                     struct leat_item_job_id *ret_ids, size_t *ret_count)
{
    LEAT_ASSERT(store->block_count == 0);
    struct reading reading = {.store = store, .next = first, .max = max, .ids = ret_ids};
    struct leat_sink_number_key from = leat_sink_number_key(first);
    enum leat_err err =
        leat_store_scan(store->store, LEAT_SINK_TABLE_LOG,
                        leat_bytes_of(from.bytes, sizeof from.bytes), visit_ids, &reading);
    if (err == LEAT_OK) {
        err = reading.err;
    }
    if (err == LEAT_OK) {
        *ret_count = reading.count;
    }
    return err;
}

/* ---- retiring ---- */

/* The first block that ends at `number` or later, and its entries. */
struct finding {
    struct leat_sink_store *store;
    enum leat_err err;
    struct leat_item_kept_block kept;
    struct leat_sink_block block;
};

static bool visit_block(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct finding *finding = context;
    finding->err =
        leat_sink_store_read_block(finding->store, key, value, &finding->kept, &finding->block);
    return false;
}

/* The entries borrow until the next call on the typed store. */
static enum leat_err find_block(struct leat_sink_store *store, uint64_t number,
                                struct finding *ret_finding)
{
    LEAT_ASSERT(store->block_count == 0);
    *ret_finding = (struct finding){.store = store, .err = LEAT_ERR_NOT_FOUND};
    struct leat_sink_number_key from = leat_sink_number_key(number);
    enum leat_err err =
        leat_store_scan(store->store, LEAT_SINK_TABLE_LOG,
                        leat_bytes_of(from.bytes, sizeof from.bytes), visit_block, ret_finding);
    if (err == LEAT_OK) {
        err = ret_finding->err;
    }
    return err == LEAT_OK && ret_finding->block.first > number ? LEAT_ERR_CORRUPT : err;
}

enum leat_err leat_sink_store_block(struct leat_sink_store *store, uint64_t number,
                                    struct leat_sink_block *ret_block)
{
    struct finding finding;
    enum leat_err err = find_block(store, number, &finding);
    if (err == LEAT_OK) {
        *ret_block = finding.block;
    }
    return err;
}

enum leat_err leat_sink_store_retire(struct leat_sink_store *store, uint64_t first, uint64_t last,
                                     struct leat_sink_retired *ret_retired)
{
    struct finding finding;
    struct leat_sink_retired retired = {0};
    enum leat_err err = find_block(store, first, &finding);
    if (err != LEAT_OK) {
        return err;
    }
    LEAT_ASSERT(first <= last && last <= finding.block.last);
    for (uint64_t number = first; number <= last; number++) {
        const struct leat_item_kept_entry *entry =
            &finding.kept.entries.items[number - finding.block.first];
        if (entry->kind == LEAT_SINK_ENTRY_SUCCESS) {
            leat_store_del(store->store, LEAT_SINK_TABLE_RESULTS,
                           leat_bytes_of(entry->id.bytes, LEAT_ID_BYTES));
            retired.successes++;
        } else if (entry->kind == LEAT_SINK_ENTRY_REPEAT) {
            retired.repeats++;
        }
    }
    if (last == finding.block.last) {
        struct leat_sink_number_key key = leat_sink_number_key(last);
        leat_store_del(store->store, LEAT_SINK_TABLE_LOG,
                       leat_bytes_of(key.bytes, sizeof key.bytes));
    }
    *ret_retired = retired;
    return LEAT_OK;
}
