/* Small batches that are brought to the disk in the caller's own thread. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/limits.h"
#include "store/journal.h"
#include "store_faults.h"
#include "store_journal_rig.h"

#define TRIES 20000

/* Seals what was put, takes note of it, and tells whether this thread flushed it. */
static bool is_flushed_here(struct leat_store *store)
{
    const int flushes = store_faults_own_flushes();
    leat_store_seal_here(store);
    const bool is_here = store_faults_own_flushes() > flushes;
    if (is_here) {
        assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
        assert_true(is_committed(store));
    } else {
        advance_until(store, is_committed);
    }
    return is_here;
}

/* One small batch after the other, until one is flushed here. The disk is quick from now on, until
 * faults are cleared; the machine may be slow now and then, but not for ever. */
static void become_quick(struct leat_store *store, uint64_t *number)
{
    store_faults_set(STORE_FAULT_INSTANT, 1);
    for (int i = 0; i < TRIES; i++) {
        put_number(store, (*number)++, 100);
        if (is_flushed_here(store)) {
            return;
        }
    }
    fail_msg("no batch of %d was flushed in this thread", TRIES);
}

static void assert_numbers_after_crash(struct store_directory *directory, struct leat_store *store,
                                       uint64_t number)
{
    struct store_directory left;
    crash(directory, &left);
    leat_store_close(&store);
    store = store_directory_open(&left);
    assert_numbers(store, number);
    leat_store_close(&store);
}

static void a_small_batch_is_flushed_here_while_the_disk_is_quick(void **state)
{
    struct leat_store *store = open_with(*state, 64 << 20);
    uint64_t number = 0;
    for (int i = 0; i < LEAT_JOURNAL_QUICK_RECORDS; i++) { /* first it is to be seen */
        put_number(store, number++, 100);
        assert_false(is_flushed_here(store));
    }
    become_quick(store, &number);
    put_number(store, number++, 100);
    const int flushes = store_faults_own_flushes();
    leat_store_seal(store); /* who has something else to do */
    advance_until(store, is_committed);
    assert_int_equal(store_faults_own_flushes(), flushes);
    put_number(store, number++, LEAT_JOURNAL_HERE_BYTES);
    assert_false(is_flushed_here(store));

    assert_numbers_after_crash(*state, store, number);
}

/* Meanwhile the journal's thread wakes to remind its owner that something has not been applied for
 * long (LEAT_JOURNAL_AGE_MS). */
static void what_is_flushed_here_is_flushed_once(void **state)
{
    struct leat_store *store = open_with(*state, 64 << 20);
    uint64_t number = 0;
    bool is_here = false;
    int flushes = 0;
    for (int tries = 0; !is_here; tries++) {
        assert_true(tries < 100);
        become_quick(store, &number);
        flushes = store_faults_journal_flushes();
        store_faults_set(STORE_FAULT_SLOW, LEAT_JOURNAL_AGE_MS + 200);
        put_number(store, number++, 100);
        is_here = is_flushed_here(store);
        store_faults_set(STORE_FAULT_SLOW, 0);
    }
    leat_store_close(&store);
    assert_int_equal(store_faults_journal_flushes(), flushes + 1);
}

static void a_disk_that_has_become_slow_is_waited_for_by_the_journals_thread(void **state)
{
    struct leat_store *store = open_with(*state, 64 << 20);
    uint64_t number = 0;
    become_quick(store, &number);
    store_faults_set(STORE_FAULT_SLOW, 2 * LEAT_JOURNAL_QUICK_US / 1000);
    put_number(store, number++, 100);
    is_flushed_here(store); /* nobody can know that before */
    for (int i = 0; i < 2 * LEAT_JOURNAL_QUICK_RECORDS; i++) {
        put_number(store, number++, 100);
        assert_false(is_flushed_here(store));
    }
    store_faults_clear();
    become_quick(store, &number);
    assert_numbers(store, number);
    leat_store_close(&store);
}

static void what_finds_no_room_here_is_tried_again_by_the_journals_thread(void **state)
{
    struct leat_store *store = open_with(*state, 64 << 20);
    uint64_t number = 0;
    bool was_tried_here = false;
    for (int tries = 0; !was_tried_here; tries++) {
        assert_true(tries < 100);
        become_quick(store, &number);
        store_faults_clear();
        store_faults_set(STORE_FAULT_JOURNAL, ENOSPC);
        put_number(store, number++, 100);
        leat_store_seal_here(store);
        was_tried_here = store_faults_own_hits(STORE_FAULT_JOURNAL) > 0;
        assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
        assert_true(leat_store_is_committing(store));
        store_faults_clear();
        advance_until(store, is_committed);
        advance_until(store, has_room);
    }
    assert_numbers(store, number);
    assert_numbers_after_crash(*state, store, number);
}

/* Whether this thread met the fault; else it was the journal's, since the disk had been slow. */
static bool fails_here(struct store_directory *directory, enum store_fault fault)
{
    struct leat_store *store = store_directory_open(directory);
    struct leat_why why = {""};
    struct leat_bytes found;
    uint64_t number = 0;
    become_quick(store, &number);
    uint64_t durable = leat_store_durable(store);
    leat_store_put(store, 2, key, value);
    store_faults_set(fault, EIO);
    leat_store_seal_here(store);
    bool is_here = store_faults_own_hits(fault) > 0;
    while (leat_store_advance(store, &why) == LEAT_OK) {
        assert_false(is_here);
        assert_true(leat_store_is_committing(store));
    }
    assert_non_null(strstr(why.text, "Input/output error"));
    assert_int_equal(leat_store_durable(store), durable);
    store_faults_clear();
    assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_ERR_IO);
    leat_store_close(&store);
    return is_here;
}

static void a_write_or_flush_that_fails_here_is_final(void **state)
{
    static const enum store_fault faults[] = {STORE_FAULT_FLUSH, STORE_FAULT_JOURNAL};
    for (size_t i = 0; i < 2; i++) {
        int tries = 0;
        while (!fails_here(*state, faults[i])) {
            assert_true(++tries < 100);
        }
    }
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, store_directory_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(a_small_batch_is_flushed_here_while_the_disk_is_quick),
        WITH_DIRECTORY(what_is_flushed_here_is_flushed_once),
        WITH_DIRECTORY(a_disk_that_has_become_slow_is_waited_for_by_the_journals_thread),
        WITH_DIRECTORY(what_finds_no_room_here_is_tried_again_by_the_journals_thread),
        WITH_DIRECTORY(a_write_or_flush_that_fails_here_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
