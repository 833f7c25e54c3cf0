#include "core/histogram.h"

#include <stdlib.h>

#include "cmocka_all.h"
#include "seed.h"

enum { VALUES = 3000 };

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Durations of every size, up to 2^bits. */
static uint64_t draw(struct leat_rng *rng, unsigned bits)
{
    return leat_rng_next(rng) >> (64 - 1 - leat_rng_below(rng, bits));
}

static void quantiles_are_within_their_promise(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("quantiles_are_within_their_promise");
    static struct leat_histogram histogram;
    static uint64_t values[VALUES];
    for (int round = 0; round < 30; round++) {
        size_t count = 1 + leat_rng_below(&rng, VALUES);
        uint64_t sum = 0;
        leat_histogram_clear(&histogram);
        for (size_t i = 0; i < count; i++) {
            values[i] = draw(&rng, 42);
            sum += values[i];
            leat_histogram_record(&histogram, values[i]);
        }
        qsort(values, count, sizeof(values[0]), compare);
        assert_int_equal(histogram.count, count);
        assert_int_equal(histogram.sum_us, sum);
        assert_int_equal(histogram.max_us, values[count - 1]);
        assert_int_equal(leat_histogram_mean_us(&histogram), sum / count);
        for (unsigned per_mille = 0; per_mille <= 1000; per_mille++) {
            size_t rank = (count * per_mille + 999) / 1000;
            uint64_t exact = values[rank == 0 ? 0 : rank - 1];
            uint64_t told = leat_histogram_quantile_us(&histogram, per_mille);
            assert_true(told >= exact && told <= histogram.max_us);
            assert_true(told - exact <= exact / 32);
        }
    }
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 64; value++) {
        static struct leat_histogram histogram;
        leat_histogram_clear(&histogram);
        leat_histogram_record(&histogram, value);
        leat_histogram_record(&histogram, 1000);
        assert_int_equal(leat_histogram_quantile_us(&histogram, 500), value);
    }
}

static void the_edges_of_buckets_keep_the_promise(void **state)
{
    (void)state;
    static struct leat_histogram histogram;
    for (unsigned bit = 0; bit < 42; bit++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)off;
            leat_histogram_clear(&histogram);
            leat_histogram_record(&histogram, value);
            leat_histogram_record(&histogram, UINT64_MAX);
            uint64_t told = leat_histogram_quantile_us(&histogram, 500);
            assert_true(told >= value && told - value <= value / 32);
        }
    }
}

static void huge_values_are_counted_and_told_as_the_largest(void **state)
{
    (void)state;
    static struct leat_histogram histogram;
    leat_histogram_clear(&histogram);
    leat_histogram_record(&histogram, UINT64_C(1) << 42);
    leat_histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram.sum_us, UINT64_MAX);
    assert_int_equal(leat_histogram_quantile_us(&histogram, 1), UINT64_MAX);
    assert_int_equal(leat_histogram_quantile_us(&histogram, 5000), UINT64_MAX);
}

static void an_empty_histogram_says_zero(void **state)
{
    (void)state;
    static struct leat_histogram histogram;
    leat_histogram_clear(&histogram);
    assert_int_equal(leat_histogram_quantile_us(&histogram, 999), 0);
    assert_int_equal(leat_histogram_mean_us(&histogram), 0);
}

static void merging_is_the_same_as_recording_all_in_one(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("merging");
    static struct leat_histogram parts[3];
    static struct leat_histogram all;
    static struct leat_histogram merged;
    for (int i = 0; i < 3; i++) {
        leat_histogram_clear(&parts[i]);
    }
    leat_histogram_clear(&all);
    leat_histogram_clear(&merged);
    for (int i = 0; i < VALUES; i++) {
        uint64_t value = draw(&rng, 50);
        leat_histogram_record(&parts[leat_rng_below(&rng, 3)], value);
        leat_histogram_record(&all, value);
    }
    for (int i = 0; i < 3; i++) {
        leat_histogram_merge(&merged, &parts[i]);
    }
    assert_memory_equal(&merged, &all, sizeof(all));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_their_promise),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(the_edges_of_buckets_keep_the_promise),
        cmocka_unit_test(huge_values_are_counted_and_told_as_the_largest),
        cmocka_unit_test(an_empty_histogram_says_zero),
        cmocka_unit_test(merging_is_the_same_as_recording_all_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
