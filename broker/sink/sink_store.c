#include "broker/sink/sink_store.h"

#include <stdlib.h>

#include "broker/sink/sink_store_inside.h"

/* For the lists of one record while it is looked at. */
#define SCRATCH_BYTES (64 << 10)

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

static leat_table age_table(bool success)
{
    return success ? LEAT_SINK_TABLE_AGE : LEAT_SINK_TABLE_FAILURES;
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
    };
    return LEAT_OK;
}

/* Records of a few numbers cannot fail but for memory, and then the process cannot go on. */
static void must(enum leat_err err)
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
    };
    leat_wire_buffer_clear(&store->buffer);
    must(leat_wire_seal_item_kept_meta(
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
        .number = kept.number,
        .success = is_success(&kept.result),
    };
    return LEAT_OK;
}

void leat_sink_store_put_settle(struct leat_sink_store *store, const struct leat_id *id,
                                uint64_t number)
{
    struct leat_item_kept_settle settle = {.id = *id};
    struct leat_sink_number_key key = leat_sink_number_key(number);
    leat_wire_buffer_clear(&store->buffer);
    must(leat_wire_seal_item_kept_settle(
        &settle, leat_sink_at(LEAT_SINK_TABLE_SETTLE, leat_bytes_of(key.bytes, sizeof key.bytes)),
        &store->buffer));
    leat_store_put(store->store, LEAT_SINK_TABLE_SETTLE, leat_bytes_of(key.bytes, sizeof key.bytes),
                   leat_wire_buffer_view(&store->buffer));
}

static void put_age(struct leat_sink_store *store, const struct leat_item_result *result,
                    struct leat_wall stored, uint64_t number)
{
    bool success = is_success(result);
    struct leat_sink_age_key key = leat_sink_age_key(stored, &result->id);
    struct leat_record_place place =
        leat_sink_at(age_table(success), leat_bytes_of(key.bytes, sizeof key.bytes));
    leat_wire_buffer_clear(&store->buffer);
    if (success) {
        struct leat_item_kept_age age = {.number = number};
        must(leat_wire_seal_item_kept_age(&age, place, &store->buffer));
    } else {
        struct leat_item_kept_failure failure = {
            .number = number,
            .result = leat_sink_result_summary(result),
        };
        must(leat_wire_seal_item_kept_failure(&failure, place, &store->buffer));
    }
    leat_store_put(store->store, place.table, place.key, leat_wire_buffer_view(&store->buffer));
    struct leat_sink_age_key *floor = &store->floor[success];
    if (memcmp(key.bytes, floor->bytes, sizeof key.bytes) < 0) {
        *floor = key;
    }
}

enum leat_err leat_sink_store_record(struct leat_sink_store *store,
                                     const struct leat_item_result *result, struct leat_wall stored,
                                     uint64_t number)
{
    struct leat_item_kept_result kept = {
        .stored_us = stored.us,
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
    put_age(store, result, stored, number);
    leat_sink_store_put_settle(store, &result->id, number);
    return LEAT_OK;
}

enum leat_err leat_sink_store_settle_again(struct leat_sink_store *store, const struct leat_id *id,
                                           uint64_t number)
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
    leat_sink_store_put_settle(store, id, number);
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

/* ---- age ---- */

struct first_row {
    struct leat_sink_store *store;
    bool success;
    enum leat_err err;
    struct leat_sink_oldest oldest;
};

static bool visit_first(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct first_row *first = context;
    first->err = leat_sink_age_key_read(key, &first->oldest.stored, &first->oldest.id);
    /* A damaged row counts as one that may go: its key says whose it is. */
    first->oldest.number = 0;
    leat_arena_clear(&first->store->scratch);
    if (first->success) {
        struct leat_item_kept_age age;
        if (leat_wire_unseal_item_kept_age(value, leat_sink_at(LEAT_SINK_TABLE_AGE, key),
                                           &first->store->scratch, &age, NULL) == LEAT_OK) {
            first->oldest.number = age.number;
        }
    } else {
        struct leat_item_kept_failure failure;
        if (leat_wire_unseal_item_kept_failure(value, leat_sink_at(LEAT_SINK_TABLE_FAILURES, key),
                                               &first->store->scratch, &failure, NULL) == LEAT_OK) {
            first->oldest.number = failure.number;
        }
    }
    return false;
}

enum leat_err leat_sink_store_oldest(struct leat_sink_store *store, bool success,
                                     struct leat_sink_oldest *ret_oldest)
{
    struct first_row first = {.store = store, .success = success, .err = LEAT_ERR_NOT_FOUND};
    struct leat_sink_age_key from = store->floor[success];
    enum leat_err err =
        leat_store_scan(store->store, age_table(success),
                        leat_bytes_of(from.bytes, sizeof from.bytes), visit_first, &first);
    if (err != LEAT_OK) {
        return err;
    }
    if (first.err != LEAT_OK) {
        return first.err;
    }
    store->floor[success] = leat_sink_age_key(first.oldest.stored, &first.oldest.id);
    *ret_oldest = first.oldest;
    return LEAT_OK;
}

void leat_sink_store_remove(struct leat_sink_store *store, bool success,
                            const struct leat_sink_oldest *oldest)
{
    struct leat_sink_age_key key = leat_sink_age_key(oldest->stored, &oldest->id);
    leat_store_del(store->store, age_table(success), leat_bytes_of(key.bytes, sizeof key.bytes));
    leat_store_del(store->store, LEAT_SINK_TABLE_RESULTS, id_key(&oldest->id));
}

/* ---- the stream ---- */

struct reading {
    struct leat_sink_store *store;
    uint64_t next;
    size_t max;
    struct leat_item_job_id *ids;
    size_t count;
    enum leat_err err;
};

static bool visit_settle(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct reading *reading = context;
    uint64_t number = 0;
    struct leat_item_kept_settle settle;
    leat_arena_clear(&reading->store->scratch);
    if (leat_sink_number_key_read(key, &number) != LEAT_OK || number != reading->next ||
        leat_wire_unseal_item_kept_settle(value, leat_sink_at(LEAT_SINK_TABLE_SETTLE, key),
                                          &reading->store->scratch, &settle, NULL) != LEAT_OK) {
        reading->err = LEAT_ERR_CORRUPT;
        return false;
    }
    reading->ids[reading->count].id = settle.id;
    reading->count++;
    reading->next++;
    return reading->count < reading->max;
}

enum leat_err leat_sink_store_stream(struct leat_sink_store *store, uint64_t first, size_t max,
                                     struct leat_item_job_id *ret_ids, size_t *ret_count)
{
    struct reading reading = {.store = store, .next = first, .max = max, .ids = ret_ids};
    struct leat_sink_number_key from = leat_sink_number_key(first);
    enum leat_err err =
        leat_store_scan(store->store, LEAT_SINK_TABLE_SETTLE,
                        leat_bytes_of(from.bytes, sizeof from.bytes), visit_settle, &reading);
    if (err != LEAT_OK) {
        return err;
    }
    if (reading.err != LEAT_OK) {
        return reading.err;
    }
    *ret_count = reading.count;
    return LEAT_OK;
}

void leat_sink_store_trim(struct leat_sink_store *store, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        struct leat_sink_number_key key = leat_sink_number_key(number);
        leat_store_del(store->store, LEAT_SINK_TABLE_SETTLE,
                       leat_bytes_of(key.bytes, sizeof key.bytes));
    }
}
