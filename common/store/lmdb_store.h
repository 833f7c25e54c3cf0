/* The inside of the LMDB store, shared by the files lmdb*.c, reader.c and copy.c. Only for the
 * files of this folder.
 *
 *   lmdb.c            opening, closing, reading on the owner's thread
 *   lmdb_directory.c  the directory, the lock file, the identity record
 *   lmdb_check.c      the file's pages before LMDB opens it (lmdb_pages.c)
 *   lmdb_commit.c     the commit thread
 *   lmdb_room.c       file blocks ahead, address space
 *   reader.c          readers on other threads
 *   copy.c            a copy for a backup
 */
#ifndef LEAT_STORE_LMDB_STORE_H
#define LEAT_STORE_LMDB_STORE_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/id.h"
#include "store/backend.h"
#include "store/lmdb.h"

enum leat_commit_phase {
    LEAT_PHASE_IDLE = 0,
    LEAT_PHASE_WORKING = 1,      /* the commit thread has the batch */
    LEAT_PHASE_DONE = 2,         /* durable, the owner does not know yet */
    LEAT_PHASE_SHORT_OF_MAP = 3, /* the owner must enlarge the map and hand the batch over again */
    LEAT_PHASE_BROKEN = 4,
};

/* Between the owner's thread and the commit thread; all under `mutex`. */
struct leat_committer {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* for the commit thread: a batch, or the end */
    int event_fd;        /* for the owner: something has changed */
    enum leat_commit_phase phase;
    const struct leat_batch *batch;
    bool is_stuck; /* WORKING, but the disk is full: tried again every LEAT_STORE_ROOM_CHECK_MS */
    bool is_stopping;
    bool has_room;
    uint64_t used_bytes;
    struct leat_why why; /* BROKEN */
};

/* The last key of a table in the owner's snapshot: a key beyond it is not there. */
struct leat_lmdb_last {
    bool is_known;
    uint8_t key_bytes; /* 0: the table is empty */
    uint8_t key[LEAT_STORE_KEY_BYTES_MAX];
};

struct leat_lmdb {
    struct leat_store store;
    struct leat_id id;
    char role[LEAT_STORE_NAME_BYTES_MAX + 1];
    bool has_journal;
    char *path;
    int lock_fd;
    bool has_lived_here; /* the lock file named a store when it was opened */
    MDB_env *env;
    MDB_dbi tables[LEAT_STORE_TABLES_MAX];
    unsigned table_count;
    size_t page_bytes;
    uint64_t max_bytes;

    /* the owner's thread: one snapshot, renewed after each commit */
    MDB_txn *txn;
    bool is_reading;
    MDB_cursor *cursors[LEAT_STORE_TABLES_MAX];
    MDB_cursor *walk;
    struct leat_lmdb_last lasts[LEAT_STORE_TABLES_MAX];

    /* Readers hold it shared while they look into the map, the owner alone while it moves the map.
     */
    pthread_rwlock_t map_lock;

    /* Of the newest commit that has begun, in LMDB's count: see leat_lmdb_is_settled. */
    _Atomic uint64_t begun;

    struct leat_committer committer;

    /* the commit thread only, after opening */
    int data_fd;              /* LMDB's own; not closed by us */
    uint64_t allocated_bytes; /* the file has blocks up to here */
    int blocks_error;         /* why the last blocks could not be had, when not for want of room */
    uint64_t file_bytes;      /* the file's size: never below what LMDB's pages need */
};

static inline struct leat_lmdb *leat_lmdb_of(struct leat_store *store)
{
    return (struct leat_lmdb *)store;
}

static inline MDB_val leat_lmdb_val(struct leat_bytes bytes)
{
    union {
        const uint8_t *in;
        void *out; /* LMDB reads only, but says void * */
    } data = {bytes.data};
    return (MDB_val){bytes.size, data.out};
}

static inline struct leat_bytes leat_lmdb_bytes(const MDB_val *val)
{
    return leat_bytes_of(val->mv_data, val->mv_size);
}

/* ---- lmdb_directory.c ---- */

/* Makes the directory if it is missing, and locks it. Fills in path and lock_fd. */
enum leat_err leat_lmdb_lock_directory(struct leat_lmdb *lmdb, const char *path,
                                       struct leat_why *why);
struct leat_lmdb_lock {
    bool is_held;     /* a process has the store open */
    long pid;         /* of the one that has it or had it last, as it knows itself; 0: none */
    bool names_store; /* a store was made here */
};
/* What the lock file of a directory says, for who does not hold it. */
struct leat_lmdb_lock leat_lmdb_look_at_lock(const char *path);
/* LEAT_ERR_CORRUPT when data.mdb is gone though a store was made here, or is cut to nothing. */
enum leat_err leat_lmdb_check_data_file(const struct leat_lmdb *lmdb, struct leat_why *why);
/* Within a write txn: checks the identity record, or makes it in an empty file, and writes it.
 * Fills in id. */
enum leat_err leat_lmdb_check_identity(struct leat_lmdb *lmdb, MDB_txn *txn, struct leat_why *why);
enum leat_err leat_lmdb_write_identity(const struct leat_lmdb *lmdb, MDB_txn *txn,
                                       struct leat_why *why);
/* Within any txn: the same, but an empty file is LEAT_ERR_INVALID. */
enum leat_err leat_lmdb_read_identity(MDB_txn *txn, const char *path, const char *role,
                                      struct leat_id *ret_id, struct leat_why *why);
/* Notes in the lock file who holds it and which store lives here; flushes the directory. */
enum leat_err leat_lmdb_sign_lock(const struct leat_lmdb *lmdb, struct leat_why *why);

/* ---- lmdb_check.c ---- */

/* Before LMDB opens the file. LEAT_ERR_CORRUPT: its pages are damaged, or a table's name is. Passes
 * over what LMDB and the other checks of an open have words for: no file, a foreign one, one that
 * is cut short. Tables are looked at when their trees have no more than LEAT_STORE_CHECK_PAGES_MAX
 * pages, large values aside. */
enum leat_err leat_lmdb_check_pages(const struct leat_lmdb *lmdb,
                                    const struct leat_store_options *options, struct leat_why *why);

/* ---- lmdb_commit.c ---- */

/* mdb_txn_commit, so that readers on other threads know of it before it writes. */
int leat_lmdb_commit(struct leat_lmdb *lmdb, MDB_txn *txn);
/* Whether a snapshot that was just taken on another thread than the owner's is what its number
 * says. LMDB has the newest states in two places by turns. It looks at the number first, then at
 * the place; a thread that stands still in between for two commits finds there what the second one
 * is writing: not durable yet, perhaps half written. */
bool leat_lmdb_is_settled(const struct leat_lmdb *lmdb, MDB_txn *snapshot);
enum leat_err leat_committer_start(struct leat_lmdb *lmdb, struct leat_why *why);
/* Waits for the batch on its way, unless a full disk keeps it. */
void leat_committer_stop(struct leat_lmdb *lmdb);
void leat_committer_submit(struct leat_lmdb *lmdb, const struct leat_batch *batch);
/* Instead of submitting again: as with a full disk, the batch waits LEAT_STORE_ROOM_CHECK_MS. */
void leat_committer_hold(struct leat_lmdb *lmdb);

/* ---- lmdb_room.c ---- */

/* Bytes that committing a batch may add to the file: more than it will. */
uint64_t leat_lmdb_estimate(uint64_t batch_bytes, size_t batch_count, uint64_t used_bytes,
                            size_t page_bytes);
/* Takes blocks for `ahead_bytes` behind LMDB's last page; the file's size follows in any case.
 * Whether the blocks are there; if not, `blocks_error` says what is wrong with the disk (EIO,
 * EROFS), or is 0 when it is only full. */
bool leat_lmdb_allocate_ahead(struct leat_lmdb *lmdb, uint64_t ahead_bytes);
/* When there are no blocks for `free_bytes` (at least the reserve) and a batch of `batch_bytes` (as
 * estimated) ahead: whether pages that were freed within the file make up for what is missing. The
 * file never shrinks, so a store that has filled its disk and was emptied again has all its room
 * there. Freed pages that lie scattered among those in use may not fit big values: as many as
 * are in use, but at most half, do not count. For half of the reserve there must be blocks in a
 * row all the same. */
bool leat_lmdb_can_reuse(struct leat_lmdb *lmdb, uint64_t used_bytes, uint64_t free_bytes,
                         uint64_t batch_bytes);
/* Bytes in pages that hold something, within a txn. */
uint64_t leat_lmdb_used_bytes(const struct leat_lmdb *lmdb, MDB_txn *txn);
/* Makes sure that the map reaches `ahead_bytes` behind LMDB's last page. Owner's thread, no
 * snapshot held, no commit under way. LEAT_ERR_NO_SPACE: the system has no such room, nothing has
 * changed. LEAT_ERR_IO: the map is lost. */
enum leat_err leat_lmdb_map_ahead(struct leat_lmdb *lmdb, uint64_t ahead_bytes,
                                  struct leat_why *why);

#endif
