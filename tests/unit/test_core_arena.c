#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "seed.h"

static void pieces_are_zeroed_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("pieces");
    struct leat_arena arena;
    leat_arena_init(&arena, (size_t)64 << 20);
    for (int round = 0; round < 20; round++) {
        enum { PIECES = 500 };
        uint8_t *pieces[PIECES];
        size_t sizes[PIECES];
        for (int i = 0; i < PIECES; i++) {
            sizes[i] = leat_rng_below(&rng, i % 50 == 0 ? 100000 : 300);
            pieces[i] = leat_arena_take(&arena, sizes[i]);
            assert_non_null(pieces[i]);
            if (sizes[i] > 0) {
                assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
            }
            for (size_t b = 0; b < sizes[i]; b++) {
                assert_int_equal(pieces[i][b], 0);
            }
            memset(pieces[i], i & 0xff, sizes[i]);
        }
        for (int i = 0; i < PIECES; i++) {
            for (size_t b = 0; b < sizes[i]; b++) {
                assert_int_equal(pieces[i][b], i & 0xff);
            }
        }
        leat_arena_clear(&arena);
    }
    leat_arena_fini(&arena);
}

static void the_limit_holds_and_everything_before_it_stays(void **state)
{
    (void)state;
    struct leat_arena arena;
    leat_arena_init(&arena, 1000);
    char *first = leat_arena_take(&arena, 600);
    assert_non_null(first);
    strcpy(first, "still here");
    assert_null(leat_arena_take(&arena, 500));
    assert_null(leat_arena_take(&arena, SIZE_MAX));
    assert_null(leat_arena_take(&arena, SIZE_MAX - 8));
    assert_non_null(leat_arena_take(&arena, 300));
    assert_string_equal(first, "still here");
    leat_arena_clear(&arena);
    assert_non_null(leat_arena_take(&arena, 1000));
    assert_null(leat_arena_take(&arena, 100));
    leat_arena_fini(&arena);
}

static void many_tiny_pieces_cannot_pass_the_limit(void **state)
{
    (void)state;
    struct leat_arena arena;
    leat_arena_init(&arena, 16000);
    int taken = 0;
    while (leat_arena_take(&arena, 1) != NULL) {
        taken++;
    }
    assert_in_range(taken, 900, 1000);
    assert_non_null(leat_arena_take(&arena, 0));
    leat_arena_fini(&arena);
}

static void a_repeated_round_needs_no_new_memory(void **state)
{
    (void)state;
    struct leat_arena arena;
    leat_arena_init(&arena, (size_t)16 << 20);
    struct leat_arena_block *block = NULL;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 100; i++) {
            assert_non_null(leat_arena_take(&arena, 3000));
        }
        if (round >= 10) {
            assert_ptr_equal(arena.first, arena.last);
            assert_true(block == NULL || block == arena.first);
            block = arena.first;
        }
        leat_arena_clear(&arena);
    }
    leat_arena_fini(&arena);
}

static void an_oversize_block_is_not_kept(void **state)
{
    (void)state;
    struct leat_arena arena;
    leat_arena_init(&arena, (size_t)64 << 20);
    assert_non_null(leat_arena_take(&arena, (size_t)32 << 20));
    leat_arena_clear(&arena);
    assert_null(arena.first);
    leat_arena_fini(&arena);
}

static void copies_are_independent(void **state)
{
    (void)state;
    struct leat_arena arena;
    leat_arena_init(&arena, 4096);
    char text[] = "queue";
    struct leat_str copy = leat_arena_copy_str(&arena, leat_str_of(text));
    memset(text, 'x', 5);
    assert_true(leat_str_equal(copy, leat_str_of("queue")));
    struct leat_bytes empty = leat_arena_copy(&arena, (struct leat_bytes){NULL, 0});
    assert_non_null(empty.data);
    assert_int_equal(empty.size, 0);
    leat_arena_fini(&arena);
}

static void a_copy_that_does_not_fit_keeps_its_size_without_data(void **state)
{
    (void)state;
    struct leat_arena arena;
    leat_arena_init(&arena, 16);
    uint8_t data[100] = {1};
    struct leat_bytes copy = leat_arena_copy(&arena, leat_bytes_of(data, sizeof(data)));
    assert_null(copy.data);
    assert_int_equal(copy.size, 100);
    leat_arena_fini(&arena);
}

static void texts_are_formatted_or_empty(void **state)
{
    (void)state;
    struct leat_arena arena;
    leat_arena_init(&arena, 64);
    struct leat_str text = leat_arena_format(&arena, "worker lost %d times", 5);
    assert_true(leat_str_equal(text, leat_str_of("worker lost 5 times")));
    text = leat_arena_format(&arena, "%100d", 5);
    assert_int_equal(text.size, 0);
    leat_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_do_not_overlap),
        cmocka_unit_test(the_limit_holds_and_everything_before_it_stays),
        cmocka_unit_test(many_tiny_pieces_cannot_pass_the_limit),
        cmocka_unit_test(a_repeated_round_needs_no_new_memory),
        cmocka_unit_test(an_oversize_block_is_not_kept),
        cmocka_unit_test(copies_are_independent),
        cmocka_unit_test(a_copy_that_does_not_fit_keeps_its_size_without_data),
        cmocka_unit_test(texts_are_formatted_or_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
