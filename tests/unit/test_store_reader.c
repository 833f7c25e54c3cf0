/* What other threads see of a store: over LMDB alone, and with a journal, whose last records LMDB
 * does not have yet. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/journal_record.h"
#include "store/reader.h"
#include "store_faults.h"
#include "store_journal_rig.h"

#define ROWS 100

static struct leat_store_reader *open_reader(struct leat_store *store)
{
    struct leat_store_reader *reader = NULL;
    struct leat_why why = {""};
    if (leat_store_reader_open(store, &reader, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    return reader;
}

static void commit(struct leat_store *store)
{
    leat_store_seal(store);
    advance_until(store, is_committed);
}

static enum leat_err get(struct leat_store_reader *reader, uint64_t number)
{
    uint8_t bytes[8];
    struct leat_bytes found;
    enum leat_err err = leat_store_reader_get(reader, 0, number_key(number, bytes), &found);
    if (err == LEAT_OK) {
        assert_int_equal(found.data[found.size - 1], (uint8_t)number);
    }
    return err;
}

static void del_number(struct leat_store *store, uint64_t number)
{
    uint8_t bytes[8];
    leat_store_del(store, 0, number_key(number, bytes));
}

/* ---- one thread after the other ---- */

static void what_is_durable_is_seen_and_nothing_else(void **state)
{
    struct leat_store *store = open_with(*state, 0); /* as a broker: applied a second later */
    struct leat_store_reader *reader = open_reader(store);
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(get(reader, i), LEAT_ERR_NOT_FOUND);
        put_number(store, i, 100);
        assert_int_equal(get(reader, i), LEAT_ERR_NOT_FOUND);
        store_faults_set(STORE_FAULT_SLOW, 20);
        leat_store_seal(store);
        assert_int_equal(get(reader, i), LEAT_ERR_NOT_FOUND);
        store_faults_clear();
        advance_until(store, is_committed);
        assert_int_equal(get(reader, i), LEAT_OK);
        assert_int_equal(get(reader, 0), LEAT_OK);
    }
    leat_store_reader_close(&reader);
    reader = open_reader(store); /* one that has seen nothing before */
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(get(reader, i), LEAT_OK);
    }
    leat_store_reader_close(&reader);
    leat_store_close(&store);
}

struct rows {
    uint64_t numbers[ROWS];
    size_t count, at_most;
};

static bool add_row(struct leat_bytes entry_key, struct leat_bytes entry_value, void *context)
{
    struct rows *rows = context;
    uint64_t number = 0;
    for (size_t i = 0; i < entry_key.size; i++) {
        number = number << 8 | entry_key.data[i];
    }
    assert_int_equal(entry_value.data[0], (uint8_t)number);
    rows->numbers[rows->count++] = number;
    return rows->count < rows->at_most;
}

static void assert_rows(struct leat_store_reader *reader, uint64_t from, size_t at_most,
                        const uint64_t *numbers, size_t count)
{
    uint8_t bytes[8];
    struct rows rows = {.at_most = at_most};
    struct leat_bytes start = from == 0 ? (struct leat_bytes){NULL, 0} : number_key(from, bytes);
    assert_int_equal(leat_store_reader_scan(reader, 0, start, add_row, &rows), LEAT_OK);
    assert_int_equal(rows.count, count);
    assert_memory_equal(rows.numbers, numbers, count * sizeof *numbers);
}

/* 1 to 9 are in LMDB; of what is in the journal alone 2 and 9 are deleted, 4 is another, and 0, 11
 * and 12 are new. */
static void a_scan_goes_through_journal_and_lmdb_in_the_order_of_keys(void **state)
{
    struct leat_store *store = open_with(*state, 0);
    for (uint64_t i = 1; i < 10; i++) {
        put_number(store, i, 10);
    }
    commit(store);
    leat_store_close(&store);
    store = open_with(*state, 0);
    struct leat_store_reader *reader = open_reader(store);
    static const uint64_t before[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    assert_rows(reader, 0, ROWS, before, 9);
    del_number(store, 2);
    put_number(store, 11, 10);
    commit(store);
    put_number(store, 4, 500);
    put_number(store, 0, 10);
    put_number(store, 12, 10);
    del_number(store, 9);
    commit(store);
    static const uint64_t after[] = {0, 1, 3, 4, 5, 6, 7, 8, 11, 12};
    assert_rows(reader, 0, ROWS, after, 10);
    assert_rows(reader, 2, ROWS, after + 2, 8);
    assert_rows(reader, 9, ROWS, after + 8, 2);
    assert_rows(reader, 2, 3, after + 2, 3);
    assert_rows(reader, 13, ROWS, NULL, 0);
    uint64_t count;
    assert_int_equal(leat_store_reader_count(reader, 0, &count), LEAT_OK);
    assert_int_equal(count, 10);
    assert_int_equal(leat_store_reader_count(reader, 1, &count), LEAT_OK);
    assert_int_equal(count, 0);
    leat_store_reader_close(&reader);
    leat_store_close(&store);
}

/* The journal is slow, and LMDB has the second batch first: with it goes all of it. */
static void what_lmdb_has_before_the_journal_is_seen_as_a_whole(void **state)
{
    struct leat_store *store = open_with(*state, 20000);
    struct leat_store_reader *reader = open_reader(store);
    put_number(store, 1, 10);
    commit(store);
    assert_int_equal(get(reader, 1), LEAT_OK);
    store_faults_set(STORE_FAULT_SLOW, 500);
    del_number(store, 1);
    put_number(store, 2, 30000);
    leat_store_seal(store);
    while (get(reader, 2) == LEAT_ERR_NOT_FOUND) {
        assert_true(leat_store_is_committing(store));
    }
    assert_int_equal(get(reader, 1), LEAT_ERR_NOT_FOUND);
    advance_until(store, is_committed);
    assert_int_equal(get(reader, 1), LEAT_ERR_NOT_FOUND);
    leat_store_reader_close(&reader);
    leat_store_close(&store);
}

static void a_batch_that_went_past_the_journal_is_seen(void **state)
{
    struct leat_store *store = open_with(*state, 64 << 20);
    struct leat_store_reader *reader = open_reader(store);
    put_number(store, 7, 10);
    commit(store);
    assert_int_equal(get(reader, 7), LEAT_OK);
    store_faults_set(STORE_FAULT_GROW, ENOSPC);
    for (uint64_t i = 0; i < 5; i++) {
        put_number(store, i, 1 << 20);
    }
    commit(store);
    assert_true(store_faults_hits(STORE_FAULT_GROW) > 0);
    assert_int_equal(get(reader, 4), LEAT_OK);
    put_number(store, 8, 10);
    commit(store);
    assert_int_equal(get(reader, 8), LEAT_OK);
    assert_int_equal(get(reader, 7), LEAT_OK);
    store_faults_clear();
    leat_store_reader_close(&reader);
    leat_store_close(&store);
}

static void large_records_are_read_whole(void **state)
{
    struct leat_store *store = open_with(*state, 0);
    struct leat_store_reader *reader = open_reader(store);
    for (uint64_t i = 0; i < 10; i++) {
        put_number(store, i, i % 3 == 0 ? 1 << 20 : 10);
        commit(store);
        if (i % 2 == 0) {
            assert_int_equal(get(reader, i), LEAT_OK);
        }
    }
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(get(reader, i), LEAT_OK);
    }
    leat_store_reader_close(&reader);
    leat_store_close(&store);
}

/* Damage of what is in use is an error, and the reader does not look for it for ever. */
static void a_record_that_is_gone_is_told(void **state)
{
    const struct store_directory *directory = *state;
    struct leat_store *store = open_with(directory, 0);
    struct leat_store_reader *reader = open_reader(store);
    put_number(store, 1, 10);
    commit(store);
    char path[256];
    snprintf(path, sizeof path, "%s/journal-0", directory->path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, LEAT_JOURNAL_BLOCK_BYTES + 60), 1);
    close(fd);
    assert_int_equal(get(reader, 1), LEAT_ERR_IO);
    leat_store_reader_close(&reader);
    leat_store_close(&store);
}

/* A commit stands where its number is told and nothing is written. A reader that is one commit late
 * may hold what this one writes, and takes its snapshot again until it is not; any other is served
 * what was before at once. */
static void a_snapshot_that_may_have_been_written_over_is_taken_again(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    struct leat_store_reader *reader = open_reader(store);
    for (uint64_t i = 0; i < 3; i++) {
        put_number(store, i, 100);
        commit(store);
    }
    store_faults_hold_commits(true);
    put_number(store, 3, 100);
    leat_store_seal(store);
    store_faults_await_commit();
    assert_int_equal(get(reader, 2), LEAT_OK);
    assert_int_equal(get(reader, 3), LEAT_ERR_NOT_FOUND);
    store_faults_set(STORE_FAULT_LATE, 3);
    assert_int_equal(get(reader, 2), LEAT_OK);
    assert_int_equal(store_faults_hits(STORE_FAULT_LATE), 3);
    store_faults_hold_commits(false);
    advance_until(store, is_committed);
    assert_int_equal(get(reader, 3), LEAT_OK);
    leat_store_reader_close(&reader);
    leat_store_close(&store);
}

/* ---- at the same time ---- */

struct reading {
    struct leat_store_reader *reader;
    const _Atomic uint64_t *durable; /* the version that every scan must see from now on */
    atomic_bool is_over;
    uint64_t scans;
    uint64_t versions_seen;
    bool is_torn;
};

struct snapshot {
    uint64_t version;
    uint64_t entries;
    bool is_torn;
};

static bool same_version(struct leat_bytes entry_key, struct leat_bytes entry_value, void *context)
{
    struct snapshot *snapshot = context;
    uint64_t version;
    (void)entry_key;
    memcpy(&version, entry_value.data, sizeof version);
    snapshot->is_torn |= snapshot->entries > 0 && version != snapshot->version;
    snapshot->version = version;
    snapshot->entries++;
    return true;
}

static void *read_on(void *context)
{
    struct reading *reading = context;
    uint64_t last = 0;
    while (!atomic_load(&reading->is_over)) {
        struct snapshot snapshot = {0, 0, false};
        uint64_t count = 0;
        uint8_t bytes[8];
        struct leat_bytes found;
        uint64_t durable = atomic_load(reading->durable);
        enum leat_err err = leat_store_reader_scan(reading->reader, 0, (struct leat_bytes){NULL, 0},
                                                   same_version, &snapshot);
        reading->is_torn |= err != LEAT_OK || snapshot.is_torn || snapshot.version < last ||
                            snapshot.version < durable ||
                            (snapshot.entries != 0 && snapshot.entries != ROWS);
        err = leat_store_reader_count(reading->reader, 0, &count);
        reading->is_torn |= err != LEAT_OK || (count != 0 && count != ROWS);
        err = leat_store_reader_get(reading->reader, 0, number_key(7, bytes), &found);
        reading->is_torn |= err != LEAT_OK && err != LEAT_ERR_NOT_FOUND;
        reading->scans++;
        reading->versions_seen += snapshot.version != last;
        last = snapshot.version;
    }
    return NULL;
}

/* Each version is one batch; most add rows and delete as many, so that news have both. */
static void write_version(struct leat_store *store, uint64_t version)
{
    static uint8_t body[4000];
    memcpy(body, &version, sizeof version);
    for (uint64_t i = 0; i < ROWS; i++) {
        uint8_t bytes[8];
        uint64_t shift = version % 3;
        leat_store_put(store, 0, number_key(i + shift, bytes), leat_bytes_of(body, sizeof body));
    }
    for (uint64_t i = 0; version > 1 && i < 3; i++) {
        uint64_t shift = version % 3;
        if (i < shift) {
            del_number(store, i);
        } else if (ROWS + i >= ROWS + shift) {
            del_number(store, ROWS + i);
        }
    }
}

static void readers_on_other_threads_see_whole_batches_and_all_durable_ones(void **state)
{
    struct leat_store *store = store_directory_open(*state);
    struct reading readings[2];
    pthread_t threads[2];
    static _Atomic uint64_t durable;
    atomic_store(&durable, 0);
    for (size_t i = 0; i < 2; i++) {
        readings[i] = (struct reading){.durable = &durable};
        readings[i].reader = open_reader(store);
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &readings[i]), 0);
    }
    for (uint64_t version = 1; version <= 300; version++) {
        write_version(store, version);
        if (leat_store_is_committing(store)) {
            advance_until(store, is_committed);
            atomic_store(&durable, version - 1);
        }
        leat_store_seal(store);
    }
    sync_store(store);
    for (size_t i = 0; i < 2; i++) {
        atomic_store(&readings[i].is_over, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(readings[i].is_torn);
        assert_true(readings[i].versions_seen > 1);
        leat_store_reader_close(&readings[i].reader);
        leat_store_reader_close(&readings[i].reader);
    }
    leat_store_close(&store);
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, store_directory_teardown)
#define WITHOUT_JOURNAL(test)                                                                      \
    {                                                                                              \
        "without a journal: " #test, test, setup_lmdb, store_directory_teardown, NULL              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(what_is_durable_is_seen_and_nothing_else),
        WITH_DIRECTORY(a_scan_goes_through_journal_and_lmdb_in_the_order_of_keys),
        WITH_DIRECTORY(what_lmdb_has_before_the_journal_is_seen_as_a_whole),
        WITH_DIRECTORY(a_batch_that_went_past_the_journal_is_seen),
        WITH_DIRECTORY(large_records_are_read_whole),
        WITH_DIRECTORY(a_record_that_is_gone_is_told),
        WITH_DIRECTORY(readers_on_other_threads_see_whole_batches_and_all_durable_ones),
        WITHOUT_JOURNAL(a_snapshot_that_may_have_been_written_over_is_taken_again),
        WITHOUT_JOURNAL(readers_on_other_threads_see_whole_batches_and_all_durable_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
