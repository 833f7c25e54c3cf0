#include "core/backoff.h"

#include "cmocka_all.h"
#include "core/limits.h"
#include "seed.h"

static void the_bound_grows_to_the_cap(void **state)
{
    (void)state;
    static const struct {
        struct leat_backoff backoff;
        uint64_t attempt;
        uint64_t bound_ms;
    } cases[] = {
        {{1000, 2000, 300000, true}, 1, 1000},
        {{1000, 2000, 300000, true}, 2, 2000},
        {{1000, 2000, 300000, true}, 9, 256000},
        {{1000, 2000, 300000, true}, 10, 300000},
        {{1000, 2000, 300000, true}, 1000, 300000},
        {{1000, 2000, 300000, true}, UINT64_MAX, 300000},
        {{1000, 2000, 300000, true}, 0, 1000},
        {{1, 1500, 1000, false}, 3, 2},   /* 2.25 */
        {{1, 1500, 1000, false}, 5, 5},   /* 5.06 */
        {{1, 1500, 1000, false}, 11, 57}, /* 57.67 */
        {{250, 1000, 60000, false}, 77, 250},
        {{5000, 2000, 1000, false}, 1, 1000},
        {{0, 2000, 1000, false}, 50, 0},
        {{100, 2000, 0, false}, 50, 0},
        {{100, 0, 1000, false}, 2, 0},
        {{1, UINT64_MAX, 1000, false}, 2, 1000},
        {{UINT64_MAX, UINT64_MAX, UINT64_MAX, false}, 3, LEAT_BACKOFF_MS_MAX},
        {{LEAT_BACKOFF_MS_MAX - 1, 1001, UINT64_MAX, false}, 2, LEAT_BACKOFF_MS_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(leat_backoff_bound_ms(&cases[i].backoff, cases[i].attempt),
                         cases[i].bound_ms);
    }
}

static void the_bound_is_close_to_floating_point_and_never_falls(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("the_bound");
    for (int i = 0; i < 2000; i++) {
        struct leat_backoff backoff = {
            .base_ms = leat_rng_below(&rng, 10000),
            .factor_milli = 1000 + leat_rng_below(&rng, 9000),
            .cap_ms = leat_rng_below(&rng, LEAT_BACKOFF_MS_MAX + 1),
        };
        double exact = (double)backoff.base_ms;
        uint64_t last = 0;
        for (uint64_t attempt = 1; attempt <= 40; attempt++) {
            uint64_t bound = leat_backoff_bound_ms(&backoff, attempt);
            double expected = exact < (double)backoff.cap_ms ? exact : (double)backoff.cap_ms;
            double off = (double)bound - expected;
            assert_true(off <= 0.001 * expected + 0.001 && off >= -0.001 * expected - 1.001);
            assert_true(bound <= backoff.cap_ms && bound >= last);
            last = bound;
            exact *= (double)backoff.factor_milli / 1000.0;
        }
    }
}

static void without_jitter_the_delay_is_the_bound(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("without_jitter");
    struct leat_backoff backoff = {100, 3000, 5000, false};
    for (uint64_t attempt = 1; attempt < 10; attempt++) {
        assert_int_equal(leat_backoff_delay_ms(&backoff, attempt, &rng),
                         leat_backoff_bound_ms(&backoff, attempt));
    }
}

static void with_jitter_the_delay_is_uniform_up_to_the_bound(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("with_jitter");
    struct leat_backoff backoff = {9, 1000, 5000, true};
    int seen[10] = {0};
    for (int i = 0; i < 10000; i++) {
        uint64_t delay = leat_backoff_delay_ms(&backoff, 3, &rng);
        assert_true(delay <= 9);
        seen[delay]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(seen[i], 800, 1200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_grows_to_the_cap),
        cmocka_unit_test(the_bound_is_close_to_floating_point_and_never_falls),
        cmocka_unit_test(without_jitter_the_delay_is_the_bound),
        cmocka_unit_test(with_jitter_the_delay_is_uniform_up_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
