#include "io/heap.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

#define MIB           ((size_t)1 << 20)
#define RESERVE_BYTES (64 * MIB)

/* With another malloc there is nothing to see. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_OURS false
#else
#define IS_OURS true
#endif

/* Of the heap's mappings: all bytes, those in which large pages are wanted, those that are there.
 */
struct heap {
    size_t bytes, large_bytes, resident_bytes;
};

static struct heap look(void)
{
    struct heap heap = {0};
    char line[512];
    bool is_heap = false;
    size_t bytes = 0;
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        size_t begin;
        size_t end;
        size_t kib;
        if (sscanf(line, "%zx-%zx", &begin, &end) == 2) {
            is_heap = strstr(line, "[heap]") != NULL;
            bytes = end - begin;
            heap.bytes += is_heap ? bytes : 0;
        } else if (is_heap && sscanf(line, "Rss: %zu kB", &kib) == 1) {
            heap.resident_bytes += kib * 1024;
        } else if (is_heap && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg") != NULL) {
            heap.large_bytes += bytes;
        }
    }
    fclose(maps);
    return heap;
}

static void the_heap_has_large_pages_and_takes_no_memory_before_it_is_used(void **state)
{
    (void)state;
    struct heap heap = look();
    if (!IS_OURS || access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) != 0) {
        skip();
    }
    assert_in_range(heap.bytes, RESERVE_BYTES, RESERVE_BYTES + 2 * MIB);
    assert_in_range(heap.large_bytes, RESERVE_BYTES - 4 * MIB, RESERVE_BYTES + 2 * MIB);
    assert_in_range(heap.resident_bytes, 0, 8 * MIB);
}

static void *take(void *context)
{
    (void)context;
    void *piece = malloc(MIB);
    assert_non_null(piece);
    memset(piece, 1, MIB);
    return piece;
}

static void every_thread_has_its_memory_from_it(void **state)
{
    (void)state;
    pthread_t thread;
    void *piece = NULL;
    char *begin = malloc(16);
    assert_int_equal(pthread_create(&thread, NULL, take, NULL), 0);
    assert_int_equal(pthread_join(thread, &piece), 0);
    if (IS_OURS) {
        assert_in_range((uintptr_t)piece, (uintptr_t)begin - RESERVE_BYTES, (uintptr_t)sbrk(0));
    }
    free(begin);
    free(piece);
}

static void it_grows_beyond_and_gives_back_what_is_more_than_it_keeps(void **state)
{
    (void)state;
    enum { PIECES = 40, PIECE_MIB = 4 };
    void *pieces[PIECES];
    if (!IS_OURS) {
        skip();
    }
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = malloc(PIECE_MIB * MIB);
        assert_non_null(pieces[i]);
        memset(pieces[i], 1, PIECE_MIB * MIB);
    }
    assert_in_range(look().resident_bytes, PIECES * PIECE_MIB * MIB, SIZE_MAX);
    for (size_t i = 0; i < PIECES; i++) {
        free(pieces[i]);
    }
    struct heap heap = look();
    assert_in_range(heap.bytes, RESERVE_BYTES, RESERVE_BYTES + 8 * MIB);
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0) {
        assert_in_range(heap.large_bytes, RESERVE_BYTES - 4 * MIB, heap.bytes);
    }
}

/* ---- where memory is limited: in a process of its own ---- */

static bool is_so_in_a_child(bool (*is_so)(void), size_t limit_bytes)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {limit_bytes, limit_bytes};
        _exit(setrlimit(RLIMIT_DATA, &limit) == 0 && is_so() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

/* All but a little, though each growth asks for more than is wanted: that must not be much. */
static bool gets_what_the_limit_leaves(void)
{
    size_t pieces = 0;
    leat_heap_reserve(RESERVE_BYTES);
    while (malloc(MIB) != NULL) {
        pieces++;
    }
    return pieces >= 150;
}

static void what_a_limit_leaves_is_had(void **state)
{
    (void)state;
    if (!IS_OURS) {
        skip();
    }
    assert_true(is_so_in_a_child(gets_what_the_limit_leaves, 192 * MIB));
}

static bool are_bytes_refused(void)
{
    struct leat_why why = {""};
    return leat_heap_check(129 * MIB, 0, &why) == LEAT_ERR_MEMORY &&
           strstr(why.text, "129 MiB") != NULL;
}

static bool are_threads_refused(void)
{
    struct leat_why why = {""};
    return leat_heap_check(0, 100, &why) == LEAT_ERR_MEMORY &&
           strstr(why.text, "100 threads") != NULL;
}

/* Then the system gives no more than it has, whether it is used or not. */
static bool is_all_memory_counted(void)
{
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
    bool is = file != NULL && fgetc(file) == '2';
    if (file != NULL) {
        fclose(file);
    }
    return is;
}

static void memory_that_is_not_to_be_had_is_told_at_the_start(void **state)
{
    (void)state;
    struct leat_why why = {""};
    assert_true(is_so_in_a_child(are_bytes_refused, 128 * MIB));
    assert_true(is_so_in_a_child(are_threads_refused, 128 * MIB));
    assert_int_equal(leat_heap_check(129 * MIB, 8, &why), LEAT_OK);
    if (IS_OURS && !is_all_memory_counted()) {
        size_t machine_bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
        assert_int_equal(leat_heap_check(4 * machine_bytes, 0, &why), LEAT_OK);
    }
}

static int start(void **state)
{
    (void)state;
    leat_heap_keep();
    char *volatile piece = malloc(MIB); /* and there is room at the top */
    free(piece);
    leat_heap_reserve(RESERVE_BYTES);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_has_large_pages_and_takes_no_memory_before_it_is_used),
        cmocka_unit_test(every_thread_has_its_memory_from_it),
        cmocka_unit_test(it_grows_beyond_and_gives_back_what_is_more_than_it_keeps),
        cmocka_unit_test(what_a_limit_leaves_is_had),
        cmocka_unit_test(memory_that_is_not_to_be_had_is_told_at_the_start),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
