/* Looking at the whole of the sink's store, for tests and the simulation. */
#include <stdlib.h>

#include "broker/sink/sink_store_inside.h"

struct each {
    struct leat_sink_store *store;
    leat_sink_store_visit_fn *visit;
    void *context;
    enum leat_err err;
};

static bool visit_result(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct each *each = context;
    struct leat_item_kept_result row;
    leat_arena_clear(&each->store->scratch);
    if (leat_wire_unseal_item_kept_result(value, leat_sink_at(LEAT_SINK_TABLE_RESULTS, key),
                                          &each->store->scratch, &row, NULL) != LEAT_OK) {
        each->err = LEAT_ERR_CORRUPT;
        return false;
    }
    struct leat_item_result result = leat_sink_result_summary(&row.result);
    struct leat_sink_kept kept = {
        .stored = {row.stored_us},
        .first = row.first,
        .number = row.number,
        .success = result.status == LEAT_STATE_SUCCEEDED,
    };
    return each->visit(&result, &kept, each->context);
}

enum leat_err leat_sink_store_each(struct leat_sink_store *store, leat_sink_store_visit_fn *visit,
                                   void *context)
{
    struct each each = {.store = store, .visit = visit, .context = context};
    enum leat_err err = leat_store_scan(store->store, LEAT_SINK_TABLE_RESULTS,
                                        (struct leat_bytes){0}, visit_result, &each);
    return err == LEAT_OK ? each.err : err;
}

struct row {
    struct leat_id id;
    struct leat_wall stored;
    uint64_t number;
    uint64_t kind; /* enum leat_sink_entry */
};

struct rows {
    struct leat_sink_store *store;
    const struct leat_sink_meta *meta;
    struct row *items; /* owned */
    size_t count;
    size_t capacity;
    uint64_t next; /* of the log */
    enum leat_err err;
};

static void add_row(struct rows *rows, const struct row *row)
{
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity == 0 ? 64 : 2 * rows->capacity;
        rows->items = reallocarray(rows->items, rows->capacity, sizeof *rows->items);
        if (rows->items == NULL) {
            abort();
        }
    }
    rows->items[rows->count++] = *row;
}

static bool visit_failure(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct rows *rows = context;
    struct row row = {.kind = LEAT_SINK_ENTRY_FAILURE};
    (void)value;
    rows->err = leat_sink_age_key_read(key, &row.stored, &row.id);
    add_row(rows, &row);
    return rows->err == LEAT_OK;
}

static bool visit_block(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct rows *rows = context;
    struct leat_item_kept_block kept;
    struct leat_sink_block block;
    rows->err = leat_sink_store_read_block(rows->store, key, value, &kept, &block);
    /* The first block may begin with numbers that are retired. */
    if (rows->err != LEAT_OK || block.last < rows->next || block.first > rows->next ||
        (block.first < rows->next && rows->next != rows->meta->trimmed + 1)) {
        rows->err = rows->err == LEAT_OK ? LEAT_ERR_STATE : rows->err;
        return false;
    }
    for (; rows->next <= block.last; rows->next++) {
        const struct leat_item_kept_entry *entry = &kept.entries.items[rows->next - block.first];
        struct row row = {entry->id, block.stored, rows->next, entry->kind};
        add_row(rows, &row);
    }
    return true;
}

/* Every row has its result, which names the same time; with equal counts that makes it one to one.
 */
static enum leat_err check_kind(const struct rows *rows, enum leat_sink_entry kind,
                                uint64_t expected, struct leat_why *why)
{
    const bool success = kind == LEAT_SINK_ENTRY_SUCCESS;
    const char *name = success ? "successes" : "failures";
    uint64_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        struct leat_sink_kept kept;
        if (row->kind != (uint64_t)kind) {
            continue;
        }
        count++;
        enum leat_err err = leat_sink_store_find(rows->store, &row->id, &kept);
        if (err != LEAT_OK || kept.success != success || kept.stored.us != row->stored.us ||
            kept.number > rows->meta->last || (success && kept.first != row->number)) {
            char text[LEAT_ID_TEXT_BYTES];
            return leat_fail(why, LEAT_ERR_STATE, "row of %s without its result: job %s", name,
                             leat_id_format(&row->id, text));
        }
    }
    if (count != expected) {
        return leat_fail(why, LEAT_ERR_STATE, "%llu rows of %s, counted %llu",
                         (unsigned long long)count, name, (unsigned long long)expected);
    }
    return LEAT_OK;
}

static enum leat_err check_failures(struct leat_sink_store *store,
                                    const struct leat_sink_meta *meta, struct leat_why *why)
{
    struct rows rows = {.store = store, .meta = meta};
    enum leat_err err = leat_store_scan(store->store, LEAT_SINK_TABLE_FAILURES,
                                        (struct leat_bytes){0}, visit_failure, &rows);
    err = err == LEAT_OK ? rows.err : err;
    err = err == LEAT_OK ? check_kind(&rows, LEAT_SINK_ENTRY_FAILURE, meta->failures, why)
                         : leat_fail(why, err, "the rows of failures cannot be read");
    free(rows.items);
    return err;
}

static enum leat_err check_log(struct leat_sink_store *store, const struct leat_sink_meta *meta,
                               struct leat_why *why)
{
    struct rows rows = {.store = store, .meta = meta, .next = meta->trimmed + 1};
    enum leat_err err = leat_store_scan(store->store, LEAT_SINK_TABLE_LOG, (struct leat_bytes){0},
                                        visit_block, &rows);
    err = err == LEAT_OK ? rows.err : err;
    uint64_t repeats = 0;
    for (size_t i = 0; i < rows.count; i++) {
        repeats += rows.items[i].kind == LEAT_SINK_ENTRY_REPEAT;
    }
    if (err != LEAT_OK || rows.next != meta->last + 1) {
        err = leat_fail(why, LEAT_ERR_STATE, "the log holds %llu to %llu without gap, not to %llu",
                        (unsigned long long)(meta->trimmed + 1),
                        (unsigned long long)(rows.next - 1), (unsigned long long)meta->last);
    } else if (repeats != meta->repeats) {
        err = leat_fail(why, LEAT_ERR_STATE, "%llu repeats in the log, counted %llu",
                        (unsigned long long)repeats, (unsigned long long)meta->repeats);
    } else {
        err = check_kind(&rows, LEAT_SINK_ENTRY_SUCCESS, meta->successes, why);
    }
    free(rows.items);
    return err;
}

enum leat_err leat_sink_store_check(struct leat_sink_store *store,
                                    const struct leat_sink_meta *meta, struct leat_why *why)
{
    uint64_t results = leat_store_count(store->store, LEAT_SINK_TABLE_RESULTS);
    if (results != meta->successes + meta->failures) {
        return leat_fail(why, LEAT_ERR_STATE, "%llu results, counted %llu and %llu",
                         (unsigned long long)results, (unsigned long long)meta->successes,
                         (unsigned long long)meta->failures);
    }
    enum leat_err err = check_failures(store, meta, why);
    return err == LEAT_OK ? check_log(store, meta, why) : err;
}
