#include "store_faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_int faults[STORE_FAULT_COUNT];
static atomic_int hits[STORE_FAULT_COUNT];
static atomic_int own_hits[STORE_FAULT_COUNT];
static atomic_int journal_flushes;
static atomic_int own_flushes;

void store_faults_set(enum store_fault fault, int error)
{
    atomic_store(&faults[fault], error);
}

void store_faults_clear(void)
{
    atomic_store(&journal_flushes, 0);
    atomic_store(&own_flushes, 0);
    for (int i = 0; i < STORE_FAULT_COUNT; i++) {
        atomic_store(&faults[i], 0);
        atomic_store(&hits[i], 0);
        atomic_store(&own_hits[i], 0);
    }
}

int store_faults_hits(enum store_fault fault)
{
    return atomic_load(&hits[fault]);
}

int store_faults_own_hits(enum store_fault fault)
{
    return atomic_load(&own_hits[fault]);
}

static int is_first_thread(void)
{
    return gettid() == getpid();
}

static int is_failing(enum store_fault fault)
{
    int error = atomic_load(&faults[fault]);
    if (error == 0) {
        return 0;
    }
    atomic_fetch_add(&hits[fault], 1);
    atomic_fetch_add(&own_hits[fault], is_first_thread());
    errno = error;
    return 1;
}

/* Of a fault that is set to a number of times: once more. */
static bool is_due(enum store_fault fault)
{
    if (atomic_load(&faults[fault]) <= 0) {
        return false;
    }
    atomic_fetch_sub(&faults[fault], 1);
    atomic_fetch_add(&hits[fault], 1);
    return true;
}

int store_faults_own_flushes(void)
{
    return atomic_load(&own_flushes);
}

int store_faults_journal_flushes(void)
{
    return atomic_load(&journal_flushes);
}

/* The names of libc, in place of libc's. */
int fdatasync(int fd);
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t writev(int fd, const struct iovec *parts, int count);

/* Whether the path of an open file has this in it. */
static bool is_file(int fd, const char *name)
{
    char link[64];
    char path[256];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = '\0';
    return strstr(path, name) != NULL;
}

int fdatasync(int fd)
{
    if (is_file(fd, "/journal-")) {
        atomic_fetch_add(&journal_flushes, 1);
        atomic_fetch_add(&own_flushes, is_first_thread());
    }
    if (is_failing(STORE_FAULT_FLUSH)) {
        return -1;
    }
    return is_failing(STORE_FAULT_INSTANT) ? 0 : (int)syscall(SYS_fdatasync, fd);
}

static bool is_growing(int fd, off_t end)
{
    struct stat status;
    return atomic_load(&faults[STORE_FAULT_GROW]) != 0 && fstat(fd, &status) == 0 &&
           end > status.st_size;
}

static bool is_failing_in(int fd, const char *name, enum store_fault fault)
{
    return atomic_load(&faults[fault]) != 0 && is_file(fd, name) && is_failing(fault);
}

static void be_slow(int fd)
{
    int ms = atomic_load(&faults[STORE_FAULT_SLOW]);
    if (ms > 0 && is_file(fd, "/journal-")) {
        struct timespec pause = {ms / 1000, ms % 1000 * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

#define META_BYTES                                                                                 \
    8192 /* of LMDB: a meta page that cannot be written is the end, not a full disk */

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if ((offset >= META_BYTES && is_failing_in(fd, "/data.mdb", STORE_FAULT_DATA)) ||
        is_failing_in(fd, "/journal-", STORE_FAULT_JOURNAL)) {
        return -1;
    }
    if (!is_growing(fd, offset + (off_t)size)) {
        be_slow(fd);
    }
    if (is_growing(fd, offset + (off_t)size) && is_failing(STORE_FAULT_GROW)) {
        return -1;
    }
    return is_failing(STORE_FAULT_WRITE) ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (is_failing_in(fd, "/journal-", STORE_FAULT_JOURNAL)) {
        return -1;
    }
    off_t end = offset;
    for (int i = 0; i < count; i++) {
        end += (off_t)parts[i].iov_len;
    }
    if (!is_growing(fd, end)) {
        be_slow(fd);
    } else if (is_failing(STORE_FAULT_GROW)) {
        return -1;
    }
    if (is_failing(STORE_FAULT_WRITE)) {
        return -1;
    }
    size_t most = (size_t)atomic_load(&faults[STORE_FAULT_SHORT]);
    return most == 0                 ? syscall(SYS_pwritev, fd, parts, count, offset, 0)
           : parts[0].iov_len > most ? syscall(SYS_pwrite64, fd, parts[0].iov_base, most, offset)
                                     : syscall(SYS_pwritev, fd, parts, 1, offset, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return is_failing_in(fd, "/data.mdb", STORE_FAULT_DATA) || is_failing(STORE_FAULT_WRITE)
               ? -1
               : syscall(SYS_writev, fd, parts, count);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return is_failing(STORE_FAULT_ALLOCATE) ? -1
                                            : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_wanted;
    bool is_there;
} hold = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void store_faults_hold_commits(bool is_wanted)
{
    pthread_mutex_lock(&hold.mutex);
    hold.is_wanted = is_wanted;
    pthread_cond_broadcast(&hold.changed);
    pthread_mutex_unlock(&hold.mutex);
}

void store_faults_await_commit(void)
{
    pthread_mutex_lock(&hold.mutex);
    while (!hold.is_there) {
        pthread_cond_wait(&hold.changed, &hold.mutex);
    }
    pthread_mutex_unlock(&hold.mutex);
}

static void stand_still(void)
{
    pthread_mutex_lock(&hold.mutex);
    hold.is_there = hold.is_wanted;
    pthread_cond_broadcast(&hold.changed);
    while (hold.is_wanted) {
        pthread_cond_wait(&hold.changed, &hold.mutex);
    }
    hold.is_there = false;
    pthread_mutex_unlock(&hold.mutex);
}

/* LMDB's own function of that name, into a pointer to one. */
static void find_real(const char *name, void *ret_function)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(ret_function, &found, sizeof found);
}

int mdb_txn_commit(MDB_txn *txn)
{
    int (*real)(MDB_txn *);
    find_real("mdb_txn_commit", &real);
    if (is_due(STORE_FAULT_MAP_FULL)) {
        mdb_txn_abort(txn);
        return MDB_MAP_FULL;
    }
    stand_still();
    return real(txn);
}

size_t mdb_txn_id(MDB_txn *txn)
{
    size_t (*real)(MDB_txn *);
    find_real("mdb_txn_id", &real);
    int late = atomic_load(&faults[STORE_FAULT_LATE]);
    return real(txn) - (is_first_thread() && is_due(STORE_FAULT_LATE) ? (size_t)late : 0);
}

static int copy_instead(const char *path, int to)
{
    struct stat status;
    int from = open(path, O_RDONLY | O_CLOEXEC);
    bool is_copied = from >= 0 && fstat(from, &status) == 0 &&
                     sendfile(to, from, NULL, (size_t)status.st_size) == status.st_size;
    int error = is_copied ? 0 : errno;
    close(from);
    return error;
}

int mdb_env_copyfd2(MDB_env *env, mdb_filehandle_t fd, unsigned flags)
{
    int (*real)(MDB_env *, mdb_filehandle_t, unsigned);
    find_real("mdb_env_copyfd2", &real);
    const char *directory;
    char path[256];
    if (!is_due(STORE_FAULT_COPY) || mdb_env_get_path(env, &directory) != 0) {
        return real(env, fd, flags);
    }
    snprintf(path, sizeof path, "%s/%s", directory, STORE_FAULTS_COPY);
    return copy_instead(path, fd);
}
