#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/limits.h"
#include "store/lmdb_store.h"

/* Blocks are taken in steps, so that most commits need no call. */
#define ALLOCATE_STEP_BYTES ((uint64_t)16 << 20)
#define MAP_STEP_BYTES      ((uint64_t)1 << 30)
/* For inner pages, LMDB's own list of free pages, and its two first pages. */
#define ESTIMATE_PAGES 256

uint64_t leat_lmdb_estimate(uint64_t batch_bytes, size_t batch_count, uint64_t used_bytes,
                            size_t page_bytes)
{
    /* Every page that exists may be copied once, for each key at most one. What is new fills
     * leaves by half at worst, and a value just over half a page takes a page of its own. */
    uint64_t pages = used_bytes / page_bytes;
    uint64_t touched = batch_count < pages ? batch_count : pages;
    return 5 * batch_bytes + (touched + ESTIMATE_PAGES) * page_bytes;
}

static uint64_t end_of_pages(struct leat_lmdb *lmdb)
{
    MDB_envinfo info;
    mdb_env_info(lmdb->env, &info);
    return (uint64_t)(info.me_last_pgno + 1) * lmdb->page_bytes;
}

/* For file systems that cannot allocate ahead: a look at what is free, which nobody keeps for us.
 */
static bool disk_has(const struct leat_lmdb *lmdb, uint64_t bytes)
{
    struct statvfs status;
    return fstatvfs(lmdb->data_fd, &status) == 0 &&
           (uint64_t)status.f_bavail * status.f_frsize >= bytes;
}

static int allocate(int fd, uint64_t from, uint64_t to)
{
    int rc;
    do {
        rc = fallocate(fd, 0, (off_t)from, (off_t)(to - from));
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno;
}

/* The file's size always covers LMDB's pages, so that a file cut short is found when it is opened.
 */
static void extend(struct leat_lmdb *lmdb, uint64_t bytes)
{
    if (bytes > lmdb->file_bytes && ftruncate(lmdb->data_fd, (off_t)bytes) == 0) {
        lmdb->file_bytes = bytes;
    }
}

bool leat_lmdb_allocate_ahead(struct leat_lmdb *lmdb, uint64_t ahead_bytes)
{
    uint64_t end = end_of_pages(lmdb);
    uint64_t need = end + ahead_bytes;
    lmdb->blocks_error = 0;
    if (need <= lmdb->allocated_bytes) {
        return true;
    }
    uint64_t stepped = (need + ALLOCATE_STEP_BYTES - 1) / ALLOCATE_STEP_BYTES * ALLOCATE_STEP_BYTES;
    int error = allocate(lmdb->data_fd, lmdb->allocated_bytes, stepped);
    uint64_t reached = stepped;
    if (error == ENOSPC || error == EDQUOT) {
        error = allocate(lmdb->data_fd, lmdb->allocated_bytes, need);
        reached = need;
    }
    if (error == 0) {
        lmdb->allocated_bytes = reached;
        lmdb->file_bytes = reached > lmdb->file_bytes ? reached : lmdb->file_bytes;
        return true;
    }
    extend(lmdb, need);
    const bool is_full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    const bool is_unsupported = error == EOPNOTSUPP || error == ENOSYS;
    lmdb->blocks_error = is_full || is_unsupported ? 0 : error;
    return (error == EOPNOTSUPP || error == ENOSYS) && disk_has(lmdb, ahead_bytes);
}

bool leat_lmdb_can_reuse(struct leat_lmdb *lmdb, uint64_t used_bytes, uint64_t free_bytes,
                         uint64_t batch_bytes)
{
    uint64_t end = end_of_pages(lmdb);
    uint64_t freed = end > used_bytes ? end - used_bytes : 0;
    uint64_t scattered = freed / 2 < used_bytes ? freed / 2 : used_bytes;
    uint64_t most = free_bytes - LEAT_STORE_RESERVE_BYTES / 2;
    uint64_t counted = freed - scattered < most ? freed - scattered : most;
    return counted > 0 && leat_lmdb_allocate_ahead(lmdb, free_bytes + batch_bytes - counted);
}

uint64_t leat_lmdb_used_bytes(const struct leat_lmdb *lmdb, MDB_txn *txn)
{
    const MDB_dbi free_list = 0;
    const MDB_dbi root = 1;
    uint64_t pages = 2;
    for (unsigned i = 0; i < lmdb->table_count + 2; i++) {
        MDB_dbi table = i < lmdb->table_count    ? lmdb->tables[i]
                        : i == lmdb->table_count ? free_list
                                                 : root;
        MDB_stat status;
        if (mdb_stat(txn, table, &status) == 0) {
            pages += status.ms_branch_pages + status.ms_leaf_pages + status.ms_overflow_pages;
        }
    }
    return pages * lmdb->page_bytes;
}

/* Asks for the address space before the old map is given up: LMDB has no way back from a refusal.
 */
static bool can_map(const struct leat_lmdb *lmdb, uint64_t bytes)
{
    void *trial = mmap(NULL, bytes, PROT_READ, MAP_SHARED, lmdb->data_fd, 0);
    if (trial == MAP_FAILED) {
        return false;
    }
    munmap(trial, bytes);
    return true;
}

enum leat_err leat_lmdb_map_ahead(struct leat_lmdb *lmdb, uint64_t ahead_bytes,
                                  struct leat_why *why)
{
    MDB_envinfo info;
    mdb_env_info(lmdb->env, &info);
    uint64_t need = (uint64_t)(info.me_last_pgno + 1) * lmdb->page_bytes + ahead_bytes;
    if (need <= info.me_mapsize) {
        return LEAT_OK;
    }
    uint64_t bytes = (need + need / 4 + MAP_STEP_BYTES - 1) / MAP_STEP_BYTES * MAP_STEP_BYTES;
    if (!can_map(lmdb, bytes)) {
        return leat_fail(why, LEAT_ERR_NO_SPACE, "no address space for %llu bytes of store %s",
                         (unsigned long long)bytes, lmdb->path);
    }
    pthread_rwlock_wrlock(&lmdb->map_lock);
    int rc = mdb_env_set_mapsize(lmdb->env, bytes);
    pthread_rwlock_unlock(&lmdb->map_lock);
    if (rc != 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot enlarge the map of store %s: %s", lmdb->path,
                         mdb_strerror(rc));
    }
    return LEAT_OK;
}
