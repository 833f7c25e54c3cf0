/* Copies of a store while its owner runs, and what the owner has to bear from those who make them.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <lmdb.h>

#include "store/copy.h"
#include "store/journal_record.h"
#include "store_faults.h"
#include "store_journal_rig.h"

#define PATIENCE_MS 1000

static void path_in(char path[256], const char *directory, const char *name)
{
    snprintf(path, 256, "%.120s/%s", directory, name);
}

/* In a process of its own, since one process may open LMDB's file only once. */
static enum leat_err copy_to(const struct store_directory *from, const char *to,
                             struct leat_why *ret_why)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct leat_why why = {""};
        enum leat_err err =
            leat_store_copy(from->path, store_directory_options.role, to, PATIENCE_MS, &why);
        ssize_t written = write(ends[1], why.text, sizeof why.text);
        _exit(written == (ssize_t)sizeof why.text ? (int)err : 99);
    }
    close(ends[1]);
    int status;
    *ret_why = (struct leat_why){""};
    assert_int_equal(read(ends[0], ret_why->text, sizeof ret_why->text), sizeof ret_why->text);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (enum leat_err)WEXITSTATUS(status);
}

static struct store_directory backup_of(void **state)
{
    struct store_directory backup = *(struct store_directory *)*state;
    snprintf(backup.path, sizeof backup.path, "%.100s/backup", backup.root);
    return backup;
}

static void assert_copied(const struct store_directory *from, const struct store_directory *to)
{
    struct leat_why why;
    if (copy_to(from, to->path, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
}

static void assert_not_copied(const struct store_directory *from, const struct store_directory *to,
                              enum leat_err err, const char *text)
{
    struct leat_why why;
    char whole[256];
    enum leat_err got = copy_to(from, to->path, &why);
    if (got != err || strstr(why.text, text) == NULL) {
        fail_msg("%d: %s", (int)got, why.text);
    }
    path_in(whole, to->path, "data.mdb");
    assert_int_equal(access(whole, F_OK), -1);
}

static void remove_file(const struct store_directory *directory, const char *name)
{
    char path[256];
    path_in(path, directory->path, name);
    assert_int_equal(unlink(path), 0);
}

static void without_an_owner_nothing_of_a_journal_is_left_out(void **state)
{
    for (off_t damaged = 0; damaged < 9; damaged++) {
        struct store_directory left;
        struct store_directory backup = backup_of(state);
        leave_ten(state, &left);
        flip(&left, "journal-0", LEAT_JOURNAL_BLOCK_BYTES * (1 + damaged) + 100);
        assert_not_copied(&left, &backup, LEAT_ERR_STATE, "nobody runs");
        assert_int_equal(store_directory_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

static void a_journal_of_which_a_file_is_missing_is_told(void **state)
{
    for (int i = 1; i < 4; i++) { /* one of the two, the other, both */
        struct store_directory left;
        struct store_directory backup = backup_of(state);
        leave_ten(state, &left);
        if ((i & 1) != 0) {
            remove_file(&left, "journal-0");
        }
        if ((i & 2) != 0) {
            remove_file(&left, "journal-1");
        }
        assert_not_copied(&left, &backup, LEAT_ERR_CORRUPT, "/journal-");
        assert_int_equal(store_directory_teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

/* The owner, in a process of its own: stands still while something is in its journal alone. */
static pid_t stopped_owner(void **state)
{
    int status;
    pid_t owner = fork();
    assert_true(owner >= 0);
    if (owner == 0) {
        struct leat_store *store = open_with(*state, 1 << 20);
        put_number(store, 0, 1000);
        sync_store(store);
        (void)raise(SIGSTOP);
        sync_store(store); /* what is left goes to LMDB */
        leat_store_close(&store);
        _exit(0);
    }
    assert_int_equal(waitpid(owner, &status, WUNTRACED), owner);
    assert_true(WIFSTOPPED(status));
    return owner;
}

static void an_owner_that_stands_still_is_not_waited_for_for_ever(void **state)
{
    struct store_directory backup = backup_of(state);
    pid_t owner = stopped_owner(state);
    assert_not_copied(*state, &backup, LEAT_ERR_TIMEOUT, ((struct store_directory *)*state)->path);
    int status;
    assert_int_equal(kill(owner, SIGCONT), 0);
    assert_int_equal(waitpid(owner, &status, 0), owner);
    assert_int_equal(status, 0);
    assert_copied(*state, &backup);
}

static void the_copy_of_a_copy_is_one(void **state)
{
    struct store_directory backup = backup_of(state);
    struct store_directory again = backup;
    snprintf(again.path, sizeof again.path, "%.100s/again", backup.root);
    struct leat_store *store = open_with(*state, 1 << 20);
    put_number(store, 0, 1000);
    sync_store(store);
    leat_store_close(&store);
    assert_copied(*state, &backup);
    assert_copied(&backup, &again);
    store = store_directory_open(&again);
    assert_numbers(store, 1);
    leat_store_close(&store);
}

/* Who asks whether a broker runs must not keep one from starting. */
static void a_start_does_not_fail_because_somebody_looks(void **state)
{
    const struct store_directory *directory = *state;
    int ends[2];
    char path[256];
    char said = 0;
    struct leat_store *store = open_with(*state, 1 << 20);
    leat_store_close(&store);
    path_in(path, directory->path, "leat.lock");
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        bool is_held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0;
        ssize_t written = write(ends[1], "y", 1);
        usleep(10000);
        _exit(is_held && written == 1 ? 0 : 1);
    }
    assert_int_equal(read(ends[0], &said, 1), 1);
    store = open_with(*state, 1 << 20);
    leat_store_close(&store);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
}

/* LMDB takes a process of the same number for the owner itself. */
static void a_process_of_the_owners_number_is_refused(void **state)
{
    const struct store_directory *directory = *state;
    struct store_directory backup = backup_of(state);
    struct leat_why why = {""};
    struct leat_store *store = open_with(*state, 1 << 20);
    assert_int_equal(leat_store_copy(directory->path, store_directory_options.role, backup.path,
                                     PATIENCE_MS, &why),
                     LEAT_ERR_STATE);
    assert_non_null(strstr(why.text, "in the same container"));
    assert_copied(directory, &backup);
    leat_store_close(&store);
}

/* Two that go to one place write into one file. */
static void of_two_copies_to_one_place_one_is_refused(void **state)
{
    struct store_directory backup = backup_of(state);
    char part[256];
    struct leat_store *store = open_with(*state, 1 << 20);
    put_number(store, 0, 1000);
    sync_store(store);
    leat_store_close(&store);
    assert_int_equal(mkdir(backup.path, 0700), 0);
    path_in(part, backup.path, "data.mdb.part");
    int other = open(part, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* by one that goes on */
    assert_int_equal(flock(other, LOCK_EX), 0);
    assert_int_equal(write(other, "other", 5), 5);
    assert_not_copied(*state, &backup, LEAT_ERR_LOCKED, "data.mdb.part");
    struct stat status;
    assert_int_equal(fstat(other, &status), 0);
    assert_int_equal(status.st_size, 5);
    close(other); /* by one that was killed */
    assert_copied(*state, &backup);
    assert_int_equal(access(part, F_OK), -1);
    store = store_directory_open(&backup);
    assert_numbers(store, 1);
    leat_store_close(&store);
}

/* ---- what another process may see of a commit that fails after all ---- */

static void put_and_close(const struct store_directory *directory, uint64_t number)
{
    struct leat_store *store = open_with(directory, 1 << 20);
    put_number(store, number, 1000);
    sync_store(store);
    leat_store_close(&store);
}

/* In this process, whose calls fail as the test says: nobody else has the store open. */
static enum leat_err copy_here(const struct store_directory *from, const struct store_directory *to,
                               struct leat_why *ret_why)
{
    *ret_why = (struct leat_why){""};
    return leat_store_copy(from->path, store_directory_options.role, to->path, PATIENCE_MS,
                           ret_why);
}

static void assert_backup(const struct store_directory *backup, uint64_t numbers)
{
    struct leat_store *store = store_directory_open(backup);
    assert_numbers(store, numbers);
    leat_store_close(&store);
}

/* A look that commits overtake may have seen what the last of them was writing. */
static void a_look_that_was_overtaken_is_repeated(void **state)
{
    struct store_directory backup = backup_of(state);
    struct leat_why why;
    put_and_close(*state, 0);
    store_faults_set(STORE_FAULT_LATE, 3);
    if (copy_here(*state, &backup, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(store_faults_hits(STORE_FAULT_LATE), 3);
    assert_backup(&backup, 1);
}

/* Two numbers are in the store. The next copies are of when it had one. */
static void put_two_and_copy_one(const struct store_directory *directory, int copies)
{
    char from[256];
    char to[256];
    put_and_close(directory, 0);
    path_in(from, directory->path, "data.mdb");
    path_in(to, directory->path, STORE_FAULTS_COPY);
    copy_file(from, to);
    put_and_close(directory, 1);
    store_faults_set(STORE_FAULT_COPY, copies);
}

static void a_copy_that_has_less_than_was_seen_is_made_again(void **state)
{
    struct store_directory backup = backup_of(state);
    struct leat_why why;
    put_two_and_copy_one(*state, 1);
    if (copy_here(*state, &backup, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(store_faults_hits(STORE_FAULT_COPY), 1);
    assert_backup(&backup, 2);
}

static void assert_no_copy_here(const struct store_directory *from,
                                const struct store_directory *to, const char *text)
{
    static const char *const names[] = {"data.mdb", "data.mdb.part"};
    struct leat_why why;
    char path[256];
    assert_int_equal(copy_here(from, to, &why), LEAT_ERR_IO);
    assert_non_null(strstr(why.text, text));
    for (size_t i = 0; i < 2; i++) {
        path_in(path, to->path, names[i]);
        assert_int_equal(access(path, F_OK), -1);
    }
}

static void a_copy_that_has_less_again_and_again_is_none(void **state)
{
    struct store_directory backup = backup_of(state);
    put_two_and_copy_one(*state, 1000);
    assert_no_copy_here(*state, &backup, "had less of the journal than the file itself");
}

/* Its newest state may be of a commit that LMDB could neither write nor take back. */
static void a_copy_that_is_cut_short_is_none(void **state)
{
    const struct store_directory *directory = *state;
    struct store_directory backup = backup_of(state);
    char path[256];
    put_two_and_copy_one(directory, 1);
    path_in(path, directory->path, STORE_FAULTS_COPY);
    assert_int_equal(truncate(path, 2 * sysconf(_SC_PAGESIZE)), 0);
    assert_no_copy_here(directory, &backup, "cut short");
}

/* As a copy that is killed in the middle does. */
static void look_and_be_killed(const struct store_directory *directory)
{
    int ends[2];
    char said = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        MDB_env *env;
        MDB_txn *txn;
        int rc = mdb_env_create(&env);
        rc = rc != 0 ? rc : mdb_env_open(env, directory->path, MDB_RDONLY, 0600);
        rc = rc != 0 ? rc : mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
        if (write(ends[1], rc == 0 ? "y" : "n", 1) == 1) {
            pause(); /* no signal but the last one comes */
        }
        _exit(1);
    }
    assert_int_equal(read(ends[0], &said, 1), 1);
    assert_int_equal(said, 'y');
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ends[0]);
    close(ends[1]);
}

static void a_copy_that_was_killed_keeps_no_freed_page_from_use(void **state)
{
    const struct store_directory *directory = *state;
    struct leat_store *store = open_with(*state, 1 << 16);
    struct stat status;
    char path[256];
    put_number(store, 0, 1 << 20);
    sync_store(store);
    look_and_be_killed(directory);
    for (uint64_t i = 1; i < 100; i++) { /* of 1 MiB each: at most three of them are in use */
        uint8_t bytes[8];
        leat_store_del(store, 0, number_key(i - 1, bytes));
        put_number(store, i, 1 << 20);
        sync_store(store);
    }
    leat_store_close(&store);
    path_in(path, directory->path, "data.mdb");
    assert_int_equal(stat(path, &status), 0);
    assert_in_range(status.st_size, 1 << 20, 80 << 20); /* 48 MiB of it are room ahead */
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, setup, store_directory_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(without_an_owner_nothing_of_a_journal_is_left_out),
        WITH_DIRECTORY(a_journal_of_which_a_file_is_missing_is_told),
        WITH_DIRECTORY(an_owner_that_stands_still_is_not_waited_for_for_ever),
        WITH_DIRECTORY(the_copy_of_a_copy_is_one),
        WITH_DIRECTORY(a_start_does_not_fail_because_somebody_looks),
        WITH_DIRECTORY(a_process_of_the_owners_number_is_refused),
        WITH_DIRECTORY(of_two_copies_to_one_place_one_is_refused),
        WITH_DIRECTORY(a_look_that_was_overtaken_is_repeated),
        WITH_DIRECTORY(a_copy_that_has_less_than_was_seen_is_made_again),
        WITH_DIRECTORY(a_copy_that_has_less_again_and_again_is_none),
        WITH_DIRECTORY(a_copy_that_is_cut_short_is_none),
        WITH_DIRECTORY(a_copy_that_was_killed_keeps_no_freed_page_from_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
