/* A disk that fails, for LD_PRELOAD: the nth call of one kind on a file below one directory ends
 * with EIO, the ones before and after it do what they are meant to. So the program under test sees
 * what a kernel shows whose device had one bad moment, which is worse than a dead device: whoever
 * tries again seems to succeed. As "device", everything fails from the nth call on, taking blocks
 * as well.
 *
 *   LEAT_FAIL_BELOW=DIRECTORY   calls on files whose path begins so are counted
 *   LEAT_FAIL_CALL=NAME         fdatasync, fsync, msync, pwrite (and pwritev), writev or device
 *   LEAT_FAIL_AT=N              the Nth fails; 0: none
 *   LEAT_FAIL_TOLD=FILE         gets the monotonic time of the failure, nanoseconds, and the path
 * of the file, before it is returned */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;

static void path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = '\0';
}

static void tell(int failed_fd)
{
    char failed[PATH_MAX];
    path_of(failed_fd, failed);
    const char *path = getenv("LEAT_FAIL_TOLD");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        abort();
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    dprintf(fd, "%lld %s\n", (long long)now.tv_sec * 1000000000LL + now.tv_nsec, failed);
    close(fd);
    /* Time for the test to see it, and to ask for more that must not be acknowledged. */
    nanosleep(&(struct timespec){0, 40000000L}, NULL);
}

static bool is_below(int fd)
{
    char path[PATH_MAX];
    const char *below = getenv("LEAT_FAIL_BELOW");
    path_of(fd, path);
    return below != NULL && path[0] != '\0' && strncmp(path, below, strlen(below)) == 0;
}

/* msync has no descriptor; the store is all that is mapped for writing here. */
static bool fails(const char *call, int fd)
{
    const char *wanted = getenv("LEAT_FAIL_CALL");
    const char *at = getenv("LEAT_FAIL_AT");
    const bool is_device = wanted != NULL && strcmp(wanted, "device") == 0;
    if (wanted == NULL || at == NULL || (strcmp(wanted, call) != 0 && !is_device) ||
        (fd >= 0 && !is_below(fd))) {
        return false;
    }
    const long number = atomic_fetch_add(&calls, 1) + 1;
    const long first = strtol(at, NULL, 10);
    if (number == first) {
        tell(fd);
    }
    errno = EIO;
    return number == first || (is_device && first > 0 && number > first);
}

/* The real function; POSIX lets a void pointer be turned into one this way only. */
#define REAL(function, type)                                                                       \
    static type *real;                                                                             \
    if (real == NULL) {                                                                            \
        *(void **)&real = dlsym(RTLD_NEXT, function);                                              \
    }

typedef int sync_fn(int);
typedef int map_sync_fn(void *, size_t, int);
typedef ssize_t write_fn(int, const void *, size_t, off_t);
typedef int blocks_fn(int, int, off_t, off_t);
typedef ssize_t place_fn(int, const struct iovec *, int, off_t);
typedef ssize_t vector_fn(int, const struct iovec *, int);

int fdatasync(int fd)
{
    REAL("fdatasync", sync_fn)
    return fails("fdatasync", fd) ? -1 : real(fd);
}

int fsync(int fd)
{
    REAL("fsync", sync_fn)
    return fails("fsync", fd) ? -1 : real(fd);
}

int msync(void *start, size_t size, int flags)
{
    REAL("msync", map_sync_fn)
    return fails("msync", -1) ? -1 : real(start, size, flags);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    REAL("pwrite", write_fn)
    return fails("pwrite", fd) ? -1 : real(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t at)
{
    REAL("pwrite64", write_fn)
    return fails("pwrite", fd) ? -1 : real(fd, data, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    REAL("pwritev", place_fn)
    return fails("pwrite", fd) ? -1 : real(fd, parts, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
    REAL("pwritev64", place_fn)
    return fails("pwrite", fd) ? -1 : real(fd, parts, count, at);
}

int fallocate(int fd, int mode, off_t from, off_t size)
{
    REAL("fallocate", blocks_fn)
    return fails("fallocate", fd) ? -1 : real(fd, mode, from, size);
}

int fallocate64(int fd, int mode, off_t from, off_t size)
{
    REAL("fallocate64", blocks_fn)
    return fails("fallocate", fd) ? -1 : real(fd, mode, from, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL("writev", vector_fn)
    return fails("writev", fd) ? -1 : real(fd, parts, count);
}
