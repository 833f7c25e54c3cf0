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
    struct leat_wall stored;
    struct leat_id id;
};

struct rows {
    struct row *items;
    size_t count;
    size_t capacity;
    enum leat_err err;
};

static bool visit_row(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct rows *rows = context;
    (void)value;
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity == 0 ? 64 : 2 * rows->capacity;
        struct row *items = realloc(rows->items, capacity * sizeof *items);
        if (items == NULL) {
            abort();
        }
        rows->items = items;
        rows->capacity = capacity;
    }
    struct row *row = &rows->items[rows->count];
    rows->err = leat_sink_age_key_read(key, &row->stored, &row->id);
    rows->count++;
    return rows->err == LEAT_OK;
}

/* Every row has its result, which names the same time; with equal counts that makes it one to one.
 */
static enum leat_err check_rows(struct leat_sink_store *store, bool success, uint64_t expected,
                                uint64_t last, struct leat_why *why)
{
    const char *name = success ? "successes" : "failures";
    struct rows rows = {0};
    enum leat_err err =
        leat_store_scan(store->store, success ? LEAT_SINK_TABLE_AGE : LEAT_SINK_TABLE_FAILURES,
                        (struct leat_bytes){0}, visit_row, &rows);
    if (err == LEAT_OK) {
        err = rows.err;
    }
    if (err != LEAT_OK) {
        err = leat_fail(why, err, "the rows of %s cannot be read", name);
    } else if (rows.count != expected) {
        err = leat_fail(why, LEAT_ERR_STATE, "%zu rows of %s, counted %llu", rows.count, name,
                        (unsigned long long)expected);
    }
    for (size_t i = 0; err == LEAT_OK && i < rows.count; i++) {
        struct leat_sink_kept kept;
        err = leat_sink_store_find(store, &rows.items[i].id, &kept);
        if (err != LEAT_OK || kept.success != success ||
            kept.stored.us != rows.items[i].stored.us || kept.number > last) {
            char text[LEAT_ID_TEXT_BYTES];
            err = leat_fail(why, LEAT_ERR_STATE, "row of %s without its result: job %s", name,
                            leat_id_format(&rows.items[i].id, text));
        }
    }
    free(rows.items);
    return err;
}

struct stream {
    uint64_t next;
    bool hole;
};

static bool visit_number(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct stream *stream = context;
    uint64_t number = 0;
    (void)value;
    stream->hole = leat_sink_number_key_read(key, &number) != LEAT_OK || number != stream->next;
    stream->next++;
    return !stream->hole;
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
    enum leat_err err = check_rows(store, true, meta->successes, meta->last, why);
    if (err != LEAT_OK) {
        return err;
    }
    err = check_rows(store, false, meta->failures, meta->last, why);
    if (err != LEAT_OK) {
        return err;
    }
    struct stream stream = {.next = meta->trimmed + 1};
    err = leat_store_scan(store->store, LEAT_SINK_TABLE_SETTLE, (struct leat_bytes){0},
                          visit_number, &stream);
    if (err != LEAT_OK) {
        return leat_fail(why, err, "%s", leat_store_error(store->store));
    }
    if (stream.hole || stream.next != meta->last + 1) {
        return leat_fail(why, LEAT_ERR_STATE,
                         "the stream holds %llu to %llu without gap, not to %llu",
                         (unsigned long long)(meta->trimmed + 1),
                         (unsigned long long)(stream.next - 1), (unsigned long long)meta->last);
    }
    return LEAT_OK;
}
