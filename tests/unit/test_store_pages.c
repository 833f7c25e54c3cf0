/* The check of LMDB's pages is content with whatever LMDB writes.
 *
 * LEAT_SEED=N repeats a run. LEAT_BATCHES=N: how many batches (1,500). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "seed.h"
#include "store_model.h"
#include "store_pages_rig.h"

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
        assert_int_equal(pages.table_count, 5);
        if (leat_rng_below(&rng, 20) == 0) {
            leat_store_close(&store);
            (void)assert_content(path);
            store = store_directory_open(directory);
            store_model_compare(&model, store);
        }
    }
    leat_store_close(&store);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, store_directory_setup, store_directory_teardown)
        TEST(it_is_content_after_every_batch_of_a_store),
        TEST(it_is_content_with_deep_trees_and_old_readers_and_copies),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
