#include "store/lmdb_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/limits.h"
#include "store/path.h"

#define IDENTITY_TABLE "leat"
#define IDENTITY_KEY   "identity"
/* A line of text, so that a person can read it with LMDB's own tools. */
#define IDENTITY_FORMAT     "leat-store version=%u role=%.31s id=%s"
#define IDENTITY_BYTES_MAX  160
#define LOCK_FORMAT         "pid %-10ld\nstore %-36s\n"
#define LOCK_PID_OFFSET     4
#define LOCK_ID_OFFSET      21
#define LOCK_LINE_BYTES_MAX 80
#define LOCK_TRIES          5
#define LOCK_TRY_MS         10

static enum leat_err flush_directory(const char *path, struct leat_why *why)
{
    int error = leat_store_flush_directory(path);
    return error == 0 ? LEAT_OK
                      : leat_fail(why, LEAT_ERR_IO, "cannot flush directory %s: %s", path,
                                  strerror(error));
}

static enum leat_err flush_parent(const char *path, struct leat_why *why)
{
    char *parent = leat_store_path(path, "..");
    enum leat_err err = flush_directory(parent, why);
    free(parent);
    return err;
}

static enum leat_err make_directory(const char *path, struct leat_why *why)
{
    if (mkdir(path, 0700) == 0) {
        return flush_parent(path, why);
    }
    if (errno != EEXIST) {
        enum leat_err err = errno == ENOSPC || errno == EDQUOT ? LEAT_ERR_NO_SPACE : LEAT_ERR_IO;
        return leat_fail(why, err, "cannot make directory %s: %s", path, strerror(errno));
    }
    struct stat status;
    if (stat(path, &status) != 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot read directory %s: %s", path, strerror(errno));
    }
    if (!S_ISDIR(status.st_mode)) {
        return leat_fail(why, LEAT_ERR_IO, "%s is no directory", path);
    }
    return LEAT_OK;
}

/* The lock file's text, terminated; "" when there is none. */
static void read_lock_line(int fd, char line[LOCK_LINE_BYTES_MAX])
{
    ssize_t size = pread(fd, line, LOCK_LINE_BYTES_MAX - 1, 0);
    line[size < 0 ? 0 : size] = '\0';
}

/* Whether the lock file's text names a store. */
static bool names_store(const char *line)
{
    struct leat_id id;
    return strlen(line) >= LOCK_ID_OFFSET + LEAT_ID_TEXT_BYTES - 1 &&
           leat_id_parse((struct leat_str){line + LOCK_ID_OFFSET, LEAT_ID_TEXT_BYTES - 1}, &id,
                         NULL) == LEAT_OK;
}

static long pid_in(const char *line)
{
    return strlen(line) > LOCK_PID_OFFSET ? strtol(line + LOCK_PID_OFFSET, NULL, 10) : 0;
}

struct leat_lmdb_lock leat_lmdb_look_at_lock(const char *path)
{
    struct leat_lmdb_lock lock = {0};
    char line[LOCK_LINE_BYTES_MAX];
    char *file = leat_store_path(path, "leat.lock");
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    free(file);
    if (fd >= 0) {
        lock.is_held = flock(fd, LOCK_SH | LOCK_NB) != 0;
        read_lock_line(fd, line);
        lock.pid = pid_in(line);
        lock.names_store = names_store(line);
        close(fd);
    }
    return lock;
}

/* Who only looks at the lock holds it for a moment. */
static int take_lock(int fd)
{
    int rc = flock(fd, LOCK_EX | LOCK_NB);
    for (int i = 0; rc != 0 && errno == EWOULDBLOCK && i < LOCK_TRIES; i++) {
        nanosleep(&(struct timespec){.tv_nsec = LOCK_TRY_MS * 1000000L}, NULL);
        rc = flock(fd, LOCK_EX | LOCK_NB);
    }
    return rc;
}

enum leat_err leat_lmdb_lock_directory(struct leat_lmdb *lmdb, const char *path,
                                       struct leat_why *why)
{
    enum leat_err err = make_directory(path, why);
    if (err != LEAT_OK) {
        return err;
    }
    char *file = leat_store_path(path, "leat.lock");
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err = errno == ENOSPC || errno == EDQUOT ? LEAT_ERR_NO_SPACE : LEAT_ERR_IO;
        err = leat_fail(why, err, "cannot open %s: %s", file, strerror(errno));
    } else if (take_lock(fd) != 0) {
        int error = errno;
        char line[LOCK_LINE_BYTES_MAX];
        read_lock_line(fd, line);
        long pid = pid_in(line);
        if (error != EWOULDBLOCK) {
            err = leat_fail(why, LEAT_ERR_IO, "cannot lock %s: %s", file, strerror(error));
        } else if (pid > 0) {
            err = leat_fail(why, LEAT_ERR_LOCKED, "store %s is in use by process %ld", path, pid);
        } else {
            err = leat_fail(why, LEAT_ERR_LOCKED, "store %s is in use by another process", path);
        }
    }
    free(file);
    if (err != LEAT_OK) {
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    char before[LOCK_LINE_BYTES_MAX];
    read_lock_line(fd, before);
    lmdb->has_lived_here = names_store(before);
    lmdb->lock_fd = fd;
    lmdb->path = strdup(path);
    if (lmdb->path == NULL) {
        abort();
    }
    return LEAT_OK;
}

enum leat_err leat_lmdb_check_data_file(const struct leat_lmdb *lmdb, struct leat_why *why)
{
    char *file = leat_store_path(lmdb->path, "data.mdb");
    struct stat status;
    bool is_there = stat(file, &status) == 0;
    int error = errno;
    free(file);
    if (!is_there && error != ENOENT) {
        return leat_fail(why, LEAT_ERR_IO, "cannot read %s/data.mdb: %s", lmdb->path,
                         strerror(error));
    }
    if (is_there && status.st_size > 0) {
        return LEAT_OK;
    }
    if (!lmdb->has_lived_here) {
        return LEAT_OK;
    }
    char line[LOCK_LINE_BYTES_MAX];
    read_lock_line(lmdb->lock_fd, line);
    return leat_fail(why, LEAT_ERR_CORRUPT,
                     "%s/data.mdb is %s, but store %.36s lived here; to begin an empty one, remove "
                     "%s/leat.lock",
                     lmdb->path, is_there ? "empty" : "missing", line + LOCK_ID_OFFSET, lmdb->path);
}

/* ---- identity ---- */

/* FNV-1a, 64 bits (Fowler, Noll, Vo): finds a flipped bit in a line of text. */
static uint64_t checksum(const char *text, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3U;
    }
    return hash;
}

static struct leat_id make_id(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        abort(); /* with so few bytes it cannot fail once the system has started */
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct leat_rng rng;
    struct leat_id_generator generator;
    leat_rng_init(&rng, seed);
    leat_id_generator_init(&generator, &rng);
    struct leat_wall wall = {(int64_t)now.tv_sec * LEAT_US_PER_S + now.tv_nsec / 1000};
    return leat_id_next(&generator, wall);
}

static int format_identity(char line[IDENTITY_BYTES_MAX], unsigned version, const char *role,
                           const char *id)
{
    int size = snprintf(line, IDENTITY_BYTES_MAX, IDENTITY_FORMAT, version, role, id);
    size += snprintf(line + size, IDENTITY_BYTES_MAX - (size_t)size, " check=%016llx",
                     (unsigned long long)checksum(line, (size_t)size));
    return size;
}

/* At each open, so that the txn has something to commit. What LMDB shows as its last commit may so
 * far be in the page cache only: of a process that was killed while it was flushed, or whose flush
 * failed. A commit on top of it makes it durable before anybody is told of it. */
enum leat_err leat_lmdb_write_identity(const struct leat_lmdb *lmdb, MDB_txn *txn,
                                       struct leat_why *why)
{
    char text[LEAT_ID_TEXT_BYTES];
    char line[IDENTITY_BYTES_MAX];
    unsigned version = lmdb->has_journal ? LEAT_STORE_JOURNAL_VERSION : LEAT_STORE_VERSION;
    int size = format_identity(line, version, lmdb->role, leat_id_format(&lmdb->id, text));
    MDB_dbi table;
    int rc = mdb_dbi_open(txn, IDENTITY_TABLE, MDB_CREATE, &table);
    if (rc == 0) {
        MDB_val key = {strlen(IDENTITY_KEY), IDENTITY_KEY};
        MDB_val value = {(size_t)size, line};
        rc = mdb_put(txn, table, &key, &value, 0);
    }
    if (rc != 0) {
        return leat_fail(why, rc == ENOSPC ? LEAT_ERR_NO_SPACE : LEAT_ERR_IO,
                         "cannot write to store %s: %s", lmdb->path, mdb_strerror(rc));
    }
    return LEAT_OK;
}

/* `version_max`: without a journal a store that has one would lack what is in it. */
static enum leat_err parse_identity(const MDB_val *value, const char *path, const char *role,
                                    unsigned version_max, struct leat_id *ret_id,
                                    struct leat_why *why)
{
    char line[IDENTITY_BYTES_MAX];
    char again[IDENTITY_BYTES_MAX];
    char found_role[LEAT_STORE_NAME_BYTES_MAX + 1];
    char text[LEAT_ID_TEXT_BYTES];
    unsigned version;
    size_t size = value->mv_size < sizeof line ? value->mv_size : sizeof line - 1;
    memcpy(line, value->mv_data, size);
    line[size] = '\0';
    struct leat_id id;
    if (size != value->mv_size ||
        sscanf(line, "leat-store version=%u role=%31s id=%36s", &version, found_role, text) != 3 ||
        format_identity(again, version, found_role, text) != (int)size ||
        strcmp(line, again) != 0 || leat_id_parse(leat_str_of(text), &id, NULL) != LEAT_OK) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "the identity record of store %s is damaged", path);
    }
    if (strcmp(found_role, role) != 0) {
        return leat_fail(why, LEAT_ERR_REFUSED, "%s is the store of a %s, not of a %s", path,
                         found_role, role);
    }
    if (version > version_max) {
        return leat_fail(why, LEAT_ERR_REFUSED,
                         "store %s is of version %u, from a newer leat; this one reads version %u",
                         path, version, version_max);
    }
    if (version < LEAT_STORE_VERSION) {
        return leat_fail(why, LEAT_ERR_REFUSED,
                         "store %s is of version %u, from an older leat; this one reads version "
                         "%d: let the older one finish its jobs, or begin in another directory",
                         path, version, LEAT_STORE_VERSION);
    }
    *ret_id = id;
    return LEAT_OK;
}

/* LEAT_ERR_NOT_FOUND: the file is empty. */
static enum leat_err find_identity(MDB_txn *txn, const char *path, MDB_dbi *ret_table,
                                   MDB_val *ret_value, struct leat_why *why)
{
    MDB_dbi root;
    MDB_stat status;
    int rc = mdb_dbi_open(txn, NULL, 0, &root);
    if (rc == 0) {
        rc = mdb_stat(txn, root, &status);
    }
    if (rc == 0 && status.ms_entries == 0) {
        return LEAT_ERR_NOT_FOUND;
    }
    MDB_val key = {strlen(IDENTITY_KEY), IDENTITY_KEY};
    if (rc == 0) {
        rc = mdb_dbi_open(txn, IDENTITY_TABLE, 0, ret_table);
    }
    bool has_table = rc == 0;
    if (rc == 0) {
        rc = mdb_get(txn, *ret_table, &key, ret_value);
    }
    if (rc == MDB_NOTFOUND && has_table) {
        return leat_fail(why, LEAT_ERR_CORRUPT, "the identity record of store %s is damaged", path);
    }
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE) {
        return leat_fail(why, LEAT_ERR_REFUSED, "%s/data.mdb is no store of leat", path);
    }
    if (rc != 0) {
        return leat_fail(why, LEAT_ERR_IO, "cannot read store %s: %s", path, mdb_strerror(rc));
    }
    return LEAT_OK;
}

enum leat_err leat_lmdb_read_identity(MDB_txn *txn, const char *path, const char *role,
                                      struct leat_id *ret_id, struct leat_why *why)
{
    MDB_dbi table;
    MDB_val value;
    enum leat_err err = find_identity(txn, path, &table, &value, why);
    if (err == LEAT_ERR_NOT_FOUND) {
        return leat_fail(why, LEAT_ERR_INVALID, "%s holds no store", path);
    }
    return err == LEAT_OK
               ? parse_identity(&value, path, role, LEAT_STORE_JOURNAL_VERSION, ret_id, why)
               : err;
}

enum leat_err leat_lmdb_check_identity(struct leat_lmdb *lmdb, MDB_txn *txn, struct leat_why *why)
{
    unsigned version_max = lmdb->has_journal ? LEAT_STORE_JOURNAL_VERSION : LEAT_STORE_VERSION;
    MDB_dbi table;
    MDB_val value;
    enum leat_err err = find_identity(txn, lmdb->path, &table, &value, why);
    if (err == LEAT_ERR_NOT_FOUND) {
        lmdb->id = make_id(); /* just made, here or before a crash */
        err = LEAT_OK;
    } else if (err == LEAT_OK) {
        err = parse_identity(&value, lmdb->path, lmdb->role, version_max, &lmdb->id, why);
    }
    return err == LEAT_OK ? leat_lmdb_write_identity(lmdb, txn, why) : err;
}

enum leat_err leat_lmdb_sign_lock(const struct leat_lmdb *lmdb, struct leat_why *why)
{
    char text[LEAT_ID_TEXT_BYTES];
    char line[LOCK_LINE_BYTES_MAX];
    int size =
        snprintf(line, sizeof line, LOCK_FORMAT, (long)getpid(), leat_id_format(&lmdb->id, text));
    if (pwrite(lmdb->lock_fd, line, (size_t)size, 0) != size || fsync(lmdb->lock_fd) != 0) {
        enum leat_err err = errno == ENOSPC || errno == EDQUOT ? LEAT_ERR_NO_SPACE : LEAT_ERR_IO;
        return leat_fail(why, err, "cannot write %s/leat.lock: %s", lmdb->path, strerror(errno));
    }
    return flush_directory(lmdb->path, why);
}
