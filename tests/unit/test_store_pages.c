/* The check of LMDB's pages (P3): it is content with whatever LMDB writes, and a byte that is
 * changed anywhere in a store is found, or does no harm: what is read through LMDB is then what was
 * written, or fails its seal.
 *
 * LEAT_SEED=N repeats a run. LEAT_BATCHES=N: how many batches (1,500). LEAT_EVERY=N: every Nth byte
 * that the check does not find is tried with LMDB itself (41); 1: all of them. */
#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "seed.h"
#include "store/lmdb_format.h"
#include "store/lmdb_pages.h"
#include "store_directory.h"
#include "store_model.h"

#define PAGE_BYTES 4096

static uint64_t number_of(const char *name, uint64_t initial)
{
    const char *text = getenv(name);
    return text == NULL ? initial : strtoull(text, NULL, 0);
}

/* ---- the check of a file ---- */

struct findings {
    char first[256];
    unsigned count;
};

static bool note(void *context, const char *what)
{
    struct findings *findings = context;
    if (findings->count++ == 0) {
        snprintf(findings->first, sizeof findings->first, "%s", what);
    }
    return true;
}

static struct leat_lmdb_pages check_bytes(struct leat_bytes file, struct findings *findings)
{
    struct leat_lmdb_pages pages;
    *findings = (struct findings){0};
    assert_int_equal(leat_lmdb_pages_check(file, UINT64_MAX, note, findings, &pages), LEAT_OK);
    assert_int_equal(pages.found, findings->count);
    return pages;
}

/* A file in memory; `bytes` may be changed, which the file on the disk does not see. */
struct image {
    uint8_t *bytes;
    size_t size;
};

static struct image read_image(const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    struct image image = {.size = (size_t)status.st_size};
    image.bytes = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_true(image.bytes != MAP_FAILED);
    close(fd);
    return image;
}

static void drop_image(struct image *image)
{
    munmap(image->bytes, image->size);
}

/* Everything is in order, and every page is accounted for. */
static struct leat_lmdb_pages assert_content(const char *path)
{
    struct image image = read_image(path);
    struct findings findings;
    struct leat_lmdb_pages pages = check_bytes(leat_bytes_of(image.bytes, image.size), &findings);
    if (findings.count != 0) {
        fail_msg("%s: %s", path, findings.first);
    }
    if (!pages.is_whole || pages.is_cut_short) {
        fail_msg("%s: pages of %llu bytes, the last one is %llu", path,
                 (unsigned long long)pages.page_bytes, (unsigned long long)pages.last_page);
    }
    assert_int_equal(pages.used + pages.free, pages.last_page + 1);
    drop_image(&image);
    return pages;
}

static void path_in(const struct store_directory *directory, const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", directory->path, name);
}

/* ---- it is content ---- */

static void it_is_content_after_every_batch_of_a_store(void **state)
{
    struct store_directory *directory = *state;
    struct leat_rng rng = leat_seed_rng(__func__);
    struct store_model model = {0};
    uint64_t batches = number_of("LEAT_BATCHES", 1500) / 5;
    char path[256];
    path_in(directory, "data.mdb", path);
    struct leat_store *store = store_directory_open(directory);
    for (uint64_t i = 0; i < batches; i++) {
        uint64_t writes = 1 + leat_rng_below(&rng, 60);
        for (uint64_t j = 0; j < writes; j++) {
            store_model_write(&model, store, &rng);
        }
        assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
        struct leat_lmdb_pages pages = assert_content(path);
        assert_int_equal(pages.table_count, 4);
        if (leat_rng_below(&rng, 20) == 0) {
            leat_store_close(&store);
            (void)assert_content(path);
            store = store_directory_open(directory);
            store_model_compare(&model, store);
        }
    }
    leat_store_close(&store);
}

static void must(int rc)
{
    if (rc != 0) {
        fail_msg("LMDB: %s", mdb_strerror(rc));
    }
}

static MDB_env *open_env(const char *path, unsigned flags)
{
    MDB_env *env;
    must(mdb_env_create(&env));
    must(mdb_env_set_maxdbs(env, 8));
    must(mdb_env_set_mapsize(env, 1 << 30));
    must(mdb_env_open(env, path, flags | MDB_NOTLS, 0600));
    return env;
}

/* Tables, and a habit for each: keys in order, keys anywhere, keys of all sizes, large values. */
#define RAW_TABLES 4

struct raw {
    MDB_env *env;
    MDB_dbi tables[RAW_TABLES];
    uint64_t next[RAW_TABLES];
    MDB_txn *reader; /* keeps freed pages from being used again for a while */
};

static void open_raw(struct raw *raw, const char *path)
{
    static const char *const names[RAW_TABLES] = {"leat", "anywhere", "sizes", "values"};
    MDB_txn *txn;
    raw->env = open_env(path, MDB_NOSYNC);
    must(mdb_txn_begin(raw->env, NULL, 0, &txn));
    for (size_t i = 0; i < RAW_TABLES; i++) {
        must(mdb_dbi_open(txn, names[i], MDB_CREATE, &raw->tables[i]));
    }
    must(mdb_txn_commit(txn));
}

static size_t raw_key(struct raw *raw, size_t table, struct leat_rng *rng, uint8_t key[64])
{
    uint64_t number = table == 0 ? raw->next[table]++ : leat_rng_below(rng, 4000);
    size_t size = table == 2 ? 1 + (size_t)leat_rng_below(rng, 64) : 16;
    memset(key, (int)(number % 7), 64);
    for (size_t i = 0; i < 8 && i < size; i++) {
        key[i] = (uint8_t)(number >> (8 * (7 - i)));
    }
    return size;
}

static void raw_put(struct raw *raw, MDB_txn *txn, size_t table, struct leat_rng *rng)
{
    static uint8_t bytes[60000];
    uint8_t key[64];
    MDB_val name = {raw_key(raw, table, rng, key), key};
    uint64_t kind = leat_rng_below(rng, 100);
    uint64_t bound = table == 3 && kind < 20 ? sizeof bytes : kind < 5 ? 3000 : 300;
    MDB_val value = {(size_t)leat_rng_below(rng, bound), bytes};
    must(mdb_put(txn, raw->tables[table], &name, &value, 0));
}

/* Deletes a run of entries, or all. */
static void raw_del(struct raw *raw, MDB_txn *txn, size_t table, uint64_t count,
                    struct leat_rng *rng)
{
    MDB_cursor *cursor;
    uint8_t bytes[64];
    MDB_val key = {raw_key(raw, table, rng, bytes), bytes};
    MDB_val value;
    must(mdb_cursor_open(txn, raw->tables[table], &cursor));
    bool from_begin = table == 0 || count > 1000;
    int rc = mdb_cursor_get(cursor, &key, &value, from_begin ? MDB_FIRST : MDB_SET_RANGE);
    for (; rc == 0 && count > 0; count--) {
        must(mdb_cursor_del(cursor, 0));
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT); /* what is there now */
    }
    mdb_cursor_close(cursor);
}

static void raw_batch(struct raw *raw, struct leat_rng *rng)
{
    MDB_txn *txn;
    must(mdb_txn_begin(raw->env, NULL, 0, &txn));
    uint64_t steps = 1 + leat_rng_below(rng, 12);
    for (uint64_t i = 0; i < steps; i++) {
        size_t table = (size_t)leat_rng_below(rng, RAW_TABLES);
        uint64_t kind = leat_rng_below(rng, 100);
        uint64_t count = 1 + leat_rng_below(rng, 40);
        if (kind < 2) {
            raw_del(raw, txn, table, UINT64_MAX, rng);
        } else if (kind < 40) {
            raw_del(raw, txn, table, count, rng);
        } else {
            for (uint64_t j = 0; j < count; j++) {
                raw_put(raw, txn, table, rng);
            }
        }
    }
    if (leat_rng_below(rng, 10) == 0) {
        mdb_txn_abort(txn);
    } else {
        must(mdb_txn_commit(txn));
    }
}

/* LMDB does not write last pages that it needs no more; the store sees to it that the file has
 * them.
 */
static void extend(const struct raw *raw)
{
    MDB_envinfo info;
    struct stat status;
    int fd;
    must(mdb_env_info(raw->env, &info));
    must(mdb_env_get_fd(raw->env, &fd));
    assert_int_equal(fstat(fd, &status), 0);
    off_t need = (off_t)(info.me_last_pgno + 1) * PAGE_BYTES;
    assert_true(status.st_size >= need || ftruncate(fd, need) == 0);
}

static void check_copy(struct raw *raw, const struct store_directory *directory, unsigned flags)
{
    char folder[256];
    char path[512];
    snprintf(folder, sizeof folder, "%s/copy", directory->root);
    assert_int_equal(mkdir(folder, 0700), 0);
    must(mdb_env_copy2(raw->env, folder, flags));
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    struct leat_lmdb_pages pages = assert_content(path);
    assert_int_equal(pages.free == 0, flags == MDB_CP_COMPACT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void it_is_content_with_deep_trees_and_old_readers_and_copies(void **state)
{
    struct store_directory *directory = *state;
    struct leat_rng rng = leat_seed_rng(__func__);
    struct raw raw = {0};
    uint64_t batches = number_of("LEAT_BATCHES", 1500);
    char path[256];
    path_in(directory, "data.mdb", path);
    assert_int_equal(mkdir(directory->path, 0700), 0);
    open_raw(&raw, directory->path);
    uint64_t used = 0;
    for (uint64_t i = 0; i < batches; i++) {
        raw_batch(&raw, &rng);
        extend(&raw);
        struct leat_lmdb_pages pages = assert_content(path);
        used = pages.used > used ? pages.used : used;
        uint64_t kind = leat_rng_below(&rng, 100);
        if (kind < 5 && raw.reader == NULL) {
            must(mdb_txn_begin(raw.env, NULL, MDB_RDONLY, &raw.reader));
        } else if (kind < 10 && raw.reader != NULL) {
            mdb_txn_abort(raw.reader);
            raw.reader = NULL;
        } else if (kind < 12) {
            check_copy(&raw, directory, kind == 10 ? 0 : MDB_CP_COMPACT);
        } else if (kind < 14 && raw.reader == NULL) {
            mdb_env_close(raw.env);
            open_raw(&raw, directory->path);
        }
    }
    printf("up to %llu pages in use\n", (unsigned long long)used);
    assert_true(batches < 1000 || used > 1000);
    if (raw.reader != NULL) {
        mdb_txn_abort(raw.reader);
    }
    mdb_env_close(raw.env);
}

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
        size_t count = table == 0 ? 260 : table == 1 ? 110 : 3;
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
        } else if (key.mv_size != name.mv_size || memcmp(key.mv_data, name.mv_data, key.mv_size) ||
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
    return pages->table_count == 4 && strcmp(pages->tables[0], "first") == 0 &&
           strcmp(pages->tables[1], "leat") == 0 && strcmp(pages->tables[2], "second") == 0 &&
           strcmp(pages->tables[3], "third") == 0;
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

static void a_changed_byte_is_found_or_does_no_harm(void **state)
{
    struct store_directory *directory = *state;
    struct leat_rng rng = leat_seed_rng(__func__);
    struct flips *flips = calloc(1, sizeof *flips);
    assert_non_null(flips);
    uint64_t every = number_of("LEAT_EVERY", 41);
    uint64_t content = 0;
    struct leat_store *store = store_directory_open(directory);
    fill_store(flips, store, &rng);
    leat_store_close(&store);
    path_in(directory, "data.mdb", flips->path);
    uint64_t end = (assert_content(flips->path).last_page + 1) * PAGE_BYTES;
    flips->whole = read_image(flips->path);
    flips->fd = open(flips->path, O_RDWR);
    assert_true(flips->fd >= 0);
    read_through_lmdb(flips, directory->path, 0);
    for (uint64_t offset = 0; offset < end; offset++) {
        uint8_t mask = leat_rng_below(&rng, 4) == 0 ? 0xff : (uint8_t)(1 << (offset % 8));
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
    close(flips->fd);
    drop_image(&flips->whole);
    free(flips);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, store_directory_setup, store_directory_teardown)
        TEST(it_is_content_after_every_batch_of_a_store),
        TEST(it_is_content_with_deep_trees_and_old_readers_and_copies),
        TEST(a_changed_byte_is_found_or_does_no_harm),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
