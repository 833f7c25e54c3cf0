/* How fast the store takes in and gives back what a ventilator writes: per job one record with a
 * 128-byte payload, one entry in a queue's order, and both deleted when the job has ended.
 *
 *   store_bench [DIRECTORY [JOBS [BATCH_JOBS]]]
 *
 * Without DIRECTORY, or with "-", the memory store. BATCH_JOBS bounds the batch that fills while
 * one is on its way; a batch is sealed as soon as the disk is free, as the broker's shell does. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/lmdb.h"
#include "store/memory.h"

#define JOBS  0 /* table: id -> record */
#define ORDER 1 /* table: lane, number -> id */

struct bench {
    struct leat_store *store;
    bool is_memory;
    uint64_t jobs;
    uint64_t batch_jobs;
    uint64_t commits;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void stop_on(enum leat_err err, const struct leat_why *why)
{
    if (err != LEAT_OK) {
        fprintf(stderr, "store_bench: %s\n", why->text);
        exit(1);
    }
}

static void put_number(uint8_t *bytes, uint64_t number)
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    }
}

/* Like a UUIDv7: ascending by time, with random bits behind. */
static struct leat_bytes job_id(uint64_t number, uint8_t bytes[16])
{
    put_number(bytes, number);
    put_number(bytes + 8, number * 0x9e3779b97f4a7c15U);
    return leat_bytes_of(bytes, 16);
}

/* Four lanes, so that the order table is not written at its end alone. */
static struct leat_bytes order_key(uint64_t number, uint8_t bytes[12])
{
    memset(bytes, 0, 4);
    bytes[3] = (uint8_t)(number % 4);
    put_number(bytes + 4, number);
    return leat_bytes_of(bytes, 12);
}

static void put_job(struct leat_store *store, uint64_t number)
{
    static uint8_t record[208]; /* 128 bytes of payload and what belongs to them */
    uint8_t id[16];
    uint8_t order[12];
    put_number(record, number);
    leat_store_put(store, JOBS, job_id(number, id), leat_bytes_of(record, sizeof record));
    leat_store_put(store, ORDER, order_key(number, order), leat_bytes_of(id, sizeof id));
}

static void read_job(struct leat_store *store, uint64_t number)
{
    uint8_t id[16];
    struct leat_bytes found;
    struct leat_why why;
    if (leat_store_get(store, JOBS, job_id(number, id), &found) != LEAT_OK) {
        stop_on(leat_fail(&why, LEAT_ERR_NOT_FOUND, "job %llu is gone", (unsigned long long)number),
                &why);
    }
}

static void del_job(struct leat_store *store, uint64_t number)
{
    uint8_t id[16];
    uint8_t order[12];
    leat_store_del(store, JOBS, job_id(number, id));
    leat_store_del(store, ORDER, order_key(number, order));
}

/* Seals when the disk is free; waits when the batch is as big as it may get. */
static void turn(struct bench *bench, bool is_full)
{
    struct leat_why why;
    do {
        if (bench->is_memory) {
            leat_store_memory_complete(bench->store);
        } else if (is_full && leat_store_is_committing(bench->store)) {
            struct pollfd item = {.fd = leat_store_fd(bench->store), .events = POLLIN};
            (void)poll(&item, 1, -1);
        }
        stop_on(leat_store_advance(bench->store, &why), &why);
    } while (is_full && leat_store_is_committing(bench->store));
    if (!leat_store_is_committing(bench->store)) {
        leat_store_seal(bench->store);
        bench->commits++;
    }
}

typedef void work_fn(struct leat_store *store, uint64_t number);

static void run(struct bench *bench, const char *name, work_fn *work, bool is_writing)
{
    struct leat_why why;
    double start_s = now_s();
    bench->commits = 0;
    uint64_t sealed = 0;
    for (uint64_t i = 0; i < bench->jobs; i++) {
        work(bench->store, i);
        if (is_writing && (i + 1) % 64 == 0) { /* a broker looks once per message, not per job */
            uint64_t before = bench->commits;
            turn(bench, i + 1 - sealed >= bench->batch_jobs);
            sealed = bench->commits != before ? i + 1 : sealed;
        }
    }
    if (is_writing) {
        stop_on(leat_store_sync(bench->store, &why), &why);
    }
    double seconds = now_s() - start_s;
    printf("%-28s %9.0f jobs/s", name, (double)bench->jobs / seconds);
    if (is_writing) {
        printf("  %6llu commits  %7.0f jobs each", (unsigned long long)bench->commits,
               (double)bench->jobs / (double)bench->commits);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static const char *const tables[] = {"jobs", "order"};
    struct leat_store_options options = {.role = "bench", .tables = tables, .table_count = 2};
    const char *path = argc > 1 ? argv[1] : "-";
    struct bench bench = {
        .is_memory = strcmp(path, "-") == 0,
        .jobs = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000,
        .batch_jobs = argc > 3 ? strtoull(argv[3], NULL, 10) : 16384,
    };
    struct leat_why why;
    if (bench.is_memory) {
        bench.store = leat_store_open_memory();
    } else {
        stop_on(leat_store_open_lmdb(path, &options, &bench.store, &why), &why);
    }
    run(&bench, "put (2 records per job)", put_job, true);
    run(&bench, "get", read_job, false);
    run(&bench, "delete (2 records per job)", del_job, true);
    leat_store_close(&bench.store);
    return 0;
}
