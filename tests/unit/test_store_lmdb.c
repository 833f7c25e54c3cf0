/* The LMDB store on a disk that is full, fails or is slow. What a full disk does with a journal as
 * well is in test_store_full.c, other threads that read it are in test_store_reader.c. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/limits.h"
#include "store/lmdb_store.h"
#include "store/reader.h"
#include "store_faults.h"
#include "store_journal_rig.h"
#include "store_model.h"

static void del_number(struct leat_store *store, uint64_t number)
{
    uint8_t bytes[8];
    leat_store_del(store, 0, number_key(number, bytes));
}

static struct leat_store *open_small(const struct store_directory *directory, uint64_t max_bytes,
                                     uint64_t map_bytes)
{
    struct leat_store_options options = store_directory_options;
    options.max_bytes = max_bytes;
    options.map_bytes = map_bytes;
    struct leat_store *store = NULL;
    assert_int_equal(leat_store_open_lmdb(directory->path, &options, &store, NULL), LEAT_OK);
    return store;
}

static uint64_t pages_of(struct leat_store *store)
{
    MDB_envinfo info;
    mdb_env_info(leat_lmdb_of(store)->env, &info);
    return info.me_last_pgno + 1;
}

/* ---- room ---- */

static void room_ends_at_max_bytes_deletes_go_on_and_room_returns(void **state)
{
    const uint64_t max_bytes = 3 * LEAT_STORE_RESERVE_BYTES;
    struct leat_store *store = open_small(*state, max_bytes, 0);
    uint64_t first = 0;
    uint64_t next = 0;
    uint64_t pages = 0;
    for (int round = 0; round < 4; round++) {
        while (leat_store_has_room(store)) {
            for (int i = 0; i < 500; i++) {
                put_number(store, next, (size_t)(next % 3000));
                next++;
            }
            sync_store(store);
        }
        assert_true(leat_store_used_bytes(store) + LEAT_STORE_RESERVE_BYTES > max_bytes);
        assert_true(leat_store_used_bytes(store) < max_bytes);
        while (next - first > 3000) {
            del_number(store, first++);
            if (first % 500 == 0) {
                sync_store(store);
            }
        }
        sync_store(store);
        assert_true(leat_store_has_room(store));
        assert_true(leat_store_used_bytes(store) < max_bytes / 4);
        if (round == 1) {
            pages = pages_of(store);
        }
    }
    assert_in_range(pages_of(store), 1, pages + pages / 4); /* freed pages are used again */
    leat_store_close(&store);
}

static void the_map_grows_with_what_is_written(void **state)
{
    struct leat_store *store = open_small(*state, (uint64_t)1 << 30, 1 << 20);
    struct leat_store_reader *reader = NULL;
    uint8_t bytes[8];
    struct leat_bytes found;
    assert_int_equal(leat_store_reader_open(store, &reader, NULL), LEAT_OK);
    for (uint64_t i = 0; i < 64; i++) {
        put_number(store, i, 1 << 20);
        sync_store(store);
        assert_int_equal(leat_store_get(store, 0, number_key(i / 2, bytes), &found), LEAT_OK);
        assert_int_equal(found.data[found.size - 1], i / 2);
        assert_int_equal(leat_store_reader_get(reader, 0, number_key(i / 3, bytes), &found),
                         LEAT_OK);
        assert_int_equal(found.data[found.size - 1], i / 3);
    }
    leat_store_reader_close(&reader);
    leat_store_close(&store);
    store = open_small(*state, (uint64_t)1 << 30, 1 << 20);
    assert_int_equal(leat_store_count(store, 0), 64);
    leat_store_close(&store);
}

static void a_map_found_too_small_is_enlarged_and_the_batch_written(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    struct leat_bytes found;
    leat_store_put(store, 0, key, value);
    store_faults_set(STORE_FAULT_MAP_FULL, 2);
    sync_store(store);
    assert_int_equal(store_faults_hits(STORE_FAULT_MAP_FULL), 2);
    assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_OK);
    assert_true(leat_store_has_room(store));
    leat_store_close(&store);
}

static void a_disk_without_blocks_ahead_has_no_room_until_it_has(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    store_faults_set(STORE_FAULT_ALLOCATE, ENOSPC);
    for (uint64_t i = 0; leat_store_has_room(store); i++) {
        assert_true(i < 100);
        put_number(store, i, 1 << 20);
        sync_store(store);
    }
    uint64_t durable = leat_store_durable(store);
    leat_store_put(store, 1, key, value);
    sync_store(store);
    assert_int_equal(leat_store_durable(store), durable + 1);
    assert_false(leat_store_has_room(store));
    store_faults_clear();
    advance_until(store, has_room); /* by itself, with nothing to commit */
    leat_store_close(&store);
}

/* Fills it until there is no room, returns the number after the last. */
static uint64_t fill(struct leat_store *store, uint64_t next)
{
    for (uint64_t i = next; leat_store_has_room(store); i++) {
        assert_true(i < next + 2000);
        put_number(store, i, 60000);
        sync_store(store);
        next = i + 1;
    }
    return next;
}

static void a_store_that_filled_its_disk_has_room_again_when_it_is_emptied(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    uint64_t first = 0;
    uint64_t next = 0;
    store_faults_set(STORE_FAULT_ALLOCATE, ENOSPC); /* no block more, for ever */
    next = fill(store, next);
    assert_true(next >= 50);
    for (int round = 0; round < 5; round++) {
        uint64_t filled = next - first;
        while (first < next) {
            del_number(store, first++);
            if (first % 10 == 0) {
                sync_store(store);
            }
        }
        sync_store(store);
        advance_until(store, has_room); /* by itself, with nothing to commit */
        next = fill(store, next);
        assert_true(next - first >= filled / 2); /* for more than a moment */
    }
    leat_store_close(&store);
    store = store_directory_open(*state);
    assert_int_equal(leat_store_count(store, 0), next - first);
    leat_store_close(&store);
}

static void a_file_system_that_cannot_allocate_ahead_will_do(void **state)
{
    store_faults_set(STORE_FAULT_ALLOCATE, EOPNOTSUPP);
    struct leat_store *store = store_directory_open(*state);
    assert_true(leat_store_has_room(store));
    for (uint64_t i = 0; i < 20; i++) {
        put_number(store, i, 1 << 20);
        sync_store(store);
        assert_true(leat_store_has_room(store));
    }
    struct stat status; /* the file's size must run ahead of LMDB all the same */
    assert_int_equal(fstat(leat_lmdb_of(store)->data_fd, &status), 0);
    assert_true((uint64_t)status.st_size >=
                pages_of(store) * leat_lmdb_of(store)->page_bytes + LEAT_STORE_RESERVE_BYTES);
    leat_store_close(&store);
    store = store_directory_open(*state);
    assert_int_equal(leat_store_count(store, 0), 20);
    leat_store_close(&store);
}

static void an_error_of_a_half_written_page_on_a_full_disk_is_no_failure(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    for (uint64_t i = 0; i < 60; i++) { /* more than is allocated already */
        put_number(store, i, 1 << 20);
    }
    store_faults_set(STORE_FAULT_ALLOCATE, ENOSPC);
    store_faults_set(STORE_FAULT_WRITE, EIO); /* what LMDB makes of a short write */
    leat_store_seal(store);
    advance_until(store, has_no_room);
    store_faults_clear();
    advance_until(store, is_committed);
    assert_int_equal(leat_store_count(store, 0), 60);
    leat_store_close(&store);
}

/* ---- failure ---- */

static void a_failed_write_or_flush_is_final(void **state)
{
    static const enum store_fault faults[] = {STORE_FAULT_FLUSH, STORE_FAULT_WRITE};
    for (size_t i = 0; i < 2; i++) {
        struct leat_store *store = store_directory_open(*state);
        struct leat_why why = {""};
        struct leat_bytes found;
        leat_store_put(store, 1, key, value);
        sync_store(store);
        leat_store_put(store, 0, key, value);
        leat_store_seal(store);
        assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
        leat_store_put(store, 2, key, value);
        store_faults_set(faults[i], EIO);
        assert_int_equal(leat_store_sync(store, &why), LEAT_ERR_IO);
        assert_non_null(strstr(why.text, "Input/output error"));
        assert_non_null(strstr(why.text, ((struct store_directory *)*state)->path));
        assert_int_equal(store_faults_hits(faults[i]), 1); /* not tried again */
        store_faults_clear();
        assert_int_equal(leat_store_advance(store, &why), LEAT_ERR_IO);
        assert_string_not_equal(leat_store_error(store), "");
        assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_ERR_IO);
        assert_int_equal(leat_store_durable(store), 2);
        assert_true(leat_store_is_committing(store));
        leat_store_close(&store);
        store = store_directory_open(*state);
        assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_OK);
        assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_OK);
        assert_int_equal(leat_store_get(store, 2, key, &found), LEAT_ERR_NOT_FOUND);
        leat_store_close(&store);
    }
}

static void opening_flushes_what_the_last_process_left_behind(void **state)
{
    struct store_directory *directory = *state;
    struct leat_store *store = store_directory_open(directory);
    leat_store_put(store, 0, key, value);
    sync_store(store);
    leat_store_close(&store);
    struct leat_why why = {""};
    store_faults_set(STORE_FAULT_FLUSH, EIO);
    enum leat_err err =
        leat_store_open_lmdb(directory->path, &store_directory_options, &store, &why);
    assert_int_equal(err, LEAT_ERR_IO);
    assert_null(store);
    assert_non_null(strstr(why.text, directory->path));
    store_faults_clear();
    store = store_directory_open(directory);
    assert_int_equal(leat_store_count(store, 0), 1);
    leat_store_close(&store);
}

/* ---- snapshots ---- */

static void reading_all_the_time_keeps_no_freed_page_from_use(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    struct leat_bytes found;
    uint64_t pages = 0;
    for (uint64_t i = 0; i < 600; i++) {
        for (uint64_t j = 0; j < 20; j++) {
            put_number(store, j, 3000 + (size_t)(i % 7));
        }
        assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_ERR_NOT_FOUND);
        leat_store_seal(store);
        assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_ERR_NOT_FOUND);
        advance_until(store, is_committed);
        assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_ERR_NOT_FOUND);
        if (i == 100) {
            pages = pages_of(store);
        }
    }
    assert_in_range(pages_of(store), 1, pages + 20);
    leat_store_close(&store);
}

#define WITH_DIRECTORY(test)                                                                       \
    cmocka_unit_test_setup_teardown(test, setup_lmdb, store_directory_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(room_ends_at_max_bytes_deletes_go_on_and_room_returns),
        WITH_DIRECTORY(the_map_grows_with_what_is_written),
        WITH_DIRECTORY(a_map_found_too_small_is_enlarged_and_the_batch_written),
        WITH_DIRECTORY(a_disk_without_blocks_ahead_has_no_room_until_it_has),
        WITH_DIRECTORY(a_store_that_filled_its_disk_has_room_again_when_it_is_emptied),
        WITH_DIRECTORY(a_file_system_that_cannot_allocate_ahead_will_do),
        WITH_DIRECTORY(an_error_of_a_half_written_page_on_a_full_disk_is_no_failure),
        WITH_DIRECTORY(a_failed_write_or_flush_is_final),
        WITH_DIRECTORY(opening_flushes_what_the_last_process_left_behind),
        WITH_DIRECTORY(reading_all_the_time_keeps_no_freed_page_from_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
