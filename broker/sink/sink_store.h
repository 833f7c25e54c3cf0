/* The sink's typed store: what it must still know after a crash, in structs of the core, kept as
 * checked records (broker/sink/sink_record.h) in the tables of a store/store.h.
 *
 *   META      "state"         -> struct leat_sink_meta
 *   RESULTS   id              -> when it was stored, its latest number in the stream, the result
 *   AGE       stored_us | id  -> its first number in the stream; one row per success
 *   FAILURES  stored_us | id  -> its first number, rerun flag, the result without output, body and
 *                                headers; one row per result that is no success
 *   SETTLE    number          -> id
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
    LEAT_SINK_TABLE_AGE = 2,
    LEAT_SINK_TABLE_FAILURES = 3,
    LEAT_SINK_TABLE_SETTLE = 4,
};

struct leat_sink_store;

/* `store` is borrowed. Never NULL. */
struct leat_sink_store *leat_sink_store_new(struct leat_store *store);
/* Accepts NULL; leaves NULL. The store underneath stays open. */
void leat_sink_store_destroy(struct leat_sink_store **store);

struct leat_sink_meta {
    struct leat_id stream;
    uint64_t base;      /* the stream counts from here: the ventilator's 1 is base + 1 */
    uint64_t trimmed;   /* numbers up to this one are deleted */
    uint64_t confirmed; /* numbers up to this one are on the ventilator's disk */
    uint64_t told;      /* last number that was ever sent: no ventilator can know a later one */
    uint64_t last;      /* last number given; 0: none */
    uint64_t successes; /* rows of AGE */
    uint64_t failures;  /* rows of FAILURES */
    uint64_t recorded_total;
    int64_t steady_us; /* the steady clock at the last save */
};

/* LEAT_ERR_NOT_FOUND: the store is fresh. */
LEAT_MUST_USE enum leat_err leat_sink_store_load(struct leat_sink_store *store,
                                                 struct leat_sink_meta *ret_meta,
                                                 struct leat_why *why);
void leat_sink_store_save(struct leat_sink_store *store, const struct leat_sink_meta *meta);

/* ---- results ---- */

struct leat_sink_kept {
    struct leat_wall stored;
    uint64_t number; /* its latest number in the stream */
    bool success;
};

/* LEAT_ERR_NOT_FOUND: no result is kept for the id. */
LEAT_MUST_USE enum leat_err leat_sink_store_find(struct leat_sink_store *store,
                                                 const struct leat_id *id,
                                                 struct leat_sink_kept *ret_kept);
/* Records a first result and gives it `number` in the stream. LEAT_ERR_MEMORY: nothing was written.
 */
LEAT_MUST_USE enum leat_err leat_sink_store_record(struct leat_sink_store *store,
                                                   const struct leat_item_result *result,
                                                   struct leat_wall stored, uint64_t number);
/* Gives a recorded result one more number in the stream. A damaged record is left as it is; the
 * stream gets the number all the same. LEAT_OK or LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_sink_store_settle_again(struct leat_sink_store *store,
                                                         const struct leat_id *id, uint64_t number);
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

/* ---- age ---- */

struct leat_sink_oldest {
    struct leat_id id;
    struct leat_wall stored;
    uint64_t number; /* its first number in the stream */
};

/* The success (or else: the failure) that was stored first. LEAT_ERR_NOT_FOUND: there is none. */
LEAT_MUST_USE enum leat_err leat_sink_store_oldest(struct leat_sink_store *store, bool success,
                                                   struct leat_sink_oldest *ret_oldest);
/* Removes the result and its row. */
void leat_sink_store_remove(struct leat_sink_store *store, bool success,
                            const struct leat_sink_oldest *oldest);

/* ---- the stream ---- */

/* Reads the ids numbered first, first + 1... up to `max`, stopping at the end of the stream. */
LEAT_MUST_USE enum leat_err leat_sink_store_stream(struct leat_sink_store *store, uint64_t first,
                                                   size_t max, struct leat_item_job_id *ret_ids,
                                                   size_t *ret_count);
/* Makes rows of the stream from first to last that are missing or damaged again, from what the
 * other tables say; reads all of them. *ret_mended: how many. LEAT_ERR_CORRUPT: no result is left
 * that could stand in; LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_sink_store_mend_stream(struct leat_sink_store *store,
                                                        uint64_t first, uint64_t last,
                                                        size_t *ret_mended);
/* Deletes the numbers from first to last. */
void leat_sink_store_trim(struct leat_sink_store *store, uint64_t first, uint64_t last);

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
