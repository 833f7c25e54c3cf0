/* The memory store as a disk that fails on request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/limits.h"
#include "store/memory.h"
#include "store_model.h"

static const struct leat_bytes key = {(const uint8_t *)"key", 3};
static const struct leat_bytes value = {(const uint8_t *)"value", 5};

static int setup(void **state)
{
    *state = leat_store_open_memory();
    return 0;
}

static int teardown(void **state)
{
    struct leat_store *store = *state;
    leat_store_close(&store);
    return 0;
}

static bool is_there(struct leat_store *store)
{
    struct leat_bytes found;
    return leat_store_get(store, 0, key, &found) == LEAT_OK;
}

static void a_commit_ends_when_the_test_says_so(void **state)
{
    struct leat_store *store = *state;
    leat_store_put(store, 0, key, value);
    leat_store_memory_complete(store); /* nothing is on its way */
    leat_store_seal(store);
    assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
    assert_int_equal(leat_store_durable(store), 0);
    leat_store_memory_complete(store);
    assert_int_equal(leat_store_durable(store), 0);
    assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
    assert_int_equal(leat_store_durable(store), 1);
    assert_false(leat_store_is_committing(store));
    assert_int_equal(leat_store_fd(store), -1);
}

static void a_crash_loses_or_keeps_the_batch_on_its_way_as_a_whole(void **state)
{
    struct leat_store *store = *state;
    struct store_model model = {.last_version = 0};
    struct leat_rng rng;
    leat_rng_init(&rng, store_model_seed());
    for (int round = 0; round < 200; round++) {
        struct store_model before = model;
        for (uint64_t i = leat_rng_below(&rng, 50); i > 0; i--) {
            store_model_write(&model, store, &rng);
        }
        struct store_model sealed = model;
        bool is_sealed = leat_store_is_dirty(store);
        if (is_sealed) {
            leat_store_seal(store);
        }
        for (uint64_t i = leat_rng_below(&rng, 50); i > 0; i--) {
            store_model_write(&model, store, &rng);
        }
        bool is_on_disk = leat_rng_below(&rng, 3) == 0;
        bool is_failed = leat_rng_below(&rng, 3) == 0;
        if (is_on_disk) {
            leat_store_memory_complete(store);
        }
        if (is_failed) {
            leat_store_memory_fail(store);
            assert_int_equal(leat_store_advance(store, NULL), is_sealed ? LEAT_ERR_IO : LEAT_OK);
        }
        enum leat_store_fate fate =
            leat_rng_below(&rng, 2) == 0 ? LEAT_STORE_LOST : LEAT_STORE_KEPT;
        leat_store_memory_crash(store, fate);
        uint64_t versions = model.last_version;
        model = is_sealed && !is_on_disk && fate == LEAT_STORE_LOST ? before : sealed;
        model.last_version = versions;
        store_model_compare(&model, store);
        assert_int_equal(leat_store_filling(store), 1);
        assert_int_equal(leat_store_durable(store), 0);
        assert_false(leat_store_is_dirty(store));
        assert_false(leat_store_is_committing(store));
    }
}

static void a_failed_commit_is_final_until_the_crash(void **state)
{
    struct leat_store *store = *state;
    struct leat_why why = {""};
    struct leat_bytes found;
    leat_store_put(store, 0, key, value);
    leat_store_seal(store);
    leat_store_memory_fail(store);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(leat_store_advance(store, &why), LEAT_ERR_IO);
        assert_string_not_equal(why.text, "");
        assert_string_not_equal(leat_store_error(store), "");
        leat_store_memory_complete(store);
    }
    assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_ERR_IO);
    assert_int_equal(leat_store_sync(store, NULL), LEAT_ERR_IO);
    assert_int_equal(leat_store_durable(store), 0);
    leat_store_memory_crash(store, LEAT_STORE_LOST);
    assert_false(is_there(store));
    leat_store_put(store, 0, key, value);
    assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    assert_true(is_there(store));
}

static void room_ends_at_the_reserve_and_comes_back_with_deletes(void **state)
{
    struct leat_store *store = *state;
    static uint8_t body[1 << 20];
    leat_store_memory_limit(store, LEAT_STORE_RESERVE_BYTES + (4 << 20));
    uint8_t number = 0;
    while (leat_store_has_room(store)) {
        number++;
        assert_true(number < 10);
        leat_store_put(store, 0, leat_bytes_of(&number, 1), leat_bytes_of(body, sizeof body));
        assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    }
    assert_int_equal(number, 4); /* keys and headers take the rest of the fourth MiB */
    leat_store_del(store, 0, leat_bytes_of(&number, 1));
    assert_false(leat_store_has_room(store));
    assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    assert_true(leat_store_has_room(store));
}

static void a_full_disk_has_no_room_but_commits(void **state)
{
    struct leat_store *store = *state;
    leat_store_memory_set_full(store, true);
    assert_false(leat_store_has_room(store));
    leat_store_put(store, 0, key, value);
    assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    assert_int_equal(leat_store_durable(store), 1);
    assert_false(leat_store_has_room(store));
    leat_store_memory_set_full(store, false);
    assert_true(leat_store_has_room(store));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_commit_ends_when_the_test_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crash_loses_or_keeps_the_batch_on_its_way_as_a_whole,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_commit_is_final_until_the_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(room_ends_at_the_reserve_and_comes_back_with_deletes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_has_no_room_but_commits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
