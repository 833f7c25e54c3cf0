/* kill -9 in the middle of commits: what is found afterwards is exactly what one of the sealed
 * batches left behind, and not older than what was reported durable. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_directory.h"
#include "store_model.h"

#define ROUNDS  25
#define KEPT    200 /* records that exist at one time */
#define RECORDS 0   /* table: number -> value that follows from it */
#define LAST    1   /* table: one key -> the last number */

/* What the writer tells through the pipe, before it seals and after it knows. */
struct report {
    uint64_t is_durable; /* 0: sealed */
    uint64_t number;
};

static const struct leat_bytes last_key = {(const uint8_t *)"last", 4};

static struct leat_bytes number_key(uint64_t number, uint8_t bytes[8])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    return leat_bytes_of(bytes, 8);
}

static uint64_t last_number(struct leat_store *store)
{
    struct leat_bytes found;
    uint64_t number = 0;
    if (leat_store_get(store, LAST, last_key, &found) == LEAT_OK) {
        assert_int_equal(found.size, sizeof number);
        memcpy(&number, found.data, sizeof number);
    }
    return number;
}

/* ---- the writer: a process of its own ---- */

static void write_record(struct leat_store *store, uint64_t number)
{
    uint8_t bytes[8];
    leat_store_put(store, RECORDS, number_key(number, bytes), store_model_value(number));
    if (number > KEPT) {
        leat_store_del(store, RECORDS, number_key(number - KEPT, bytes));
    }
    leat_store_put(store, LAST, last_key, leat_bytes_of(&number, sizeof number));
}

static void tell(uint64_t is_durable, uint64_t number)
{
    struct report report = {is_durable, number};
    if (write(STDOUT_FILENO, &report, sizeof report) != (ssize_t)sizeof report) {
        _exit(3);
    }
}

static int run_writer(const char *path)
{
    struct leat_store *store = NULL;
    struct leat_why why;
    if (store_directory_try(path, &store, &why) != LEAT_OK) {
        fprintf(stderr, "%s\n", why.text);
        return 2;
    }
    uint64_t on_its_way = 0;
    for (uint64_t number = last_number(store) + 1;; number++) {
        write_record(store, number);
        if (leat_store_advance(store, &why) != LEAT_OK) {
            return 2;
        }
        if (!leat_store_is_committing(store)) {
            if (on_its_way > 0) {
                tell(1, on_its_way);
            }
            on_its_way = number;
            tell(0, number);
            (number % 2 == 0 ? leat_store_seal_here : leat_store_seal)(store);
        } else if (leat_store_filling_bytes(store) > 1 << 20) {
            struct pollfd item = {.fd = leat_store_fd(store), .events = POLLIN};
            (void)poll(&item, 1, -1);
        }
    }
}

/* ---- the test ---- */

static pid_t start_writer(const char *path, int *ret_fd)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        const char *kind = store_directory_has_journal ? "--journaled-writer" : "--writer";
        execl("/proc/self/exe", "writer", kind, path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *ret_fd = ends[0];
    return pid;
}

/* Reads reports until there have been `limit` of them (then kills the writer) and on to the pipe's
 * end. Notes the last numbers that were sealed: one batch may be on its way, and one before it. */
static void read_reports(int fd, pid_t pid, uint64_t limit, uint64_t sealed[2], uint64_t *durable)
{
    struct report report;
    uint64_t count = 0;
    while (read(fd, &report, sizeof report) == (ssize_t)sizeof report) {
        if (report.is_durable) {
            *durable = report.number;
        } else {
            sealed[0] = sealed[1];
            sealed[1] = report.number;
        }
        if (++count == limit) {
            assert_int_equal(kill(pid, SIGKILL), 0);
        }
    }
    assert_true(count >= limit);
    close(fd);
}

static bool check_record(struct leat_bytes key, struct leat_bytes value, void *context)
{
    uint64_t *number = context;
    uint8_t bytes[8];
    struct leat_bytes expected = number_key(*number, bytes);
    assert_int_equal(key.size, expected.size);
    assert_memory_equal(key.data, expected.data, key.size);
    expected = store_model_value(*number);
    assert_int_equal(value.size, expected.size);
    if (value.size > 0) {
        assert_memory_equal(value.data, expected.data, value.size);
    }
    (*number)++;
    return true;
}

static void check_state(struct leat_store *store, uint64_t last)
{
    uint64_t next = last > KEPT ? last - KEPT + 1 : 1;
    assert_int_equal(
        leat_store_scan(store, RECORDS, (struct leat_bytes){NULL, 0}, check_record, &next),
        LEAT_OK);
    assert_int_equal(next, last + 1);
}

static void a_killed_writer_leaves_whole_batches_and_all_durable_ones(void **state)
{
    struct store_directory *directory = *state;
    struct leat_rng rng;
    leat_rng_init(&rng, store_model_seed());
    uint64_t before = 0;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t sealed[2] = {before, before};
        uint64_t durable = before;
        int fd;
        pid_t pid = start_writer(directory->path, &fd);
        read_reports(fd, pid, 1 + leat_rng_below(&rng, 100), sealed, &durable);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        struct leat_store *store = store_directory_open(directory);
        uint64_t last = last_number(store);
        if (last != sealed[1] && last != sealed[0]) {
            fail_msg("found %llu, sealed were %llu and %llu", (unsigned long long)last,
                     (unsigned long long)sealed[0], (unsigned long long)sealed[1]);
        }
        assert_true(last >= durable);
        check_state(store, last);
        leat_store_close(&store);
        before = last;
    }
    assert_true(before > KEPT);
}

static int setup_journaled(void **state)
{
    store_directory_has_journal = true;
    return store_directory_setup(state);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        store_directory_has_journal = strcmp(argv[1], "--journaled-writer") == 0;
        return run_writer(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        {"lmdb", a_killed_writer_leaves_whole_batches_and_all_durable_ones, store_directory_setup,
         store_directory_teardown, NULL},
        {"journaled", a_killed_writer_leaves_whole_batches_and_all_durable_ones, setup_journaled,
         store_directory_teardown, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
