/* The sink's typed store: what it must still know after a crash, in structs of the core, kept as
 * checked records (broker/sink/sink_record.h) in the tables of a store/store.h.
 *
 * - META: "state" -> struct leat_sink_meta;
 * - RESULTS: id -> when it was stored, its first and latest number, the result;
 * - LOG: last number -> a block: which job each number stands for, and when they were stored;
 * - FAILURES: stored_us | id -> its first number, rerun flag, the result without output, body and
 *   headers; one row per result that is no success.
 *
 * The log is the stream of settled ids and the order of age at once: results are stored in the
 * order of their numbers. What one step records is one block, so a success costs one row of its
 * own. A block lies under its last number, so that the block of any number is found by looking from
 * it.
 *
 * Age is counted from the sink's own steady clock (stored_us), not from finished_us: the clock of a
 * worker may be wrong by years, and what it says must not make the sink forget or keep for ever.
 *
 * Calls that read return LEAT_ERR_IO when the store is broken (end the process) and
 * LEAT_ERR_CORRUPT for a damaged record. Writes go into the batch being filled. One thread only. */
#ifndef LEAT_SINK_SINK_STORE_H
#define LEAT_SINK_SINK_STORE_H

#include "core/arena.h"
#include "core/err.h"
#include "core/instant.h"
#include "core/messages.h"
#include "store/store.h"

enum leat_sink_table {
    LEAT_SINK_TABLE_META = 0,
    LEAT_SINK_TABLE_RESULTS = 1,
    LEAT_SINK_TABLE_LOG = 2,
    LEAT_SINK_TABLE_FAILURES = 3,
};

/* What a number of the log stands for. */
enum leat_sink_entry {
    LEAT_SINK_ENTRY_REPEAT = 0,  /* no first result: its job was settled before, or is not known */
    LEAT_SINK_ENTRY_SUCCESS = 1, /* the first result of its job, kept until the number is retired */
    LEAT_SINK_ENTRY_FAILURE = 2, /* the same, but kept by its row in FAILURES */
};

struct leat_sink_store;

/* `store` is borrowed. Never NULL. */
struct leat_sink_store *leat_sink_store_new(struct leat_store *store);
/* Accepts NULL; leaves NULL. The store underneath stays open. */
void leat_sink_store_destroy(struct leat_sink_store **store);

struct leat_sink_meta {
    struct leat_id stream;
    uint64_t base;      /* the stream counts from here: the ventilator's 1 is base + 1 */
    uint64_t trimmed;   /* the log has nothing up to this number any more */
    uint64_t confirmed; /* numbers up to this one are on the ventilator's disk */
    uint64_t told;      /* last number that was ever sent: no ventilator can know a later one */
    uint64_t last;      /* last number given; 0: none */
    uint64_t successes; /* kept; each has its entry in the log */
    uint64_t failures;  /* rows of FAILURES */
    uint64_t recorded_total;
    int64_t steady_us; /* the steady clock at the last save */
    uint64_t repeats;  /* REPEAT entries in the log */
};

/* LEAT_ERR_NOT_FOUND: the store is fresh. */
LEAT_MUST_USE enum leat_err leat_sink_store_load(struct leat_sink_store *store,
                                                 struct leat_sink_meta *ret_meta,
                                                 struct leat_why *why);
void leat_sink_store_save(struct leat_sink_store *store, const struct leat_sink_meta *meta);

/* ---- results ---- */

struct leat_sink_kept {
    struct leat_wall stored;
    uint64_t first;  /* its first number in the stream */
    uint64_t number; /* its latest one */
    bool success;
};

/* LEAT_ERR_NOT_FOUND: no result is kept for the id. */
LEAT_MUST_USE enum leat_err leat_sink_store_find(struct leat_sink_store *store,
                                                 const struct leat_id *id,
                                                 struct leat_sink_kept *ret_kept);
/* Records a first result and gives it `number`, the next one. LEAT_ERR_MEMORY: nothing was written.
 */
LEAT_MUST_USE enum leat_err leat_sink_store_record(struct leat_sink_store *store,
                                                   const struct leat_item_result *result,
                                                   struct leat_wall stored, uint64_t number);
/* Gives a recorded result one more number, the next one. A damaged record is left as it is; the log
 * gets the number all the same. LEAT_OK or LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_sink_store_settle_again(struct leat_sink_store *store,
                                                         const struct leat_id *id,
                                                         struct leat_wall stored, uint64_t number);
/* Writes what was given numbers since the last call as a block. At the end of what a step records,
 * and before the log is read. */
void leat_sink_store_close_block(struct leat_sink_store *store);
/* Copies the result into the arena; output, body and headers only `with_output`.
 * LEAT_ERR_NOT_FOUND; LEAT_ERR_LIMIT: the arena is full, and nothing is returned. */
LEAT_MUST_USE enum leat_err leat_sink_store_read(struct leat_sink_store *store,
                                                 const struct leat_id *id, bool with_output,
                                                 struct leat_arena *arena,
                                                 struct leat_item_result *ret_result);
/* Marks a failure as run again. LEAT_ERR_NOT_FOUND: no failure with that id;
 * LEAT_ERR_EXISTS: marked before. */
LEAT_MUST_USE enum leat_err leat_sink_store_mark_rerun(struct leat_sink_store *store,
                                                       const struct leat_id *id);

/* ---- failures by age ---- */

struct leat_sink_failure {
    struct leat_id id;
    struct leat_wall stored;
    uint64_t number; /* its first number in the stream */
};

/* The failure that was stored first. LEAT_ERR_NOT_FOUND: there is none. */
LEAT_MUST_USE enum leat_err leat_sink_store_oldest_failure(struct leat_sink_store *store,
                                                           struct leat_sink_failure *ret_oldest);
/* Removes the result and its row. */
void leat_sink_store_remove_failure(struct leat_sink_store *store,
                                    const struct leat_sink_failure *failure);

/* ---- the log ---- */

/* Reads the ids numbered first, first + 1... up to `max`, stopping at the end of the log. */
LEAT_MUST_USE enum leat_err leat_sink_store_stream(struct leat_sink_store *store, uint64_t first,
                                                   size_t max, struct leat_item_job_id *ret_ids,
                                                   size_t *ret_count);

struct leat_sink_block {
    uint64_t first, last;
    struct leat_wall stored;
};

/* The block that holds `number`. LEAT_ERR_NOT_FOUND: the log has nothing from there on. */
LEAT_MUST_USE enum leat_err leat_sink_store_block(struct leat_sink_store *store, uint64_t number,
                                                  struct leat_sink_block *ret_block);

struct leat_sink_retired {
    uint64_t successes; /* results removed */
    uint64_t repeats;   /* entries that were none */
};

/* Retires the numbers from `first` to `last`, all of one block: removes the successes among them,
 * and the block with its last number. */
LEAT_MUST_USE enum leat_err leat_sink_store_retire(struct leat_sink_store *store, uint64_t first,
                                                   uint64_t last,
                                                   struct leat_sink_retired *ret_retired);

/* Looks at every number from trimmed + 1 to last, and makes blocks anew that are damaged or
 * missing, from what the results know of their numbers; a number of which nothing is known any more
 * stands for nobody. *ret_lost is how many numbers were in such blocks. For the start. LEAT_ERR_IO;
 * LEAT_ERR_CORRUPT: more numbers are missing than any sink has. */
LEAT_MUST_USE enum leat_err leat_sink_store_repair_log(struct leat_sink_store *store,
                                                       struct leat_sink_meta *meta,
                                                       uint64_t *ret_lost);

/* Looks at every row for --check-store: whether it is as it was sealed, and then what
 * leat_sink_store_check looks at. LEAT_OK: what is wrong was told; LEAT_ERR_IO. */
struct leat_examination;
LEAT_MUST_USE enum leat_err leat_sink_store_examine(struct leat_sink_store *store,
                                                    struct leat_examination *examination);

/* ---- for tests and the simulation ---- */

/* Visits every kept result in the order of ids until `visit` returns false; without output, body
 * and headers; borrowed for the visit. */
typedef bool leat_sink_store_visit_fn(const struct leat_item_result *result,
                                      const struct leat_sink_kept *kept, void *context);
LEAT_MUST_USE enum leat_err leat_sink_store_each(struct leat_sink_store *store,
                                                 leat_sink_store_visit_fn *visit, void *context);
/* See leat_sink_check. */
LEAT_MUST_USE enum leat_err leat_sink_store_check(struct leat_sink_store *store,
                                                  const struct leat_sink_meta *meta,
                                                  struct leat_why *why);

#endif
