/* The typed store: making damaged parts of the log anew. A result knows its first and its latest
 * number, so all that a lost block said of results that are kept can be found again. */
#include <stdlib.h>

#include "broker/sink/sink_store_inside.h"

/* No sink keeps more: who says that so many numbers are lost is damaged itself. */
#define LOST_MAX (UINT64_C(1) << 28)

struct range {
    uint64_t first, last;
};

struct repair {
    struct leat_sink_store *store;
    const struct leat_sink_meta *meta;
    uint64_t next; /* every number below it is in a good block, or in `lost` */
    struct range *lost;
    size_t lost_count;
    struct leat_sink_number_key *bad; /* keys of blocks that cannot be read */
    size_t bad_count;
};

/* Space for one more; doubles. Out of memory ends the process. */
static void *make_room(void *items, size_t count, size_t item_bytes)
{
    if ((count & (count - 1)) != 0) {
        return items; /* no power of two: the last doubling has room */
    }
    void *larger = reallocarray(items, count == 0 ? 1 : 2 * count, item_bytes);
    if (larger == NULL) {
        abort();
    }
    return larger;
}

static void lose(struct repair *repair, uint64_t last)
{
    if (last >= repair->next) {
        repair->lost = make_room(repair->lost, repair->lost_count, sizeof *repair->lost);
        repair->lost[repair->lost_count++] = (struct range){repair->next, last};
    }
}

static bool visit_block(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct repair *repair = context;
    struct leat_item_kept_block kept;
    struct leat_sink_block block;
    bool is_good =
        leat_sink_store_read_block(repair->store, key, value, &kept, &block) == LEAT_OK &&
        block.last <= repair->meta->last;
    if (is_good && block.last >= repair->next) {
        lose(repair, block.first - 1);
        repair->next = block.last + 1;
    } else if (!is_good && key.size == sizeof repair->bad->bytes) {
        repair->bad = make_room(repair->bad, repair->bad_count, sizeof *repair->bad);
        memcpy(repair->bad[repair->bad_count++].bytes, key.data, key.size);
    }
    return true;
}

/* ---- what the results know ---- */

struct rebuilt {
    struct leat_sink_store *store;
    const struct range *range;
    struct leat_item_kept_entry *entries; /* of the range */
    int64_t *stored_us;
};

static void set_entry(struct rebuilt *rebuilt, uint64_t number, const struct leat_id *id,
                      enum leat_sink_entry kind, struct leat_wall stored)
{
    if (number >= rebuilt->range->first && number <= rebuilt->range->last) {
        size_t at = (size_t)(number - rebuilt->range->first);
        rebuilt->entries[at] = (struct leat_item_kept_entry){*id, (uint64_t)kind};
        rebuilt->stored_us[at] = stored.us;
    }
}

/* A result that is damaged as well cannot say what its numbers were. */
static bool visit_result(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct rebuilt *rebuilt = context;
    struct leat_item_kept_result row;
    leat_arena_clear(&rebuilt->store->scratch);
    if (leat_wire_unseal_item_kept_result(value, leat_sink_at(LEAT_SINK_TABLE_RESULTS, key),
                                          &rebuilt->store->scratch, &row, NULL) == LEAT_OK) {
        const struct leat_wall stored = {row.stored_us};
        bool success = row.result.status == LEAT_STATE_SUCCEEDED;
        set_entry(rebuilt, row.number, &row.result.id, LEAT_SINK_ENTRY_REPEAT, stored);
        set_entry(rebuilt, row.first, &row.result.id,
                  success ? LEAT_SINK_ENTRY_SUCCESS : LEAT_SINK_ENTRY_FAILURE, stored);
    }
    return true;
}

/* In blocks, each as old as the youngest of what it holds, and no younger than what comes later. */
static void write_range(struct leat_sink_store *store, const struct rebuilt *rebuilt)
{
    size_t count = (size_t)(rebuilt->range->last - rebuilt->range->first + 1);
    int64_t stored_us = INT64_MIN;
    for (size_t at = 0; at < count; at += LEAT_SINK_BLOCK_MAX) {
        size_t length = count - at < LEAT_SINK_BLOCK_MAX ? count - at : LEAT_SINK_BLOCK_MAX;
        for (size_t i = at; i < at + length; i++) {
            stored_us = rebuilt->stored_us[i] > stored_us ? rebuilt->stored_us[i] : stored_us;
        }
        leat_sink_store_put_block(store, rebuilt->range->first + at + length - 1,
                                  (struct leat_wall){stored_us}, rebuilt->entries + at, length);
    }
}

static enum leat_err rebuild(struct repair *repair, const struct range *range)
{
    if (range->last - range->first >= LOST_MAX) {
        return LEAT_ERR_CORRUPT;
    }
    size_t count = (size_t)(range->last - range->first + 1);
    struct rebuilt rebuilt = {
        .store = repair->store,
        .range = range,
        .entries = calloc(count, sizeof *rebuilt.entries), /* all zero: REPEAT of nobody */
        .stored_us = calloc(count, sizeof *rebuilt.stored_us),
    };
    if (rebuilt.entries == NULL || rebuilt.stored_us == NULL) {
        abort();
    }
    enum leat_err err = leat_store_scan(repair->store->store, LEAT_SINK_TABLE_RESULTS,
                                        (struct leat_bytes){0}, visit_result, &rebuilt);
    if (err == LEAT_OK) {
        write_range(repair->store, &rebuilt);
    }
    free(rebuilt.entries);
    free(rebuilt.stored_us);
    return err;
}

/* Counts anew what the log says now. */
static bool visit_kinds(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct repair *repair = context;
    struct leat_item_kept_block kept;
    struct leat_sink_block block;
    if (leat_sink_store_read_block(repair->store, key, value, &kept, &block) == LEAT_OK) {
        for (size_t i = 0; i < kept.entries.count; i++) {
            repair->next += block.first + i > repair->meta->trimmed &&
                            kept.entries.items[i].kind == LEAT_SINK_ENTRY_REPEAT;
        }
    }
    return true;
}

static enum leat_err count_repeats(struct repair *repair, uint64_t *ret_repeats)
{
    repair->next = 0;
    enum leat_err err = leat_store_scan(repair->store->store, LEAT_SINK_TABLE_LOG,
                                        (struct leat_bytes){0}, visit_kinds, repair);
    *ret_repeats = repair->next;
    return err;
}

enum leat_err leat_sink_store_repair_log(struct leat_sink_store *store, struct leat_sink_meta *meta,
                                         uint64_t *ret_lost)
{
    struct repair repair = {.store = store, .meta = meta, .next = meta->trimmed + 1};
    uint64_t lost = 0;
    enum leat_err err = leat_store_scan(store->store, LEAT_SINK_TABLE_LOG, (struct leat_bytes){0},
                                        visit_block, &repair);
    if (err == LEAT_OK) {
        lose(&repair, meta->last);
    }
    for (size_t i = 0; err == LEAT_OK && i < repair.bad_count; i++) {
        leat_store_del(store->store, LEAT_SINK_TABLE_LOG,
                       leat_bytes_of(repair.bad[i].bytes, sizeof repair.bad[i].bytes));
    }
    for (size_t i = 0; err == LEAT_OK && i < repair.lost_count; i++) {
        lost += repair.lost[i].last - repair.lost[i].first + 1;
        err = rebuild(&repair, &repair.lost[i]);
    }
    if (err == LEAT_OK && lost > 0) {
        err = count_repeats(&repair, &meta->repeats);
    }
    free(repair.lost);
    free(repair.bad);
    if (err == LEAT_OK) {
        *ret_lost = lost;
    }
    return err;
}
