#include "core/hash.h"
#include "core/rng.h"

#include "cmocka_all.h"
#include "seed.h"

static void the_sequence_of_a_state_is_the_published_one(void **state)
{
    (void)state;
    /* xoshiro256** from the state {1, 2, 3, 4}, as other implementations test it. */
    static const uint64_t golden[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240)};
    struct leat_rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(leat_rng_next(&rng), golden[i]);
    }
}

static void a_seed_is_expanded_by_splitmix64(void **state)
{
    (void)state;
    /* splitmix64 of seed 1234567, first values as published. */
    static const uint64_t golden[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                      UINT64_C(9817491932198370423), UINT64_C(4593380528125082431)};
    struct leat_rng rng;
    leat_rng_init(&rng, 1234567);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rng.state[i], golden[i]);
    }
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    struct leat_rng a;
    struct leat_rng b;
    leat_rng_init(&a, 7);
    leat_rng_init(&b, 7);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(leat_rng_next(&a), leat_rng_next(&b));
    }
    leat_rng_init(&b, 8);
    assert_int_not_equal(leat_rng_next(&a), leat_rng_next(&b));
}

static void below_stays_below_and_reaches_every_value(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("below");
    for (uint64_t bound = 1; bound <= 40; bound++) {
        unsigned seen[40] = {0};
        for (int i = 0; i < 4000; i++) {
            uint64_t value = leat_rng_below(&rng, bound);
            assert_true(value < bound);
            seen[value]++;
        }
        for (uint64_t value = 0; value < bound; value++) {
            /* 4000 / bound expected, at least 100: far outside is no chance. */
            assert_in_range(seen[value], 4000 / bound / 3, 4000 / bound * 3);
        }
    }
    assert_int_equal(leat_rng_below(&rng, 0), 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(leat_rng_below(&rng, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

static void a_bound_near_the_range_is_not_biased(void **state)
{
    (void)state;
    /* With a plain remainder the lower half of [0, 3 * 2^62) would come up twice in three times. */
    struct leat_rng rng = leat_seed_rng("not_biased");
    uint64_t bound = UINT64_C(3) << 62;
    int low = 0;
    for (int i = 0; i < 30000; i++) {
        low += leat_rng_below(&rng, bound) < UINT64_C(1) << 62;
    }
    assert_in_range(low, 9000, 11000);
}

static void chance_never_and_always(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("chance");
    int hits = 0;
    for (int i = 0; i < 20000; i++) {
        assert_false(leat_rng_chance(&rng, 0));
        assert_true(leat_rng_chance(&rng, 1000000));
        hits += leat_rng_chance(&rng, 250000);
    }
    assert_in_range(hits, 4000, 6000);
}

static void the_hash_is_siphash_2_4(void **state)
{
    (void)state;
    /* Key 00..0f over 00, 01, 02...: the paper's appendix A and the vectors of the reference code.
     */
    static const struct leat_hash_key key = {
        {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};
    uint8_t data[15];
    for (uint8_t i = 0; i < sizeof(data); i++) {
        data[i] = i;
    }
    assert_int_equal(leat_hash_bytes(key, data, 15), UINT64_C(0xa129ca6149be45e5));
    assert_int_equal(leat_hash_bytes(key, data, 0), UINT64_C(0x726fdb47dd0e0e31));
    assert_int_equal(leat_hash_bytes(key, data, 1), UINT64_C(0x74f839c593dc67fd));
    assert_int_equal(leat_hash_bytes(key, data, 8), UINT64_C(0x93f5f5799a932462));
}

/* Over the keys, any two inputs share the low bits as often as chance has it: also those that
 * differ as little, or as regularly, as a peer could make them. */
static void words_collide_by_chance_alone_whatever_they_are(void **state)
{
    (void)state;
    static const struct {
        uint64_t a[3], b[3];
    } pairs[] = {
        {{0}, {0, 0, 1}},
        {{0}, {UINT64_C(1) << 63, 0, UINT64_C(1) << 63}},
        {{0}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}},
        {{1, 2, 3}, {2, 1, 3}},
        {{1, 0, 0}, {UINT64_C(1) << 32, 0, 0}},
        {{UINT64_MAX, 0, 0}, {0, UINT64_MAX, 0}},
    };
    enum { KEYS = 64000, LOW = 64 };
    struct leat_rng rng = leat_seed_rng("words");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        unsigned same = 0;
        for (int k = 0; k < KEYS; k++) {
            struct leat_hash_words_key key = leat_hash_words_key_of(leat_rng_next(&rng));
            same += leat_hash_words(&key, pairs[i].a, 24) % LOW ==
                    leat_hash_words(&key, pairs[i].b, 24) % LOW;
        }
        assert_in_range(same, KEYS / LOW * 8 / 10, KEYS / LOW * 12 / 10);
    }
}

/* Ids of one millisecond or one host differ in a few bits: a table of them is as full in one place
 * as in another. */
static void words_that_follow_each_other_spread_over_a_table(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("spread");
    for (unsigned shift = 0; shift < 48; shift += 8) {
        uint32_t filled[1024] = {0};
        struct leat_hash_words_key key = leat_hash_words_key_of(leat_rng_next(&rng));
        for (uint64_t i = 0; i < 16384; i++) {
            const uint64_t words[2] = {42, i << shift};
            filled[leat_hash_words(&key, words, sizeof words) % 1024]++;
        }
        for (size_t i = 0; i < 1024; i++) {
            assert_in_range(filled[i], 0, 48); /* 16 on average */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_of_a_state_is_the_published_one),
        cmocka_unit_test(a_seed_is_expanded_by_splitmix64),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
        cmocka_unit_test(below_stays_below_and_reaches_every_value),
        cmocka_unit_test(a_bound_near_the_range_is_not_biased),
        cmocka_unit_test(chance_never_and_always),
        cmocka_unit_test(the_hash_is_siphash_2_4),
        cmocka_unit_test(words_collide_by_chance_alone_whatever_they_are),
        cmocka_unit_test(words_that_follow_each_other_spread_over_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
