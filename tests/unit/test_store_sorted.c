/* The ordered map against a naive one: an array with a place for every possible key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/rng.h"
#include "store/sorted.h"
#include "store_model.h"

#define KEYS 20000

struct fixture {
    struct leat_slab slab;
    struct leat_sorted sorted;
    uint32_t values[KEYS]; /* 0: absent; UINT32_MAX: a tombstone */
    size_t count;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    leat_slab_init(&fixture->slab, 1 << 16);
    leat_sorted_init(&fixture->sorted, &fixture->slab);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    leat_slab_fini(&fixture->slab);
    free(fixture);
    return 0;
}

#define KEY_BYTES 20

/* As many equal bytes, then the number: it is in the first or in the second word of the prefix, or
 * behind it, where nothing is decided by the prefix alone. */
static struct leat_bytes key_of(uint32_t number, size_t shared, uint8_t key[KEY_BYTES])
{
    const size_t place = shared;
    memset(key, 'q', KEY_BYTES);
    key[place] = (uint8_t)(number >> 24);
    key[place + 1] = (uint8_t)(number >> 16);
    key[place + 2] = (uint8_t)(number >> 8);
    key[place + 3] = (uint8_t)number;
    return leat_bytes_of(key, KEY_BYTES);
}

static struct leat_bytes value_of(uint32_t version, uint8_t value[64])
{
    memset(value, (int)(version % 251), 64);
    return leat_bytes_of(value, version % 65);
}

static void put(struct fixture *fixture, uint32_t number, uint32_t version, size_t shared)
{
    uint8_t key[KEY_BYTES];
    uint8_t value[64];
    fixture->count += fixture->values[number] == 0;
    fixture->values[number] = version;
    if (version == UINT32_MAX) {
        leat_sorted_put_tombstone(&fixture->sorted, key_of(number, shared, key));
    } else {
        leat_sorted_put(&fixture->sorted, key_of(number, shared, key), value_of(version, value));
    }
}

static void erase(struct fixture *fixture, uint32_t number, size_t shared)
{
    uint8_t key[KEY_BYTES];
    bool was_there = leat_sorted_erase(&fixture->sorted, key_of(number, shared, key));
    assert_int_equal(was_there, fixture->values[number] != 0);
    fixture->count -= was_there;
    fixture->values[number] = 0;
}

static void assert_entry(const struct leat_sorted_entry *entry, uint32_t number, uint32_t version,
                         size_t shared)
{
    uint8_t key[KEY_BYTES];
    uint8_t value[64];
    assert_int_equal(leat_sorted_compare(entry->key, key_of(number, shared, key)), 0);
    assert_int_equal(entry->is_tombstone, version == UINT32_MAX);
    if (version != UINT32_MAX) {
        assert_int_equal(leat_sorted_compare(entry->value, value_of(version, value)), 0);
    }
}

static void check_from(const struct fixture *fixture, uint32_t from, size_t shared)
{
    uint8_t key[KEY_BYTES];
    struct leat_sorted_entry entry;
    struct leat_sorted_cursor cursor = leat_sorted_seek(
        &fixture->sorted, from == 0 ? (struct leat_bytes){NULL, 0} : key_of(from, shared, key));
    for (uint32_t i = from; i < KEYS; i++) {
        if (fixture->values[i] != 0) {
            assert_true(leat_sorted_at(&cursor, &entry));
            assert_entry(&entry, i, fixture->values[i], shared);
            leat_sorted_next(&cursor);
        }
    }
    assert_false(leat_sorted_at(&cursor, &entry));
}

static void check_all(const struct fixture *fixture, size_t shared)
{
    uint8_t key[KEY_BYTES];
    struct leat_sorted_entry entry;
    uint32_t last = KEYS;
    for (uint32_t i = 0; i < KEYS; i++) {
        bool found = leat_sorted_find(&fixture->sorted, key_of(i, shared, key), &entry);
        assert_int_equal(found, fixture->values[i] != 0);
        if (found) {
            assert_entry(&entry, i, fixture->values[i], shared);
            last = i;
        }
    }
    assert_int_equal(fixture->sorted.count, fixture->count);
    assert_int_equal(leat_sorted_last(&fixture->sorted, &entry), last != KEYS);
    if (last != KEYS) {
        assert_entry(&entry, last, fixture->values[last], shared);
    }
    check_from(fixture, 0, shared);
}

static void agrees_with_a_naive_map_under_random_writes(void **state)
{
    struct fixture *fixture = *state;
    struct leat_rng rng;
    leat_rng_init(&rng, store_model_seed());
    for (int round = 0; round < 20; round++) {
        static const size_t shares[] = {0, 8, 16};
        const size_t shared = shares[round % 3];
        uint32_t range = round % 5 == 0 ? 50 : KEYS;
        uint32_t erases = (uint32_t)leat_rng_below(&rng, 100);
        for (uint32_t i = 1; i < 30000; i++) {
            uint32_t number = (uint32_t)leat_rng_below(&rng, range);
            if (leat_rng_below(&rng, 100) < erases) {
                erase(fixture, number, shared);
            } else {
                put(fixture, number, i % 9 == 0 ? UINT32_MAX : i, shared);
            }
        }
        check_all(fixture, shared);
        check_from(fixture, (uint32_t)leat_rng_below(&rng, KEYS), shared);
        for (uint32_t i = 0; i < KEYS; i++) {
            erase(fixture, i, shared);
        }
        assert_null(fixture->sorted.root);
        assert_null(fixture->sorted.last);
        assert_int_equal(fixture->slab.used_bytes, 0);
    }
}

static void keeps_order_when_keys_ascend_or_descend(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < KEYS; i++) {
        put(fixture, i, i + 1, 16);
    }
    check_all(fixture, 16);
    memset(fixture->values, 0, sizeof fixture->values);
    fixture->count = 0;
    leat_slab_reset(&fixture->slab);
    leat_sorted_init(&fixture->sorted, &fixture->slab);
    for (uint32_t i = KEYS; i-- > 0;) {
        put(fixture, i, i + 1, 16);
    }
    check_all(fixture, 16);
}

static void holds_its_memory_when_used_as_a_queue(void **state)
{
    struct fixture *fixture = *state;
    uint8_t key[KEY_BYTES];
    uint8_t value[64];
    size_t bytes = 0;
    for (uint32_t i = 0; i < 2000000; i++) {
        leat_sorted_put(&fixture->sorted, key_of(i, 16, key), value_of(60, value));
        if (i >= 1000) {
            assert_true(leat_sorted_erase(&fixture->sorted, key_of(i - 1000, 16, key)));
        }
        if (i == 100000) {
            bytes = fixture->slab.used_bytes;
        }
    }
    assert_int_equal(fixture->sorted.count, 1000);
    assert_in_range(fixture->slab.used_bytes, bytes / 2, bytes * 2);
}

/* As a queue's batch is written: deletes ascend below, new rows above, by turns. */
static void two_runs_that_ascend_by_turns_take_no_more_memory_than_one_after_the_other(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t half = KEYS / 2;
    for (uint32_t i = 0; i < half; i++) {
        put(fixture, i, UINT32_MAX, 0);
    }
    for (uint32_t i = half; i < KEYS; i++) {
        put(fixture, i, 20, 0);
    }
    const size_t bytes = fixture->slab.used_bytes;
    for (uint32_t i = 0; i < KEYS; i++) {
        erase(fixture, i, 0);
    }
    for (uint32_t i = 0; i < half; i++) {
        put(fixture, half + i, 20, 0);
        put(fixture, i, UINT32_MAX, 0);
    }
    check_all(fixture, 0);
    assert_in_range(fixture->slab.used_bytes, 1, bytes + bytes / 50);
}

/* Some keys with room above them, one far beyond, and in between others from above to below. */
static size_t bytes_of_a_gap(struct fixture *fixture, bool is_descending)
{
    enum { LOW = 64 };
    for (uint32_t i = 0; i < LOW; i++) {
        put(fixture, i, 20, 0);
    }
    put(fixture, KEYS - 1, 20, 0);
    for (uint32_t i = LOW; i < KEYS - 1; i++) {
        put(fixture, is_descending ? KEYS - 2 - (i - LOW) : i, 20, 0);
    }
    check_all(fixture, 0);
    const size_t bytes = fixture->slab.used_bytes;
    for (uint32_t i = 0; i < KEYS; i++) {
        erase(fixture, i, 0);
    }
    return bytes;
}

static void keys_that_descend_into_a_gap_share_leaves(void **state)
{
    const size_t ascending = bytes_of_a_gap(*state, false);
    assert_in_range(bytes_of_a_gap(*state, true), 1, 2 * ascending);
}

static void follows_its_last_entry_when_used_as_a_stack(void **state)
{
    struct fixture *fixture = *state;
    uint32_t top = 0; /* numbers below are there */
    for (uint32_t round = 0; round < 60; round++) {
        uint32_t goal = round % 2 == 0 ? 100 + round * 30 : round * 10;
        for (; top < goal; top++) {
            put(fixture, top, top + 1, 16);
        }
        for (; top > goal; top--) {
            erase(fixture, top - 1, 16);
        }
        struct leat_sorted_entry entry;
        assert_true(leat_sorted_last(&fixture->sorted, &entry));
        assert_entry(&entry, top - 1, top, 16);
    }
    check_all(fixture, 16);
}

static void copies_values_that_lie_in_the_map_itself(void **state)
{
    struct fixture *fixture = *state;
    const struct leat_bytes first = {(const uint8_t *)"a", 1};
    const struct leat_bytes second = {(const uint8_t *)"b", 1};
    const struct leat_bytes text = {(const uint8_t *)"0123456789", 10};
    struct leat_sorted_entry entry;
    leat_sorted_put(&fixture->sorted, first, text);
    assert_true(leat_sorted_find(&fixture->sorted, first, &entry));
    leat_sorted_put(&fixture->sorted, second, entry.value);
    entry.value.data += 2;
    entry.value.size -= 2;
    leat_sorted_put(&fixture->sorted, first, entry.value);
    assert_true(leat_sorted_find(&fixture->sorted, first, &entry));
    assert_int_equal(entry.value.size, 8);
    assert_memory_equal(entry.value.data, "23456789", 8);
    assert_true(leat_sorted_find(&fixture->sorted, second, &entry));
    assert_memory_equal(entry.value.data, "0123456789", 10);
}

/* values[]: 0 nothing, 1 a tombstone, 2 put, 3 added. */
static void del_leaves_no_trace_of_what_was_added_and_a_tombstone_of_all_else(void **state)
{
    struct fixture *fixture = *state;
    struct leat_rng rng;
    leat_rng_init(&rng, store_model_seed());
    uint8_t key[KEY_BYTES];
    uint8_t value[64];
    for (uint32_t i = 0; i < 100000; i++) {
        const uint32_t number = (uint32_t)leat_rng_below(&rng, KEYS);
        const struct leat_bytes at = key_of(number, 8, key);
        uint32_t *known = &fixture->values[number];
        if (leat_rng_below(&rng, 2) == 0) {
            leat_sorted_del(&fixture->sorted, at);
            *known = *known == 3 ? 0 : 1;
        } else if (*known == 0) {
            leat_sorted_add(&fixture->sorted, at, value_of(i, value));
            *known = 3;
        } else {
            leat_sorted_put(&fixture->sorted, at, value_of(i, value));
            *known = *known == 3 ? 3 : 2;
        }
    }
    size_t count = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        struct leat_sorted_entry entry = {0};
        const bool is_there = leat_sorted_find(&fixture->sorted, key_of(i, 8, key), &entry);
        assert_int_equal(is_there, fixture->values[i] != 0);
        assert_int_equal(entry.is_tombstone, fixture->values[i] == 1);
        count += is_there;
    }
    assert_int_equal(fixture->sorted.count, count);
}

static void a_reset_slab_gives_everything_back_but_what_it_keeps(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 3; round++) {
        for (size_t size = 1; size < 5000; size += 7) {
            memset(leat_slab_take(&fixture->slab, size), 0xa5, size);
        }
        void *large = leat_slab_take(&fixture->slab, 1 << 20);
        leat_slab_give(&fixture->slab, large, 1 << 20);
        assert_true(fixture->slab.used_bytes > 0);
        leat_slab_reset(&fixture->slab);
        assert_int_equal(fixture->slab.used_bytes, 0);
        assert_null(fixture->slab.large);
        assert_null(fixture->slab.blocks);
        assert_non_null(fixture->slab.spare);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(agrees_with_a_naive_map_under_random_writes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(keeps_order_when_keys_ascend_or_descend, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_its_memory_when_used_as_a_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(
            two_runs_that_ascend_by_turns_take_no_more_memory_than_one_after_the_other, setup,
            teardown),
        cmocka_unit_test_setup_teardown(keys_that_descend_into_a_gap_share_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_its_last_entry_when_used_as_a_stack, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(copies_values_that_lie_in_the_map_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(
            del_leaves_no_trace_of_what_was_added_and_a_tombstone_of_all_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reset_slab_gives_everything_back_but_what_it_keeps, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
