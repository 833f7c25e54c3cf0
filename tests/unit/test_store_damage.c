/* The check of LMDB's pages (P3): a byte that is changed anywhere in a store, or a page, is found,
 * or does no harm: what is read through LMDB is then what was written, or fails its seal.
 *
 * LEAT_SEED=N repeats a run. LEAT_EVERY=N: every Nth byte that the check does not find is tried
 * with LMDB itself (41); 1: all of them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "seed.h"
#include "store_pages_rig.h"

/* ---- every changed byte ---- */

#define ROWS_MAX   2000
#define SEAL_BYTES 8

struct row {
    unsigned table;
    uint8_t key[64];
    size_t key_bytes;
    uint64_t seed; /* of the value */
    size_t value_bytes;
};

struct flips {
    struct row rows[ROWS_MAX];
    size_t row_count;
    char path[256];
    int fd;
    struct image whole;
    uint64_t found, sealed, harmless;
};

/* FNV-1a, of where a value is and what it is: as the seals of leat's records, it tells a value that
 * was changed or is in a wrong place. */
static uint64_t seal_of(unsigned table, const MDB_val *key, const uint8_t *value, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325U + table;
    const uint8_t *bytes = key->mv_data;
    for (size_t i = 0; i < key->mv_size; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3U;
    }
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ value[i]) * 0x100000001b3U;
    }
    return (hash ^ size) * 0x100000001b3U;
}

static void make_value(const struct row *row, uint8_t *bytes)
{
    struct leat_rng rng;
    leat_rng_init(&rng, row->seed);
    for (size_t i = SEAL_BYTES; i < row->value_bytes; i++) {
        bytes[i] = (uint8_t)leat_rng_next(&rng);
    }
    struct row copy = *row;
    const MDB_val key = {copy.key_bytes, copy.key};
    uint64_t seal = seal_of(row->table, &key, bytes + SEAL_BYTES, row->value_bytes - SEAL_BYTES);
    memcpy(bytes, &seal, SEAL_BYTES);
}

static bool is_sealed(unsigned table, const MDB_val *key, const MDB_val *value)
{
    const uint8_t *bytes = value->mv_data;
    uint64_t seal;
    if (value->mv_size < SEAL_BYTES) {
        return false;
    }
    memcpy(&seal, bytes, SEAL_BYTES);
    return seal == seal_of(table, key, bytes + SEAL_BYTES, value->mv_size - SEAL_BYTES);
}

/* The rows of LMDB's order: the model of what must be read. */
static void add_row(struct flips *flips, unsigned table, uint64_t number, struct leat_rng *rng)
{
    struct row *row = &flips->rows[flips->row_count++];
    uint64_t kind = leat_rng_below(rng, 100);
    assert_true(flips->row_count <= ROWS_MAX);
    *row = (struct row){.table = table, .seed = leat_rng_next(rng)};
    row->key_bytes = table == 1 ? 8 + (size_t)leat_rng_below(rng, 50) : 16;
    row->value_bytes = SEAL_BYTES + (kind < 3   ? 6000
                                     : kind < 8 ? 1200 + (size_t)leat_rng_below(rng, 1200)
                                                : (size_t)leat_rng_below(rng, 90));
    memset(row->key, 0x5a, sizeof row->key);
    for (size_t i = 0; i < 8; i++) {
        row->key[i] = (uint8_t)(number >> (8 * (7 - i)));
    }
}

static void fill_store(struct flips *flips, struct leat_store *store, struct leat_rng *rng)
{
    static uint8_t bytes[8192];
    for (unsigned table = 0; table < 3; table++) {
        size_t count = table == 0 ? 130 : table == 1 ? 60 : 3;
        for (size_t i = 0; i < count; i++) {
            add_row(flips, table, i * 0x10001, rng);
            const struct row *row = &flips->rows[flips->row_count - 1];
            make_value(row, bytes);
            leat_store_put(store, table, leat_bytes_of(row->key, row->key_bytes),
                           leat_bytes_of(bytes, row->value_bytes));
            if (leat_rng_below(rng, 40) == 0) {
                leat_store_put(store, table, leat_bytes_of((const uint8_t *)"gone", 4),
                               leat_bytes_of(bytes, 4000));
                assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
                leat_store_del(store, table, leat_bytes_of((const uint8_t *)"gone", 4));
            }
        }
        assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    }
}

/* Through LMDB: in every table exactly the rows of before, whole or not sealed any more, and each
 * of those that are whole is found by its key. How many are damaged. */
static size_t read_table(const struct flips *flips, MDB_txn *txn, unsigned table, size_t *at,
                         uint64_t offset)
{
    static const char *const names[] = {"first", "second", "third"};
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    size_t damaged = 0;
    must(mdb_dbi_open(txn, names[table], 0, &dbi));
    must(mdb_cursor_open(txn, dbi, &cursor));
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        const struct row *row = &flips->rows[*at];
        struct row copy = *row;
        MDB_val name = {copy.key_bytes, copy.key};
        MDB_val again;
        if (*at == flips->row_count || row->table != table) {
            fail_msg("byte %llu: more rows than there were", (unsigned long long)offset);
        }
        ++*at;
        if (!is_sealed(table, &key, &value)) {
            damaged++;
        } else if (key.mv_size != name.mv_size ||
                   memcmp(key.mv_data, name.mv_data, key.mv_size) != 0 ||
                   mdb_get(txn, dbi, &name, &again) != 0 || again.mv_data != value.mv_data) {
            fail_msg("byte %llu: a row is not found", (unsigned long long)offset);
        }
    }
    mdb_cursor_close(cursor);
    return damaged;
}

static void read_through_lmdb(struct flips *flips, const char *folder, uint64_t offset)
{
    MDB_txn *txn;
    size_t at = 0;
    size_t damaged = 0;
    MDB_env *env = open_env(folder, MDB_RDONLY | MDB_NOLOCK);
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
    for (unsigned table = 0; table < 3; table++) {
        damaged += read_table(flips, txn, table, &at, offset);
    }
    if (at != flips->row_count || damaged > 1) {
        fail_msg("byte %llu: %zu of %zu rows, %zu damaged", (unsigned long long)offset, at,
                 flips->row_count, damaged);
    }
    flips->sealed += damaged;
    flips->harmless += damaged == 0;
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* The check lists the tables' names; that they are those of the store is seen by who opens it. */
static bool has_names(const struct leat_lmdb_pages *pages)
{
    return pages->table_count == 5 && strcmp(pages->tables[0], "first") == 0 &&
           strcmp(pages->tables[1], "fourth") == 0 && strcmp(pages->tables[2], "leat") == 0 &&
           strcmp(pages->tables[3], "second") == 0 && strcmp(pages->tables[4], "third") == 0;
}

/* One byte is changed in the file as well, while LMDB looks at it. */
static void try_flip(struct flips *flips, const char *folder, uint64_t offset, uint8_t mask,
                     bool has_turn)
{
    uint8_t *byte = &flips->whole.bytes[offset];
    struct findings findings;
    *byte ^= mask;
    struct leat_lmdb_pages pages =
        check_bytes(leat_bytes_of(flips->whole.bytes, flips->whole.size), &findings);
    if (findings.count > 0 || pages.is_cut_short || pages.page_bytes == 0 || !has_names(&pages)) {
        flips->found++; /* no page_bytes: LMDB itself says that this is none of its files */
    } else if (has_turn) {
        assert_int_equal(pwrite(flips->fd, byte, 1, (off_t)offset), 1);
        read_through_lmdb(flips, folder, offset);
        *byte ^= mask;
        assert_int_equal(pwrite(flips->fd, byte, 1, (off_t)offset), 1);
        *byte ^= mask;
    }
    *byte ^= mask;
}

static void open_flips(struct flips *flips, const struct store_directory *directory,
                       struct leat_rng *rng)
{
    struct leat_store *store = store_directory_open(directory);
    fill_store(flips, store, rng);
    leat_store_close(&store);
    path_in(directory, "data.mdb", flips->path);
    flips->whole = read_image(flips->path);
    flips->fd = open(flips->path, O_RDWR);
    assert_true(flips->fd >= 0);
    read_through_lmdb(flips, directory->path, 0);
}

static void close_flips(struct flips *flips)
{
    close(flips->fd);
    drop_image(&flips->whole);
    free(flips);
}

static void a_changed_byte_is_found_or_does_no_harm(void **state)
{
    struct store_directory *directory = *state;
    struct leat_rng rng = leat_seed_rng(__func__);
    struct flips *flips = calloc(1, sizeof *flips);
    assert_non_null(flips);
    uint64_t every = number_of("LEAT_EVERY", 41);
    uint64_t content = 0;
    open_flips(flips, directory, &rng);
    uint64_t end = (assert_content(flips->path).last_page + 1) * PAGE_BYTES;
    for (uint64_t offset = 0; offset < end; offset++) {
        uint8_t bit = (uint8_t)(1U << (offset % 8));
        uint8_t mask = (uint8_t)(leat_rng_below(&rng, 4) == 0 ? 0xffU : bit);
        uint64_t before = flips->found;
        try_flip(flips, directory->path, offset, mask, content % every == 0);
        content += flips->found == before;
    }
    printf("%llu bytes: %llu changes found by the check; of every %lluth of the other %llu, %llu "
           "were found by a seal, %llu did no harm\n",
           (unsigned long long)end, (unsigned long long)flips->found, (unsigned long long)every,
           (unsigned long long)content, (unsigned long long)flips->sealed,
           (unsigned long long)flips->harmless);
    assert_true(flips->found > end / 100 && flips->sealed > 0 && flips->harmless > 0);
    close_flips(flips);
}

/* ---- more than a byte ---- */

/* Changes the page in the file as well, looks, and brings it back. Whether the check has found it.
 */
static bool try_page(struct flips *flips, const char *folder, uint64_t page, const uint8_t *instead)
{
    uint8_t before[PAGE_BYTES];
    uint8_t *bytes = flips->whole.bytes + page * PAGE_BYTES;
    off_t offset = (off_t)(page * PAGE_BYTES);
    struct findings findings;
    memcpy(before, bytes, PAGE_BYTES);
    memcpy(bytes, instead, PAGE_BYTES);
    struct leat_lmdb_pages pages =
        check_bytes(leat_bytes_of(flips->whole.bytes, flips->whole.size), &findings);
    bool is_found = findings.count > 0 || pages.page_bytes == 0;
    if (!is_found) {
        assert_int_equal(pwrite(flips->fd, instead, PAGE_BYTES, offset), PAGE_BYTES);
        read_through_lmdb(flips, folder, page * PAGE_BYTES);
        assert_int_equal(pwrite(flips->fd, before, PAGE_BYTES, offset), PAGE_BYTES);
    }
    memcpy(bytes, before, PAGE_BYTES);
    return is_found;
}

static void a_page_that_was_never_written_or_elsewhere_is_found_or_does_no_harm(void **state)
{
    static const uint8_t zeros[PAGE_BYTES];
    struct store_directory *directory = *state;
    struct leat_rng rng = leat_seed_rng(__func__);
    struct flips *flips = calloc(1, sizeof *flips);
    assert_non_null(flips);
    open_flips(flips, directory, &rng);
    uint64_t count = assert_content(flips->path).last_page + 1;
    uint64_t found = 0;
    for (uint64_t page = 0; page < count; page++) {
        uint8_t other[PAGE_BYTES];
        uint64_t from = page < 2 ? 1 - page : 2 + leat_rng_below(&rng, count - 2);
        memcpy(other, flips->whole.bytes + from * PAGE_BYTES, PAGE_BYTES);
        found += try_page(flips, directory->path, page, zeros);
        found += from != page && try_page(flips, directory->path, page, other);
    }
    printf("%llu pages, %llu of twice as many changes found\n", (unsigned long long)count,
           (unsigned long long)found);
    assert_true(found > count / 2);
    close_flips(flips);
}

/* In memory of its own, so that the address sanitizer sees what is read beyond it. */
static void any_bytes_can_be_checked(void **state)
{
    struct store_directory *directory = *state;
    struct leat_rng rng = leat_seed_rng(__func__);
    struct flips *flips = calloc(1, sizeof *flips);
    assert_non_null(flips);
    open_flips(flips, directory, &rng);
    size_t size = (size_t)(assert_content(flips->path).last_page + 1) * PAGE_BYTES;
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    uint64_t found = 0;
    for (int i = 0; i < 4000; i++) {
        memcpy(copy, flips->whole.bytes, size);
        for (uint64_t j = 1 + leat_rng_below(&rng, 40); j > 0; j--) {
            uint64_t at = leat_rng_below(&rng, size / PAGE_BYTES) * PAGE_BYTES;
            bool in_head = leat_rng_below(&rng, 2) == 0;
            at += leat_rng_below(&rng, in_head ? 200 : PAGE_BYTES);
            copy[at] = leat_rng_below(&rng, 2) == 0 ? 0xff : (uint8_t)leat_rng_next(&rng);
        }
        struct findings findings;
        size_t part = leat_rng_below(&rng, 10) == 0 ? (size_t)leat_rng_below(&rng, size) : size;
        uint8_t *exact = malloc(part + 1);
        assert_non_null(exact);
        memcpy(exact, copy, part);
        (void)check_bytes(leat_bytes_of(exact, part), &findings);
        found += findings.count > 0;
        free(exact);
    }
    assert_true(found > 1000);
    free(copy);
    close_flips(flips);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, store_directory_setup, store_directory_teardown)
        TEST(a_changed_byte_is_found_or_does_no_harm),
        TEST(a_page_that_was_never_written_or_elsewhere_is_found_or_does_no_harm),
        TEST(any_bytes_can_be_checked),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
