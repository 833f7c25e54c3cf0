/* The journal: its records as bytes, what damage is told from a power cut, and when LMDB gets what
 * is in it. What store.h promises over it is in test_store.c, kills and power cuts in
 * test_store_kill.c and test_store_power_cut.c, full and broken disks in test_store_journal_full.c.
 */
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

#include "core/crc32c.h"
#include "store/journal_file.h"
#include "store/slab.h"
#include "store_faults.h"
#include "store_journal_rig.h"

/* ---- records ---- */

static const struct leat_id some_store = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

/* A record is one run of bytes while nothing in it is held. */
static struct leat_bytes make_record(struct leat_journal_buffer *buffer, uint64_t number)
{
    leat_journal_buffer_add(buffer, 3, key, &value);
    leat_journal_buffer_add(buffer, 0, value, NULL);
    leat_journal_buffer_add(buffer, 1, key, &(struct leat_bytes){NULL, 0});
    struct leat_journal_parts parts =
        leat_journal_buffer_finish(buffer, leat_journal_key(&some_store), number);
    assert_int_equal(parts.count, 1);
    assert_int_equal(parts.size, parts.items[0].size);
    return parts.items[0];
}

static void assert_write(struct leat_bytes *body, unsigned table, struct leat_bytes with_key,
                         struct leat_bytes with_value, bool is_del)
{
    struct leat_journal_write write;
    assert_int_equal(leat_journal_next(body, &write), LEAT_OK);
    assert_int_equal(write.table, table);
    assert_int_equal(write.is_del, is_del);
    assert_int_equal(write.key.size, with_key.size);
    assert_memory_equal(write.key.data, with_key.data, with_key.size);
    assert_int_equal(write.value.size, with_value.size);
    if (with_value.size > 0) {
        assert_memory_equal(write.value.data, with_value.data, with_value.size);
    }
}

static void a_record_says_what_was_written_in_that_order(void **state)
{
    (void)state;
    struct leat_journal_buffer buffer = {0};
    for (uint64_t number = 1; number < 4; number++) { /* the buffer is used again */
        struct leat_bytes bytes = make_record(&buffer, number);
        struct leat_journal_record record;
        struct leat_journal_write write;
        assert_int_equal(bytes.size % LEAT_JOURNAL_BLOCK_BYTES, 0);
        assert_int_equal(leat_journal_record_read(bytes, leat_journal_key(&some_store), &record),
                         LEAT_JOURNAL_WHOLE);
        assert_int_equal(record.number, number);
        assert_int_equal(record.blocks, 1);
        assert_write(&record.body, 3, key, value, false);
        assert_write(&record.body, 0, value, (struct leat_bytes){NULL, 0}, true);
        assert_write(&record.body, 1, key, (struct leat_bytes){NULL, 0}, false);
        assert_int_equal(leat_journal_next(&record.body, &write), LEAT_ERR_NOT_FOUND);
        leat_journal_buffer_clear(&buffer, number == 2 ? 0 : 1 << 20);
    }
    leat_journal_buffer_fini(&buffer);
}

/* The same bytes, whether values were copied or held, with their checksums told or not, also when
 * their owner has given them back. */
static void a_record_of_held_values_is_that_of_copied_ones(void **state)
{
    (void)state;
    struct leat_slab slab;
    struct leat_journal_buffer copied = {0};
    struct leat_journal_buffer held = {0};
    const struct leat_hash_key hash_key = leat_journal_key(&some_store);
    leat_slab_init(&slab, 0);
    for (uint64_t number = 1; number < 4; number++) {
        for (size_t i = 0; i < 40; i++) {
            size_t size = LEAT_SLAB_SMALL_BYTES_MAX + 1 + 777 * i;
            uint8_t *piece = leat_slab_take(&slab, size);
            memset(piece, (int)(i + number), size);
            struct leat_bytes bytes = leat_bytes_of(piece, size);
            leat_journal_buffer_add(&copied, 3, key, &bytes);
            leat_journal_buffer_add_held(&held, 3, key, bytes, piece);
            if (i % 2 == 0) {
                leat_journal_buffer_tell_checksum(&held, leat_crc32c(0, piece, size));
            }
            if (i % 3 == 0) {
                leat_journal_buffer_add(&copied, 1, value, NULL);
                leat_journal_buffer_add(&held, 1, value, NULL);
                leat_slab_give(&slab, piece, size);
            }
        }
        leat_slab_reset(&slab);
        struct leat_journal_parts whole = leat_journal_buffer_finish(&copied, hash_key, number);
        struct leat_journal_parts parts = leat_journal_buffer_finish(&held, hash_key, number);
        assert_int_equal(parts.size, whole.size);
        assert_int_equal(whole.count, 1);
        const uint8_t *at = whole.items[0].data;
        for (size_t i = 0; i < parts.count; i++) {
            assert_memory_equal(parts.items[i].data, at, parts.items[i].size);
            at += parts.items[i].size;
        }
        assert_ptr_equal(at, whole.items[0].data + whole.size);
        struct leat_bytes expected = leat_journal_buffer_body(&copied);
        struct leat_bytes body = leat_journal_buffer_body(&held);
        assert_int_equal(body.size, expected.size);
        assert_memory_equal(body.data, expected.data, body.size);
        leat_journal_buffer_clear(&copied, number == 2 ? 0 : 16 << 20);
        leat_journal_buffer_clear(&held, number == 2 ? 0 : 16 << 20);
    }
    leat_journal_buffer_fini(&copied);
    leat_journal_buffer_fini(&held);
    leat_slab_fini(&slab);
}

static void no_flipped_bit_and_no_cut_makes_another_record(void **state)
{
    (void)state;
    struct leat_journal_buffer buffer = {0};
    struct leat_bytes bytes = make_record(&buffer, 7);
    size_t used = buffer.size;
    uint8_t *copy = malloc(bytes.size);
    assert_non_null(copy);
    struct leat_journal_record record;
    struct leat_hash_key hash_key = leat_journal_key(&some_store);
    for (size_t bit = 0; bit < 8 * used; bit++) {
        memcpy(copy, bytes.data, bytes.size);
        copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
        enum leat_journal_found found =
            leat_journal_record_read(leat_bytes_of(copy, bytes.size), hash_key, &record);
        assert_int_equal(found, bit / 8 < LEAT_JOURNAL_HEAD_BYTES ? LEAT_JOURNAL_NOTHING
                                                                  : LEAT_JOURNAL_PART);
    }
    for (size_t size = 0; size < used; size++) {
        assert_int_not_equal(
            leat_journal_record_read(leat_bytes_of(bytes.data, size), hash_key, &record),
            LEAT_JOURNAL_WHOLE);
    }
    struct leat_id other = some_store;
    other.bytes[15] ^= 1;
    assert_int_equal(leat_journal_record_read(bytes, leat_journal_key(&other), &record),
                     LEAT_JOURNAL_NOTHING);
    free(copy);
    leat_journal_buffer_fini(&buffer);
}

static void bytes_that_are_no_writes_are_told(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[8];
        size_t size;
    } bodies[] = {
        {{0, 1, 0, 0, 0}, 5},              /* cut in a head */
        {{0, 0, 0, 0, 0, 0}, 6},           /* no key */
        {{0, 3, 0, 0, 0, 0, 'k', 'e'}, 8}, /* cut in the key */
        {{0, 1, 0, 0, 0, 2, 'k', 'v'}, 8}, /* cut in the value */
        {{0, 1, 0xff, 0xff, 0xff, 0xff, 'k', 'v'}, 8},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct leat_bytes body = leat_bytes_of(bodies[i].bytes, bodies[i].size);
        struct leat_journal_write write;
        assert_int_equal(leat_journal_next(&body, &write), LEAT_ERR_CORRUPT);
    }
}

/* ---- what a crash leaves behind, and what only damage does ---- */

static void assert_refused(const struct store_directory *directory, const char *text)
{
    struct leat_store *store = NULL;
    struct leat_why why = {""};
    assert_int_equal(store_directory_try(directory->path, &store, &why), LEAT_ERR_CORRUPT);
    assert_null(store);
    if (strstr(why.text, text) == NULL || strstr(why.text, directory->path) == NULL) {
        fail_msg("%s", why.text);
    }
}

static void what_is_in_the_journal_alone_comes_back(void **state)
{
    struct store_directory left;
    leave_ten(state, &left);
    for (int i = 0; i < 2; i++) { /* also when it is applied already */
        struct leat_store *store = store_directory_open(&left);
        assert_numbers(store, 10);
        leat_store_close(&store);
    }
}

/* What becomes of a row while its batch is on its way does not change the batch; with a full disk
 * the batch goes to LMDB instead. A disk may also take less than it is given. */
#define LARGE_VALUES 48 /* more parts than one call writes */

static void large_values_are_written_as_they_were_sealed(void **state)
{
    static const struct {
        enum store_fault fault;
        int value;
    } cases[] = {{STORE_FAULT_GROW, 0}, {STORE_FAULT_GROW, ENOSPC}, {STORE_FAULT_SHORT, 70001}};
    for (size_t round = 0; round < sizeof cases / sizeof cases[0]; round++) {
        struct store_directory left;
        uint8_t bytes[8];
        struct leat_store *store = open_with(*state, 16 << 20);
        store_faults_set(cases[round].fault, cases[round].value);
        for (uint64_t i = 0; i < LARGE_VALUES; i++) {
            put_number(store, i, 200000 + i);
        }
        leat_store_seal(store);
        for (uint64_t i = 0; i < LARGE_VALUES; i++) {
            if (i % 3 == 0) {
                leat_store_del(store, 0, number_key(i, bytes));
            } else {
                put_number(store, i + 100, 1);
                leat_store_put(store, 0, number_key(i, bytes), value);
            }
        }
        advance_until(store, is_committed);
        store_faults_clear();
        crash(*state, &left);
        struct leat_store *later = store_directory_open(&left);
        assert_numbers(later, LARGE_VALUES);
        leat_store_close(&later);
        sync_store(store);
        assert_int_equal(leat_store_count(store, 0), 2 * (LARGE_VALUES - LARGE_VALUES / 3));
        leat_store_close(&store);
        assert_int_equal(store_directory_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void a_damaged_batch_before_others_is_told_and_the_last_one_counts_as_torn(void **state)
{
    struct store_directory left;
    for (off_t batch = 0; batch < 10; batch++) {
        for (off_t place = 20; place < 1100; place += 700) { /* in the head, in the body */
            leave_ten(state, &left);
            flip(&left, "journal-0", LEAT_JOURNAL_BLOCK_BYTES * (1 + batch) + place);
            if (batch < 9) {
                assert_refused(&left, "is damaged or missing");
            } else {
                struct leat_store *store = store_directory_open(&left);
                assert_numbers(store, 9);
                put_number(store, 9, 10); /* and its number is used again */
                leat_store_close(&store);
            }
            assert_int_equal(store_directory_teardown(state), 0);
            assert_int_equal(setup(state), 0);
        }
    }
}

static void files_of_the_journal_must_be_there_whole_and_this_stores(void **state)
{
    static const struct {
        const char *text;
        off_t cut; /* -1: removed; -2: of another store; -3: a flipped bit in its first line */
    } cases[] = {
        {"journal-1 is missing", -1},
        {"belongs to another store", -2},
        {"is damaged or no journal of leat", -3},
        {"is cut short: 1000000 bytes of 2097152 are there", 1000000},
        {"is damaged or no journal of leat", 0},
        {"is cut short: 2097151 bytes", 2097151},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct store_directory left;
        char path[256];
        leave_ten(state, &left);
        snprintf(path, sizeof path, "%s/journal-1", left.path);
        if (cases[i].cut >= 0) {
            assert_int_equal(truncate(path, cases[i].cut), 0);
        } else if (cases[i].cut == -1) {
            assert_int_equal(unlink(path), 0);
        } else if (cases[i].cut == -2) {
            struct leat_journal_file file;
            assert_int_equal(leat_journal_file_make(&file, left.path, 1, &some_store, NULL),
                             LEAT_OK);
            leat_journal_file_fini(&file);
        } else {
            flip(&left, "journal-1", 30);
        }
        assert_refused(&left, cases[i].text);
        assert_int_equal(store_directory_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void a_copy_of_the_data_alone_is_a_store(void **state)
{
    struct store_directory left;
    struct leat_store *store = open_with(*state, 1 << 20);
    put_number(store, 0, 10);
    leat_store_seal(store);
    leat_store_close(&store);
    crash(*state, &left);
    for (size_t i = 1; i < sizeof files / sizeof files[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", left.path, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    for (uint64_t i = 1; i < 4; i++) {
        store = store_directory_open(&left);
        assert_numbers(store, i);
        put_number(store, i, 10);
        sync_store(store);
        leat_store_close(&store);
    }
}

static void a_store_without_a_journal_gets_one(void **state)
{
    store_directory_has_journal = false;
    struct leat_store *store = store_directory_open(*state);
    put_number(store, 0, 10);
    sync_store(store);
    leat_store_close(&store);
    store_directory_has_journal = true;
    store = store_directory_open(*state);
    put_number(store, 1, 10);
    leat_store_seal(store);
    sync_store(store);
    assert_numbers(store, 2);
    leat_store_close(&store);
}

/* As a program from before there were journals opens it. */
static void only_a_store_that_was_closed_in_order_is_one_without_a_journal(void **state)
{
    const struct store_directory *directory = *state;
    struct store_directory left;
    struct leat_why why = {""};
    struct leat_store *store;
    leave_ten(state, &left);
    for (int i = 0; i < 2; i++) { /* it is left as it was */
        assert_int_equal(leat_store_open_lmdb(left.path, &store_directory_options, &store, &why),
                         LEAT_ERR_REFUSED);
        assert_non_null(strstr(why.text, "is of version 5, from a newer leat"));
    }
    store = store_directory_open(&left);
    assert_numbers(store, 10);
    leat_store_close(&store);
    for (int i = 0; i < 2; i++) {
        const char *paths[] = {left.path, directory->path};
        assert_int_equal(leat_store_open_lmdb(paths[i], &store_directory_options, &store, &why),
                         LEAT_OK);
        assert_numbers(store, 10);
        leat_store_close(&store);
    }
}

static void a_lock_file_that_is_gone_does_not_hide_that_a_file_of_the_journal_is(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct store_directory left;
        char path[256];
        struct leat_store *store = open_with(*state, 4096); /* so that it takes turns */
        for (uint64_t number = 0; number < 10; number++) {
            put_number(store, number, 1000);
            sync_store(store);
        }
        crash(*state, &left);
        leat_store_close(&store);
        snprintf(path, sizeof path, "%s/leat.lock", left.path);
        assert_int_equal(unlink(path), 0);
        snprintf(path, sizeof path, "%s/journal-%d", left.path, i);
        assert_int_equal(unlink(path), 0);
        assert_refused(&left, path + strlen(left.path));
        assert_int_equal(store_directory_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void a_lock_file_that_is_damaged_does_not_hide_the_journal(void **state)
{
    struct store_directory left;
    leave_ten(state, &left);
    flip(&left, "leat.lock", 30);
    struct leat_store *store = store_directory_open(&left);
    assert_numbers(store, 10);
    leat_store_close(&store);
}

/* Neither is the other's: what is in the journal must not be begun anew. */
static void a_data_file_from_before_the_journal_is_told(void **state)
{
    struct store_directory left;
    char from[256];
    char to[256];
    store_directory_has_journal = false;
    struct leat_store *store = store_directory_open(*state);
    put_number(store, 0, 10);
    sync_store(store);
    leat_store_close(&store);
    store_directory_has_journal = true;
    snprintf(from, sizeof from, "%s/data.mdb", ((struct store_directory *)*state)->path);
    snprintf(to, sizeof to, "%s/kept", ((struct store_directory *)*state)->root);
    copy_file(from, to);
    store = open_with(*state, 1 << 20);
    put_number(store, 1, 10);
    sync_store(store);
    crash(*state, &left);
    leat_store_close(&store);
    snprintf(from, sizeof from, "%s/data.mdb", left.path);
    copy_file(to, from);
    assert_refused(&left, "is from before the journal beside it");
    for (size_t i = 1; i < sizeof files / sizeof files[0]; i++) {
        snprintf(to, sizeof to, "%s/%s", left.path, files[i]);
        assert_int_equal(unlink(to), 0);
    }
    store = store_directory_open(&left);
    assert_numbers(store, 1);
    leat_store_close(&store);
}

static void a_copy_whose_first_start_was_cut_off_starts(void **state)
{
    struct store_directory left;
    struct leat_store *store = open_with(*state, 1 << 20);
    put_number(store, 0, 10);
    sync_store(store);
    leat_store_close(&store);
    crash(*state, &left);
    char path[256];
    for (size_t i = 1; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", left.path, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    for (int i = 1; i >= 0; i--) { /* neither can be made; then only the second one is there */
        snprintf(path, sizeof path, "%s/journal-%d.new", left.path, i);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(store_directory_try(left.path, &store, NULL), LEAT_ERR_IO);
        assert_int_equal(rmdir(path), 0);
    }
    store = store_directory_open(&left);
    assert_numbers(store, 1);
    leat_store_close(&store);
}

/* ---- applying ---- */

static bool is_in_lmdb(const struct store_directory *directory)
{
    struct store_directory left;
    struct leat_bytes found;
    struct leat_store *store = NULL;
    struct leat_store_options options = store_directory_options;
    options.has_journal = true;
    crash(directory, &left);
    assert_int_equal(leat_store_open_lmdb(left.path, &options, &store, NULL), LEAT_OK);
    bool is_there = leat_store_get(store, 0, key, &found) == LEAT_OK;
    leat_store_close(&store);
    return is_there;
}

static void what_is_old_is_applied_though_nothing_more_is_written(void **state)
{
    struct leat_store *store = open_with(*state, 1 << 20);
    leat_store_put(store, 0, key, value);
    sync_store(store);
    assert_false(is_in_lmdb(*state));
    while (!is_in_lmdb(*state)) {
        struct pollfd item = {.fd = leat_store_fd(store), .events = POLLIN};
        assert_int_equal(poll(&item, 1, 60000), 1);
        assert_int_equal(leat_store_advance(store, NULL), LEAT_OK);
    }
    leat_store_close(&store);
}

static void closing_applies_what_is_sealed_and_drops_the_rest(void **state)
{
    struct leat_bytes found;
    struct leat_store *store = open_with(*state, 1 << 20);
    leat_store_put(store, 0, key, value);
    sync_store(store);
    leat_store_close(&store);
    assert_true(is_in_lmdb(*state));
    store = open_with(*state, 1 << 20);
    leat_store_put(store, 1, key, value);
    sync_store(store);
    leat_store_put(store, 2, key, value); /* never sealed */
    leat_store_close(&store);
    store = open_with(*state, 1 << 20);
    assert_int_equal(leat_store_get(store, 1, key, &found), LEAT_OK);
    assert_int_equal(leat_store_get(store, 2, key, &found), LEAT_ERR_NOT_FOUND);
    leat_store_close(&store);
}

static void the_journal_does_not_grow_for_ever(void **state)
{
    const struct store_directory *directory = *state;
    struct leat_store *store = open_with(directory, 1 << 20);
    for (uint64_t i = 0; i < 300; i++) {
        put_number(store, i % 10, 1 << 19);
        leat_store_seal(store);
        advance_until(store, is_committed);
    }
    leat_store_close(&store);
    for (int i = 2; i < 4; i++) {
        char path[256];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", directory->path, files[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_in_range(status.st_size, 1, 8 << 20);
    }
    store = open_with(directory, 1 << 20);
    assert_int_equal(leat_store_count(store, 0), 10);
    leat_store_close(&store);
}

static bool see_first(struct leat_bytes first, struct leat_bytes found, bool kept, void *context)
{
    (void)first;
    (void)found;
    *(bool *)context = kept;
    return false;
}

/* As a get and a scan say alike. */
static bool is_kept(struct leat_store *store, uint64_t number)
{
    uint8_t bytes[8];
    struct leat_bytes found;
    const struct leat_bytes place = number_key(number, bytes);
    bool kept;
    assert_int_equal(leat_store_get_kept(store, 0, place, &found, &kept), LEAT_OK);
    assert_int_equal(found.size, 20000 + number);
    bool scanned = !kept;
    assert_int_equal(leat_store_scan_kept(store, 0, place, see_first, &scanned), LEAT_OK);
    assert_int_equal(scanned, kept);
    return kept;
}

static void what_has_only_been_in_memory_is_told_from_what_a_disk_had(void **state)
{
    struct leat_store *store = open_with(*state, 1 << 20);
    put_number(store, 1, 20001);
    assert_true(is_kept(store, 1));
    sync_store(store);
    assert_true(is_kept(store, 1)); /* the journal is not read */
    leat_store_close(&store);
    store = open_with(*state, 1 << 20);
    assert_false(is_kept(store, 1));
    put_number(store, 2, 20002);
    assert_true(is_kept(store, 2));
    put_number(store, 1, 20001); /* the new one hides what the disk has */
    assert_true(is_kept(store, 1));
    leat_store_close(&store);
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, store_directory_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_says_what_was_written_in_that_order),
        cmocka_unit_test(a_record_of_held_values_is_that_of_copied_ones),
        cmocka_unit_test(no_flipped_bit_and_no_cut_makes_another_record),
        cmocka_unit_test(bytes_that_are_no_writes_are_told),
        WITH_DIRECTORY(what_is_in_the_journal_alone_comes_back),
        WITH_DIRECTORY(large_values_are_written_as_they_were_sealed),
        WITH_DIRECTORY(a_damaged_batch_before_others_is_told_and_the_last_one_counts_as_torn),
        WITH_DIRECTORY(files_of_the_journal_must_be_there_whole_and_this_stores),
        WITH_DIRECTORY(a_copy_of_the_data_alone_is_a_store),
        WITH_DIRECTORY(only_a_store_that_was_closed_in_order_is_one_without_a_journal),
        WITH_DIRECTORY(a_lock_file_that_is_gone_does_not_hide_that_a_file_of_the_journal_is),
        WITH_DIRECTORY(a_lock_file_that_is_damaged_does_not_hide_the_journal),
        WITH_DIRECTORY(a_data_file_from_before_the_journal_is_told),
        WITH_DIRECTORY(a_copy_whose_first_start_was_cut_off_starts),
        WITH_DIRECTORY(a_store_without_a_journal_gets_one),
        WITH_DIRECTORY(what_is_old_is_applied_though_nothing_more_is_written),
        WITH_DIRECTORY(closing_applies_what_is_sealed_and_drops_the_rest),
        WITH_DIRECTORY(the_journal_does_not_grow_for_ever),
        WITH_DIRECTORY(what_has_only_been_in_memory_is_told_from_what_a_disk_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
