#include "store/lmdb.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/limits.h"
#include "store/lmdb_store.h"
#include "store/thread.h"

/* ---- reading on the owner's thread: one snapshot, kept from the first read after a commit to the
 * next commit's start, so that what was returned stays valid until the next call ---- */

static enum leat_err break_reading(struct leat_lmdb *lmdb, int rc)
{
    struct leat_why why;
    (void)leat_fail(&why, LEAT_ERR_IO, "cannot read store %s: %s", lmdb->path, mdb_strerror(rc));
    return leat_store_break(&lmdb->store, why.text);
}

static void end_reading(struct leat_lmdb *lmdb)
{
    if (lmdb->is_reading) {
        mdb_txn_reset(lmdb->txn);
        lmdb->is_reading = false;
    }
}

static int begin_reading(struct leat_lmdb *lmdb)
{
    if (lmdb->is_reading) {
        return 0;
    }
    int rc = mdb_txn_renew(lmdb->txn);
    lmdb->is_reading = rc == 0;
    for (unsigned i = 0; i < lmdb->table_count; i++) {
        lmdb->lasts[i].is_known = false;
    }
    return rc;
}

/* A table's last key is learnt when a key was not found: then others will not be, either. */
static int learn_last(struct leat_lmdb *lmdb, leat_table table)
{
    struct leat_lmdb_last *last = &lmdb->lasts[table];
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int rc = mdb_cursor_open(lmdb->txn, lmdb->tables[table], &cursor);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (rc == 0 && key.mv_size <= sizeof last->key) {
        memcpy(last->key, key.mv_data, key.mv_size);
        last->key_bytes = (uint8_t)key.mv_size;
        last->is_known = true;
    } else if (rc == MDB_NOTFOUND) {
        last->key_bytes = 0;
        last->is_known = true;
        rc = 0;
    }
    mdb_cursor_close(cursor);
    return rc;
}

static bool lies_beyond(const struct leat_lmdb_last *last, struct leat_bytes key)
{
    return last->is_known &&
           leat_sorted_compare(leat_bytes_of(last->key, last->key_bytes), key) < 0;
}

static enum leat_err lmdb_get(struct leat_store *store, leat_table table, struct leat_bytes key,
                              struct leat_bytes *ret_value)
{
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    assert(table < lmdb->table_count);
    MDB_val sought = leat_lmdb_val(key);
    MDB_val value;
    int rc = begin_reading(lmdb);
    if (rc == 0 && lies_beyond(&lmdb->lasts[table], key)) {
        return LEAT_ERR_NOT_FOUND;
    }
    if (rc == 0) {
        rc = mdb_get(lmdb->txn, lmdb->tables[table], &sought, &value);
    }
    if (rc == MDB_NOTFOUND && !lmdb->lasts[table].is_known) {
        rc = learn_last(lmdb, table);
        if (rc == 0) {
            return LEAT_ERR_NOT_FOUND;
        }
    }
    if (rc == MDB_NOTFOUND) {
        return LEAT_ERR_NOT_FOUND;
    }
    if (rc != 0) {
        return break_reading(lmdb, rc);
    }
    *ret_value = leat_lmdb_bytes(&value);
    return LEAT_OK;
}

#define FETCH_LINES 5 /* of a small job's row */

/* Rows that were put in their order lie one below the other in a page: where the next one is. */
static void fetch_next(const uint8_t *at)
{
    for (uintptr_t i = 1; i <= FETCH_LINES; i++) {
        __builtin_prefetch((const void *)((uintptr_t)at - 64 * i));
    }
}

static enum leat_err walk_to(struct leat_lmdb *lmdb, struct leat_bytes from, MDB_cursor_op how,
                             struct leat_entry *ret_entry)
{
    MDB_val key = leat_lmdb_val(from);
    MDB_val value;
    int rc = mdb_cursor_get(lmdb->walk, &key, &value, how);
    if (rc == MDB_NOTFOUND) {
        return LEAT_ERR_NOT_FOUND;
    }
    if (rc != 0) {
        return break_reading(lmdb, rc);
    }
    *ret_entry = (struct leat_entry){leat_lmdb_bytes(&key), leat_lmdb_bytes(&value)};
    fetch_next(ret_entry->key.data);
    return LEAT_OK;
}

static enum leat_err lmdb_seek(struct leat_store *store, leat_table table, struct leat_bytes from,
                               struct leat_entry *ret_entry)
{
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    assert(table < lmdb->table_count);
    int rc = begin_reading(lmdb);
    if (rc == 0) {
        rc = lmdb->cursors[table] == NULL
                 ? mdb_cursor_open(lmdb->txn, lmdb->tables[table], &lmdb->cursors[table])
                 : mdb_cursor_renew(lmdb->txn, lmdb->cursors[table]);
    }
    if (rc != 0) {
        return break_reading(lmdb, rc);
    }
    lmdb->walk = lmdb->cursors[table];
    return walk_to(lmdb, from, from.size == 0 ? MDB_FIRST : MDB_SET_RANGE, ret_entry);
}

static enum leat_err lmdb_next(struct leat_store *store, struct leat_entry *ret_entry)
{
    return walk_to(leat_lmdb_of(store), (struct leat_bytes){NULL, 0}, MDB_NEXT, ret_entry);
}

static enum leat_err lmdb_count(struct leat_store *store, leat_table table, uint64_t *ret_count)
{
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    assert(table < lmdb->table_count);
    MDB_stat status;
    int rc = begin_reading(lmdb);
    if (rc == 0) {
        rc = mdb_stat(lmdb->txn, lmdb->tables[table], &status);
    }
    if (rc != 0) {
        return break_reading(lmdb, rc);
    }
    *ret_count = status.ms_entries;
    return LEAT_OK;
}

/* ---- committing ---- */

static uint64_t ahead_bytes(const struct leat_lmdb *lmdb, const struct leat_batch *batch)
{
    return LEAT_STORE_RESERVE_BYTES + leat_lmdb_estimate(batch->slab.used_bytes,
                                                         leat_batch_count(batch),
                                                         lmdb->store.used_bytes, lmdb->page_bytes);
}

static void lmdb_commit(struct leat_store *store, bool is_here)
{
    (void)is_here;
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    for (size_t i = lmdb->table_count; i < LEAT_STORE_TABLES_MAX; i++) {
        assert(store->lower->tables[i].count == 0);
    }
    end_reading(lmdb);
    struct leat_why why;
    if (leat_lmdb_map_ahead(lmdb, ahead_bytes(lmdb, store->lower), &why) == LEAT_ERR_IO) {
        (void)leat_store_break(store, why.text);
        return;
    }
    leat_committer_submit(lmdb, store->lower);
}

/* LMDB found the map too small after all. What it wanted is not known: the map is at least doubled.
 */
static void enlarge_and_submit(struct leat_lmdb *lmdb)
{
    struct leat_why why;
    MDB_envinfo info;
    mdb_env_info(lmdb->env, &info);
    end_reading(lmdb);
    uint64_t ahead = info.me_mapsize + ahead_bytes(lmdb, lmdb->store.lower);
    enum leat_err err = leat_lmdb_map_ahead(lmdb, ahead, &why);
    if (err == LEAT_ERR_IO) {
        (void)leat_store_break(&lmdb->store, why.text);
        return;
    }
    if (err == LEAT_OK) {
        leat_committer_submit(lmdb, lmdb->store.lower);
        return;
    }
    leat_committer_hold(lmdb);
}

static enum leat_commit_state lmdb_poll(struct leat_store *store, struct leat_why *why)
{
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    struct leat_committer *committer = &lmdb->committer;
    leat_store_hear(committer->event_fd);
    pthread_mutex_lock(&committer->mutex);
    enum leat_commit_phase phase = committer->phase;
    if (phase == LEAT_PHASE_DONE) {
        committer->phase = LEAT_PHASE_IDLE;
    }
    if (phase == LEAT_PHASE_BROKEN) {
        *why = committer->why;
    }
    store->has_room = committer->has_room;
    store->used_bytes = committer->used_bytes;
    pthread_mutex_unlock(&committer->mutex);

    switch (phase) {
    case LEAT_PHASE_DONE:
        end_reading(lmdb);
        return LEAT_COMMIT_DONE;
    case LEAT_PHASE_BROKEN:
        return LEAT_COMMIT_BROKEN;
    case LEAT_PHASE_SHORT_OF_MAP:
        enlarge_and_submit(lmdb);
        return LEAT_COMMIT_PENDING;
    case LEAT_PHASE_IDLE:
    case LEAT_PHASE_WORKING:
        break;
    }
    return LEAT_COMMIT_PENDING;
}

static enum leat_err lmdb_wait(struct leat_store *store, struct leat_why *why)
{
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    pthread_mutex_lock(&lmdb->committer.mutex);
    bool is_stuck = lmdb->committer.is_stuck;
    pthread_mutex_unlock(&lmdb->committer.mutex);
    if (is_stuck) {
        return leat_fail(why, LEAT_ERR_NO_SPACE, "no space left for store %s", lmdb->path);
    }
    struct pollfd item = {.fd = lmdb->committer.event_fd, .events = POLLIN};
    (void)poll(&item, 1, -1); /* EINTR: the caller looks and waits again */
    return LEAT_OK;
}

static int lmdb_fd(const struct leat_store *store)
{
    return ((const struct leat_lmdb *)store)->committer.event_fd;
}

/* ---- closing and opening ---- */

/* Everything but the commit thread. */
static void close_files(struct leat_lmdb *lmdb)
{
    for (unsigned i = 0; i < lmdb->table_count; i++) {
        if (lmdb->cursors[i] != NULL) {
            mdb_cursor_close(lmdb->cursors[i]);
        }
    }
    if (lmdb->txn != NULL) {
        mdb_txn_abort(lmdb->txn);
    }
    if (lmdb->env != NULL) {
        mdb_env_close(lmdb->env);
    }
    if (lmdb->lock_fd >= 0) {
        close(lmdb->lock_fd);
    }
    pthread_rwlock_destroy(&lmdb->map_lock);
    leat_store_fini(&lmdb->store);
    free(lmdb->path);
    free(lmdb);
}

static void lmdb_close(struct leat_store *store)
{
    leat_committer_stop(leat_lmdb_of(store));
    close_files(leat_lmdb_of(store));
}

static struct leat_readable lmdb_readable(struct leat_store *store)
{
    return (struct leat_readable){.lmdb = leat_lmdb_of(store)};
}

static const struct leat_backend lmdb_backend = {
    .get = lmdb_get,
    .seek = lmdb_seek,
    .next = lmdb_next,
    .count = lmdb_count,
    .commit = lmdb_commit,
    .poll = lmdb_poll,
    .wait = lmdb_wait,
    .fd = lmdb_fd,
    .readable = lmdb_readable,
    .close = lmdb_close,
};

static bool is_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= LEAT_STORE_NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == size;
}

static enum leat_err check_options(const struct leat_store_options *options, struct leat_why *why)
{
    if (!is_name(options->role)) {
        return leat_fail(why, LEAT_ERR_INVALID, "bad name of a role: %s", options->role);
    }
    if (options->table_count < 1 || options->table_count > LEAT_STORE_TABLES_MAX) {
        return leat_fail(why, LEAT_ERR_INVALID, "%u tables, 1 to %d are possible",
                         options->table_count, LEAT_STORE_TABLES_MAX);
    }
    for (unsigned i = 0; i < options->table_count; i++) {
        if (!is_name(options->tables[i]) || strcmp(options->tables[i], "leat") == 0) {
            return leat_fail(why, LEAT_ERR_INVALID, "bad name of a table: %s", options->tables[i]);
        }
    }
    if (options->max_bytes != 0 && options->max_bytes < 2 * LEAT_STORE_RESERVE_BYTES) {
        return leat_fail(why, LEAT_ERR_INVALID, "a store needs at least %lld bytes, not %llu",
                         2 * LEAT_STORE_RESERVE_BYTES, (unsigned long long)options->max_bytes);
    }
    return LEAT_OK;
}

static enum leat_err fail_open(const struct leat_lmdb *lmdb, int rc, struct leat_why *why)
{
    if (rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "%s/data.mdb is damaged or no LMDB file: %s",
                         lmdb->path, mdb_strerror(rc));
    }
    enum leat_err err = rc == ENOSPC || rc == EDQUOT ? LEAT_ERR_NO_SPACE : LEAT_ERR_IO;
    return leat_fail(why, err, "cannot open store %s: %s", lmdb->path, mdb_strerror(rc));
}

static enum leat_err open_env(struct leat_lmdb *lmdb, const struct leat_store_options *options,
                              struct leat_why *why)
{
    /* Twice the limit: freed pages that do not fit big values lie about between those in use. */
    uint64_t map_bytes = options->map_bytes != 0 ? options->map_bytes : 2 * lmdb->max_bytes;
    int dead;
    int rc = mdb_env_create(&lmdb->env);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(lmdb->env, LEAT_STORE_TABLES_MAX + 1);
    }
    if (rc == 0) {
        rc = mdb_env_set_mapsize(lmdb->env, map_bytes);
    }
    if (rc == 0) {
        /* NOTLS: snapshots belong to our objects, not to threads. No flag that trades safety. */
        rc = mdb_env_open(lmdb->env, lmdb->path, MDB_NOTLS, 0600);
    }
    if (rc == 0) {
        rc = mdb_reader_check(lmdb->env, &dead);
    }
    if (rc == 0) {
        rc = mdb_env_get_fd(lmdb->env, &lmdb->data_fd);
    }
    return rc == 0 ? LEAT_OK : fail_open(lmdb, rc, why);
}

static enum leat_err check_size(struct leat_lmdb *lmdb, struct leat_why *why)
{
    MDB_stat status;
    MDB_envinfo info;
    struct stat file;
    mdb_env_stat(lmdb->env, &status);
    mdb_env_info(lmdb->env, &info);
    if (fstat(lmdb->data_fd, &file) != 0) {
        return fail_open(lmdb, errno, why);
    }
    lmdb->page_bytes = status.ms_psize;
    lmdb->file_bytes = (uint64_t)file.st_size;
    uint64_t need = (uint64_t)(info.me_last_pgno + 1) * lmdb->page_bytes;
    if (lmdb->file_bytes < need) {
        return leat_fail(why, LEAT_ERR_CORRUPT,
                         "%s/data.mdb is cut short: %llu bytes of %llu are there", lmdb->path,
                         (unsigned long long)lmdb->file_bytes, (unsigned long long)need);
    }
    return LEAT_OK;
}

/* The identity and the tables, made if missing, in one txn: a crash leaves all of it or nothing. */
static enum leat_err open_tables(struct leat_lmdb *lmdb, const struct leat_store_options *options,
                                 struct leat_why *why)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
    if (rc != 0) {
        return fail_open(lmdb, rc, why);
    }
    enum leat_err err = leat_lmdb_check_identity(lmdb, txn, why);
    for (unsigned i = 0; err == LEAT_OK && i < options->table_count; i++) {
        rc = mdb_dbi_open(txn, options->tables[i], MDB_CREATE, &lmdb->tables[i]);
        err = rc == 0 ? LEAT_OK : fail_open(lmdb, rc, why);
    }
    if (err != LEAT_OK) {
        mdb_txn_abort(txn);
        return err;
    }
    lmdb->table_count = options->table_count;
    lmdb->store.used_bytes = leat_lmdb_used_bytes(lmdb, txn);
    rc = leat_lmdb_commit(lmdb, txn);
    return rc == 0 ? LEAT_OK : fail_open(lmdb, rc, why);
}

static enum leat_err open_snapshot(struct leat_lmdb *lmdb, struct leat_why *why)
{
    int rc = mdb_txn_begin(lmdb->env, NULL, MDB_RDONLY, &lmdb->txn);
    if (rc != 0) {
        return fail_open(lmdb, rc, why);
    }
    lmdb->is_reading = true;
    return LEAT_OK;
}

static enum leat_err learn_room(struct leat_lmdb *lmdb, struct leat_why *why)
{
    struct leat_store *store = &lmdb->store;
    bool has_blocks = leat_lmdb_allocate_ahead(lmdb, LEAT_STORE_RESERVE_BYTES);
    if (lmdb->blocks_error != 0) {
        return fail_open(lmdb, lmdb->blocks_error, why);
    }
    bool has_pages =
        has_blocks || leat_lmdb_can_reuse(lmdb, store->used_bytes, LEAT_STORE_RESERVE_BYTES, 0);
    store->has_room = has_pages && store->used_bytes + LEAT_STORE_RESERVE_BYTES <= lmdb->max_bytes;
    lmdb->committer.has_room = store->has_room;
    lmdb->committer.used_bytes = store->used_bytes;
    return LEAT_OK;
}

static enum leat_err open_all(struct leat_lmdb *lmdb, const char *path,
                              const struct leat_store_options *options, struct leat_why *why)
{
    enum leat_err err = leat_lmdb_lock_directory(lmdb, path, why);
    if (err == LEAT_OK) {
        err = leat_lmdb_check_data_file(lmdb, why);
    }
    if (err == LEAT_OK) {
        err = leat_lmdb_check_pages(lmdb, options, why);
    }
    if (err == LEAT_OK) {
        err = open_env(lmdb, options, why);
    }
    if (err == LEAT_OK) {
        err = check_size(lmdb, why);
    }
    if (err == LEAT_OK) {
        err = open_tables(lmdb, options, why);
    }
    if (err == LEAT_OK && !options->has_journal) {
        err = leat_lmdb_sign_lock(lmdb, why);
    }
    if (err == LEAT_OK) {
        err = open_snapshot(lmdb, why);
    }
    if (err == LEAT_OK) {
        err = learn_room(lmdb, why);
    }
    if (err == LEAT_OK) {
        err = leat_committer_start(lmdb, why);
    }
    return err;
}

enum leat_err leat_store_open_lmdb(const char *path, const struct leat_store_options *options,
                                   struct leat_store **ret_store, struct leat_why *why)
{
    enum leat_err err = check_options(options, why);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_lmdb *lmdb = calloc(1, sizeof *lmdb);
    if (lmdb == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "out of memory");
    }
    leat_store_init(&lmdb->store, &lmdb_backend, LEAT_BATCH_KEEP_BYTES);
    pthread_rwlock_init(&lmdb->map_lock, NULL);
    lmdb->lock_fd = -1;
    memcpy(lmdb->role, options->role, strlen(options->role) + 1);
    lmdb->has_journal = options->has_journal;
    lmdb->max_bytes = options->max_bytes != 0 ? options->max_bytes : LEAT_STORE_BYTES_DEFAULT;
    err = open_all(lmdb, path, options, why);
    if (err != LEAT_OK) {
        close_files(lmdb);
        return err;
    }
    *ret_store = &lmdb->store;
    return LEAT_OK;
}

enum leat_err leat_store_lmdb_end_journal(struct leat_store *store, struct leat_why *why)
{
    assert(store->backend == &lmdb_backend);
    struct leat_lmdb *lmdb = leat_lmdb_of(store);
    MDB_txn *txn;
    end_reading(lmdb);
    int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
    if (rc != 0) {
        return fail_open(lmdb, rc, why);
    }
    lmdb->has_journal = false;
    enum leat_err err = leat_lmdb_write_identity(lmdb, txn, why);
    if (err != LEAT_OK) {
        mdb_txn_abort(txn);
        return err;
    }
    rc = leat_lmdb_commit(lmdb, txn);
    return rc == 0 ? LEAT_OK : fail_open(lmdb, rc, why);
}

struct leat_id leat_store_lmdb_id(const struct leat_store *store)
{
    assert(store->backend == &lmdb_backend);
    return ((const struct leat_lmdb *)store)->id;
}

bool leat_store_lmdb_has_lived_here(const struct leat_store *store)
{
    assert(store->backend == &lmdb_backend);
    return ((const struct leat_lmdb *)store)->has_lived_here;
}

enum leat_err leat_store_lmdb_sign(const struct leat_store *store, struct leat_why *why)
{
    assert(store->backend == &lmdb_backend);
    return leat_lmdb_sign_lock((const struct leat_lmdb *)store, why);
}
