#include "store/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/journal.h"
#include "store/journal_place.h"
#include "store/journal_tail.h"
#include "store/lmdb_store.h"
#include "store/path.h"

#define LOOK_AGAIN_MS INT64_C(20)
#define COPIES_MAX    3

struct copy {
    const char *path, *role, *to;
    struct leat_id id;
    bool has_journal;
    int64_t patience_ms;
    uint64_t needed; /* the last record of the journal when the copy began */
    uint64_t place;  /* how far the journal is applied, as of the last look */
};

static bool has_file(const char *directory, const char *name)
{
    char *path = leat_store_path(directory, name);
    bool is_there = access(path, F_OK) == 0;
    free(path);
    return is_there;
}

static enum leat_err fail(const struct copy *copy, int rc, struct leat_why *why)
{
    if (rc == ENOENT) {
        return leat_fail(why, LEAT_ERR_INVALID, "%s holds no store", copy->path);
    }
    enum leat_err err = rc == ENOSPC || rc == EDQUOT ? LEAT_ERR_NO_SPACE : LEAT_ERR_IO;
    return leat_fail(why, err, "cannot copy store %s to %s: %s", copy->path, copy->to,
                     mdb_strerror(rc));
}

static int open_path(const char *path, unsigned flags, MDB_env **ret_env)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(env, 2);
    }
    if (rc == 0) {
        rc = mdb_env_open(env, path, MDB_RDONLY | flags, 0600);
    }
    if (rc != 0) {
        mdb_env_close(env);
        return rc;
    }
    *ret_env = env;
    return 0;
}

/* NOTLS: a thread may hold two snapshots. */
static enum leat_err open_env(const struct copy *copy, MDB_env **ret_env, struct leat_why *why)
{
    int rc = has_file(copy->path, "data.mdb") ? open_path(copy->path, MDB_NOTLS, ret_env) : ENOENT;
    return rc == 0 ? LEAT_OK : fail(copy, rc, why);
}

/* ---- how far the journal is applied ---- */

static enum leat_err read_place(struct copy *copy, MDB_txn *txn, struct leat_why *why)
{
    MDB_dbi table;
    MDB_val key = leat_lmdb_val(leat_journal_place_key());
    MDB_val value;
    int rc = mdb_dbi_open(txn, LEAT_JOURNAL_PLACE_TABLE, 0, &table);
    if (rc == 0) {
        rc = mdb_get(txn, table, &key, &value);
    }
    copy->has_journal = rc == 0;
    if (rc == MDB_NOTFOUND) {
        return LEAT_OK; /* a store from before there were journals */
    }
    if (rc != 0) {
        return fail(copy, rc, why);
    }
    return leat_journal_place_read(leat_lmdb_bytes(&value), leat_journal_key(&copy->id),
                                   &copy->place) == LEAT_OK
               ? LEAT_OK
               : leat_fail(why, LEAT_ERR_CORRUPT,
                           "store %s: the record of how far its journal is applied is damaged",
                           copy->path);
}

/* LMDB looks at the number of the newest state first, then at one of two places by it: whoever is
 * overtaken in between finds there what the next commit but one is writing (leat_lmdb_is_settled).
 * When a second snapshot has the number of the first, no commit has ended in between. */
static int begin_snapshot(MDB_env *env, MDB_txn **ret_txn)
{
    MDB_txn *txn = NULL;
    MDB_txn *next = NULL;
    int rc;
    do {
        mdb_txn_abort(txn);
        txn = next;
        rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &next);
    } while (rc == 0 && (txn == NULL || mdb_txn_id(txn) != mdb_txn_id(next)));
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    mdb_txn_abort(next);
    *ret_txn = txn;
    return 0;
}

static enum leat_err look_at(struct copy *copy, MDB_env *env, struct leat_why *why)
{
    MDB_txn *txn;
    int rc = begin_snapshot(env, &txn);
    if (rc != 0) {
        return fail(copy, rc, why);
    }
    enum leat_err err = leat_lmdb_read_identity(txn, copy->path, copy->role, &copy->id, why);
    if (err == LEAT_OK) {
        err = read_place(copy, txn, why);
    }
    mdb_txn_abort(txn);
    return err;
}

/* With an LMDB of its own each time, since the owner's may grow meanwhile. */
static enum leat_err look(struct copy *copy, struct leat_why *why)
{
    MDB_env *env = NULL;
    enum leat_err err = open_env(copy, &env, why);
    if (err == LEAT_OK) {
        err = look_at(copy, env, why);
        mdb_env_close(env);
    }
    return err;
}

/* ---- waiting for the owner ---- */

static enum leat_err wait_until_applied(struct copy *copy, struct leat_why *why)
{
    enum leat_err err = LEAT_OK;
    uint64_t seen = copy->place;
    int64_t still_ms = 0; /* since the place was another one, counted in looks */
    while (err == LEAT_OK && copy->place < copy->needed) {
        /* Asked before, since an owner ends with all applied. */
        bool was_owned = leat_lmdb_look_at_lock(copy->path).is_held;
        if (was_owned) {
            nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_MS * 1000000L}, NULL);
        }
        err = look(copy, why);
        if (err == LEAT_OK && !was_owned && copy->place < copy->needed) {
            err = leat_fail(why, LEAT_ERR_STATE,
                            "nobody runs that would bring to %s/data.mdb what is in its journal "
                            "alone: start the broker, or copy the whole directory",
                            copy->path);
        }
        still_ms = copy->place == seen ? still_ms + LOOK_AGAIN_MS : 0;
        seen = copy->place;
        if (err == LEAT_OK && copy->place < copy->needed && still_ms >= copy->patience_ms) {
            err = leat_fail(why, LEAT_ERR_TIMEOUT,
                            "the broker of %s has brought nothing of its journal to data.mdb for "
                            "%lld ms: is it stopped, or its disk?",
                            copy->path, (long long)copy->patience_ms);
        }
    }
    return err;
}

/* A copy of data.mdb alone, which no broker has opened yet, has no journal. */
static enum leat_err open_tail(const struct copy *copy, struct leat_journal_tail **ret_tail,
                               struct leat_why *why)
{
    struct leat_why missing = {""};
    enum leat_err err = leat_journal_tail_open(copy->path, &copy->id, ret_tail, &missing);
    if (err == LEAT_ERR_NOT_FOUND &&
        (leat_lmdb_look_at_lock(copy->path).names_store || leat_journal_is_used(copy->path))) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "%s, though a store lived here", missing.text);
    }
    return err == LEAT_OK || err == LEAT_ERR_NOT_FOUND ? err
                                                       : leat_fail(why, err, "%s", missing.text);
}

/* Whatever of the journal is written over while it is read is applied before that, so the copy has
 * it; for the rest LMDB is waited for. A record that is damaged hides none of those behind it. */
static enum leat_err wait_for_journal(struct copy *copy, struct leat_why *why)
{
    struct leat_journal_tail *tail = NULL;
    enum leat_err err = look(copy, why);
    if (err != LEAT_OK || !copy->has_journal) {
        return err;
    }
    err = open_tail(copy, &tail, why);
    if (err == LEAT_ERR_NOT_FOUND) {
        return LEAT_OK;
    }
    if (err == LEAT_OK && leat_journal_tail_highest(tail, &copy->needed) != LEAT_OK) {
        err = leat_fail(why, LEAT_ERR_IO, "cannot read the journal of store %s: %s", copy->path,
                        strerror(errno));
    }
    leat_journal_tail_close(&tail);
    return err == LEAT_OK ? wait_until_applied(copy, why) : err;
}

/* LMDB knows its readers by the numbers of their processes, and refuses a second one of the same
 * number with "Resource temporarily unavailable". */
static enum leat_err check_owner(const struct copy *copy, struct leat_why *why)
{
    struct leat_lmdb_lock lock = leat_lmdb_look_at_lock(copy->path);
    if (lock.is_held && lock.pid == (long)getpid()) {
        return leat_fail(why, LEAT_ERR_STATE,
                         "the process that has %s open is number %ld, as this one is: run it in "
                         "the same container",
                         copy->path, lock.pid);
    }
    return LEAT_OK;
}

/* ---- the copy itself ---- */

static enum leat_err make_directory(const struct copy *copy, struct leat_why *why)
{
    if (mkdir(copy->to, 0700) != 0) {
        return errno == EEXIST ? LEAT_OK
                               : leat_fail(why, LEAT_ERR_IO, "cannot make directory %s: %s",
                                           copy->to, strerror(errno));
    }
    char *parent = leat_store_path(copy->to, "..");
    int rc = leat_store_flush_directory(parent);
    free(parent);
    return rc == 0 ? LEAT_OK : fail(copy, rc, why);
}

/* Opens the file that becomes data.mdb, for one copy at a time. */
static enum leat_err open_part(const struct copy *copy, const char *part, int *ret_fd,
                               struct leat_why *why)
{
    struct stat mine;
    struct stat named;
    int fd = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(copy, errno, why);
    }
    /* By another name it is what another copy has just made. */
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &mine) != 0 || stat(part, &named) != 0 ||
        mine.st_ino != named.st_ino) {
        close(fd);
        return leat_fail(why, LEAT_ERR_LOCKED, "another copy is writing %s", part);
    }
    *ret_fd = fd;
    return LEAT_OK;
}

static int write_file(MDB_env *env, int fd)
{
    if (lseek(fd, 0, SEEK_SET) != 0 || ftruncate(fd, 0) != 0) {
        return errno;
    }
    int rc = mdb_env_copyfd2(env, fd, 0);
    return rc == 0 && fsync(fd) != 0 ? errno : rc;
}

/* A commit that could neither be written nor taken back leaves a file that says of itself that it
 * is longer than what LMDB copies of it. */
static bool is_cut_short(MDB_env *env, int fd)
{
    MDB_stat pages;
    MDB_envinfo info;
    struct stat file;
    mdb_env_stat(env, &pages);
    mdb_env_info(env, &info);
    return fstat(fd, &file) != 0 ||
           (uint64_t)file.st_size < (uint64_t)(info.me_last_pgno + 1) * pages.ms_psize;
}

/* How far the journal is applied in the copy, which nobody writes. */
static enum leat_err look_at_part(struct copy *copy, const char *part, int fd, struct leat_why *why)
{
    MDB_env *env;
    int rc = open_path(part, MDB_NOSUBDIR | MDB_NOLOCK, &env);
    if (rc != 0) {
        return fail(copy, rc, why);
    }
    enum leat_err err =
        is_cut_short(env, fd)
            ? leat_fail(why, LEAT_ERR_IO,
                        "the copy of %s/data.mdb is cut short: does its disk fail?", copy->path)
            : look_at(copy, env, why);
    mdb_env_close(env);
    return err;
}

static enum leat_err write_part(struct copy *copy, const char *part, int fd, struct leat_why *why)
{
    MDB_env *env = NULL;
    enum leat_err err = open_env(copy, &env, why);
    if (err != LEAT_OK) {
        return err;
    }
    int rc = write_file(env, fd);
    mdb_env_close(env);
    return rc == 0 ? look_at_part(copy, part, fd, why) : fail(copy, rc, why);
}

/* What was seen in LMDB may have been in the page cache alone, and be gone again when its owner was
 * killed or its disk failed. So the copy itself is asked, and what it lacks is waited for. */
static enum leat_err write_whole_part(struct copy *copy, const char *part, int fd,
                                      struct leat_why *why)
{
    for (int i = 0; i < COPIES_MAX; i++) {
        enum leat_err err = write_part(copy, part, fd, why);
        if (err != LEAT_OK || copy->place >= copy->needed) {
            return err;
        }
        err = wait_until_applied(copy, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    return leat_fail(why, LEAT_ERR_IO,
                     "%d copies of %s/data.mdb had less of the journal than the file itself: does "
                     "its disk fail?",
                     COPIES_MAX, copy->path);
}

/* With the file of that name open and locked. */
static enum leat_err fill_part(struct copy *copy, const char *part, int fd, struct leat_why *why)
{
    char *whole = leat_store_path(copy->to, "data.mdb");
    enum leat_err err = has_file(copy->to, "data.mdb")
                            ? leat_fail(why, LEAT_ERR_EXISTS, "%s is there already", whole)
                            : write_whole_part(copy, part, fd, why);
    if (err == LEAT_OK) {
        int rc = rename(part, whole) == 0 ? leat_store_flush_directory(copy->to) : errno;
        err = rc == 0 ? LEAT_OK : fail(copy, rc, why);
    }
    if (err != LEAT_OK) {
        (void)unlink(part);
    }
    free(whole);
    return err;
}

static enum leat_err copy_data(struct copy *copy, struct leat_why *why)
{
    int fd = -1;
    char *part = leat_store_path(copy->to, "data.mdb.part");
    enum leat_err err = make_directory(copy, why);
    if (err == LEAT_OK) {
        err = open_part(copy, part, &fd, why);
    }
    if (err == LEAT_OK) {
        err = fill_part(copy, part, fd, why);
        close(fd);
    }
    free(part);
    return err;
}

enum leat_err leat_store_copy(const char *path, const char *role, const char *to,
                              int64_t patience_ms, struct leat_why *why)
{
    struct copy copy = {.path = path, .role = role, .to = to, .patience_ms = patience_ms};
    enum leat_err err = check_owner(&copy, why);
    if (err == LEAT_OK) {
        err = wait_for_journal(&copy, why);
    }
    return err == LEAT_OK ? copy_data(&copy, why) : err;
}
