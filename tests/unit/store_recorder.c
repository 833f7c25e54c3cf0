#include "store_recorder.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct store_recorded *calls;
static size_t count, capacity;
static bool is_recording, skips_flushes;

void store_recorder_begin(void)
{
    is_recording = true;
}

void store_recorder_end(void)
{
    is_recording = false;
}

size_t store_recorder_count(void)
{
    return count;
}

const struct store_recorded *store_recorder_at(size_t index)
{
    return &calls[index];
}

void store_recorder_free(void)
{
    for (size_t i = 0; i < count; i++) {
        free(calls[i].bytes);
    }
    free(calls);
    calls = NULL;
    count = capacity = 0;
}

void store_recorder_skip_flushes(bool skip)
{
    skips_flushes = skip;
}

const char *const store_recorded_names[STORE_RECORDED_FILES] = {"data.mdb", "journal-0",
                                                                "journal-1"};

/* Which of the store's files it is; -1: none. */
static int file_of(int fd)
{
    char link[64];
    char path[256];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path));
    for (int i = 0; i < STORE_RECORDED_FILES; i++) {
        size_t length = strlen(store_recorded_names[i]);
        if (size > (ssize_t)length && path[size - (ssize_t)length - 1] == '/' &&
            memcmp(path + size - length, store_recorded_names[i], length) == 0) {
            return i;
        }
    }
    return -1;
}

/* Bytes of the parts one after the other. */
static void record(enum store_recorded_kind kind, int fd, uint64_t offset, uint64_t size,
                   const struct iovec *parts, int part_count)
{
    int file = is_recording ? file_of(fd) : -1;
    if (file < 0) {
        return;
    }
    pthread_mutex_lock(&mutex);
    if (count == capacity) {
        capacity = capacity == 0 ? 256 : capacity * 2;
        calls = realloc(calls, capacity * sizeof(*calls));
        assert(calls != NULL);
    }
    struct store_recorded *call = &calls[count++];
    *call = (struct store_recorded){.kind = kind, .file = file, .offset = offset, .size = size};
    if (kind == STORE_RECORDED_WRITE) {
        call->is_flushed = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
        call->bytes = malloc(size);
        assert(call->bytes != NULL);
        size_t at = 0;
        for (int i = 0; i < part_count; i++) {
            memcpy(call->bytes + at, parts[i].iov_base, parts[i].iov_len);
            at += parts[i].iov_len;
        }
        assert(at == size);
    }
    pthread_mutex_unlock(&mutex);
}

/* The names of libc, in place of libc's. */
int fdatasync(int fd);
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t pwritev(int fd, const struct iovec *parts, int part_count, off_t offset);
ssize_t writev(int fd, const struct iovec *parts, int part_count);
int fallocate(int fd, int mode, off_t offset, off_t size);
int ftruncate(int fd, off_t size);
int fsync(int fd);
int open(const char *path, int flags, ...);
int open64(const char *path, int flags, ...);

static int open_with(const char *path, int flags, va_list args)
{
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    return (int)syscall(SYS_openat, AT_FDCWD, path, skips_flushes ? flags & ~O_DSYNC : flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int fd = open_with(path, flags, args);
    va_end(args);
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int fd = open_with(path, flags, args);
    va_end(args);
    return fd;
}

int fsync(int fd)
{
    return skips_flushes ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    int rc = skips_flushes ? 0 : (int)syscall(SYS_fdatasync, fd);
    if (rc == 0) {
        record(STORE_RECORDED_FLUSH, fd, 0, 0, NULL, 0);
    }
    return rc;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    ssize_t written = syscall(SYS_pwrite64, fd, data, size, offset);
    if (written > 0) {
        struct iovec part = {(void *)(uintptr_t)data, (size_t)written};
        record(STORE_RECORDED_WRITE, fd, (uint64_t)offset, (uint64_t)written, &part, 1);
    }
    return written;
}

ssize_t pwritev(int fd, const struct iovec *parts, int part_count, off_t offset)
{
    ssize_t written = syscall(SYS_pwritev, fd, parts, part_count, offset, 0);
    size_t whole = 0;
    for (int i = 0; i < part_count; i++) {
        whole += parts[i].iov_len;
    }
    if (written > 0) {
        assert((size_t)written == whole);
        record(STORE_RECORDED_WRITE, fd, (uint64_t)offset, whole, parts, part_count);
    }
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int part_count)
{
    off_t offset = is_recording ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t written = syscall(SYS_writev, fd, parts, part_count);
    size_t whole = 0;
    for (int i = 0; i < part_count; i++) {
        whole += parts[i].iov_len;
    }
    if (written > 0 && is_recording && file_of(fd) >= 0) {
        assert((size_t)written == whole);
        record(STORE_RECORDED_WRITE, fd, (uint64_t)offset, whole, parts, part_count);
    }
    return written;
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    int rc = skips_flushes ? 0 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
    if (rc == 0 && mode == 0) {
        record(STORE_RECORDED_SIZE, fd, 0, (uint64_t)(offset + size), NULL, 0);
    }
    return rc;
}

int ftruncate(int fd, off_t size)
{
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0) {
        record(STORE_RECORDED_SIZE, fd, 0, (uint64_t)size, NULL, 0);
    }
    return rc;
}
