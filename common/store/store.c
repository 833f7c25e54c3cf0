#include "store/store.h"

#include <assert.h>
#include <string.h>

#include "core/limits.h"
#include "store/backend.h"

void leat_store_init(struct leat_store *store, const struct leat_backend *backend,
                     size_t keep_bytes)
{
    *store = (struct leat_store){.backend = backend, .has_room = true};
    leat_batch_init(&store->batches[0], keep_bytes);
    leat_batch_init(&store->batches[1], keep_bytes);
    store->upper = &store->batches[0];
    store->spare = &store->batches[1];
    store->filling_number = 1;
}

void leat_store_fini(struct leat_store *store)
{
    leat_batch_fini(&store->batches[0]);
    leat_batch_fini(&store->batches[1]);
}

void leat_store_restart(struct leat_store *store)
{
    leat_batch_clear(&store->batches[0]);
    leat_batch_clear(&store->batches[1]);
    store->upper = &store->batches[0];
    store->lower = NULL;
    store->spare = &store->batches[1];
    store->is_committing = false;
    store->filling_number = 1;
    store->durable_number = 0;
    store->filling_rows = 0;
    store->filling_bytes = 0;
    store->is_broken = false;
    store->error.text[0] = '\0';
}

enum leat_err leat_store_break(struct leat_store *store, const char *reason)
{
    if (!store->is_broken) {
        store->is_broken = true;
        (void)leat_fail(&store->error, LEAT_ERR_IO, "%s", reason);
    }
    return LEAT_ERR_IO;
}

const char *leat_store_error(const struct leat_store *store)
{
    return store->error.text;
}

/* ---- writing ---- */

static void check_key(leat_table table, struct leat_bytes key)
{
    assert(table < LEAT_STORE_TABLES_MAX);
    assert(key.size > 0 && key.size <= LEAT_STORE_KEY_BYTES_MAX);
}

/* What a write costs beside its bytes, about. */
#define WRITE_BYTES 48

static void note(struct leat_store *store, leat_table table, struct leat_bytes key,
                 const struct leat_bytes *value, void *piece)
{
    store->filling_rows++;
    store->filling_bytes += WRITE_BYTES + key.size + (value == NULL ? 0 : value->size);
    if (store->backend->note != NULL) {
        store->backend->note(store, table, key, value, piece);
    }
}

_Static_assert(LEAT_STORE_LARGE_BYTES > LEAT_SLAB_SMALL_BYTES_MAX, "large pieces can be held");

static void write_row(struct leat_sorted *rows, struct leat_bytes key, struct leat_bytes value,
                      bool is_new)
{
    if (is_new) {
        leat_sorted_add(rows, key, value);
    } else {
        leat_sorted_put(rows, key, value);
    }
}

/* The value is noted where it has come to lie; which is told. */
static struct leat_bytes put_large(struct leat_store *store, leat_table table,
                                   struct leat_bytes key, struct leat_bytes value, bool is_new)
{
    uint8_t kept[LEAT_STORE_KEY_BYTES_MAX]; /* the row that the key is borrowed from may go */
    struct leat_sorted *rows = &store->upper->tables[table];
    struct leat_sorted_entry entry;
    memcpy(kept, key.data, key.size);
    write_row(rows, key, value, is_new);
    void *piece = leat_sorted_piece(rows, leat_bytes_of(kept, key.size), &entry);
    note(store, table, entry.key, &entry.value, piece);
    return entry.value;
}

static inline bool has(struct leat_store *store, leat_table table, struct leat_bytes key)
{
    struct leat_bytes value;
    return leat_store_get(store, table, key, &value) == LEAT_OK;
}

static void put(struct leat_store *store, leat_table table, struct leat_bytes key,
                struct leat_bytes value, bool is_new)
{
    check_key(table, key);
    assert(value.size <= LEAT_MESSAGE_BYTES_MAX);
    assert(!(is_new && store->checks_adds && has(store, table, key)));
    if (value.size >= LEAT_STORE_LARGE_BYTES) {
        (void)put_large(store, table, key, value, is_new);
        return;
    }
    note(store, table, key, &value, NULL); /* before the value, which may be borrowed, is moved */
    write_row(&store->upper->tables[table], key, value, is_new);
}

void leat_store_put(struct leat_store *store, leat_table table, struct leat_bytes key,
                    struct leat_bytes value)
{
    put(store, table, key, value, false);
}

void leat_store_add(struct leat_store *store, leat_table table, struct leat_bytes key,
                    struct leat_bytes value)
{
    put(store, table, key, value, true);
}

uint8_t *leat_store_add_large(struct leat_store *store, leat_table table, struct leat_bytes key,
                              size_t size)
{
    check_key(table, key);
    assert(size >= LEAT_STORE_LARGE_BYTES && size <= LEAT_MESSAGE_BYTES_MAX);
    assert(!(store->checks_adds && has(store, table, key)));
    struct leat_bytes lies = put_large(store, table, key, leat_bytes_of(NULL, size), true);
    return (uint8_t *)(uintptr_t)lies.data;
}

void leat_store_tell_checksum(struct leat_store *store, uint32_t crc)
{
    if (store->backend->tell_checksum != NULL) {
        store->backend->tell_checksum(store, crc);
    }
}

/* Only with a journal may a write vanish from the overlay: it is what the batch is made of, else.
 */
void leat_store_del(struct leat_store *store, leat_table table, struct leat_bytes key)
{
    check_key(table, key);
    note(store, table, key, NULL, NULL);
    if (store->backend->note != NULL) {
        leat_sorted_del(&store->upper->tables[table], key);
    } else {
        leat_sorted_put_tombstone(&store->upper->tables[table], key);
    }
}

/* ---- reading: the upper overlay over the lower one over what the backend has ---- */

enum leat_err leat_store_get(struct leat_store *store, leat_table table, struct leat_bytes key,
                             struct leat_bytes *ret_value)
{
    bool is_kept;
    return leat_store_get_kept(store, table, key, ret_value, &is_kept);
}

enum leat_err leat_store_get_kept(struct leat_store *store, leat_table table, struct leat_bytes key,
                                  struct leat_bytes *ret_value, bool *ret_is_kept)
{
    check_key(table, key);
    if (store->is_broken) {
        return LEAT_ERR_IO;
    }
    struct leat_sorted_entry entry;
    bool is_found = leat_sorted_find(&store->upper->tables[table], key, &entry);
    if (!is_found && store->lower != NULL) {
        is_found = leat_sorted_find(&store->lower->tables[table], key, &entry);
    }
    if (!is_found) {
        *ret_is_kept = false;
        return store->backend->get(store, table, key, ret_value);
    }
    if (entry.is_tombstone) {
        return LEAT_ERR_NOT_FOUND;
    }
    *ret_value = entry.value;
    *ret_is_kept = true;
    return LEAT_OK;
}

/* Both overlays as one ordered sequence of last writes. */
struct overlay {
    struct leat_sorted_cursor upper;
    struct leat_sorted_cursor lower;
    bool has_entry;
    struct leat_sorted_entry entry;
};

static void overlay_settle(struct overlay *overlay)
{
    struct leat_sorted_entry lower;
    overlay->has_entry = leat_sorted_at(&overlay->upper, &overlay->entry);
    if (leat_sorted_at(&overlay->lower, &lower) &&
        (!overlay->has_entry || leat_sorted_compare(lower.key, overlay->entry.key) < 0)) {
        overlay->entry = lower;
        overlay->has_entry = true;
    }
}

static void overlay_skip(struct leat_sorted_cursor *cursor, struct leat_bytes key)
{
    struct leat_sorted_entry entry;
    if (leat_sorted_at(cursor, &entry) && leat_sorted_compare(entry.key, key) == 0) {
        leat_sorted_next(cursor);
    }
}

static void overlay_next(struct overlay *overlay)
{
    struct leat_bytes key = overlay->entry.key;
    overlay_skip(&overlay->upper, key);
    overlay_skip(&overlay->lower, key);
    overlay_settle(overlay);
}

static void overlay_seek(const struct leat_store *store, leat_table table, struct leat_bytes from,
                         struct overlay *ret_overlay)
{
    *ret_overlay = (struct overlay){.upper = leat_sorted_seek(&store->upper->tables[table], from)};
    if (store->lower != NULL) {
        ret_overlay->lower = leat_sorted_seek(&store->lower->tables[table], from);
    }
    overlay_settle(ret_overlay);
}

enum leat_err leat_store_scan_kept(struct leat_store *store, leat_table table,
                                   struct leat_bytes from, leat_store_visit_kept_fn *visit,
                                   void *context)
{
    assert(table < LEAT_STORE_TABLES_MAX);
    if (store->is_broken) {
        return LEAT_ERR_IO;
    }
    struct overlay overlay;
    overlay_seek(store, table, from, &overlay);
    struct leat_entry base;
    enum leat_err err = store->backend->seek(store, table, from, &base);
    while (err == LEAT_OK || (err == LEAT_ERR_NOT_FOUND && overlay.has_entry)) {
        int order = err != LEAT_OK      ? 1
                    : overlay.has_entry ? leat_sorted_compare(base.key, overlay.entry.key)
                                        : -1;
        bool goes_on = true;
        if (order < 0) {
            goes_on = visit(base.key, base.value, false, context);
        } else if (!overlay.entry.is_tombstone) {
            goes_on = visit(overlay.entry.key, overlay.entry.value, true, context);
        }
        if (!goes_on) {
            return LEAT_OK;
        }
        if (order >= 0) {
            overlay_next(&overlay);
        }
        if (order <= 0) {
            err = store->backend->next(store, &base);
        }
    }
    return err == LEAT_ERR_NOT_FOUND ? LEAT_OK : err;
}

struct plain_visit {
    leat_store_visit_fn *visit;
    void *context;
};

static bool visit_plainly(struct leat_bytes key, struct leat_bytes value, bool is_kept,
                          void *context)
{
    const struct plain_visit *plain = context;
    (void)is_kept;
    return plain->visit(key, value, plain->context);
}

enum leat_err leat_store_scan(struct leat_store *store, leat_table table, struct leat_bytes from,
                              leat_store_visit_fn *visit, void *context)
{
    struct plain_visit plain = {visit, context};
    return leat_store_scan_kept(store, table, from, visit_plainly, &plain);
}

uint64_t leat_store_count(struct leat_store *store, leat_table table)
{
    assert(table < LEAT_STORE_TABLES_MAX);
    uint64_t count = 0;
    if (store->is_broken || store->backend->count(store, table, &count) != LEAT_OK) {
        return 0;
    }
    struct overlay overlay;
    overlay_seek(store, table, (struct leat_bytes){NULL, 0}, &overlay);
    for (; overlay.has_entry; overlay_next(&overlay)) {
        struct leat_bytes value;
        bool is_in_base = store->backend->get(store, table, overlay.entry.key, &value) == LEAT_OK;
        if (is_in_base && overlay.entry.is_tombstone) {
            count--;
        } else if (!is_in_base && !overlay.entry.is_tombstone) {
            count++;
        }
    }
    return count;
}

/* ---- group commit ---- */

bool leat_store_is_dirty(const struct leat_store *store)
{
    return store->filling_rows > 0;
}

bool leat_store_is_committing(const struct leat_store *store)
{
    return store->is_committing;
}

uint64_t leat_store_filling(const struct leat_store *store)
{
    return store->filling_number;
}

uint64_t leat_store_durable(const struct leat_store *store)
{
    return store->durable_number;
}

uint64_t leat_store_awaited(const struct leat_store *store)
{
    if (leat_store_is_dirty(store)) {
        return store->filling_number;
    }
    return store->is_committing ? store->filling_number - 1 : 0;
}

uint64_t leat_store_filling_bytes(const struct leat_store *store)
{
    return store->filling_bytes;
}

size_t leat_store_filling_rows(const struct leat_store *store)
{
    return store->filling_rows;
}

void leat_store_lower(struct leat_store *store)
{
    assert(store->lower == NULL);
    store->lower = store->upper;
    store->upper = store->spare;
    store->spare = NULL;
}

void leat_store_drop_lower(struct leat_store *store)
{
    leat_batch_clear(store->lower);
    store->spare = store->lower;
    store->lower = NULL;
}

static void seal(struct leat_store *store, bool is_here)
{
    assert(leat_store_is_dirty(store));
    assert(!store->is_committing);
    if (store->backend->note == NULL) {
        leat_store_lower(store);
    }
    store->is_committing = true;
    store->filling_number++;
    store->filling_rows = 0;
    store->filling_bytes = 0;
    store->backend->commit(store, is_here);
}

void leat_store_seal(struct leat_store *store)
{
    seal(store, false);
}

void leat_store_seal_here(struct leat_store *store)
{
    seal(store, true);
}

int leat_store_fd(const struct leat_store *store)
{
    return store->backend->fd(store);
}

enum leat_err leat_store_advance(struct leat_store *store, struct leat_why *why)
{
    if (!store->is_broken) {
        struct leat_why reason = {""};
        switch (store->backend->poll(store, &reason)) {
        case LEAT_COMMIT_PENDING:
            break;
        case LEAT_COMMIT_DONE:
            if (store->backend->note == NULL) {
                leat_store_drop_lower(store);
            }
            store->is_committing = false;
            store->durable_number = store->filling_number - 1;
            break;
        case LEAT_COMMIT_BROKEN:
            (void)leat_store_break(store, reason.text);
            break;
        }
    }
    return store->is_broken ? leat_fail(why, LEAT_ERR_IO, "%s", store->error.text) : LEAT_OK;
}

enum leat_err leat_store_sync(struct leat_store *store, struct leat_why *why)
{
    for (;;) {
        enum leat_err err = leat_store_advance(store, why);
        if (err != LEAT_OK) {
            return err;
        }
        if (!store->is_committing) {
            if (!leat_store_is_dirty(store)) {
                return LEAT_OK;
            }
            leat_store_seal(store);
        }
        err = store->backend->wait(store, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
}

/* ---- room ---- */

bool leat_store_has_room(const struct leat_store *store)
{
    return store->has_room;
}

uint64_t leat_store_used_bytes(const struct leat_store *store)
{
    return store->used_bytes;
}

void leat_store_close(struct leat_store **store)
{
    if (*store != NULL) {
        (*store)->backend->close(*store);
        *store = NULL;
    }
}
