#include "store/memory.h"

#include <stdlib.h>

#include "core/limits.h"
#include "store/backend.h"

struct memory_store {
    struct leat_store store;
    struct leat_batch disk; /* tables without tombstones */
    struct leat_sorted_cursor cursor;
    bool is_quick;
    bool is_completed; /* the batch on its way is on the disk, and nobody knows yet */
    bool is_failing;
    bool is_set_full;
    uint64_t max_bytes; /* 0: no bound */
};

static struct memory_store *memory_of(struct leat_store *store)
{
    return (struct memory_store *)store;
}

static enum leat_err memory_get(struct leat_store *store, leat_table table, struct leat_bytes key,
                                struct leat_bytes *ret_value)
{
    struct leat_sorted_entry entry;
    if (!leat_sorted_find(&memory_of(store)->disk.tables[table], key, &entry)) {
        return LEAT_ERR_NOT_FOUND;
    }
    *ret_value = entry.value;
    return LEAT_OK;
}

static enum leat_err entry_at(const struct memory_store *memory, struct leat_entry *ret_entry)
{
    struct leat_sorted_entry entry;
    if (!leat_sorted_at(&memory->cursor, &entry)) {
        return LEAT_ERR_NOT_FOUND;
    }
    *ret_entry = (struct leat_entry){entry.key, entry.value};
    return LEAT_OK;
}

static enum leat_err memory_seek(struct leat_store *store, leat_table table, struct leat_bytes from,
                                 struct leat_entry *ret_entry)
{
    struct memory_store *memory = memory_of(store);
    memory->cursor = leat_sorted_seek(&memory->disk.tables[table], from);
    return entry_at(memory, ret_entry);
}

static enum leat_err memory_next(struct leat_store *store, struct leat_entry *ret_entry)
{
    struct memory_store *memory = memory_of(store);
    leat_sorted_next(&memory->cursor);
    return entry_at(memory, ret_entry);
}

static enum leat_err memory_count(struct leat_store *store, leat_table table, uint64_t *ret_count)
{
    *ret_count = memory_of(store)->disk.tables[table].count;
    return LEAT_OK;
}

static void memory_commit(struct leat_store *store, bool is_here)
{
    memory_of(store)->is_completed = false;
    if (is_here && memory_of(store)->is_quick) {
        leat_store_memory_complete(store);
    }
}

static void learn_room(struct memory_store *memory)
{
    struct leat_store *store = &memory->store;
    store->used_bytes = memory->disk.slab.used_bytes;
    store->has_room =
        !memory->is_set_full && (memory->max_bytes == 0 ||
                                 store->used_bytes + LEAT_STORE_RESERVE_BYTES <= memory->max_bytes);
}

static enum leat_commit_state memory_poll(struct leat_store *store, struct leat_why *why)
{
    struct memory_store *memory = memory_of(store);
    if (store->lower == NULL) {
        return LEAT_COMMIT_PENDING;
    }
    if (memory->is_failing) {
        (void)leat_fail(why, LEAT_ERR_IO, "cannot commit: the test said so");
        return LEAT_COMMIT_BROKEN;
    }
    if (!memory->is_completed) {
        return LEAT_COMMIT_PENDING;
    }
    memory->is_completed = false;
    learn_room(memory);
    return LEAT_COMMIT_DONE;
}

static enum leat_err memory_wait(struct leat_store *store, struct leat_why *why)
{
    (void)why;
    leat_store_memory_complete(store);
    return LEAT_OK;
}

static int memory_fd(const struct leat_store *store)
{
    (void)store;
    return -1;
}

static void memory_close(struct leat_store *store)
{
    leat_batch_fini(&memory_of(store)->disk);
    leat_store_fini(store);
    free(memory_of(store));
}

static const struct leat_backend memory_backend = {
    .get = memory_get,
    .seek = memory_seek,
    .next = memory_next,
    .count = memory_count,
    .commit = memory_commit,
    .poll = memory_poll,
    .wait = memory_wait,
    .fd = memory_fd,
    .close = memory_close,
};

struct leat_store *leat_store_open_memory(void)
{
    struct memory_store *memory = calloc(1, sizeof *memory);
    if (memory == NULL) {
        abort();
    }
    const size_t keep_bytes = 16 << 10; /* small: there may be thousands of stores */
    leat_store_init(&memory->store, &memory_backend, keep_bytes);
    leat_batch_init(&memory->disk, 0);
    memory->store.checks_adds = true;
    return &memory->store;
}

static void write_to_disk(struct memory_store *memory, const struct leat_batch *batch)
{
    for (size_t i = 0; i < LEAT_STORE_TABLES_MAX; i++) {
        struct leat_sorted_cursor cursor =
            leat_sorted_seek(&batch->tables[i], (struct leat_bytes){NULL, 0});
        struct leat_sorted_entry entry;
        for (; leat_sorted_at(&cursor, &entry); leat_sorted_next(&cursor)) {
            if (entry.is_tombstone) {
                (void)leat_sorted_erase(&memory->disk.tables[i], entry.key);
            } else {
                leat_sorted_put(&memory->disk.tables[i], entry.key, entry.value);
            }
        }
    }
}

struct leat_store *leat_store_memory_copy(struct leat_store *store)
{
    struct leat_store *copy = leat_store_open_memory();
    write_to_disk(memory_of(copy), &memory_of(store)->disk);
    learn_room(memory_of(copy));
    return copy;
}

void leat_store_memory_trust_adds(struct leat_store *store)
{
    store->checks_adds = false;
}

void leat_store_memory_complete(struct leat_store *store)
{
    struct memory_store *memory = memory_of(store);
    if (store->lower == NULL || memory->is_completed || memory->is_failing) {
        return;
    }
    write_to_disk(memory, store->lower);
    memory->is_completed = true;
}

void leat_store_memory_be_quick(struct leat_store *store, bool is_quick)
{
    memory_of(store)->is_quick = is_quick;
}

void leat_store_memory_fail(struct leat_store *store)
{
    memory_of(store)->is_failing = true;
}

void leat_store_memory_crash(struct leat_store *store, enum leat_store_fate fate)
{
    struct memory_store *memory = memory_of(store);
    if (store->lower != NULL && !memory->is_completed && fate == LEAT_STORE_KEPT) {
        write_to_disk(memory, store->lower);
    }
    memory->is_completed = false;
    memory->is_failing = false;
    memory->is_set_full = false;
    leat_store_restart(store);
    learn_room(memory);
}

void leat_store_memory_limit(struct leat_store *store, uint64_t max_bytes)
{
    memory_of(store)->max_bytes = max_bytes;
}

void leat_store_memory_set_full(struct leat_store *store, bool full)
{
    memory_of(store)->is_set_full = full;
    learn_room(memory_of(store));
}
