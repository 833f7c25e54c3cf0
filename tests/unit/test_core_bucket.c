#include "core/bucket.h"

#include <string.h>

#include "cmocka_all.h"
#include "core/instant.h"
#include "seed.h"

static const struct leat_rate five_per_s = {5, 1000000};

static void a_bucket_starts_full_and_fills_at_its_rate(void **state)
{
    (void)state;
    struct leat_bucket bucket;
    leat_bucket_init(&bucket, five_per_s, 10, 0);
    assert_int_equal(leat_bucket_available(&bucket, 0), 10);
    assert_true(leat_bucket_take(&bucket, 10, 0));
    assert_false(leat_bucket_take(&bucket, 1, 199999));
    assert_true(leat_bucket_take(&bucket, 1, 200000));
    assert_int_equal(leat_bucket_available(&bucket, 1200000), 5);
    assert_int_equal(leat_bucket_available(&bucket, 3600 * LEAT_US_PER_S), 10);
}

static void take_is_all_or_nothing(void **state)
{
    (void)state;
    struct leat_bucket bucket;
    leat_bucket_init(&bucket, five_per_s, 4, 0);
    assert_false(leat_bucket_take(&bucket, 5, 0));
    assert_false(leat_bucket_take(&bucket, UINT64_MAX, 0));
    assert_int_equal(leat_bucket_available(&bucket, 0), 4);
    assert_true(leat_bucket_take(&bucket, 0, 0));
    assert_true(leat_bucket_take(&bucket, 4, 0));
}

static void the_next_time_is_the_first_at_which_it_works(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("the_next_time");
    for (int i = 0; i < 5000; i++) {
        struct leat_bucket bucket;
        struct leat_rate rate = {1 + leat_rng_below(&rng, 5000), 1 + leat_rng_below(&rng, 5000000)};
        uint64_t burst = 1 + leat_rng_below(&rng, 50);
        int64_t now = (int64_t)leat_rng_below(&rng, 1000000);
        leat_bucket_init(&bucket, rate, burst, now);
        assert_true(leat_bucket_take(&bucket, leat_rng_below(&rng, burst + 1), now));
        now += (int64_t)leat_rng_below(&rng, 3000);
        uint64_t wanted = leat_rng_below(&rng, burst + 1);
        int64_t next = leat_bucket_next_us(&bucket, wanted, now);
        assert_true(next >= now && next < LEAT_NEVER_US);
        struct leat_bucket early = bucket;
        assert_true(next == now || !leat_bucket_take(&early, wanted, next - 1));
        assert_true(leat_bucket_take(&bucket, wanted, next));
    }
}

static void more_than_the_burst_never_comes(void **state)
{
    (void)state;
    struct leat_bucket bucket;
    leat_bucket_init(&bucket, five_per_s, 3, 0);
    assert_int_equal(leat_bucket_next_us(&bucket, 4, 0), LEAT_NEVER_US);
    assert_int_equal(leat_bucket_next_us(&bucket, UINT64_MAX, 0), LEAT_NEVER_US);
}

static void over_any_window_no_more_than_burst_and_rate_are_taken(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("over_any_window");
    for (int round = 0; round < 40; round++) {
        enum { TAKES = 400 };
        static int64_t times[TAKES];
        static uint64_t sizes[TAKES];
        struct leat_rate rate = {1 + leat_rng_below(&rng, 100), 1 + leat_rng_below(&rng, 1000000)};
        uint64_t burst = 1 + leat_rng_below(&rng, 20);
        struct leat_bucket bucket;
        int64_t now = 0;
        leat_bucket_init(&bucket, rate, burst, now);
        for (int i = 0; i < TAKES;) {
            now += (int64_t)leat_rng_below(&rng, 2 * rate.per_us / rate.tokens + 2);
            uint64_t count = 1 + leat_rng_below(&rng, burst);
            if (leat_bucket_take(&bucket, count, now)) {
                times[i] = now;
                sizes[i++] = count;
            }
        }
        for (int first = 0; first < TAKES; first++) {
            uint64_t taken = 0;
            for (int last = first; last < TAKES; last++) {
                taken += sizes[last];
                uint64_t window_us = (uint64_t)(times[last] - times[first]);
                assert_true(taken * rate.per_us <= burst * rate.per_us + window_us * rate.tokens);
            }
        }
    }
}

static void nothing_is_lost_however_often_it_is_asked(void **state)
{
    (void)state;
    /* 1000/h asked at uneven times: in the end exactly burst + rate * time are taken. */
    struct leat_rng rng = leat_seed_rng("nothing_is_lost");
    struct leat_bucket bucket;
    struct leat_rate rate = {1000, (uint64_t)3600 * LEAT_US_PER_S};
    leat_bucket_init(&bucket, rate, 3, 0);
    uint64_t taken = 0;
    int64_t now = 0;
    int64_t end = 10 * 3600 * LEAT_US_PER_S;
    while (now < end) {
        while (leat_bucket_take(&bucket, 1, now)) {
            taken++;
        }
        now += 1 + (int64_t)leat_rng_below(&rng, 300000);
    }
    while (leat_bucket_take(&bucket, 1, end)) {
        taken++;
    }
    assert_int_equal(taken, 3 + 10000);
}

static void what_is_given_back_can_be_taken_but_never_exceeds_the_burst(void **state)
{
    (void)state;
    struct leat_bucket bucket;
    leat_bucket_init(&bucket, five_per_s, 10, 0);
    assert_true(leat_bucket_take(&bucket, 8, 0));
    leat_bucket_give(&bucket, 3, 0);
    assert_int_equal(leat_bucket_available(&bucket, 0), 5);
    leat_bucket_give(&bucket, UINT64_MAX, 0);
    assert_int_equal(leat_bucket_available(&bucket, 0), 10);
    assert_true(leat_bucket_take(&bucket, 10, 0));
    assert_false(leat_bucket_take(&bucket, 1, 0));
}

static void a_time_that_steps_back_adds_nothing(void **state)
{
    (void)state;
    struct leat_bucket bucket;
    leat_bucket_init(&bucket, five_per_s, 5, 1000000);
    assert_true(leat_bucket_take(&bucket, 5, 1000000));
    assert_int_equal(leat_bucket_available(&bucket, 0), 0);
    assert_false(leat_bucket_take(&bucket, 1, 0));
    assert_false(leat_bucket_take(&bucket, 1, 1199999));
    assert_int_equal(leat_bucket_next_us(&bucket, 1, 0), 1200000);
    assert_true(leat_bucket_take(&bucket, 1, 1200000));
}

static void the_extremes_do_not_overflow(void **state)
{
    (void)state;
    struct leat_bucket bucket;
    struct leat_rate slow = {1, LEAT_RATE_PER_US_MAX};
    leat_bucket_init(&bucket, slow, LEAT_BURST_MAX, INT64_MIN);
    assert_true(leat_bucket_take(&bucket, LEAT_BURST_MAX, INT64_MIN));
    int64_t next = leat_bucket_next_us(&bucket, 1, INT64_MIN);
    assert_int_equal(next, INT64_MIN + LEAT_RATE_PER_US_MAX);
    assert_int_equal(leat_bucket_available(&bucket, INT64_MAX), LEAT_BURST_MAX);
    assert_int_equal(leat_bucket_next_us(&bucket, LEAT_BURST_MAX, INT64_MAX - 1), INT64_MAX - 1);

    struct leat_rate fast = {LEAT_RATE_TOKENS_MAX, 1};
    leat_bucket_init(&bucket, fast, LEAT_BURST_MAX, 0);
    assert_true(leat_bucket_take(&bucket, LEAT_BURST_MAX, 0));
    assert_int_equal(leat_bucket_available(&bucket, 1), LEAT_BURST_MAX);
}

static void a_rate_is_told_in_thousandths_per_second(void **state)
{
    (void)state;
    static const struct {
        struct leat_rate rate;
        uint64_t milli;
    } cases[] = {
        {{5, 1000000}, 5000},
        {{30, 60000000}, 500},
        {{1000, UINT64_C(3600000000)}, 277},
        {{1, LEAT_RATE_PER_US_MAX}, 1},
        {{LEAT_RATE_TOKENS_MAX, 1}, UINT64_MAX / 2},
        {{3, 7}, 428571428},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(leat_rate_milli_per_s(cases[i].rate), cases[i].milli);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_starts_full_and_fills_at_its_rate),
        cmocka_unit_test(take_is_all_or_nothing),
        cmocka_unit_test(the_next_time_is_the_first_at_which_it_works),
        cmocka_unit_test(more_than_the_burst_never_comes),
        cmocka_unit_test(over_any_window_no_more_than_burst_and_rate_are_taken),
        cmocka_unit_test(nothing_is_lost_however_often_it_is_asked),
        cmocka_unit_test(what_is_given_back_can_be_taken_but_never_exceeds_the_burst),
        cmocka_unit_test(a_time_that_steps_back_adds_nothing),
        cmocka_unit_test(the_extremes_do_not_overflow),
        cmocka_unit_test(a_rate_is_told_in_thousandths_per_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
