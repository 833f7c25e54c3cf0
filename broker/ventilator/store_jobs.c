/* The typed store: jobs, their places and their bodies. */
#include "broker/ventilator/store_inside.h"

#include "core/check.h"

/* Writes what the buffer holds; is_new: nothing is at that key. */
static void write_row(struct leat_ventilator_store *store, leat_table table, struct leat_bytes key,
                      bool is_new)
{
    if (is_new) {
        leat_ventilator_store_add_row(store, table, key);
    } else {
        leat_ventilator_store_put(store, table, key);
    }
}

/* ---- places ---- */

void leat_ventilator_store_put_place(struct leat_ventilator_store *store, const struct leat_id *id,
                                     const struct leat_ventilator_place *place, bool is_new)
{
    struct leat_item_held_place held = {
        .where = place->where,
        .lane = place->lane,
        .seq = place->seq,
        .due_ms = place->due_ms,
    };
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_place(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_IDS, leat_ventilator_id_key(id)),
        &store->buffer));
    write_row(store, LEAT_VENTILATOR_TABLE_IDS, leat_ventilator_id_key(id), is_new);
}

void leat_ventilator_store_prefetch(const struct leat_ventilator_store *store,
                                    const struct leat_id *id)
{
    leat_recent_prefetch(&store->recent, id);
}

enum leat_err leat_ventilator_store_find(struct leat_ventilator_store *store,
                                         const struct leat_id *id,
                                         struct leat_ventilator_place *ret_place)
{
    struct leat_bytes value;
    if (!leat_recent_may_have(&store->recent, id)) {
        return LEAT_ERR_NOT_FOUND;
    }
    enum leat_err err =
        leat_store_get(store->store, LEAT_VENTILATOR_TABLE_IDS, leat_ventilator_id_key(id), &value);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_item_held_place held;
    leat_arena_clear(&store->scratch);
    if (leat_wire_unseal_item_held_place(
            value, leat_ventilator_at(LEAT_VENTILATOR_TABLE_IDS, leat_ventilator_id_key(id)),
            &store->scratch, &held, NULL) != LEAT_OK ||
        held.where < LEAT_VENTILATOR_READY || held.where > LEAT_VENTILATOR_SETTLED) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_place = (struct leat_ventilator_place){
        .where = (enum leat_ventilator_where)held.where,
        .lane = (uint32_t)held.lane,
        .seq = held.seq,
        .due_ms = held.due_ms,
    };
    return LEAT_OK;
}

/* ---- bodies ---- */

static bool is_large(uint64_t body_bytes)
{
    return body_bytes > LEAT_VENTILATOR_INLINE_BYTES;
}

enum leat_err leat_ventilator_store_large_body(struct leat_ventilator_store *store,
                                               const struct leat_id *id,
                                               struct leat_bytes *ret_body)
{
    const struct leat_bytes key = leat_ventilator_id_key(id);
    struct leat_bytes value;
    bool is_kept;
    enum leat_err err =
        leat_store_get_kept(store->store, LEAT_VENTILATOR_TABLE_BODIES, key, &value, &is_kept);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_item_held_body held;
    leat_arena_clear(&store->scratch);
    err = is_kept ? leat_wire_decode_item_held_body(leat_record_payload(value), &store->scratch,
                                                    &held, NULL)
                  : leat_wire_unseal_item_held_body(
                        value, leat_ventilator_at(LEAT_VENTILATOR_TABLE_BODIES, key),
                        &store->scratch, &held, NULL);
    if (err != LEAT_OK) {
        return LEAT_ERR_CORRUPT;
    }
    *ret_body = held.body;
    return LEAT_OK;
}

/* A very large one is sealed where it is to lie. */
static void add_body(struct leat_ventilator_store *store, const struct leat_id *id,
                     struct leat_bytes body)
{
    struct leat_bytes key = leat_ventilator_id_key(id);
    struct leat_record_place at = leat_ventilator_at(LEAT_VENTILATOR_TABLE_BODIES, key);
    if (body.size >= LEAT_STORE_LARGE_BYTES) {
        uint8_t *place = leat_store_add_large(store->store, LEAT_VENTILATOR_TABLE_BODIES, key,
                                              leat_record_bin_bytes(body.size));
        leat_store_tell_checksum(store->store, leat_record_seal_bin(at, body, place));
        return;
    }
    struct leat_item_held_body held = {.body = body};
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_body(&held, at, &store->buffer));
    leat_ventilator_store_add_row(store, LEAT_VENTILATOR_TABLE_BODIES, key);
}

/* ---- rows ---- */

/* A row as it lies in its table; the body borrows until the next call on the store underneath. */
static enum leat_err get_row(struct leat_ventilator_store *store, const struct leat_id *id,
                             const struct leat_ventilator_place *place,
                             struct leat_item_held_job *ret_held)
{
    struct leat_ventilator_key key = leat_ventilator_key_job(id, place);
    leat_table table = leat_ventilator_table_of(place->where);
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, table, leat_ventilator_key_view(&key), &value);
    if (err != LEAT_OK) {
        return err;
    }
    leat_arena_clear(&store->scratch);
    err = leat_wire_unseal_item_held_job(value,
                                         leat_ventilator_at(table, leat_ventilator_key_view(&key)),
                                         &store->scratch, ret_held, NULL);
    return err == LEAT_OK ? LEAT_OK : LEAT_ERR_CORRUPT;
}

/* `body` is what lies in the row itself; is_new: nothing is at that place. */
static void put_row(struct leat_ventilator_store *store, const struct leat_id *id,
                    const struct leat_ventilator_place *place,
                    const struct leat_ventilator_job *job, struct leat_bytes body, bool is_new)
{
    struct leat_item_held_job held = {
        .attempt = job->attempt,
        .lost = job->lost,
        .delivery = job->delivery,
        .expires_at_ms = job->expires_at_ms,
        .accepted_us = job->accepted_us,
        .waited_us = (int64_t)((uint64_t)job->ready_us - (uint64_t)job->accepted_us),
        .body_bytes = job->body_bytes,
        .body = body,
    };
    struct leat_ventilator_key key = leat_ventilator_key_job(id, place);
    leat_table table = leat_ventilator_table_of(place->where);
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_job(
        &held, leat_ventilator_at(table, leat_ventilator_key_view(&key)), &store->buffer));
    write_row(store, table, leat_ventilator_key_view(&key), is_new);
    leat_ventilator_store_lower_floor(store, table, &key);
}

void leat_ventilator_store_drop_row(struct leat_ventilator_store *store, const struct leat_id *id,
                                    const struct leat_ventilator_place *place)
{
    struct leat_ventilator_key key = leat_ventilator_key_job(id, place);
    leat_store_del(store->store, leat_ventilator_table_of(place->where),
                   leat_ventilator_key_view(&key));
}

static void job_of(const struct leat_item_held_job *held, struct leat_ventilator_job *ret_job)
{
    *ret_job = (struct leat_ventilator_job){
        .attempt = held->attempt,
        .lost = held->lost,
        .delivery = held->delivery,
        .expires_at_ms = held->expires_at_ms,
        .accepted_us = held->accepted_us,
        .ready_us = (int64_t)((uint64_t)held->accepted_us + (uint64_t)held->waited_us),
        .body_bytes = held->body_bytes,
    };
}

void leat_ventilator_store_add(struct leat_ventilator_store *store, const struct leat_id *id,
                               const struct leat_ventilator_place *place,
                               const struct leat_ventilator_job *job, struct leat_bytes body)
{
    LEAT_ASSERT(job->body_bytes == body.size);
    bool large = is_large(body.size);
    put_row(store, id, place, job, large ? (struct leat_bytes){0} : body, true);
    leat_ventilator_store_put_place(store, id, place, true);
    leat_recent_add(&store->recent, id);
    if (large) {
        add_body(store, id, body);
    }
    if (job->expires_at_ms != 0) {
        leat_ventilator_store_put_expiry(store, id, job->expires_at_ms);
    }
}

enum leat_err leat_ventilator_store_read(struct leat_ventilator_store *store,
                                         const struct leat_id *id,
                                         const struct leat_ventilator_place *place,
                                         struct leat_ventilator_job *ret_job,
                                         struct leat_arena *arena, struct leat_bytes *ret_body)
{
    struct leat_item_held_job held;
    struct leat_bytes body = {0};
    enum leat_err err = get_row(store, id, place, &held);
    if (err != LEAT_OK) {
        return err;
    }
    if (ret_body != NULL && held.body_bytes > 0) {
        body = held.body;
        if (is_large(held.body_bytes)) {
            err = leat_ventilator_store_large_body(store, id, &body);
        }
        if (err == LEAT_OK && body.size != held.body_bytes) {
            err = LEAT_ERR_CORRUPT;
        }
        if (err != LEAT_OK) {
            return err == LEAT_ERR_IO ? err : LEAT_ERR_CORRUPT;
        }
        if (body.size < LEAT_STORE_LARGE_BYTES) {
            body = leat_arena_copy(arena, body);
        }
        if (body.data == NULL) {
            return LEAT_ERR_MEMORY;
        }
    }
    job_of(&held, ret_job);
    if (ret_body != NULL) {
        *ret_body = body;
    }
    return LEAT_OK;
}

enum leat_err leat_ventilator_store_move(struct leat_ventilator_store *store,
                                         const struct leat_id *id,
                                         const struct leat_ventilator_place *from,
                                         const struct leat_ventilator_place *to,
                                         const struct leat_ventilator_job *job)
{
    struct leat_item_held_job held;
    enum leat_err err = get_row(store, id, from, &held);
    if (err != LEAT_OK) {
        return err;
    }
    put_row(store, id, to, job, held.body, !leat_ventilator_same_place(from, to));
    if (!leat_ventilator_same_place(from, to)) {
        leat_ventilator_store_drop_row(store, id, from);
        leat_ventilator_store_put_place(store, id, to, false);
    }
    return LEAT_OK;
}

/* ---- the end ---- */

enum leat_err leat_ventilator_store_end(struct leat_ventilator_store *store,
                                        const struct leat_id *id,
                                        const struct leat_ventilator_place *from,
                                        int64_t expires_at_ms,
                                        const struct leat_item_result *result)
{
    struct leat_item_held_job job = {0};
    enum leat_err err = get_row(store, id, from, &job);
    if (err == LEAT_ERR_IO) {
        return err;
    }
    struct leat_item_held_ending held = {.result = *result};
    if (err == LEAT_OK) {
        held.result.body = job.body;
        held.body_bytes = job.body_bytes;
    } else {
        /* The row is damaged, but if its body is large it may have come through. */
        struct leat_bytes body;
        if (leat_ventilator_store_large_body(store, id, &body) == LEAT_OK) {
            held.body_bytes = body.size;
        }
    }
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_ending(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_ENDING, leat_ventilator_id_key(id)),
        &store->buffer));
    /* Not added: in a damaged store something may be there. */
    leat_ventilator_store_put(store, LEAT_VENTILATOR_TABLE_ENDING, leat_ventilator_id_key(id));
    leat_ventilator_store_drop_row(store, id, from);
    if (expires_at_ms != 0) {
        leat_ventilator_store_del_expiry(store, id, expires_at_ms);
    }
    struct leat_ventilator_place place = {.where = LEAT_VENTILATOR_ENDING};
    leat_ventilator_store_put_place(store, id, &place, false);
    return LEAT_OK;
}

void leat_ventilator_store_settle(struct leat_ventilator_store *store, const struct leat_id *id,
                                  const struct leat_ventilator_place *place, int64_t expires_at_ms,
                                  uint64_t body_bytes)
{
    if (place->where == LEAT_VENTILATOR_ENDING) {
        leat_store_del(store->store, LEAT_VENTILATOR_TABLE_ENDING, leat_ventilator_id_key(id));
    } else {
        leat_ventilator_store_drop_row(store, id, place);
    }
    if (expires_at_ms != 0) {
        leat_ventilator_store_del_expiry(store, id, expires_at_ms);
    }
    if (is_large(body_bytes)) {
        leat_store_del(store->store, LEAT_VENTILATOR_TABLE_BODIES, leat_ventilator_id_key(id));
    }
    if (place->where != LEAT_VENTILATOR_READY) {
        struct leat_ventilator_place settled = {.where = LEAT_VENTILATOR_SETTLED};
        leat_ventilator_store_put_place(store, id, &settled, false);
    }
}

/* ---- reading many ---- */

struct ready_scan {
    struct leat_ventilator_store *store;
    uint32_t lane;
    leat_ventilator_store_ready_fn *visit;
    void *context;
};

struct leat_ventilator_store_row {
    struct leat_ventilator_store *store;
    struct leat_bytes key, value;
    bool is_kept;
};

enum leat_err leat_ventilator_store_read_row(const struct leat_ventilator_store_row *row,
                                             struct leat_ventilator_job *ret_job,
                                             struct leat_bytes *ret_body)
{
    struct leat_item_held_job held;
    struct leat_arena *scratch = &row->store->scratch;
    leat_arena_clear(scratch);
    enum leat_err err =
        row->is_kept
            ? leat_wire_decode_item_held_job(leat_record_payload(row->value), scratch, &held, NULL)
            : leat_wire_unseal_item_held_job(
                  row->value, leat_ventilator_at(LEAT_VENTILATOR_TABLE_READY, row->key), scratch,
                  &held, NULL);
    if (err != LEAT_OK) {
        return LEAT_ERR_CORRUPT;
    }
    if (is_large(held.body_bytes)) {
        return LEAT_ERR_LIMIT;
    }
    if (held.body.size != held.body_bytes) {
        return LEAT_ERR_CORRUPT;
    }
    job_of(&held, ret_job);
    *ret_body = held.body;
    return LEAT_OK;
}

/* Only the key is looked at here: whoever wants the row reads it. */
static bool visit_ready(struct leat_bytes key, struct leat_bytes value, bool is_kept, void *context)
{
    struct ready_scan *scan = context;
    struct leat_id id;
    struct leat_ventilator_place place;
    if (leat_ventilator_key_read_job(LEAT_VENTILATOR_READY, key, &id, &place) != LEAT_OK) {
        return true;
    }
    const struct leat_ventilator_store_row row = {scan->store, key, value, is_kept};
    return place.lane == scan->lane && scan->visit(&id, place.seq, &row, scan->context);
}

enum leat_err leat_ventilator_store_each_ready(struct leat_ventilator_store *store, uint32_t lane,
                                               uint64_t from, leat_ventilator_store_ready_fn *visit,
                                               void *context)
{
    struct ready_scan scan = {store, lane, visit, context};
    struct leat_ventilator_key key = leat_ventilator_key_ready_from(lane, from);
    return leat_store_scan_kept(store->store, LEAT_VENTILATOR_TABLE_READY,
                                leat_ventilator_key_view(&key), visit_ready, &scan);
}

struct lane_scan {
    bool found;
    uint32_t lane;
};

static bool visit_lane(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct lane_scan *scan = context;
    struct leat_id id;
    struct leat_ventilator_place place;
    (void)value;
    if (leat_ventilator_key_read_job(LEAT_VENTILATOR_READY, key, &id, &place) != LEAT_OK) {
        return true;
    }
    scan->found = true;
    scan->lane = place.lane;
    return false;
}

enum leat_err leat_ventilator_store_next_ready(struct leat_ventilator_store *store, uint32_t from,
                                               uint32_t *ret_lane)
{
    struct lane_scan scan = {0};
    struct leat_ventilator_key key = leat_ventilator_key_ready_from(from, 0);
    enum leat_err err = leat_store_scan(store->store, LEAT_VENTILATOR_TABLE_READY,
                                        leat_ventilator_key_view(&key), visit_lane, &scan);
    if (err != LEAT_OK) {
        return err;
    }
    if (!scan.found) {
        return LEAT_ERR_NOT_FOUND;
    }
    *ret_lane = scan.lane;
    return LEAT_OK;
}

struct job_scan {
    struct leat_ventilator_store *store;
    enum leat_ventilator_where where;
    leat_ventilator_store_job_fn *visit;
    void *context;
};

static bool visit_job(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct job_scan *scan = context;
    struct leat_id id;
    struct leat_ventilator_place place;
    struct leat_item_held_job held;
    struct leat_ventilator_job job;
    if (leat_ventilator_key_read_job(scan->where, key, &id, &place) != LEAT_OK) {
        return true;
    }
    leat_arena_clear(&scan->store->scratch);
    if (leat_wire_unseal_item_held_job(
            value, leat_ventilator_at(leat_ventilator_table_of(scan->where), key),
            &scan->store->scratch, &held, NULL) != LEAT_OK) {
        return scan->visit(&id, &place, NULL, scan->context);
    }
    job_of(&held, &job);
    return scan->visit(&id, &place, &job, scan->context);
}

enum leat_err leat_ventilator_store_each_job(struct leat_ventilator_store *store,
                                             enum leat_ventilator_where where,
                                             leat_ventilator_store_job_fn *visit, void *context)
{
    struct job_scan scan = {store, where, visit, context};
    return leat_store_scan(store->store, leat_ventilator_table_of(where), (struct leat_bytes){0},
                           visit_job, &scan);
}
