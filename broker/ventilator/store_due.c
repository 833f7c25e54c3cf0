/* The typed store: what has a time, and the results that the ventilator reports itself. */
#include "broker/ventilator/store_inside.h"

#include "wire/codec.h"

/* ---- due and expiring ---- */

struct first {
    enum leat_ventilator_where where; /* for jobs */
    struct leat_ventilator_key *floor;
    bool found;
    struct leat_id id;
    struct leat_ventilator_place place;
};

static void keep_floor(struct leat_ventilator_key *floor, struct leat_bytes key)
{
    floor->size = key.size;
    memcpy(floor->bytes, key.data, key.size);
}

static bool visit_due(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct first *first = context;
    (void)value;
    first->found =
        leat_ventilator_key_read_job(first->where, key, &first->id, &first->place) == LEAT_OK;
    if (first->found) {
        keep_floor(first->floor, key);
    }
    return !first->found;
}

enum leat_err leat_ventilator_store_first_due(struct leat_ventilator_store *store,
                                              enum leat_ventilator_where where,
                                              struct leat_id *ret_id,
                                              struct leat_ventilator_place *ret_place)
{
    leat_table table = leat_ventilator_table_of(where);
    struct leat_ventilator_key from = store->floors[table];
    struct first first = {.where = where, .floor = &store->floors[table]};
    enum leat_err err =
        leat_store_scan(store->store, table, leat_ventilator_key_view(&from), visit_due, &first);
    if (err != LEAT_OK) {
        return err;
    }
    if (!first.found) {
        return LEAT_ERR_NOT_FOUND;
    }
    *ret_id = first.id;
    *ret_place = first.place;
    return LEAT_OK;
}

struct next_expiry {
    struct leat_ventilator_expiry after, next;
    bool found;
};

static bool visit_expiry(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct next_expiry *scan = context;
    struct leat_ventilator_expiry *next = &scan->next;
    (void)value;
    scan->found =
        leat_ventilator_key_read_expiry(key, &next->id, &next->expires_at_ms) == LEAT_OK &&
        (next->expires_at_ms != scan->after.expires_at_ms ||
         !leat_id_equal(&next->id, &scan->after.id));
    return !scan->found;
}

enum leat_err leat_ventilator_store_next_expiry(struct leat_ventilator_store *store,
                                                const struct leat_ventilator_expiry *after,
                                                struct leat_ventilator_expiry *ret_next)
{
    struct next_expiry scan = {.after = *after};
    struct leat_ventilator_key from = leat_ventilator_key_expiry(&after->id, after->expires_at_ms);
    enum leat_err err = leat_store_scan(store->store, LEAT_VENTILATOR_TABLE_EXPIRY,
                                        leat_ventilator_key_view(&from), visit_expiry, &scan);
    if (err != LEAT_OK) {
        return err;
    }
    if (!scan.found) {
        return LEAT_ERR_NOT_FOUND;
    }
    *ret_next = scan.next;
    return LEAT_OK;
}

void leat_ventilator_store_put_expiry(struct leat_ventilator_store *store, const struct leat_id *id,
                                      int64_t expires_at_ms)
{
    struct leat_item_held_expiry held = {.id = *id};
    struct leat_ventilator_key key = leat_ventilator_key_expiry(id, expires_at_ms);
    leat_wire_buffer_clear(&store->buffer);
    leat_ventilator_store_must(leat_wire_seal_item_held_expiry(
        &held, leat_ventilator_at(LEAT_VENTILATOR_TABLE_EXPIRY, leat_ventilator_key_view(&key)),
        &store->buffer));
    leat_ventilator_store_add_row(store, LEAT_VENTILATOR_TABLE_EXPIRY,
                                  leat_ventilator_key_view(&key));
}

void leat_ventilator_store_del_expiry(struct leat_ventilator_store *store, const struct leat_id *id,
                                      int64_t expires_at_ms)
{
    struct leat_ventilator_key key = leat_ventilator_key_expiry(id, expires_at_ms);
    leat_store_del(store->store, LEAT_VENTILATOR_TABLE_EXPIRY, leat_ventilator_key_view(&key));
}

/* ---- endings ---- */

struct ending_scan {
    const struct leat_id *after;
    size_t max;
    struct leat_id *ids;
    size_t count;
};

static bool visit_ending(struct leat_bytes key, struct leat_bytes value, void *context)
{
    struct ending_scan *scan = context;
    (void)value;
    if (key.size == LEAT_ID_BYTES && memcmp(key.data, scan->after->bytes, LEAT_ID_BYTES) != 0) {
        memcpy(scan->ids[scan->count].bytes, key.data, LEAT_ID_BYTES);
        scan->count++;
    }
    return scan->count < scan->max;
}

enum leat_err leat_ventilator_store_endings(struct leat_ventilator_store *store,
                                            const struct leat_id *after, size_t max,
                                            struct leat_id *ret_ids, size_t *ret_count)
{
    struct ending_scan scan = {.after = after, .max = max, .ids = ret_ids};
    enum leat_err err = leat_store_scan(store->store, LEAT_VENTILATOR_TABLE_ENDING,
                                        leat_ventilator_id_key(after), visit_ending, &scan);
    if (err != LEAT_OK) {
        return err;
    }
    *ret_count = scan.count;
    return LEAT_OK;
}

static enum leat_err get_ending(struct leat_ventilator_store *store, const struct leat_id *id,
                                struct leat_item_held_ending *ret_held)
{
    struct leat_bytes value;
    enum leat_err err = leat_store_get(store->store, LEAT_VENTILATOR_TABLE_ENDING,
                                       leat_ventilator_id_key(id), &value);
    if (err != LEAT_OK) {
        return err;
    }
    leat_arena_clear(&store->scratch);
    err = leat_wire_unseal_item_held_ending(
        value, leat_ventilator_at(LEAT_VENTILATOR_TABLE_ENDING, leat_ventilator_id_key(id)),
        &store->scratch, ret_held, NULL);
    return err == LEAT_OK ? LEAT_OK : LEAT_ERR_CORRUPT;
}

static bool copy_str(struct leat_arena *arena, struct leat_str *text)
{
    *text = leat_arena_copy_str(arena, *text);
    return text->size == 0 || text->data != NULL;
}

static bool copy_texts(struct leat_arena *arena, struct leat_item_result *result)
{
    result->output = (struct leat_bytes){0};
    return copy_str(arena, &result->queue) && copy_str(arena, &result->type) &&
           copy_str(arena, &result->error) && copy_str(arena, &result->worker);
}

/* A job's headers go with its result, and they are in its body. A body that is none has no headers.
 */
static void add_headers(struct leat_arena *arena, struct leat_item_result *result)
{
    struct leat_item_body body;
    if (leat_wire_decode_item_body(result->body, arena, &body, NULL) == LEAT_OK) {
        result->headers.items = body.headers.items;
        result->headers.count = body.headers.count;
    }
}

enum leat_err leat_ventilator_store_ending(struct leat_ventilator_store *store,
                                           const struct leat_id *id, struct leat_arena *arena,
                                           struct leat_item_result *ret_result)
{
    struct leat_item_held_ending held;
    enum leat_err err = get_ending(store, id, &held);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_item_result result = held.result;
    if (!copy_texts(arena, &result)) {
        return LEAT_ERR_MEMORY;
    }
    struct leat_bytes body = held.result.body;
    if (held.body_bytes > LEAT_VENTILATOR_INLINE_BYTES) {
        err = leat_ventilator_store_large_body(store, id, &body);
        if (err == LEAT_ERR_IO) {
            return err;
        }
        if (err != LEAT_OK) {
            body = (struct leat_bytes){0};
        }
    }
    result.body = leat_arena_copy(arena, body);
    if (body.size > 0 && result.body.data == NULL) {
        return LEAT_ERR_MEMORY;
    }
    if (body.size > 0) {
        add_headers(arena, &result);
    }
    *ret_result = result;
    return LEAT_OK;
}

enum leat_err leat_ventilator_store_ending_bytes(struct leat_ventilator_store *store,
                                                 const struct leat_id *id, uint64_t *ret_body_bytes)
{
    struct leat_item_held_ending held;
    enum leat_err err = get_ending(store, id, &held);
    if (err == LEAT_OK) {
        *ret_body_bytes = held.body_bytes;
    }
    return err;
}
