/* What a full disk does to a batch is the same with a journal and without: see test_store_lmdb.c
 * and test_store_journal_full.c for what is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_faults.h"
#include "store_journal_rig.h"

static void seal_on_a_full_disk(struct leat_store *store)
{
    leat_store_put(store, 0, key, value);
    store_faults_set(STORE_FAULT_WRITE, ENOSPC);
    leat_store_seal(store);
    advance_until(store, has_no_room);
    assert_true(leat_store_is_committing(store));
    assert_int_equal(leat_store_durable(store), 0);
}

static void a_batch_that_meets_a_full_disk_is_kept_and_done_later(void **state)
{
    for (int is_second_sealed = 0; is_second_sealed < 2; is_second_sealed++) {
        struct leat_store *store = store_directory_open(*state);
        struct leat_why why = {""};
        struct leat_bytes found;
        seal_on_a_full_disk(store);
        leat_store_put(store, 1, key, value);
        assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_OK);
        assert_int_equal(leat_store_count(store, 1), 1);
        while (leat_store_sync(store, &why) != LEAT_ERR_NO_SPACE) {
        }
        assert_string_not_equal(why.text, "");
        store_faults_clear();
        advance_until(store, is_committed);
        assert_int_equal(leat_store_durable(store), 1);
        if (is_second_sealed) {
            sync_store(store);
            advance_until(store, has_room);
        }
        leat_store_close(&store);
        store = store_directory_open(*state);
        assert_int_equal(leat_store_count(store, 0), 1);
        assert_int_equal(leat_store_count(store, 1), is_second_sealed);
        leat_store_del(store, 0, key);
        sync_store(store);
        leat_store_close(&store);
    }
}

static void closing_does_not_wait_for_a_full_disk(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    seal_on_a_full_disk(store);
    leat_store_close(&store);
    store_faults_clear();
    store = store_directory_open(*state);
    assert_int_equal(leat_store_count(store, 0), 0);
    leat_store_close(&store);
}

#define BOTH(test)                                                                                 \
    {"lmdb: " #test, test, setup_lmdb, store_directory_teardown, NULL},                            \
    {                                                                                              \
        "journal: " #test, test, setup, store_directory_teardown, NULL                             \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_batch_that_meets_a_full_disk_is_kept_and_done_later),
        BOTH(closing_does_not_wait_for_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
