#include "broker/sink/sink_store.h"

#include <stdlib.h>

#include "broker/sink/sink_store_inside.h"

/* For the lists of one record while it is looked at. */
#define SCRATCH_BYTES (128 << 10)
_Static_assert(SCRATCH_BYTES > 2 * LEAT_SINK_BLOCK_MAX * sizeof(struct leat_item_kept_entry),
               "a block of the log fits");

static const char META_KEY[] = "state";

struct leat_sink_store *leat_sink_store_new(struct leat_store *store)
{
    struct leat_sink_store *typed = calloc(1, sizeof *typed);
    if (typed == NULL) {
        abort();
    }
    typed->store = store;
    leat_wire_buffer_init(&typed->buffer, 0);
    leat_arena_init(&typed->scratch, SCRATCH_BYTES);
    return typed;
}

void leat_sink_store_destroy(struct leat_sink_store **store)
{
    if (*store != NULL) {
        leat_wire_buffer_fini(&(*store)->buffer);
        leat_arena_fini(&(*store)->scratch);
        free(*store);
        *store = NULL;
    }
}

static struct leat_bytes id_key(const struct leat_id *id)
{
    return leat_bytes_of(id->bytes, LEAT_ID_BYTES);
}

/* ---- meta ---- */

enum leat_err leat_sink_store_load(struct leat_sink_store *store, struct leat_sink_meta *ret_meta,
                                   struct leat_why *why)
{
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, LEAT_SINK_TABLE_META,
                                       leat_bytes_of(META_KEY, sizeof META_KEY - 1), &value);
    if (err == LEAT_ERR_NOT_FOUND) {
        return leat_fail(why, err, "the store is fresh");
    }
    if (err != LEAT_OK) {
        return leat_fail(why, err, "%s", leat_store_error(store->store));
    }
    struct leat_item_kept_meta kept;
    leat_arena_clear(&store->scratch);
    err = leat_wire_unseal_item_kept_meta(
        value, leat_sink_at(LEAT_SINK_TABLE_META, leat_bytes_of(META_KEY, sizeof META_KEY - 1)),
        &store->scratch, &kept, why);
    if (err != LEAT_OK) {
        return err;
    }
    *ret_meta = (struct leat_sink_meta){
        .stream = kept.stream,
        .base = kept.base,
        .trimmed = kept.trimmed,
        .confirmed = kept.confirmed,
        .told = kept.told,
        .last = kept.last,
        .successes = kept.successes,
        .failures = kept.failures,
        .recorded_total = kept.recorded_total,
        .steady_us = kept.steady_us,
        .repeats = kept.repeats,
    };
    return LEAT_OK;
}

void leat_sink_store_must(enum leat_err err)
{
    if (err != LEAT_OK) {
        abort();
    }
}

void leat_sink_store_save(struct leat_sink_store *store, const struct leat_sink_meta *meta)
{
    struct leat_item_kept_meta kept = {
        .stream = meta->stream,
        .base = meta->base,
        .trimmed = meta->trimmed,
        .confirmed = meta->confirmed,
        .told = meta->told,
        .last = meta->last,
        .successes = meta->successes,
        .failures = meta->failures,
        .recorded_total = meta->recorded_total,
        .steady_us = meta->steady_us,
        .repeats = meta->repeats,
    };
    leat_wire_buffer_clear(&store->buffer);
    leat_sink_store_must(leat_wire_seal_item_kept_meta(
        &kept, leat_sink_at(LEAT_SINK_TABLE_META, leat_bytes_of(META_KEY, sizeof META_KEY - 1)),
        &store->buffer));
    leat_store_put(store->store, LEAT_SINK_TABLE_META, leat_bytes_of(META_KEY, sizeof META_KEY - 1),
                   leat_wire_buffer_view(&store->buffer));
}

/* ---- results ---- */

static bool is_success(const struct leat_item_result *result)
{
    return result->status == LEAT_STATE_SUCCEEDED;
}

/* The record of an id; borrows until the next call on the store underneath. */
static enum leat_err get_result(struct leat_sink_store *store, const struct leat_id *id,
                                struct leat_item_kept_result *ret_kept)
{
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, LEAT_SINK_TABLE_RESULTS, id_key(id), &value);
    if (err != LEAT_OK) {
        return err;
    }
    leat_arena_clear(&store->scratch);
    err = leat_wire_unseal_item_kept_result(
        value, leat_sink_at(LEAT_SINK_TABLE_RESULTS, id_key(id)), &store->scratch, ret_kept, NULL);
    return err == LEAT_OK ? LEAT_OK : LEAT_ERR_CORRUPT;
}

enum leat_err leat_sink_store_find(struct leat_sink_store *store, const struct leat_id *id,
                                   struct leat_sink_kept *ret_kept)
{
    struct leat_item_kept_result kept;
    enum leat_err err = get_result(store, id, &kept);
    if (err != LEAT_OK) {
        return err;
    }
    *ret_kept = (struct leat_sink_kept){
        .stored = {kept.stored_us},
        .first = kept.first,
        .number = kept.number,
        .success = is_success(&kept.result),
    };
    return LEAT_OK;
}

static void put_failure(struct leat_sink_store *store, const struct leat_item_result *result,
                        struct leat_wall stored, uint64_t number)
{
    struct leat_sink_age_key key = leat_sink_age_key(stored, &result->id);
    struct leat_bytes row_key = leat_bytes_of(key.bytes, sizeof key.bytes);
    struct leat_item_kept_failure failure = {
        .number = number,
        .result = leat_sink_result_summary(result),
    };
    leat_wire_buffer_clear(&store->buffer);
    leat_sink_store_must(leat_wire_seal_item_kept_failure(
        &failure, leat_sink_at(LEAT_SINK_TABLE_FAILURES, row_key), &store->buffer));
    leat_store_put(store->store, LEAT_SINK_TABLE_FAILURES, row_key,
                   leat_wire_buffer_view(&store->buffer));
    if (memcmp(key.bytes, store->floor.bytes, sizeof key.bytes) < 0) {
        store->floor = key;
    }
}

enum leat_err leat_sink_store_record(struct leat_sink_store *store,
                                     const struct leat_item_result *result, struct leat_wall stored,
                                     uint64_t number)
{
    struct leat_item_kept_result kept = {
        .stored_us = stored.us,
        .first = number,
        .number = number,
        .result = *result,
    };
    leat_wire_buffer_clear(&store->buffer);
    enum leat_err err = leat_wire_seal_item_kept_result(
        &kept, leat_sink_at(LEAT_SINK_TABLE_RESULTS, id_key(&result->id)), &store->buffer);
    if (err != LEAT_OK) {
        return err;
    }
    leat_store_put(store->store, LEAT_SINK_TABLE_RESULTS, id_key(&result->id),
                   leat_wire_buffer_view(&store->buffer));
    if (!is_success(result)) {
        put_failure(store, result, stored, number);
    }
    leat_sink_store_log(store, &result->id,
                        is_success(result) ? LEAT_SINK_ENTRY_SUCCESS : LEAT_SINK_ENTRY_FAILURE,
                        stored, number);
    return LEAT_OK;
}

enum leat_err leat_sink_store_settle_again(struct leat_sink_store *store, const struct leat_id *id,
                                           struct leat_wall stored, uint64_t number)
{
    struct leat_item_kept_result kept;
    enum leat_err err = get_result(store, id, &kept);
    if (err == LEAT_ERR_IO) {
        return err;
    }
    if (err == LEAT_OK) {
        kept.number = number;
        leat_wire_buffer_clear(&store->buffer);
        if (leat_wire_seal_item_kept_result(&kept,
                                            leat_sink_at(LEAT_SINK_TABLE_RESULTS, id_key(id)),
                                            &store->buffer) == LEAT_OK) {
            leat_store_put(store->store, LEAT_SINK_TABLE_RESULTS, id_key(id),
                           leat_wire_buffer_view(&store->buffer));
        }
    }
    leat_sink_store_log(store, id, LEAT_SINK_ENTRY_REPEAT, stored, number);
    return LEAT_OK;
}

enum leat_err leat_sink_store_read(struct leat_sink_store *store, const struct leat_id *id,
                                   bool with_output, struct leat_arena *arena,
                                   struct leat_item_result *ret_result)
{
    struct leat_item_kept_result kept;
    enum leat_err err = get_result(store, id, &kept);
    if (err != LEAT_OK) {
        return err;
    }
    return leat_sink_result_copy(&kept.result, with_output, arena, ret_result);
}

enum leat_err leat_sink_store_mark_rerun(struct leat_sink_store *store, const struct leat_id *id)
{
    struct leat_sink_kept kept;
    enum leat_err err = leat_sink_store_find(store, id, &kept);
    if (err != LEAT_OK) {
        return err;
    }
    if (kept.success) {
        return LEAT_ERR_NOT_FOUND;
    }
    struct leat_sink_age_key key = leat_sink_age_key(kept.stored, id);
    struct leat_bytes row_key = leat_bytes_of(key.bytes, sizeof key.bytes);
    struct leat_bytes value;
    err = leat_store_get(store->store, LEAT_SINK_TABLE_FAILURES, row_key, &value);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_item_kept_failure failure;
    leat_arena_clear(&store->scratch);
    if (leat_wire_unseal_item_kept_failure(value, leat_sink_at(LEAT_SINK_TABLE_FAILURES, row_key),
                                           &store->scratch, &failure, NULL) != LEAT_OK) {
        return LEAT_ERR_CORRUPT;
    }
    if (failure.rerun) {
        return LEAT_ERR_EXISTS;
    }
    failure.rerun = true;
    leat_wire_buffer_clear(&store->buffer);
    err = leat_wire_seal_item_kept_failure(
        &failure, leat_sink_at(LEAT_SINK_TABLE_FAILURES, row_key), &store->buffer);
    if (err == LEAT_OK) {
        leat_store_put(store->store, LEAT_SINK_TABLE_FAILURES, row_key,
                       leat_wire_buffer_view(&store->buffer));
    }
    return err;
}

/* ---- failures by age ---- */

struct first_row {
    struct leat_sink_store *store;
    enum leat_err err;
    struct leat_sink_failure oldest;
};

static bool visit_first(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct first_row *first = context;
    first->err = leat_sink_age_key_read(key, &first->oldest.stored, &first->oldest.id);
    /* A damaged row counts as one that may go: its key says whose it is. */
    first->oldest.number = 0;
    leat_arena_clear(&first->store->scratch);
    struct leat_item_kept_failure failure;
    if (leat_wire_unseal_item_kept_failure(value, leat_sink_at(LEAT_SINK_TABLE_FAILURES, key),
                                           &first->store->scratch, &failure, NULL) == LEAT_OK) {
        first->oldest.number = failure.number;
    }
    return false;
}

enum leat_err leat_sink_store_oldest_failure(struct leat_sink_store *store,
                                             struct leat_sink_failure *ret_oldest)
{
    struct first_row first = {.store = store, .err = LEAT_ERR_NOT_FOUND};
    struct leat_sink_age_key from = store->floor;
    enum leat_err err =
        leat_store_scan(store->store, LEAT_SINK_TABLE_FAILURES,
                        leat_bytes_of(from.bytes, sizeof from.bytes), visit_first, &first);
    if (err != LEAT_OK) {
        return err;
    }
    if (first.err != LEAT_OK) {
        return first.err;
    }
    store->floor = leat_sink_age_key(first.oldest.stored, &first.oldest.id);
    *ret_oldest = first.oldest;
    return LEAT_OK;
}

void leat_sink_store_remove_failure(struct leat_sink_store *store,
                                    const struct leat_sink_failure *failure)
{
    struct leat_sink_age_key key = leat_sink_age_key(failure->stored, &failure->id);
    leat_store_del(store->store, LEAT_SINK_TABLE_FAILURES,
                   leat_bytes_of(key.bytes, sizeof key.bytes));
    leat_store_del(store->store, LEAT_SINK_TABLE_RESULTS, id_key(&failure->id));
}
