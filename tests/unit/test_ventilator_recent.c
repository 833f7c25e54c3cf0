/* Which ids were stored lately: what is stored is never said not to be, whatever times ids have,
 * and of ids that come as they are made nearly each is known to be new at once. */
#include <stdlib.h>

#include "broker/ventilator/recent.h"
#include "tests/unit/cmocka_all.h"
#include "tests/unit/seed.h"

#define IDS_MAX 1024

static struct leat_id id_of(uint64_t time_ms, uint64_t number)
{
    struct leat_id id;
    for (unsigned i = 0; i < 6; i++) {
        id.bytes[i] = (uint8_t)(time_ms >> (8 * (5 - i)));
    }
    for (unsigned i = 0; i < 10; i++) {
        id.bytes[6 + i] = (uint8_t)(i < 2 ? 0 : number >> (8 * (9 - i)));
    }
    return id;
}

static void nothing_is_known_of_ids_before_the_start(void **state)
{
    (void)state;
    struct leat_recent recent;
    leat_recent_init(&recent, IDS_MAX, 1000);
    struct leat_id before = id_of(999, 1), after = id_of(1000, 1);
    assert_true(leat_recent_may_have(&recent, &before));
    assert_false(leat_recent_may_have(&recent, &after));
    leat_recent_add(&recent, &before);
    leat_recent_add(&recent, &after);
    assert_true(leat_recent_may_have(&recent, &before));
    assert_true(leat_recent_may_have(&recent, &after));
    leat_recent_fini(&recent);
}

/* Some producers' clocks are behind, some ahead, one jumps as it likes. */
static uint64_t time_from(struct leat_rng *rng, uint64_t now_ms)
{
    switch (leat_rng_below(rng, 8)) {
    case 0:
        return now_ms - leat_rng_below(rng, now_ms);
    case 1:
        return now_ms + leat_rng_below(rng, 200);
    case 2:
        return leat_rng_below(rng, 5000) == 0 ? (UINT64_C(1) << 48) - 1 : now_ms;
    default:
        return now_ms - leat_rng_below(rng, 3);
    }
}

static void what_is_stored_is_never_said_not_to_be_whatever_times_ids_have(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("recent");
    for (int round = 0; round < 20; round++) {
        enum { COUNT = 20000 };
        struct leat_id *ids = malloc(COUNT * sizeof *ids);
        struct leat_recent recent;
        assert_non_null(ids);
        leat_recent_init(&recent, IDS_MAX, 0);
        uint64_t now_ms = 1000;
        for (size_t i = 0; i < COUNT; i++) {
            now_ms += leat_rng_below(&rng, 100) == 0 ? leat_rng_below(&rng, 50) : 0;
            /* Now and then one with the bytes of another, in another ms. */
            uint64_t number = leat_rng_below(&rng, 10) == 0 ? i / 2 : i;
            ids[i] = id_of(time_from(&rng, now_ms), number);
            leat_recent_add(&recent, &ids[i]);
            for (int look = 0; look < 20; look++) {
                size_t at = i - leat_rng_below(&rng, look < 10 ? i + 1 : (i < 3000 ? i : 3000) + 1);
                assert_true(leat_recent_may_have(&recent, &ids[at]));
            }
        }
        leat_recent_fini(&recent);
        free(ids);
    }
}

static void ids_that_come_as_they_are_made_are_nearly_all_known_to_be_new(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("recent");
    struct leat_id_generator producers[4];
    struct leat_recent recent;
    size_t looks = 0;
    const size_t count = 100000;
    leat_recent_init(&recent, IDS_MAX, 0);
    for (size_t i = 0; i < 4; i++) {
        leat_id_generator_init(&producers[i], &rng);
    }
    for (size_t i = 0; i < count; i++) {
        /* 100 in a ms; clocks differ by up to 3 ms: less than the time in which a filter fills. */
        struct leat_wall wall = {(int64_t)(1000000 + 10 * i + 1000 * (i % 4))};
        struct leat_id id = leat_id_next(&producers[i % 4], wall);
        looks += leat_recent_may_have(&recent, &id) ? 1 : 0;
        leat_recent_add(&recent, &id);
    }
    assert_in_range(looks, 0, count / 50);
    leat_recent_fini(&recent);
}

static void a_time_that_is_far_ahead_costs_looks_and_nothing_else(void **state)
{
    (void)state;
    struct leat_recent recent;
    leat_recent_init(&recent, IDS_MAX, 0);
    struct leat_id far = id_of((UINT64_C(1) << 48) - 1, 1);
    leat_recent_add(&recent, &far);
    for (uint64_t i = 0; i < 3 * IDS_MAX; i++) {
        struct leat_id id = id_of(i, i);
        leat_recent_add(&recent, &id);
    }
    struct leat_id fresh = id_of(9 * IDS_MAX, 1);
    assert_true(leat_recent_may_have(&recent, &far));
    assert_true(leat_recent_may_have(&recent, &fresh));
    leat_recent_add(&recent, &fresh);
    leat_recent_fini(&recent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_of_ids_before_the_start),
        cmocka_unit_test(what_is_stored_is_never_said_not_to_be_whatever_times_ids_have),
        cmocka_unit_test(ids_that_come_as_they_are_made_are_nearly_all_known_to_be_new),
        cmocka_unit_test(a_time_that_is_far_ahead_costs_looks_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
