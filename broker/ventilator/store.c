/* The typed store: what is not a job. */
#include "broker/ventilator/store_inside.h"

#include <stdlib.h>

#include "core/check.h"

static const char META_KEY[] = "state";

struct leat_ventilator_store *leat_ventilator_store_new(struct leat_store *store)
{
    struct leat_ventilator_store *typed = calloc(1, sizeof *typed);
    if (typed == NULL) {
        abort();
    }
    typed->store = store;
    leat_wire_buffer_init(&typed->buffer, 0);
    leat_arena_init(&typed->scratch, LEAT_VENTILATOR_SCRATCH_BYTES);
    leat_recent_init(&typed->recent, LEAT_VENTILATOR_RECENT_IDS, UINT64_MAX);
    return typed;
}

void leat_ventilator_store_destroy(struct leat_ventilator_store **store)
{
    if (*store != NULL) {
        leat_wire_buffer_fini(&(*store)->buffer);
        leat_arena_fini(&(*store)->scratch);
        leat_recent_fini(&(*store)->recent);
        free(*store);
        *store = NULL;
    }
}

bool leat_ventilator_store_has_room(const struct leat_ventilator_store *store)
{
    return leat_store_has_room(store->store);
}

uint64_t leat_ventilator_store_filling_bytes(const struct leat_ventilator_store *store)
{
    return leat_store_filling_bytes(store->store);
}

const char *leat_ventilator_store_error(const struct leat_ventilator_store *store)
{
    return leat_store_error(store->store);
}

uint64_t leat_ventilator_store_count(struct leat_ventilator_store *store,
                                     enum leat_ventilator_table table)
{
    return leat_store_count(store->store, table);
}

void leat_ventilator_store_must(enum leat_err err)
{
    if (err != LEAT_OK) {
        abort();
    }
}

void leat_ventilator_store_put(struct leat_ventilator_store *store, leat_table table,
                               struct leat_bytes key)
{
    leat_store_put(store->store, table, key, leat_wire_buffer_view(&store->buffer));
}

void leat_ventilator_store_add_row(struct leat_ventilator_store *store, leat_table table,
                                   struct leat_bytes key)
{
    leat_store_add(store->store, table, key, leat_wire_buffer_view(&store->buffer));
}

void leat_ventilator_store_lower_floor(struct leat_ventilator_store *store, leat_table table,
                                       const struct leat_ventilator_key *key)
{
    struct leat_ventilator_key *floor = &store->floors[table];
    if (floor->size > 0 && memcmp(key->bytes, floor->bytes, key->size) < 0) {
        *floor = *key;
    }
}

/* ---- the last key ---- */

struct last {
    size_t key_bytes;
    bool found;
};

static bool visit_last(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct last *last = context;
    (void)value;
    last->found = key.size == last->key_bytes;
    return !last->found;
}

enum leat_err leat_ventilator_store_last(struct leat_ventilator_store *store, leat_table table,
                                         size_t key_bytes, size_t bytes, uint64_t *ret_number)
{
    uint64_t number = 0;
    struct last last = {.key_bytes = key_bytes};
    enum leat_err err =
        leat_store_scan(store->store, table, (struct leat_bytes){0}, visit_last, &last);
    if (err != LEAT_OK || !last.found) {
        return err != LEAT_OK ? err : LEAT_ERR_NOT_FOUND;
    }
    for (int bit = (int)bytes * 8 - 1; bit >= 0; bit--) {
        uint64_t from = number | UINT64_C(1) << bit;
        struct leat_ventilator_key key = leat_ventilator_key_number(from << (64 - 8 * bytes));
        last.found = false;
        err = leat_store_scan(store->store, table, leat_bytes_of(key.bytes, bytes), visit_last,
                              &last);
        if (err != LEAT_OK) {
            return err;
        }
        number = last.found ? from : number;
    }
    *ret_number = number;
    return LEAT_OK;
}

enum leat_err leat_ventilator_store_learn_ids(struct leat_ventilator_store *store)
{
    uint64_t last_ms = 0;
    enum leat_err err = leat_ventilator_store_last(store, LEAT_VENTILATOR_TABLE_IDS, LEAT_ID_BYTES,
                                                   LEAT_ID_TIME_BYTES, &last_ms);
    if (err == LEAT_OK || err == LEAT_ERR_NOT_FOUND) {
        uint64_t from_ms = err == LEAT_OK ? last_ms + 1 : 0;
        leat_recent_init(&store->recent, LEAT_VENTILATOR_RECENT_IDS, from_ms);
        err = LEAT_OK;
    }
    return err;
}

/* ---- meta ---- */

enum leat_err leat_ventilator_store_load(struct leat_ventilator_store *store,
                                         struct leat_ventilator_meta *ret_meta,
                                         struct leat_why *why)
{
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, LEAT_VENTILATOR_TABLE_META,
                                       leat_bytes_of(META_KEY, sizeof META_KEY - 1), &value);
    if (err == LEAT_ERR_NOT_FOUND) {
        return leat_fail(why, err, "the store is fresh");
    }
    if (err != LEAT_OK) {
        return leat_fail(why, err, "%s", leat_store_error(store->store));
    }
    struct leat_item_held_meta held;
    leat_arena_clear(&store->scratch);
    err = leat_wire_unseal_item_held_meta(
        value,
        leat_ventilator_at(LEAT_VENTILATOR_TABLE_META,
                           leat_bytes_of(META_KEY, sizeof META_KEY - 1)),
        &store->scratch, &held, why);
    if (err != LEAT_OK) {
        return err;
    }
    *ret_meta = (struct leat_ventilator_meta){
        .stream = held.stream,
        .settled = held.settled,
        .steady_ms = held.steady_ms,
        .bytes = held.bytes,
        .next_seq = held.next_seq,
        .damaged = held.damaged,
    };
    return LEAT_OK;
}

void leat_ventilator_store_save(struct leat_ventilator_store *store,
                                const struct leat_ventilator_meta *meta)
{
    struct leat_item_held_meta held = {
        .stream = meta->stream,
        .settled = meta->settled,
        .steady_ms = meta->steady_ms,
        .bytes = meta->bytes,
        .next_seq = meta->next_seq,
        .damaged = meta->damaged,
    };
    struct leat_bytes key = leat_bytes_of(META_KEY, sizeof META_KEY - 1);
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_meta(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_META, key), &store->buffer));
    leat_ventilator_store_put(store, LEAT_VENTILATOR_TABLE_META, key);
}

/* ---- lanes ---- */

void leat_ventilator_store_put_lane(struct leat_ventilator_store *store, uint32_t lane,
                                    struct leat_str queue, struct leat_str type)
{
    struct leat_item_held_lane held = {.queue = queue, .type = type};
    struct leat_ventilator_key key = leat_ventilator_key_lane(lane);
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_lane(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_LANES, leat_ventilator_key_view(&key)),
        &store->buffer));
    leat_ventilator_store_put(store, LEAT_VENTILATOR_TABLE_LANES, leat_ventilator_key_view(&key));
}

void leat_ventilator_store_del_lane(struct leat_ventilator_store *store, uint32_t lane)
{
    struct leat_ventilator_key key = leat_ventilator_key_lane(lane);
    leat_store_del(store->store, LEAT_VENTILATOR_TABLE_LANES, leat_ventilator_key_view(&key));
    leat_store_del(store->store, LEAT_VENTILATOR_TABLE_COUNTS, leat_ventilator_key_view(&key));
}

void leat_ventilator_store_put_counts(struct leat_ventilator_store *store, uint32_t lane,
                                      const struct leat_ventilator_lane_counts *counts)
{
    struct leat_item_held_counts held = {
        .ready = counts->ready,
        .scheduled = counts->scheduled,
        .retrying = counts->retrying,
    };
    struct leat_ventilator_key key = leat_ventilator_key_lane(lane);
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_counts(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_COUNTS, leat_ventilator_key_view(&key)),
        &store->buffer));
    leat_ventilator_store_put(store, LEAT_VENTILATOR_TABLE_COUNTS, leat_ventilator_key_view(&key));
}

enum leat_err leat_ventilator_store_counts(struct leat_ventilator_store *store, uint32_t lane,
                                           struct leat_ventilator_lane_counts *ret_counts)
{
    struct leat_ventilator_key key = leat_ventilator_key_lane(lane);
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, LEAT_VENTILATOR_TABLE_COUNTS,
                                       leat_ventilator_key_view(&key), &value);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_item_held_counts held;
    leat_arena_clear(&store->scratch);
    if (leat_wire_unseal_item_held_counts(
            value, leat_ventilator_at(LEAT_VENTILATOR_TABLE_COUNTS, leat_ventilator_key_view(&key)),
            &store->scratch, &held, NULL) != LEAT_OK) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_counts = (struct leat_ventilator_lane_counts){held.ready, held.scheduled, held.retrying};
    return LEAT_OK;
}

struct lane_scan {
    struct leat_ventilator_store *store;
    leat_ventilator_store_lane_fn *visit;
    void *context;
    enum leat_err err;
    struct leat_why why;
};

static bool visit_lane(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct lane_scan *scan = context;
    struct leat_item_held_lane held = {0};
    uint32_t lane = 0;
    leat_arena_clear(&scan->store->scratch);
    scan->err = leat_ventilator_key_read_lane(key, &lane);
    if (scan->err != LEAT_OK) {
        scan->err = leat_fail(&scan->why, scan->err, "a lane's key is %zu bytes", key.size);
    } else {
        scan->err = leat_wire_unseal_item_held_lane(
            value, leat_ventilator_at(LEAT_VENTILATOR_TABLE_LANES, key), &scan->store->scratch,
            &held, &scan->why);
    }
    return scan->err == LEAT_OK && scan->visit(lane, held.queue, held.type, scan->context);
}

enum leat_err leat_ventilator_store_each_lane(struct leat_ventilator_store *store,
                                              leat_ventilator_store_lane_fn *visit, void *context,
                                              struct leat_why *why)
{
    struct lane_scan scan = {.store = store, .visit = visit, .context = context};
    enum leat_err err = leat_store_scan(store->store, LEAT_VENTILATOR_TABLE_LANES,
                                        (struct leat_bytes){0}, visit_lane, &scan);
    if (err != LEAT_OK) {
        return leat_fail(why, err, "%s", leat_store_error(store->store));
    }
    if (scan.err != LEAT_OK) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "table lanes: %s", scan.why.text);
    }
    return LEAT_OK;
}

/* ---- queues ---- */

void leat_ventilator_store_put_paused(struct leat_ventilator_store *store, struct leat_str queue,
                                      bool paused)
{
    LEAT_ASSERT(queue.size > 0 && queue.size <= LEAT_STORE_KEY_BYTES_MAX);
    struct leat_bytes key = leat_bytes_of(queue.data, queue.size);
    if (!paused) {
        leat_store_del(store->store, LEAT_VENTILATOR_TABLE_QUEUES, key);
        return;
    }
    struct leat_item_held_queue held = {.paused = true};
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_queue(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_QUEUES, key), &store->buffer));
    leat_ventilator_store_put(store, LEAT_VENTILATOR_TABLE_QUEUES, key);
}

struct queue_scan {
    leat_ventilator_store_queue_fn *visit;
    void *context;
};

/* The row's being there is what counts, so a damaged value pauses all the same. */
static bool visit_queue(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct queue_scan *scan = context;
    (void)value;
    return scan->visit((struct leat_str){(const char *)key.data, key.size}, scan->context);
}

enum leat_err leat_ventilator_store_each_paused(struct leat_ventilator_store *store,
                                                leat_ventilator_store_queue_fn *visit,
                                                void *context)
{
    struct queue_scan scan = {visit, context};
    return leat_store_scan(store->store, LEAT_VENTILATOR_TABLE_QUEUES, (struct leat_bytes){0},
                           visit_queue, &scan);
}

/* ---- producers ---- */

enum leat_err leat_ventilator_store_producer(struct leat_ventilator_store *store,
                                             const struct leat_id *producer,
                                             struct leat_ventilator_producer *ret_producer)
{
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, LEAT_VENTILATOR_TABLE_PRODUCERS,
                                       leat_ventilator_id_key(producer), &value);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_item_held_producer held;
    leat_arena_clear(&store->scratch);
    if (leat_wire_unseal_item_held_producer(
            value,
            leat_ventilator_at(LEAT_VENTILATOR_TABLE_PRODUCERS, leat_ventilator_id_key(producer)),
            &store->scratch, &held, NULL) != LEAT_OK) {
        return LEAT_ERR_NOT_FOUND;
    }
    *ret_producer = (struct leat_ventilator_producer){held.batch, held.seen_ms};
    return LEAT_OK;
}

void leat_ventilator_store_put_producer(struct leat_ventilator_store *store,
                                        const struct leat_id *producer,
                                        const struct leat_ventilator_producer *record)
{
    struct leat_item_held_producer held = {.batch = record->batch, .seen_ms = record->seen_ms};
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_producer(
        &held,
        leat_ventilator_at(LEAT_VENTILATOR_TABLE_PRODUCERS, leat_ventilator_id_key(producer)),
        &store->buffer));
    leat_ventilator_store_put(store, LEAT_VENTILATOR_TABLE_PRODUCERS,
                              leat_ventilator_id_key(producer));
}

#define SWEEP_MAX 256

struct sweep {
    struct leat_ventilator_store *store;
    struct leat_id after;
    int64_t now_ms, idle_ms;
    size_t left;
    struct leat_id last;
    bool reached_end;
    struct leat_id idle[SWEEP_MAX];
    size_t idle_count;
};

static bool is_idle(const struct sweep *sweep, struct leat_bytes key, struct leat_bytes value)
{
    struct leat_item_held_producer held;
    leat_arena_clear(&sweep->store->scratch);
    if (leat_wire_unseal_item_held_producer(
            value, leat_ventilator_at(LEAT_VENTILATOR_TABLE_PRODUCERS, key), &sweep->store->scratch,
            &held, NULL) != LEAT_OK) {
        return true;
    }
    return held.seen_ms < sweep->now_ms - sweep->idle_ms ||
           held.seen_ms > sweep->now_ms + sweep->idle_ms;
}

static bool visit_producer(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct sweep *sweep = context;
    if (key.size != LEAT_ID_BYTES || memcmp(key.data, sweep->after.bytes, LEAT_ID_BYTES) == 0) {
        return true;
    }
    if (sweep->left == 0) {
        sweep->reached_end = false;
        return false;
    }
    sweep->left--;
    memcpy(sweep->last.bytes, key.data, LEAT_ID_BYTES);
    if (is_idle(sweep, key, value)) {
        sweep->idle[sweep->idle_count++] = sweep->last;
    }
    return true;
}

enum leat_err leat_ventilator_store_sweep_producers(struct leat_ventilator_store *store,
                                                    int64_t now_ms, int64_t idle_ms, size_t max,
                                                    struct leat_id *cursor, size_t *ret_forgotten)
{
    struct sweep sweep = {
        .store = store,
        .after = *cursor,
        .now_ms = now_ms,
        .idle_ms = idle_ms,
        .left = max < SWEEP_MAX ? max : SWEEP_MAX,
        .reached_end = true,
    };
    enum leat_err err = leat_store_scan(store->store, LEAT_VENTILATOR_TABLE_PRODUCERS,
                                        leat_ventilator_id_key(cursor), visit_producer, &sweep);
    if (err != LEAT_OK) {
        return err;
    }
    for (size_t i = 0; i < sweep.idle_count; i++) {
        leat_store_del(store->store, LEAT_VENTILATOR_TABLE_PRODUCERS,
                       leat_ventilator_id_key(&sweep.idle[i]));
    }
    *cursor = sweep.reached_end ? (struct leat_id){0} : sweep.last;
    *ret_forgotten = sweep.idle_count;
    return LEAT_OK;
}

/* ---- settled ids ---- */

void leat_ventilator_store_remember(struct leat_ventilator_store *store, uint64_t number,
                                    int64_t at_ms, const struct leat_item_job_id *ids, size_t count)
{
    LEAT_ASSERT(count <= LEAT_BATCH_ITEMS_MAX);
    struct leat_item_held_settled held = {.at_ms = at_ms};
    size_t bytes = count * sizeof *ids;
    leat_arena_clear(&store->scratch);
    held.ids.items = leat_arena_take(&store->scratch, bytes);
    leat_ventilator_store_must(held.ids.items == NULL ? LEAT_ERR_MEMORY : LEAT_OK);
    memcpy(held.ids.items, ids, bytes);
    held.ids.count = count;
    struct leat_ventilator_key key = leat_ventilator_key_number(number);
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_settled(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_SETTLED, leat_ventilator_key_view(&key)),
        &store->buffer));
    leat_ventilator_store_add_row(store, LEAT_VENTILATOR_TABLE_SETTLED,
                                  leat_ventilator_key_view(&key));
}

struct settled_scan {
    struct leat_ventilator_store *store;
    leat_ventilator_store_settled_fn *visit;
    void *context;
};

static bool visit_settled(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct settled_scan *scan = context;
    struct leat_ventilator_settled settled = {0};
    struct leat_item_held_settled held;
    leat_arena_clear(&scan->store->scratch);
    if (leat_ventilator_key_read_number(key, &settled.number) != LEAT_OK) {
        return true;
    }
    if (leat_wire_unseal_item_held_settled(value,
                                           leat_ventilator_at(LEAT_VENTILATOR_TABLE_SETTLED, key),
                                           &scan->store->scratch, &held, NULL) == LEAT_OK) {
        settled.at_ms = held.at_ms;
        settled.count = held.ids.count;
    } else {
        settled.damaged = true;
    }
    return scan->visit(&settled, scan->context);
}

enum leat_err leat_ventilator_store_each_settled(struct leat_ventilator_store *store, uint64_t from,
                                                 leat_ventilator_store_settled_fn *visit,
                                                 void *context)
{
    struct settled_scan scan = {store, visit, context};
    struct leat_ventilator_key key = leat_ventilator_key_number(from);
    return leat_store_scan(store->store, LEAT_VENTILATOR_TABLE_SETTLED,
                           leat_ventilator_key_view(&key), visit_settled, &scan);
}

enum leat_err leat_ventilator_store_last_settled(struct leat_ventilator_store *store,
                                                 uint64_t *ret_number)
{
    return leat_ventilator_store_last(store, LEAT_VENTILATOR_TABLE_SETTLED, 8, 8, ret_number);
}

enum leat_err leat_ventilator_store_forget(struct leat_ventilator_store *store, uint64_t number)
{
    struct leat_ventilator_key key = leat_ventilator_key_number(number);
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, LEAT_VENTILATOR_TABLE_SETTLED,
                                       leat_ventilator_key_view(&key), &value);
    struct leat_item_held_settled held = {0};
    leat_arena_clear(&store->scratch);
    if (err == LEAT_OK) {
        err = leat_wire_unseal_item_held_settled(
            value,
            leat_ventilator_at(LEAT_VENTILATOR_TABLE_SETTLED, leat_ventilator_key_view(&key)),
            &store->scratch, &held, NULL);
    }
    if (err == LEAT_ERR_IO) {
        return err;
    }
    if (err == LEAT_OK) {
        for (size_t i = 0; i < held.ids.count; i++) {
            leat_store_del(store->store, LEAT_VENTILATOR_TABLE_IDS,
                           leat_ventilator_id_key(&held.ids.items[i].id));
        }
    }
    leat_store_del(store->store, LEAT_VENTILATOR_TABLE_SETTLED, leat_ventilator_key_view(&key));
    return LEAT_OK;
}
