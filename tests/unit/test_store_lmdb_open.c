/* Opening a directory: made if missing, and refused with words when it is not ours or is damaged.
 */
#include <fcntl.h>
#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/limits.h"
#include "store_directory.h"

static const struct leat_bytes key = {(const uint8_t *)"key", 3};
static const struct leat_bytes value = {(const uint8_t *)"value", 5};

static void assert_refused(const char *path, const struct leat_store_options *options,
                           enum leat_err expected, const char *words)
{
    struct leat_store *store = NULL;
    struct leat_why why = {""};
    enum leat_err err = leat_store_open_lmdb(path, options, &store, &why);
    if (err == LEAT_OK) {
        leat_store_close(&store);
    }
    assert_int_equal(err, expected);
    assert_null(store);
    if (strstr(why.text, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why.text, words);
    }
}

static void make_store(const struct store_directory *directory)
{
    struct leat_store *store = store_directory_open(directory);
    leat_store_put(store, 0, key, value);
    assert_int_equal(leat_store_sync(store, NULL), LEAT_OK);
    leat_store_close(&store);
}

static void file_in(const struct store_directory *directory, const char *name, char path[200])
{
    snprintf(path, 200, "%s/%s", directory->path, name);
}

static void a_missing_directory_is_made_for_the_owner_only(void **state)
{
    struct store_directory *directory = *state;
    struct stat status;
    make_store(directory);
    assert_int_equal(stat(directory->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    char path[200];
    file_in(directory, "data.mdb", path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

static void what_was_durable_is_there_again(void **state)
{
    struct store_directory *directory = *state;
    make_store(directory);
    struct leat_store *store = store_directory_open(directory);
    struct leat_bytes found;
    assert_int_equal(leat_store_get(store, 0, key, &found), LEAT_OK);
    assert_int_equal(found.size, value.size);
    assert_int_equal(leat_store_filling(store), 1);
    assert_int_equal(leat_store_durable(store), 0);
    leat_store_close(&store);
}

static void a_store_keeps_its_id(void **state)
{
    struct store_directory *directory = *state;
    struct leat_store *store = store_directory_open(directory);
    struct leat_id id = leat_store_lmdb_id(store);
    assert_false(leat_id_is_zero(&id));
    leat_store_close(&store);
    store = store_directory_open(directory);
    struct leat_id again = leat_store_lmdb_id(store);
    assert_true(leat_id_equal(&id, &again));
    leat_store_close(&store);
}

static void a_directory_in_use_is_refused_with_its_path_and_process(void **state)
{
    struct store_directory *directory = *state;
    struct leat_store *store = store_directory_open(directory);
    char words[300];
    snprintf(words, sizeof words, "%s is in use by process %ld", directory->path, (long)getpid());
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_LOCKED, words);
    leat_store_close(&store);
    store = store_directory_open(directory);
    leat_store_close(&store);
}

static void another_roles_store_is_refused(void **state)
{
    struct store_directory *directory = *state;
    make_store(directory);
    struct leat_store_options options = store_directory_options;
    options.role = "sink";
    assert_refused(directory->path, &options, LEAT_ERR_REFUSED,
                   "is the store of a ventilator, not of a sink");
}

static void a_table_can_be_added_later(void **state)
{
    struct store_directory *directory = *state;
    make_store(directory);
    static const char *const tables[] = {"first", "second", "third", "fourth", "fifth"};
    struct leat_store_options options = store_directory_options;
    options.tables = tables;
    options.table_count = 5;
    struct leat_store *store = NULL;
    assert_int_equal(leat_store_open_lmdb(directory->path, &options, &store, NULL), LEAT_OK);
    assert_int_equal(leat_store_count(store, 0), 1);
    assert_int_equal(leat_store_count(store, 3), 0);
    leat_store_close(&store);
}

/* Puts one record into the directory's data.mdb with LMDB alone; table NULL is LMDB's root. */
static void write_raw(const struct store_directory *directory, const char *table, const char *name,
                      const char *content)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    (void)mkdir(directory->path, 0700);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 20), 0);
    assert_int_equal(mdb_env_open(env, directory->path, MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, table, table == NULL ? 0 : MDB_CREATE, &dbi), 0);
    char copies[2][300];
    snprintf(copies[0], sizeof copies[0], "%s", name);
    snprintf(copies[1], sizeof copies[1], "%s", content);
    MDB_val record_key = {strlen(name), copies[0]};
    MDB_val record = {strlen(content), copies[1]};
    assert_int_equal(mdb_put(txn, dbi, &record_key, &record, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void anothers_lmdb_is_refused(void **state)
{
    struct store_directory *directory = *state;
    write_raw(directory, NULL, "somebody's key", "somebody's value");
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_REFUSED,
                   "data.mdb is no store of leat");
}

static void a_damaged_identity_is_refused(void **state)
{
    struct store_directory *directory = *state;
    static const char *const lines[] = {
        "",
        "leat-store",
        "leat-store version=1 role=ventilator id=0190a3f2-0000-7000-8000-000000000000",
        "leat-store version=1 role=ventilator id=0190a3f2-0000-7000-8000-000000000000 "
        "check=0000000000000000",
        "leat-store version=1 "
        "role=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
        "id="
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    };
    make_store(directory);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        write_raw(directory, "leat", "identity", lines[i]);
        assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT,
                       "identity record of store");
    }
}

/* Changes `bytes` to `instead` wherever they are in the first pages of the file. How often. */
static size_t replace_raw(const struct store_directory *directory, const char *bytes,
                          const char *instead)
{
    static char content[16 * 4096];
    char path[200];
    size_t count = 0;
    size_t size = strlen(bytes);
    file_in(directory, "data.mdb", path);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, content, sizeof content, 0), sizeof content);
    for (size_t i = 0; i + size <= sizeof content; i++) {
        if (memcmp(content + i, bytes, size) == 0) {
            assert_int_equal(pwrite(fd, instead, size, (off_t)i), size);
            count++;
        }
    }
    close(fd);
    return count;
}

static void a_table_whose_name_a_bit_has_changed_is_not_begun_anew(void **state)
{
    struct store_directory *directory = *state;
    make_store(directory);
    assert_true(replace_raw(directory, "second", "recond") > 0);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT,
                   "data.mdb is damaged: the tree of tables: table second has the name 'recond'; "
                   "--check-store lists all of it, a backup brings it back");
    assert_true(replace_raw(directory, "recond", "second") > 0);
    assert_true(replace_raw(directory, "identity", "identita") > 0);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT,
                   "the identity record of store");
    assert_true(replace_raw(directory, "identita", "identity") > 0);
    what_was_durable_is_there_again(state);
}

static void a_damaged_page_is_refused_with_its_place(void **state)
{
    struct store_directory *directory = *state;
    make_store(directory);
    /* Values are for seals to find. */
    assert_true(replace_raw(directory, "keyvalue", "keyvolue") > 0);
    leat_store_close(&(struct leat_store *){store_directory_open(directory)});
    char path[200];
    file_in(directory, "data.mdb", path);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (off_t page = 2; page < 12; page++) {
        uint8_t number;
        assert_int_equal(pread(fd, &number, 1, page * 4096), 1);
        number ^= 0x40;
        assert_int_equal(pwrite(fd, &number, 1, page * 4096), 1);
    }
    close(fd);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT,
                   "data.mdb is damaged: the tree of tables, page ");
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT,
                   ": it says that it is page ");
}

static void write_version(struct store_directory *directory, unsigned version)
{
    char line[300];
    snprintf(line, sizeof line,
             "leat-store version=%u role=ventilator id=0190a3f2-0000-7000-8000-000000000000",
             version);
    uint64_t hash = 0xcbf29ce484222325U;
    for (const char *c = line; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3U;
    }
    size_t size = strlen(line);
    snprintf(line + size, sizeof line - size, " check=%016llx", (unsigned long long)hash);
    write_raw(directory, "leat", "identity", line);
}

static void a_store_of_another_version_is_refused_and_it_is_said_whether_it_is_older(void **state)
{
    struct store_directory *directory = *state;
    make_store(directory);
    write_version(directory, 9);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_REFUSED,
                   "is of version 9, from a newer leat; this one reads version 4");
    write_version(directory, 1);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_REFUSED,
                   "is of version 1, from an older leat");
}

static void a_file_that_is_no_lmdb_is_refused(void **state)
{
    struct store_directory *directory = *state;
    char path[200];
    file_in(directory, "data.mdb", path);
    assert_int_equal(mkdir(directory->path, 0700), 0);
    for (int size = 1; size < 100000; size *= 3) {
        FILE *file = fopen(path, "w");
        for (int i = 0; i < size; i++) {
            assert_true(fputc(i * 7 % 256, file) != EOF);
        }
        assert_int_equal(fclose(file), 0);
        assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT,
                       "damaged or no LMDB file");
    }
}

static void a_file_cut_short_is_refused(void **state)
{
    struct store_directory *directory = *state;
    char path[200];
    file_in(directory, "data.mdb", path);
    make_store(directory);
    assert_int_equal(truncate(path, 3 * 4096), 0);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT, "is cut short");
    assert_int_equal(truncate(path, 100), 0);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT, "data.mdb");
    assert_int_equal(truncate(path, 0), 0);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT, "is empty");
    assert_int_equal(unlink(path), 0);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_CORRUPT, "is missing");
    file_in(directory, "leat.lock", path);
    assert_int_equal(unlink(path), 0);
    make_store(directory);
}

static void what_the_system_refuses_is_named(void **state)
{
    struct store_directory *directory = *state;
    assert_refused("/nowhere/at/all", &store_directory_options, LEAT_ERR_IO,
                   "cannot make directory /nowhere/at/all: No such file or directory");
    int fd = open(directory->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_refused(directory->path, &store_directory_options, LEAT_ERR_IO, "is no directory");
}

static void options_out_of_range_are_named(void **state)
{
    struct store_directory *directory = *state;
    static const char *const bad_name[] = {"first", "Second", "third"};
    static const char *const reserved[] = {"first", "leat", "third"};
    struct leat_store_options options = store_directory_options;
    options.role = "";
    assert_refused(directory->path, &options, LEAT_ERR_INVALID, "name of a role");
    options = store_directory_options;
    options.tables = bad_name;
    assert_refused(directory->path, &options, LEAT_ERR_INVALID, "Second");
    options.tables = reserved;
    assert_refused(directory->path, &options, LEAT_ERR_INVALID, "leat");
    options = store_directory_options;
    options.table_count = 0;
    assert_refused(directory->path, &options, LEAT_ERR_INVALID, "0 tables");
    options.table_count = LEAT_STORE_TABLES_MAX + 1;
    assert_refused(directory->path, &options, LEAT_ERR_INVALID, "17 tables");
    options = store_directory_options;
    options.max_bytes = 2 * LEAT_STORE_RESERVE_BYTES - 1;
    assert_refused(directory->path, &options, LEAT_ERR_INVALID, "at least 67108864 bytes");
    assert_int_equal(access(directory->path, F_OK), -1);
}

#define WITH_DIRECTORY(test)                                                                       \
    cmocka_unit_test_setup_teardown(test, store_directory_setup, store_directory_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(a_missing_directory_is_made_for_the_owner_only),
        WITH_DIRECTORY(what_was_durable_is_there_again),
        WITH_DIRECTORY(a_store_keeps_its_id),
        WITH_DIRECTORY(a_directory_in_use_is_refused_with_its_path_and_process),
        WITH_DIRECTORY(another_roles_store_is_refused),
        WITH_DIRECTORY(a_table_can_be_added_later),
        WITH_DIRECTORY(anothers_lmdb_is_refused),
        WITH_DIRECTORY(a_damaged_identity_is_refused),
        WITH_DIRECTORY(a_table_whose_name_a_bit_has_changed_is_not_begun_anew),
        WITH_DIRECTORY(a_damaged_page_is_refused_with_its_place),
        WITH_DIRECTORY(a_store_of_another_version_is_refused_and_it_is_said_whether_it_is_older),
        WITH_DIRECTORY(a_file_that_is_no_lmdb_is_refused),
        WITH_DIRECTORY(a_file_cut_short_is_refused),
        WITH_DIRECTORY(what_the_system_refuses_is_named),
        WITH_DIRECTORY(options_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
