/* The journal on a disk that is full, fails or is slow, beside what is so without one as well
 * (test_store_full.c). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/limits.h"
#include "store/journal_file.h"
#include "store_faults.h"
#include "store_journal_rig.h"
#include "store_model.h"

/* No file can get longer, as on a full disk. What the files have already is enough for as many
 * small batches as anybody likes, because the two take turns. */
static void on_a_full_disk_small_batches_go_on(void **state)
{
    struct leat_store *store = open_with(*state, 0);
    put_number(store, 0, 1 << 20);
    sync_store(store);
    store_faults_set(STORE_FAULT_ALLOCATE, ENOSPC);
    store_faults_set(STORE_FAULT_GROW, ENOSPC);
    for (uint64_t i = 1; i < 80; i++) {
        put_number(store, i % 5, 300000);
        leat_store_seal(store);
        advance_until(store, is_committed);
    }
    assert_true(store_faults_hits(STORE_FAULT_GROW) > 3);
    struct store_directory left;
    store_faults_clear();
    crash(*state, &left);
    leat_store_close(&store);
    store = store_directory_open(&left);
    assert_int_equal(leat_store_count(store, 0), 5);
    leat_store_close(&store);
}

/* LMDB gets nothing done and no file can get longer: the journal takes what it can in both files,
 * then waits, and has everything that it ever reported. */
static void nothing_is_written_over_before_it_is_applied(void **state)
{
    struct leat_store *store = open_with(*state, 1200000);
    struct store_directory left;
    uint64_t next = 0;
    store_faults_set(STORE_FAULT_DATA, ENOSPC);
    store_faults_set(STORE_FAULT_GROW, ENOSPC);
    enum leat_err err;
    do {
        assert_true(next < 100);
        put_number(store, next++, 60000);
        err = leat_store_sync(store, NULL);
    } while (err == LEAT_OK);
    assert_int_equal(err, LEAT_ERR_NO_SPACE);
    uint64_t durable = leat_store_durable(store);
    assert_true(durable > 30);
    store_faults_clear();
    crash(*state, &left);
    leat_store_close(&store);
    store = store_directory_open(&left);
    uint64_t there = leat_store_count(store, 0);
    assert_true(there == durable || there == durable + 1);
    assert_numbers(store, there);
    leat_store_close(&store);
}

/* Five numbers of 1 MiB fit into no file that cannot grow. */
static void put_large_batch(struct leat_store *store)
{
    for (uint64_t i = 0; i < 5; i++) {
        put_number(store, i, 1 << 20);
    }
}

/* What is on its way is read until the end, whatever becomes of the rows; under a sanitizer this
 * finds who lets go of their memory too early or never. */
static void closing_in_the_middle_keeps_large_values_as_long_as_they_are_read(void **state)
{
    const struct {
        enum store_fault fault;
        int error;
    } cases[] = {{STORE_FAULT_SLOW, 0},       {STORE_FAULT_SLOW, 100},
                 {STORE_FAULT_WRITE, ENOSPC}, {STORE_FAULT_GROW, ENOSPC},
                 {STORE_FAULT_DATA, ENOSPC},  {STORE_FAULT_FLUSH, EIO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[8];
        struct leat_store *store = open_with(*state, 64 << 20);
        store_faults_set(cases[i].fault, cases[i].error);
        put_large_batch(store);
        leat_store_seal(store);
        leat_store_del(store, 0, number_key(0, bytes));
        leat_store_put(store, 0, number_key(1, bytes), value);
        memset(leat_store_add_large(store, 1, key, 1 << 20), 7, 1 << 20);
        leat_store_close(&store);
        store_faults_clear();
        store = open_with(*state, 64 << 20);
        uint64_t count = leat_store_count(store, 0);
        assert_true(count == 0 || count == 5);
        assert_true(count == 5 || cases[i].error != 0);
        assert_numbers(store, count);
        assert_int_equal(leat_store_count(store, 1), 0);
        leat_store_close(&store);
        assert_int_equal(store_directory_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

/* The large batch goes to LMDB past the journal, and what it added has been deleted meanwhile. */
static void what_is_deleted_while_its_batch_goes_past_the_journal_stays_deleted(void **state)
{
    struct leat_store *store = open_with(*state, 64 << 20);
    struct leat_bytes found;
    store_faults_set(STORE_FAULT_GROW, ENOSPC);
    leat_store_add(store, 1, key, value);
    put_large_batch(store);
    leat_store_seal(store);
    leat_store_del(store, 1, key);
    assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_ERR_NOT_FOUND);
    advance_until(store, is_committed);
    assert_true(store_faults_hits(STORE_FAULT_GROW) > 0);
    assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_ERR_NOT_FOUND);
    sync_store(store);
    assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_ERR_NOT_FOUND);
    leat_store_close(&store);
    store_faults_clear();
    store = open_with(*state, 64 << 20);
    assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_ERR_NOT_FOUND);
    assert_numbers(store, 5);
    leat_store_close(&store);
}

/* LMDB may be given a batch while the journal still looks for room for it, and have it first. */
static void a_batch_that_lmdb_has_first_is_durable(void **state)
{
    for (uint64_t journal_bytes = 1 << 20; journal_bytes <= 64 << 20; journal_bytes *= 64) {
        struct leat_store *store = open_with(*state, journal_bytes);
        store_faults_set(STORE_FAULT_GROW, ENOSPC);
        put_large_batch(store);
        leat_store_seal(store);
        advance_until(store, is_committed);
        sync_store(store);
        store_faults_clear();
        advance_until(store, has_room);
        leat_store_close(&store);
        store = open_with(*state, journal_bytes);
        assert_numbers(store, 5);
        leat_store_close(&store);
    }
}

static void room_comes_back_though_nothing_more_is_written(void **state)
{
    struct leat_store *store = open_with(*state, 64 << 20);
    for (uint64_t i = 0; i < 3; i++) {
        put_number(store, i, 1 << 19);
    }
    sync_store(store);
    store_faults_set(STORE_FAULT_GROW, ENOSPC);
    store_faults_set(STORE_FAULT_SLOW, 400); /* LMDB has it first */
    put_number(store, 3, 1 << 19);
    put_number(store, 4, 1 << 19);
    leat_store_seal(store);
    advance_until(store, is_committed);
    store_faults_clear();
    advance_until(store, has_room);
    leat_store_close(&store);
}

/* A journal that had grown gives its room back when there is none and all is applied. The store is
 * as full as it may be, which says more surely than a full disk when there is no room, and that it
 * stays so: rows that are written over leave pages behind. */
static void without_room_an_idle_journal_gives_back_what_it_has(void **state)
{
    const struct store_directory *directory = *state;
    struct leat_store_options options = store_directory_options;
    options.journal_bytes = 8 << 20;
    options.max_bytes = 2 * LEAT_STORE_RESERVE_BYTES;
    struct leat_store *store = NULL;
    assert_int_equal(leat_store_open_journaled(directory->path, &options, &store, NULL), LEAT_OK);
    char path[256];
    struct stat status;
    snprintf(path, sizeof path, "%s/journal-0", directory->path);
    put_large_batch(store);
    sync_store(store);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_size > 5 << 20);
    uint64_t count = 5;
    while (leat_store_has_room(store)) {
        assert_true(count < 60);
        put_number(store, count++, 1 << 20);
        sync_store(store);
    }
    for (int i = 0; i < 50 && stat(path, &status) == 0 && status.st_size > LEAT_JOURNAL_FIRST_BYTES;
         i++) {
        struct pollfd item = {.fd = leat_store_fd(store), .events = POLLIN};
        (void)poll(&item, 1, 500);
        assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
    }
    assert_int_equal(status.st_size, LEAT_JOURNAL_FIRST_BYTES);
    assert_false(leat_store_has_room(store));
    put_number(store, 7, 10);
    sync_store(store);
    struct store_directory left;
    crash(directory, &left);
    leat_store_close(&store);
    store = store_directory_open(&left);
    assert_int_equal(leat_store_count(store, 0), count);
    leat_store_close(&store);
}

#define BATCH_TABLE 3 /* the model does not use it */
#define BATCHES_MAX 2000

struct history {
    struct store_model models[BATCHES_MAX]; /* after each batch; 0: at the start */
    uint64_t sealed;
};

static void seal_next(struct history *history, const struct store_model *model,
                      struct leat_store *store)
{
    history->models[++history->sealed] = *model;
    leat_store_put(store, BATCH_TABLE, key,
                   leat_bytes_of(&history->sealed, sizeof history->sealed));
    (history->sealed % 2 == 0 ? leat_store_seal_here : leat_store_seal)(store);
}

static void change_faults(struct leat_rng *rng)
{
    static const int errors[2] = {0, ENOSPC};
    store_faults_set(STORE_FAULT_GROW, errors[leat_rng_below(rng, 2)]);
    store_faults_set(STORE_FAULT_ALLOCATE, errors[leat_rng_below(rng, 2)]);
    store_faults_set(STORE_FAULT_DATA, errors[leat_rng_below(rng, 4) == 0]);
    store_faults_set(STORE_FAULT_SLOW,
                     leat_rng_below(rng, 2) == 0 ? 0 : (int)leat_rng_below(rng, 12));
}

/* In the table that the model does not use. */
static void put_large(struct leat_store *store, struct leat_rng *rng)
{
    static const uint8_t body[1 << 20];
    uint8_t bytes[8];
    leat_store_put(store, BATCH_TABLE, number_key(leat_rng_below(rng, 4), bytes),
                   leat_bytes_of(body, (size_t)1 << leat_rng_below(rng, 21)));
}

static void one_step(struct history *history, struct store_model *model, struct leat_store *store,
                     struct leat_rng *rng)
{
    uint64_t choice = leat_rng_below(rng, 1000);
    if (choice < 600) {
        store_model_write(model, store, rng);
    } else if (choice < 620) {
        put_large(store, rng);
    } else if (choice < 800) {
        store_model_read(model, store, rng);
    } else if (choice < 880) {
        if (!leat_store_is_committing(store) && history->sealed + 1 < BATCHES_MAX) {
            seal_next(history, model, store);
        }
    } else if (choice < 996) {
        struct pollfd item = {.fd = leat_store_fd(store), .events = POLLIN};
        (void)poll(&item, 1, (int)leat_rng_below(rng, 3));
        assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
    } else {
        change_faults(rng);
    }
}

/* Disks that are full and are not, in any order, under any writes: reads agree with a model all the
 * time, nothing hangs once there is room, and what is there after a restart is one batch's state.
 */
static void whatever_is_full_reads_agree_with_a_model(void **state)
{
    struct history *history = calloc(1, sizeof *history);
    assert_non_null(history);
    struct leat_rng rng;
    leat_rng_init(&rng, store_model_seed());
    for (int round = 0; round < 5; round++) {
        struct leat_store *store = open_with(*state, 20000U << leat_rng_below(&rng, 8));
        struct store_model model = history->models[0];
        history->sealed = 0;
        for (int i = 0; i < 2500; i++) {
            one_step(history, &model, store, &rng);
        }
        store_faults_clear();
        bool is_last_sealed = leat_rng_below(&rng, 2) == 0;
        if (is_last_sealed) {
            advance_until(store, is_committed);
            seal_next(history, &model, store);
            advance_until(store, is_committed);
            advance_until(store, has_room);
        }
        uint64_t durable = leat_store_durable(store);
        leat_store_close(&store);
        store = open_with(*state, 1 << 20);
        struct leat_bytes found;
        uint64_t batch = 0;
        if (leat_store_get(store, BATCH_TABLE, key, &found) == LEAT_OK) {
            memcpy(&batch, found.data, sizeof batch);
        }
        assert_in_range(batch, durable, history->sealed);
        store_model_compare(&history->models[batch], store);
        history->models[0] = history->models[batch];
        leat_store_del(store, BATCH_TABLE, key);
        sync_store(store);
        leat_store_close(&store);
    }
    free(history);
}

static void a_failed_write_or_flush_is_final(void **state)
{
    static const enum store_fault faults[] = {STORE_FAULT_FLUSH, STORE_FAULT_WRITE};
    for (size_t i = 0; i < 2; i++) {
        struct leat_store *store = store_directory_open(*state);
        struct leat_why why = {""};
        struct leat_bytes found;
        leat_store_put(store, 0, key, value);
        sync_store(store);
        leat_store_put(store, 2, key, value);
        store_faults_set(faults[i], EIO);
        assert_int_equal(leat_store_sync(store, &why), LEAT_ERR_IO);
        assert_non_null(strstr(why.text, "Input/output error"));
        assert_non_null(strstr(why.text, ((struct store_directory *)*state)->path));
        store_faults_clear();
        assert_int_equal(leat_store_advance(store, &why), LEAT_ERR_IO);
        assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_ERR_IO);
        assert_true(leat_store_is_committing(store));
        leat_store_close(&store);
        store = store_directory_open(*state);
        assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_OK);
        leat_store_close(&store);
    }
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, store_directory_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(on_a_full_disk_small_batches_go_on),
        WITH_DIRECTORY(nothing_is_written_over_before_it_is_applied),
        WITH_DIRECTORY(closing_in_the_middle_keeps_large_values_as_long_as_they_are_read),
        WITH_DIRECTORY(what_is_deleted_while_its_batch_goes_past_the_journal_stays_deleted),
        WITH_DIRECTORY(a_batch_that_lmdb_has_first_is_durable),
        WITH_DIRECTORY(room_comes_back_though_nothing_more_is_written),
        WITH_DIRECTORY(without_room_an_idle_journal_gives_back_what_it_has),
        WITH_DIRECTORY(whatever_is_full_reads_agree_with_a_model),
        WITH_DIRECTORY(a_failed_write_or_flush_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
