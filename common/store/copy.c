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

#include "store/journal_place.h"
#include "store/journal_tail.h"
#include "store/lmdb_store.h"

#define LOOK_AGAIN_MS 20

struct copy {
    const char *path, *role, *to;
    struct leat_id id;
    bool has_journal;
    uint64_t place; /* how far the journal is applied, as of the last look */
};

static char *path_in(const char *directory, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        abort();
    }
    return path;
}

static bool has_file(const char *directory, const char *name)
{
    char *path = path_in(directory, name);
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

static enum leat_err open_env(const struct copy *copy, MDB_env **ret_env, struct leat_why *why)
{
    MDB_env *env = NULL;
    int rc = has_file(copy->path, "data.mdb") ? mdb_env_create(&env) : ENOENT;
    if (rc == 0) {
        rc = mdb_env_set_maxdbs(env, 2);
    }
    if (rc == 0) {
        rc = mdb_env_open(env, copy->path, MDB_RDONLY, 0600);
    }
    if (rc != 0) {
        mdb_env_close(env);
        return fail(copy, rc, why);
    }
    *ret_env = env;
    return LEAT_OK;
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

static enum leat_err look_at(struct copy *copy, MDB_env *env, struct leat_why *why)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
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
    MDB_env *env;
    enum leat_err err = open_env(copy, &env, why);
    if (err == LEAT_OK) {
        err = look_at(copy, env, why);
        mdb_env_close(env);
    }
    return err;
}

/* The last record of the journal. What was applied and written over while it was read is not missed
 * when LMDB has moved no further meanwhile. */
static enum leat_err find_last(struct copy *copy, struct leat_journal_tail *tail,
                               uint64_t *ret_last, struct leat_why *why)
{
    for (;;) {
        uint64_t place = copy->place;
        uint64_t last;
        leat_journal_tail_from(tail, place);
        if (leat_journal_tail_read(tail, UINT64_MAX, NULL, NULL, &last) != LEAT_OK) {
            return leat_fail(why, LEAT_ERR_IO, "cannot read the journal of store %s: %s",
                             copy->path, strerror(errno));
        }
        enum leat_err err = look(copy, why);
        if (err != LEAT_OK) {
            return err;
        }
        if (copy->place == place) {
            *ret_last = last;
            return LEAT_OK;
        }
    }
}

/* ---- waiting for the owner ---- */

static bool is_owned(const struct copy *copy)
{
    char *path = path_in(copy->path, "leat.lock");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    bool is_free = fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return !is_free;
}

static enum leat_err wait_for(struct copy *copy, uint64_t number, struct leat_why *why)
{
    enum leat_err err = LEAT_OK;
    while (err == LEAT_OK && copy->place < number) {
        bool was_owned = is_owned(copy); /* asked before, since an owner ends with all applied */
        if (was_owned) {
            nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_MS * 1000000L}, NULL);
        }
        err = look(copy, why);
        if (err == LEAT_OK && !was_owned && copy->place < number) {
            err = leat_fail(why, LEAT_ERR_STATE,
                            "nobody runs that would bring to %s/data.mdb what is in its journal "
                            "alone: start the broker, or copy the whole directory",
                            copy->path);
        }
    }
    return err;
}

static enum leat_err wait_for_journal(struct copy *copy, struct leat_why *why)
{
    struct leat_journal_tail *tail = NULL;
    uint64_t last = 0;
    enum leat_err err = look(copy, why);
    if (err != LEAT_OK || !copy->has_journal) {
        return err;
    }
    err = leat_journal_tail_open(copy->path, &copy->id, &tail, why);
    if (err == LEAT_ERR_NOT_FOUND) {
        return LEAT_OK; /* itself a copy that no broker has opened yet */
    }
    if (err == LEAT_OK) {
        err = find_last(copy, tail, &last, why);
    }
    leat_journal_tail_close(&tail);
    return err == LEAT_OK ? wait_for(copy, last, why) : err;
}

/* ---- the copy itself ---- */

static int flush_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static int write_file(MDB_env *env, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno;
    }
    int rc = mdb_env_copyfd2(env, fd, 0);
    if (rc == 0 && fsync(fd) != 0) {
        rc = errno;
    }
    close(fd);
    return rc;
}

static enum leat_err copy_data(const struct copy *copy, struct leat_why *why)
{
    char *part = path_in(copy->to, "data.mdb.part");
    char *whole = path_in(copy->to, "data.mdb");
    MDB_env *env = NULL;
    enum leat_err err = LEAT_OK;
    if (mkdir(copy->to, 0700) != 0 && errno != EEXIST) {
        err =
            leat_fail(why, LEAT_ERR_IO, "cannot make directory %s: %s", copy->to, strerror(errno));
    } else if (has_file(copy->to, "data.mdb")) {
        err = leat_fail(why, LEAT_ERR_EXISTS, "%s is there already", whole);
    } else {
        err = open_env(copy, &env, why);
    }
    if (err == LEAT_OK) {
        int rc = write_file(env, part);
        mdb_env_close(env);
        if (rc == 0) {
            rc = rename(part, whole) == 0 ? flush_path(copy->to) : errno;
        }
        if (rc != 0) {
            (void)unlink(part);
            err = fail(copy, rc, why);
        }
    }
    free(part);
    free(whole);
    return err;
}

enum leat_err leat_store_copy(const char *path, const char *role, const char *to,
                              struct leat_why *why)
{
    struct copy copy = {.path = path, .role = role, .to = to};
    enum leat_err err = wait_for_journal(&copy, why);
    return err == LEAT_OK ? copy_data(&copy, why) : err;
}
