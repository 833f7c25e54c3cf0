#include "io/heap.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB              ((size_t)1 << 20)
#define KEEP_BYTES       (32 << 20)
#define LARGE_PAGE_BYTES ((uintptr_t)2 << 20)
/* Of what the process may have: what malloc asks for ahead is of no use to others, and what is left
 * beside it of none to malloc. */
#define LIMIT_PART 16

void leat_heap_keep(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
}

/* Where the heap ends; with another malloc (a sanitizer's) it is another's, and never moves. */
static uintptr_t heap_end(void)
{
    return (uintptr_t)sbrk(0);
}

/* By default as the shell's ulimit -s says. */
static size_t stack_bytes(void)
{
    size_t bytes = 0;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        (void)pthread_attr_getstacksize(&attributes, &bytes);
        (void)pthread_attr_destroy(&attributes);
    }
    return bytes;
}

enum leat_err leat_heap_check(size_t bytes, unsigned threads, struct leat_why *why)
{
    const size_t stack = stack_bytes();
    const size_t needed = bytes + threads * stack;
    /* NORESERVE, as for stacks: it is not all used at once, whatever the machine has. */
    void *piece = mmap(NULL, needed, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (piece == MAP_FAILED) {
        return leat_fail(why, LEAT_ERR_MEMORY,
                         "%zu MiB of memory may be needed, and stacks of %zu KiB for %u threads, "
                         "which the system does not give: %s (see ulimit -d, -v and -s)",
                         bytes / MIB, stack / 1024, threads, strerror(errno));
    }
    (void)munmap(piece, needed);
    return LEAT_OK;
}

/* Of so many bytes what a process may ask for ahead within its limits (ulimit -d, -v). */
static size_t fit_limits(size_t bytes)
{
    static const __rlimit_resource_t kinds[] = {RLIMIT_DATA, RLIMIT_AS};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct rlimit limit;
        if (getrlimit(kinds[i], &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
            limit.rlim_cur / LIMIT_PART < bytes) {
            bytes = (size_t)(limit.rlim_cur / LIMIT_PART);
        }
    }
    return bytes;
}

/* Lets the heap grow by `M_TOP_PAD`: whatever is free in it is too small. */
static void grow(void)
{
    void *volatile piece =
        malloc(mallinfo2().fordblks + 1); /* volatile: or both would be left out */
    free(piece);
}

void leat_heap_reserve(size_t bytes)
{
    const size_t ahead = fit_limits(bytes);
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_TRIM_THRESHOLD, (int)(ahead + KEEP_BYTES));
    (void)mallopt(M_TOP_PAD, (int)ahead); /* from now on: so much stays when more is given back */
    const uintptr_t before = heap_end();
    grow();
    const uintptr_t begin = (before + LARGE_PAGE_BYTES - 1) & ~(LARGE_PAGE_BYTES - 1);
    const uintptr_t end = heap_end() & ~(LARGE_PAGE_BYTES - 1);
    if (end > begin) {
        /* A kernel that has no large pages, or not for whoever asks, says so; then they are small.
         */
        (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    }
}
