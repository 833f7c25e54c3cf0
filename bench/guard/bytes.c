/* The stages without a core: the messages that a job travels in, and the commits that it is part
 * of. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/guard/guard.h"
#include "store/journaled.h"
#include "store/lmdb.h"

/* ---- codec: SUBMIT, JOBS, RESULTS, SETTLED, there and back ---- */

struct codec {
    struct leat_wire_buffer frame;
    struct leat_arena arena;
    struct leat_msg messages[4];
};

static void *begin_codec(void)
{
    struct codec *stage = calloc(1, sizeof *stage);
    leat_arena_init(&stage->arena, LEAT_OUT_BYTES_MAX);
    return stage;
}

static void there_and_back(void *context)
{
    struct codec *stage = context;
    for (size_t i = 0; i < 4; i++) {
        struct leat_msg decoded;
        struct leat_why why;
        leat_wire_buffer_clear(&stage->frame);
        leat_arena_clear(&stage->arena);
        guard_check(leat_wire_encode(&stage->messages[i], &stage->frame), "encode");
        guard_check(
            leat_wire_decode(leat_wire_buffer_view(&stage->frame), &stage->arena, &decoded, &why),
            "decode");
    }
}

static void run_codec(void *context, uint64_t first, uint64_t batches)
{
    struct codec *stage = context;
    struct leat_now now = {1000000, {INT64_C(1700000000) * LEAT_US_PER_S}};
    for (uint64_t batch = first; batch < first + batches; batch++) {
        struct leat_msg *messages = stage->messages;
        memset(messages, 0, sizeof stage->messages);
        messages[0].type = LEAT_MSG_SUBMIT;
        messages[0].submit.producer = guard_id('p', 1);
        messages[0].submit.batch = batch + 1;
        messages[0].submit.jobs.items = guard_submissions(batch);
        messages[0].submit.jobs.count = GUARD_BATCH;
        messages[1].type = LEAT_MSG_JOBS;
        messages[1].jobs.round = 1;
        messages[1].jobs.number = batch + 1;
        messages[1].jobs.jobs.items = guard_deliveries(batch, now);
        messages[1].jobs.jobs.count = GUARD_BATCH;
        messages[2].type = LEAT_MSG_RESULTS;
        messages[2].results.sender = guard_id('s', 1);
        messages[2].results.batch = batch + 1;
        messages[2].results.results.items = guard_results(batch, now);
        messages[2].results.results.count = GUARD_BATCH;
        messages[3].type = LEAT_MSG_SETTLED;
        messages[3].settled.stream = guard_id('t', 1);
        messages[3].settled.first = batch * GUARD_BATCH + 1;
        messages[3].settled.jobs.items = guard_job_ids(batch);
        messages[3].settled.jobs.count = GUARD_BATCH;
        guard_work(there_and_back, stage);
    }
}

static void end_codec(void *context)
{
    struct codec *stage = context;
    leat_arena_fini(&stage->arena);
    leat_wire_buffer_fini(&stage->frame);
    free(stage);
}

const struct guard_stage guard_codec = {"codec",
                                        "SUBMIT, JOBS, RESULTS, SETTLED, encoded and decoded",
                                        begin_codec, run_codec, end_codec};

/* ---- lmdb, journal: a job's rows put and later deleted, a commit per batch ----
 *
 * Commits have threads of their own, so these stages are counted as a whole: guard.py takes the
 * difference of a long and a short run. In the journal a row is added and deleted before anything
 * is applied: LMDB never has it. */

#define JOBS      0
#define ORDER     1
#define LAG       16 /* batches between put and delete */
#define PATH_SIZE 64

struct disk {
    struct leat_store *store;
    bool has_journal;
    char path[PATH_SIZE];
};

static void *begin_disk(bool has_journal)
{
    static const char *const tables[] = {"jobs", "order"};
    struct leat_store_options options = {.role = "guard",
                                         .tables = tables,
                                         .table_count = 2,
                                         .max_bytes =
                                             256 << 20, /* valgrind has no room for a large map */
                                         .map_bytes = 256 << 20,
                                         .journal_bytes = 64 << 20,  /* more than a run writes */
                                         .journal_age_ms = 3600000}; /* and longer than it takes */
    struct disk *stage = calloc(1, sizeof *stage);
    struct leat_why why;
    const char *parent = getenv("TMPDIR");
    stage->has_journal = has_journal;
    snprintf(stage->path, sizeof stage->path, "%.40s/leat-guard.XXXXXX",
             parent == NULL ? "/tmp" : parent);
    if (mkdtemp(stage->path) == NULL) {
        guard_stop(stage->path, "cannot be made");
    }
    enum leat_err err = has_journal
                            ? leat_store_open_journaled(stage->path, &options, &stage->store, &why)
                            : leat_store_open_lmdb(stage->path, &options, &stage->store, &why);
    if (err != LEAT_OK) {
        guard_stop("store", why.text);
    }
    return stage;
}

static void *begin_lmdb(void)
{
    return begin_disk(false);
}

static void *begin_journal(void)
{
    return begin_disk(true);
}

static void change_batch(struct leat_store *store, uint64_t batch, bool is_put)
{
    static uint8_t record[208]; /* 128 bytes of payload and what belongs to them */
    for (uint64_t i = 0; i < GUARD_BATCH; i++) {
        struct leat_id id = guard_id('j', batch * GUARD_BATCH + i);
        struct leat_bytes key = leat_bytes_of(id.bytes, sizeof id.bytes);
        struct leat_bytes order = leat_bytes_of(id.bytes + 4, 12);
        if (is_put) {
            leat_store_add(store, JOBS, key, leat_bytes_of(record, sizeof record));
            leat_store_add(store, ORDER, order, key);
        } else {
            leat_store_del(store, JOBS, key);
            leat_store_del(store, ORDER, order);
        }
    }
}

static void run_disk(void *context, uint64_t first, uint64_t batches)
{
    struct disk *stage = context;
    struct leat_why why;
    for (uint64_t batch = first; batch < first + batches; batch++) {
        change_batch(stage->store, batch, true);
        if (batch >= LAG) {
            change_batch(stage->store, batch - LAG, false);
        }
        if (leat_store_sync(stage->store, &why) != LEAT_OK) {
            guard_stop("commit", why.text);
        }
    }
}

static void end_disk(void *context)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "leat.lock", "journal-0",
                                        "journal-1"};
    struct disk *stage = context;
    const size_t file_count = sizeof files / sizeof files[0] - (stage->has_journal ? 0 : 2);
    char path[PATH_SIZE + 16];
    leat_store_close(&stage->store);
    for (size_t i = 0; i < file_count; i++) {
        snprintf(path, sizeof path, "%s/%s", stage->path, files[i]);
        if (unlink(path) != 0) {
            guard_stop(path, "cannot be removed");
        }
    }
    (void)rmdir(stage->path);
    free(stage);
}

const struct guard_stage guard_lmdb = {"lmdb",
                                       "two rows put and later deleted, a commit per 256 jobs",
                                       begin_lmdb, run_disk, end_disk};
const struct guard_stage guard_journal = {"journal", "the same, and all of it in the journal alone",
                                          begin_journal, run_disk, end_disk};
