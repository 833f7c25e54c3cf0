#include "core/map.h"

#include <string.h>

#include "cmocka_all.h"
#include "seed.h"

enum { KEYS = 600 };

/* The naive model: for each key its value and when it was added; 0 is not there. */
struct model {
    uint64_t value[KEYS];
    uint64_t added[KEYS];
    uint64_t clock;
    size_t count;
};

static void make_key(size_t key_bytes, unsigned number, uint8_t key[32])
{
    memset(key, 0x5a, 32);
    key[0] = (uint8_t)number;
    key[key_bytes - 1] = (uint8_t)(number >> 8);
}

static void check_all(const struct leat_map *map, const struct model *model, size_t key_bytes)
{
    assert_int_equal(map->count, model->count);
    assert_true(map->count <= map->used && map->used <= map->capacity);
    for (unsigned i = 0; i < KEYS; i++) {
        uint8_t key[32];
        uint64_t value = 0;
        make_key(key_bytes, i, key);
        assert_int_equal(leat_map_get(map, key, &value), model->added[i] != 0);
        assert_int_equal(value, model->value[i]);
    }
    size_t seen = 0;
    uint64_t last_added = 0;
    struct leat_map_cursor at = {0};
    while (leat_map_next(map, &at)) {
        const uint8_t *key = at.key;
        unsigned number = (unsigned)(key[0] | key[key_bytes - 1] << 8);
        assert_true(number < KEYS && model->added[number] > last_added);
        assert_int_equal(at.value, model->value[number]);
        last_added = model->added[number];
        seen++;
    }
    assert_int_equal(seen, model->count);
}

static void change(struct leat_map *map, struct model *model, size_t key_bytes,
                   struct leat_rng *rng, uint64_t erase_per_100)
{
    uint8_t key[32];
    unsigned number = (unsigned)leat_rng_below(rng, KEYS);
    make_key(key_bytes, number, key);
    if (leat_rng_below(rng, 100) < erase_per_100) {
        uint64_t value = 0;
        assert_int_equal(leat_map_erase(map, key, &value), model->added[number] != 0);
        assert_int_equal(value, model->value[number]);
        model->count -= model->added[number] != 0;
        model->value[number] = 0;
        model->added[number] = 0;
        return;
    }
    uint64_t value = leat_rng_next(rng) | 1;
    assert_int_equal(leat_map_put(map, key, value), LEAT_OK);
    model->value[number] = value;
    if (model->added[number] == 0) {
        model->added[number] = ++model->clock;
        model->count++;
    }
}

static void a_map_does_what_the_naive_model_does(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("a_map_does_what_the_naive_model_does");
    static const size_t sizes[] = {2, 8, 16, 24, 31};
    for (size_t s = 0; s < 5; s++) {
        struct leat_map map;
        struct model model = {.clock = 0};
        leat_map_init(&map, sizes[s], leat_rng_next(&rng));
        for (int i = 0; i < 30000; i++) {
            /* Times of growth and times of decline. */
            change(&map, &model, sizes[s], &rng, i / 3000 % 2 == 0 ? 30 : 90);
            if (i % 300 == 0) {
                check_all(&map, &model, sizes[s]);
            }
        }
        check_all(&map, &model, sizes[s]);
        leat_map_clear(&map);
        memset(&model, 0, sizeof(model));
        check_all(&map, &model, sizes[s]);
        leat_map_fini(&map);
    }
}

static void an_empty_map_finds_nothing(void **state)
{
    (void)state;
    struct leat_map map;
    uint64_t untouched = 77;
    leat_map_init(&map, 16, 1);
    uint8_t key[16] = {0};
    assert_false(leat_map_get(&map, key, &untouched));
    assert_false(leat_map_erase(&map, key, &untouched));
    assert_int_equal(untouched, 77);
    struct leat_map_cursor at = {0};
    assert_false(leat_map_next(&map, &at));
    leat_map_fini(&map);
    leat_map_fini(&map);
}

static void keys_may_be_erased_while_iterating(void **state)
{
    (void)state;
    struct leat_rng rng = leat_seed_rng("erased_while_iterating");
    for (int round = 0; round < 50; round++) {
        struct leat_map map;
        leat_map_init(&map, 2, leat_rng_next(&rng));
        bool there[256];
        unsigned visits[256] = {0};
        for (unsigned i = 0; i < 256; i++) {
            uint8_t key[2] = {(uint8_t)i, 0};
            assert_int_equal(leat_map_put(&map, key, i), LEAT_OK);
            there[i] = true;
        }
        struct leat_map_cursor at = {0};
        while (leat_map_next(&map, &at)) {
            assert_true(there[at.value]);
            visits[at.value]++;
            uint8_t other[2] = {(uint8_t)leat_rng_below(&rng, 256), 0};
            const void *victim = leat_rng_below(&rng, 2) == 0 ? at.key : other;
            uint64_t erased;
            if (leat_map_erase(&map, victim, &erased)) {
                there[erased] = false;
            }
        }
        for (unsigned i = 0; i < 256; i++) {
            assert_true(visits[i] <= 1);
            assert_true(visits[i] == 1 || !there[i]);
        }
        leat_map_fini(&map);
    }
}

static void the_order_does_not_depend_on_the_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct leat_map map;
        leat_map_init(&map, 4, seed);
        for (uint32_t i = 0; i < 1000; i++) {
            uint32_t key = i * 7;
            assert_int_equal(leat_map_put(&map, &key, i), LEAT_OK);
        }
        uint32_t next = 0;
        struct leat_map_cursor at = {0};
        while (leat_map_next(&map, &at)) {
            assert_int_equal(at.value, next++);
        }
        leat_map_fini(&map);
    }
}

static void a_map_as_queue_stays_small_and_finds_its_oldest_at_once(void **state)
{
    (void)state;
    struct leat_map map;
    leat_map_init(&map, 4, 3);
    for (uint32_t i = 0; i < 300000; i++) {
        assert_int_equal(leat_map_put(&map, &i, i), LEAT_OK);
        if (i >= 100) {
            struct leat_map_cursor at = {0};
            assert_true(leat_map_next(&map, &at));
            assert_int_equal(at.value, i - 100);
            uint32_t oldest = i - 100;
            assert_true(leat_map_erase(&map, &oldest, NULL));
            assert_int_equal(map.used - map.oldest, 100);
        }
    }
    assert_true(map.capacity <= 1024);
    leat_map_fini(&map);
}

static void a_map_gives_memory_back_when_it_has_become_small(void **state)
{
    (void)state;
    struct leat_map map;
    leat_map_init(&map, 4, 3);
    for (uint32_t i = 0; i < 100000; i++) {
        assert_int_equal(leat_map_put(&map, &i, i), LEAT_OK);
    }
    size_t large = map.capacity;
    for (uint32_t i = 0; i < 100000; i++) {
        assert_true(leat_map_erase(&map, &i, NULL));
    }
    for (uint32_t i = 0; i < 1000000; i++) {
        assert_int_equal(leat_map_put(&map, &i, i), LEAT_OK);
        assert_true(leat_map_erase(&map, &i, NULL));
    }
    assert_true(map.capacity < large / 4);
    leat_map_fini(&map);
}

static void a_nearly_full_map_is_not_rebuilt_for_every_change(void **state)
{
    (void)state;
    for (uint32_t size = 1; size < 200; size++) {
        struct leat_map map;
        leat_map_init(&map, 4, 3);
        for (uint32_t i = 0; i < size; i++) {
            assert_int_equal(leat_map_put(&map, &i, i), LEAT_OK);
        }
        uint64_t before = map.rebuilds;
        for (uint32_t i = size; i < size + 10000; i++) {
            uint32_t oldest = i - size;
            assert_true(leat_map_erase(&map, &oldest, NULL));
            assert_int_equal(leat_map_put(&map, &i, i), LEAT_OK);
        }
        assert_true(map.rebuilds - before <= 2 + 10000 / (map.capacity / 2 - 1));
        leat_map_fini(&map);
    }
}

static void pointers_come_back(void **state)
{
    (void)state;
    struct leat_map map;
    int object;
    uint8_t key[16] = {4};
    leat_map_init(&map, 16, 9);
    assert_null(leat_map_get_pointer(&map, key));
    assert_int_equal(leat_map_put_pointer(&map, key, &object), LEAT_OK);
    assert_ptr_equal(leat_map_get_pointer(&map, key), &object);
    struct leat_map_cursor at = {0};
    assert_true(leat_map_next(&map, &at));
    assert_ptr_equal(leat_map_pointer(&at), &object);
    assert_ptr_equal(leat_map_erase_pointer(&map, key), &object);
    assert_null(leat_map_erase_pointer(&map, key));
    leat_map_fini(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_does_what_the_naive_model_does),
        cmocka_unit_test(an_empty_map_finds_nothing),
        cmocka_unit_test(keys_may_be_erased_while_iterating),
        cmocka_unit_test(the_order_does_not_depend_on_the_seed),
        cmocka_unit_test(a_map_as_queue_stays_small_and_finds_its_oldest_at_once),
        cmocka_unit_test(a_map_gives_memory_back_when_it_has_become_small),
        cmocka_unit_test(a_nearly_full_map_is_not_rebuilt_for_every_change),
        cmocka_unit_test(pointers_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
