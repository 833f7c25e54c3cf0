#include "io/heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEEP_BYTES       (32 << 20)
#define LARGE_PAGE_BYTES ((uintptr_t)2 << 20)
#define GROW_BYTES       (256 << 10) /* a fresh heap has less, a mapping of its own more */

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

void leat_heap_reserve(size_t bytes)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_TRIM_THRESHOLD, (int)(bytes + KEEP_BYTES));
    (void)mallopt(M_TOP_PAD, (int)bytes); /* from now on: so much stays when more is given back */
    const uintptr_t before = heap_end();
    void *volatile piece = malloc(GROW_BYTES); /* volatile: or the compiler would do without both */
    free(piece);
    const uintptr_t begin = (before + LARGE_PAGE_BYTES - 1) & ~(LARGE_PAGE_BYTES - 1);
    const uintptr_t end = heap_end() & ~(LARGE_PAGE_BYTES - 1);
    if (end > begin) {
        /* A kernel that has no large pages, or not for whoever asks, says so; then they are small.
         */
        (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    }
}
