/* What a kind of store provides: the committed state, and the way of a batch to it. Everything that
 * is the same for all kinds (batches, reading through them, numbers) is in store.c. Only for the
 * files of this folder. */
#ifndef LEAT_STORE_BACKEND_H
#define LEAT_STORE_BACKEND_H

#include <stdatomic.h>

#include "store/batch.h"

struct leat_entry {
    struct leat_bytes key;
    struct leat_bytes value;
};

enum leat_commit_state {
    LEAT_COMMIT_PENDING = 1, /* still on its way, or none is */
    LEAT_COMMIT_DONE = 2,    /* durable: told once */
    LEAT_COMMIT_BROKEN = 3,  /* never will be: told for ever */
};

struct leat_lmdb;

/* What other threads may look at while the store is open. */
struct leat_readable {
    struct leat_lmdb *lmdb;
    /* The record of the journal up to which all is durable; NULL: there is no journal. */
    const _Atomic uint64_t *durable;
    leat_table place_table; /* in which LMDB says how far the journal is applied */
};

/* Reads see a state that holds every batch that is in no overlay, and perhaps those of the lower
 * overlay as a whole: it says the same. What they return is borrowed until the
 * next call; a large value from get until the next commit, poll or wait. */
struct leat_backend {
    enum leat_err (*get)(struct leat_store *store, leat_table table, struct leat_bytes key,
                         struct leat_bytes *ret_value);
    /* The first entry with key >= from; the one after it; LEAT_ERR_NOT_FOUND at the end. One walk
     * at a time. */
    enum leat_err (*seek)(struct leat_store *store, leat_table table, struct leat_bytes from,
                          struct leat_entry *ret_entry);
    enum leat_err (*next)(struct leat_store *store, struct leat_entry *ret_entry);
    enum leat_err (*count)(struct leat_store *store, leat_table table, uint64_t *ret_count);
    /* Takes note of a write; `value` is NULL for a del. `piece` is NULL, or what a large value lies
     * in, to be held (slab.h): the value is complete when the batch is sealed. No note: the batch
     * is all that is needed. */
    void (*note)(struct leat_store *store, leat_table table, struct leat_bytes key,
                 const struct leat_bytes *value, void *piece);
    /* The CRC-32C of the large value that was noted last; may be NULL. */
    void (*tell_checksum)(struct leat_store *store, uint32_t crc);
    /* What has been written since the last call starts its way. Without `note` that is
     * store->lower, to which nobody writes until poll says DONE; with `note` the overlays are this
     * backend's to manage. `is_here`: the caller would only wait, so it may be done in this call.
     */
    void (*commit)(struct leat_store *store, bool is_here);
    /* Takes note of what happened, never blocks; updates has_room and used_bytes. */
    enum leat_commit_state (*poll)(struct leat_store *store, struct leat_why *why);
    /* Blocks until poll may have something to say. LEAT_ERR_NO_SPACE: a full disk keeps the batch.
     */
    enum leat_err (*wait)(struct leat_store *store, struct leat_why *why);
    int (*fd)(const struct leat_store *store);
    /* What a reader of reader.h reads; NULL: it cannot have any. */
    struct leat_readable (*readable)(struct leat_store *store);
    void (*close)(struct leat_store *store);
};

/* The first member of each kind's own struct. */
struct leat_store {
    const struct leat_backend *backend;
    struct leat_batch batches[2];
    /* The overlays over what the backend has: writes go to the upper one, the lower one is written
     * by nobody. Without a journal they are the batch that fills and the one on its way. */
    struct leat_batch *upper;
    struct leat_batch *lower; /* NULL: none */
    struct leat_batch *spare; /* empty; NULL while there is a lower one */
    bool is_committing;
    bool checks_adds; /* leat_store_add asserts that the key is not there */
    uint64_t filling_number;
    uint64_t durable_number;
    size_t filling_rows;
    uint64_t filling_bytes;
    bool has_room;
    uint64_t used_bytes;
    bool is_broken;
    struct leat_why error; /* "" until broken */
};

void leat_store_init(struct leat_store *store, const struct leat_backend *backend,
                     size_t keep_bytes);
void leat_store_fini(struct leat_store *store);
/* Notes the first failure; later ones are its consequence. Returns LEAT_ERR_IO. */
enum leat_err leat_store_break(struct leat_store *store, const char *reason);
/* The upper overlay becomes the lower one; or the lower one is done with. */
void leat_store_lower(struct leat_store *store);
void leat_store_drop_lower(struct leat_store *store);
/* Forgets batches, numbers and failure, as a restart does. */
void leat_store_restart(struct leat_store *store);

#endif
