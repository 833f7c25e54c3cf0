#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/limits.h"
#include "store/lmdb_store.h"
#include "store/thread.h"

#define ROOM_MARGIN_BYTES ((uint64_t)8 << 20)
/* See delete_run. */
#define RUN_ROWS 1024
#define STAYS_OF 4

/* ---- commits, and who reads beside them ---- */

int leat_lmdb_commit(struct leat_lmdb *lmdb, MDB_txn *txn)
{
    atomic_store(&lmdb->begun, mdb_txn_id(txn));
    atomic_thread_fence(memory_order_seq_cst);
    return mdb_txn_commit(txn);
}

bool leat_lmdb_is_settled(const struct leat_lmdb *lmdb, MDB_txn *snapshot)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&lmdb->begun) <= mdb_txn_id(snapshot) + 1;
}

/* ---- writing a batch: in the order of the keys, so that LMDB's cursor stays on its page ---- */

/* Whether a key lies beyond everything in the table: then all that follow it in the batch do as
 * well, and go to the end of pages that LMDB leaves full. */
static int lies_beyond(MDB_cursor *place, struct leat_bytes key, bool *ret_is_beyond)
{
    MDB_val last;
    MDB_val value;
    int rc = mdb_cursor_get(place, &last, &value, MDB_LAST);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return rc;
    }
    *ret_is_beyond = rc == MDB_NOTFOUND || leat_sorted_compare(leat_lmdb_bytes(&last), key) < 0;
    return 0;
}

static int put_row(MDB_cursor *place, const struct leat_sorted_entry *entry, unsigned flags)
{
    MDB_val key = leat_lmdb_val(entry->key);
    MDB_val value = leat_lmdb_val(entry->value);
    return mdb_cursor_put(place, &key, &value, flags);
}

/* To the row of a key: mostly the one behind the row that the cursor was at, or that went there. */
static int go_to(MDB_cursor *place, struct leat_bytes wanted)
{
    MDB_val key;
    MDB_val value;
    int rc = mdb_cursor_get(place, &key, &value, MDB_NEXT);
    if (rc == 0 && leat_sorted_compare(leat_lmdb_bytes(&key), wanted) == 0) {
        return 0;
    }
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return rc;
    }
    key = leat_lmdb_val(wanted);
    return mdb_cursor_get(place, &key, &value, MDB_SET);
}

static int delete_row(MDB_cursor *place, struct leat_bytes key)
{
    int rc = go_to(place, key);
    if (rc == 0) {
        rc = mdb_cursor_del(place, 0);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static bool does_stay(size_t row_of_run)
{
    return row_of_run % STAYS_OF == STAYS_OF - 1;
}

/* What is to be deleted at the cursor, up to what is not, or RUN_ROWS. LMDB never lets a page get
 * less than a quarter full: from there on each delete moves a row over from the page beside it,
 * which soon is emptied as well. So one row of STAYS_OF stays in its page at first, and goes when
 * the pages beside it hold as little: then they are joined. */
static int delete_run(MDB_cursor *place, struct leat_sorted_cursor *cursor)
{
    struct leat_sorted_cursor again = *cursor;
    struct leat_sorted_entry entry;
    size_t count = 0;
    int rc = 0;
    for (; rc == 0 && count < RUN_ROWS && leat_sorted_at(cursor, &entry) && entry.is_tombstone;
         count++) {
        if (does_stay(count)) {
            rc = go_to(place, entry.key);
            rc = rc == MDB_NOTFOUND ? 0 : rc;
        } else {
            rc = delete_row(place, entry.key);
        }
        leat_sorted_next(cursor);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (does_stay(i) && leat_sorted_at(&again, &entry)) {
            rc = delete_row(place, entry.key);
        }
        leat_sorted_next(&again);
    }
    return rc;
}

static int write_table(MDB_txn *txn, MDB_dbi table, const struct leat_sorted *writes)
{
    if (writes->count == 0) {
        return 0;
    }
    MDB_cursor *place;
    int rc = mdb_cursor_open(txn, table, &place);
    if (rc != 0) {
        return rc;
    }
    struct leat_sorted_cursor cursor = leat_sorted_seek(writes, (struct leat_bytes){NULL, 0});
    struct leat_sorted_entry entry;
    struct leat_sorted_entry last;
    bool is_beyond = false;
    bool may_pass_the_end = leat_sorted_last(writes, &last);
    if (may_pass_the_end) {
        rc = lies_beyond(place, last.key, &may_pass_the_end);
    }
    while (rc == 0 && leat_sorted_at(&cursor, &entry)) {
        if (entry.is_tombstone && !is_beyond) {
            rc = delete_run(place, &cursor);
            continue;
        }
        if (may_pass_the_end && !is_beyond) {
            rc = lies_beyond(place, entry.key, &is_beyond);
        }
        if (rc == 0 && !entry.is_tombstone) {
            rc = put_row(place, &entry, is_beyond ? MDB_APPEND : 0);
        }
        leat_sorted_next(&cursor);
    }
    mdb_cursor_close(place);
    return rc;
}

static int write_batch(struct leat_lmdb *lmdb, const struct leat_batch *batch,
                       uint64_t *ret_used_bytes)
{
    MDB_txn *txn;
    int dead;
    /* A copy that was killed in the middle would keep all that is freed from use. */
    (void)mdb_reader_check(lmdb->env, &dead);
    int rc = mdb_txn_begin(lmdb->env, NULL, 0, &txn);
    if (rc != 0) {
        return rc;
    }
    for (unsigned i = 0; rc == 0 && i < lmdb->table_count; i++) {
        rc = write_table(txn, lmdb->tables[i], &batch->tables[i]);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    uint64_t used_bytes = leat_lmdb_used_bytes(lmdb, txn);
    rc = leat_lmdb_commit(lmdb, txn);
    if (rc == 0) {
        *ret_used_bytes = used_bytes;
    }
    return rc;
}

/* ---- the thread ---- */

/* What must be free beside a batch. More of it for room to come back than for room to stay, so that
 * it does not come and go with the size of each batch. */
static uint64_t free_bytes(const struct leat_committer *committer)
{
    return LEAT_STORE_RESERVE_BYTES + (committer->has_room ? 0 : ROOM_MARGIN_BYTES);
}

static void set_room(struct leat_lmdb *lmdb, bool has_pages)
{
    struct leat_committer *committer = &lmdb->committer;
    bool has_room = has_pages && committer->used_bytes + free_bytes(committer) <= lmdb->max_bytes;
    if (has_room != committer->has_room) {
        committer->has_room = has_room;
        leat_store_tell(committer->event_fd);
    }
}

/* A full disk shows itself as ENOSPC, or, when a write ends half-way, as LMDB's EIO; the latter is
 * believed to be that only when no blocks could be had just before. Trying again is safe: what the
 * batch wrote is not valid before its last page is, and it is written again from the first. */
static bool is_full_disk(int rc, bool has_blocks)
{
    return rc == ENOSPC || rc == EDQUOT || (rc == EIO && !has_blocks);
}

static void be_broken(struct leat_lmdb *lmdb, int rc)
{
    (void)leat_fail(&lmdb->committer.why, LEAT_ERR_IO, "cannot commit to store %s: %s", lmdb->path,
                    mdb_strerror(rc));
    lmdb->committer.phase = LEAT_PHASE_BROKEN;
}

/* One attempt at the batch. Called with the mutex, gives it up meanwhile. */
static void attempt(struct leat_lmdb *lmdb)
{
    struct leat_committer *committer = &lmdb->committer;
    const struct leat_batch *batch = committer->batch;
    uint64_t used_bytes = committer->used_bytes;
    uint64_t reserve_bytes = free_bytes(committer);
    pthread_mutex_unlock(&committer->mutex);
    uint64_t batch_bytes = leat_lmdb_estimate(batch->slab.used_bytes, leat_batch_count(batch),
                                              used_bytes, lmdb->page_bytes);
    bool has_blocks = leat_lmdb_allocate_ahead(lmdb, reserve_bytes + batch_bytes);
    /* A disk that cannot even say whether it has room is broken, not full. */
    int rc = lmdb->blocks_error;
    bool has_pages =
        has_blocks || leat_lmdb_can_reuse(lmdb, used_bytes, reserve_bytes, batch_bytes);
    const bool is_broken = rc != 0;
    if (rc == 0) {
        rc = write_batch(lmdb, batch, &used_bytes);
    }
    pthread_mutex_lock(&committer->mutex);

    committer->used_bytes = used_bytes;
    committer->is_stuck = false;
    if (rc == 0) {
        committer->phase = LEAT_PHASE_DONE;
    } else if (rc == MDB_MAP_FULL) {
        committer->phase = LEAT_PHASE_SHORT_OF_MAP;
    } else if (!is_broken && is_full_disk(rc, has_blocks)) {
        committer->is_stuck = true;
        has_pages = false;
    } else {
        be_broken(lmdb, rc);
    }
    set_room(lmdb, has_pages);
    leat_store_tell(committer->event_fd);
}

/* Looks again whether there is room, with nothing to commit. */
static void look_for_room(struct leat_lmdb *lmdb)
{
    struct leat_committer *committer = &lmdb->committer;
    uint64_t used_bytes = committer->used_bytes;
    uint64_t reserve_bytes = free_bytes(committer);
    pthread_mutex_unlock(&committer->mutex);
    bool has_blocks = leat_lmdb_allocate_ahead(lmdb, reserve_bytes);
    const int error = lmdb->blocks_error;
    bool has_pages = has_blocks || leat_lmdb_can_reuse(lmdb, used_bytes, reserve_bytes, 0);
    pthread_mutex_lock(&committer->mutex);
    if (error != 0 && committer->phase == LEAT_PHASE_IDLE) {
        be_broken(lmdb, error);
        leat_store_tell(committer->event_fd);
    }
    set_room(lmdb, has_pages);
}

/* Sleeps until woken; while the disk is full at most LEAT_STORE_ROOM_CHECK_MS. Whether the time ran
 * out. */
static bool wait_for_work(struct leat_committer *committer)
{
    if (committer->has_room && !committer->is_stuck) {
        pthread_cond_wait(&committer->wake, &committer->mutex);
        return false;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LEAT_STORE_ROOM_CHECK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return pthread_cond_timedwait(&committer->wake, &committer->mutex, &until) == ETIMEDOUT;
}

static void *run(void *argument)
{
    struct leat_lmdb *lmdb = argument;
    struct leat_committer *committer = &lmdb->committer;
    pthread_mutex_lock(&committer->mutex);
    for (;;) {
        bool is_working = committer->phase == LEAT_PHASE_WORKING;
        if (is_working && !committer->is_stuck) {
            attempt(lmdb);
        } else if (committer->is_stopping) {
            break;
        } else if (wait_for_work(committer)) {
            if (is_working) {
                attempt(lmdb);
            } else if (committer->phase == LEAT_PHASE_IDLE) {
                look_for_room(lmdb);
            }
        }
    }
    pthread_mutex_unlock(&committer->mutex);
    return NULL;
}

/* ---- the owner's side ---- */

void leat_committer_submit(struct leat_lmdb *lmdb, const struct leat_batch *batch)
{
    struct leat_committer *committer = &lmdb->committer;
    pthread_mutex_lock(&committer->mutex);
    committer->batch = batch;
    committer->phase = LEAT_PHASE_WORKING;
    committer->is_stuck = false;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->mutex);
}

void leat_committer_hold(struct leat_lmdb *lmdb)
{
    struct leat_committer *committer = &lmdb->committer;
    pthread_mutex_lock(&committer->mutex);
    committer->phase = LEAT_PHASE_WORKING;
    committer->is_stuck = true;
    set_room(lmdb, false);
    pthread_cond_signal(&committer->wake); /* from an untimed wait to a timed one */
    pthread_mutex_unlock(&committer->mutex);
}

enum leat_err leat_committer_start(struct leat_lmdb *lmdb, struct leat_why *why)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    }
    struct leat_committer *committer = &lmdb->committer;
    committer->event_fd = fd;
    int rc = leat_store_thread_start(&committer->thread, &committer->mutex, &committer->wake,
                                     "leat-commit", run, lmdb);
    if (rc != 0) {
        close(fd);
        return leat_fail(why, LEAT_ERR_IO, "cannot start the commit thread: %s", strerror(rc));
    }
    return LEAT_OK;
}

void leat_committer_stop(struct leat_lmdb *lmdb)
{
    struct leat_committer *committer = &lmdb->committer;
    pthread_mutex_lock(&committer->mutex);
    committer->is_stopping = true;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->mutex);
    leat_store_thread_join(committer->thread, &committer->mutex, &committer->wake);
    close(committer->event_fd);
}
