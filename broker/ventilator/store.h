/* The ventilator's typed store: what it must still know after a crash, in structs of the core, kept
 * as checked records (broker/ventilator/records.def) in the tables of a store/store.h.
 *
 *   META       "state"                   -> the stream and how far it is settled, the steady clock,
 *                                           bytes of all bodies, the next seq
 *   LANES      lane                      -> queue, type
 *   COUNTS     lane                      -> how many jobs it has in READY, SCHEDULED, RETRYING
 *   QUEUES     name                      -> paused
 *   PRODUCERS  producer                  -> last batch, when
 *   IDS        id                        -> its place: which of the next tables holds it; one that
 * is said to be in READY and is not there is settled READY      lane | seq | id           -> job;
 * ready and leased jobs alike: leases are not stored SCHEDULED  due_ms | lane | seq | id  -> job
 * waiting for its not-before (wall clock) RETRYING   due_ms | lane | seq | id  -> job waiting for
 * its next attempt (steady clock) ENDING     id                        -> final result that the
 * ventilator itself reports BODIES     id                        -> body of a job whose body is
 * large EXPIRY     expires_at_ms | id        -> (one row per job that has one) SETTLED    number ->
 * ids settled together and when; IDS knows each as settled
 *
 * The key of a job's row holds its id, so that a job whose record is damaged can still be told from
 * others, and ends as failed instead of vanishing. Bodies over LEAT_VENTILATOR_INLINE_BYTES live in
 * a table of their own: reading ahead, retrying and counting do not touch them.
 *
 * Calls that read return LEAT_ERR_IO when the store is broken (end the process) and
 * LEAT_ERR_CORRUPT for a damaged record. Writes go into the batch being filled. One thread only. */
#ifndef LEAT_VENTILATOR_STORE_H
#define LEAT_VENTILATOR_STORE_H

#include "core/arena.h"
#include "core/err.h"
#include "core/instant.h"
#include "core/messages.h"
#include "store/store.h"

#define LEAT_VENTILATOR_INLINE_BYTES 1024

enum leat_ventilator_table {
    LEAT_VENTILATOR_TABLE_META = 0,
    LEAT_VENTILATOR_TABLE_LANES = 1,
    LEAT_VENTILATOR_TABLE_QUEUES = 2,
    LEAT_VENTILATOR_TABLE_PRODUCERS = 3,
    LEAT_VENTILATOR_TABLE_IDS = 4,
    LEAT_VENTILATOR_TABLE_READY = 5,
    LEAT_VENTILATOR_TABLE_SCHEDULED = 6,
    LEAT_VENTILATOR_TABLE_RETRYING = 7,
    LEAT_VENTILATOR_TABLE_ENDING = 8,
    LEAT_VENTILATOR_TABLE_BODIES = 9,
    LEAT_VENTILATOR_TABLE_EXPIRY = 10,
    LEAT_VENTILATOR_TABLE_SETTLED = 11,
    LEAT_VENTILATOR_TABLE_COUNTS = 12,
};

/* Names of the tables, in that order, for leat_store_open_lmdb. */
#define LEAT_VENTILATOR_TABLES 13
extern const char *const leat_ventilator_table_names[LEAT_VENTILATOR_TABLES];

struct leat_ventilator_store;

/* `store` is borrowed. Never NULL. */
struct leat_ventilator_store *leat_ventilator_store_new(struct leat_store *store);
/* Accepts NULL; leaves NULL. The store underneath stays open. */
void leat_ventilator_store_destroy(struct leat_ventilator_store **store);

/* Whether there is room for new jobs; memory that the filling batch takes; why the store is broken.
 */
bool leat_ventilator_store_has_room(const struct leat_ventilator_store *store);
uint64_t leat_ventilator_store_filling_bytes(const struct leat_ventilator_store *store);
const char *leat_ventilator_store_error(const struct leat_ventilator_store *store);

struct leat_ventilator_meta {
    struct leat_id stream; /* the sink's; all zero at first */
    uint64_t settled;      /* last number of it that was taken */
    int64_t steady_ms;     /* the steady clock at the last save */
    uint64_t bytes;        /* of the bodies of all jobs */
    uint64_t next_seq;
    bool damaged; /* damage was found since all jobs were counted; numbers are inexact */
};

/* Looks for the latest id in IDS, so that later ones need no look any more; until then each is
 * looked up. Once, before the first job is added. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_learn_ids(struct leat_ventilator_store *store);

/* LEAT_ERR_NOT_FOUND: the store is fresh. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_load(struct leat_ventilator_store *store,
                                                       struct leat_ventilator_meta *ret_meta,
                                                       struct leat_why *why);
void leat_ventilator_store_save(struct leat_ventilator_store *store,
                                const struct leat_ventilator_meta *meta);

/* ---- jobs ---- */

enum leat_ventilator_where {
    LEAT_VENTILATOR_READY = 1,
    LEAT_VENTILATOR_SCHEDULED = 2,
    LEAT_VENTILATOR_RETRYING = 3,
    LEAT_VENTILATOR_ENDING = 4,
    LEAT_VENTILATOR_SETTLED = 5,
};

struct leat_ventilator_place {
    enum leat_ventilator_where where;
    uint32_t lane;  /* of the first three */
    uint64_t seq;   /* of the first three: order of acceptance, unique among jobs */
    int64_t due_ms; /* of SCHEDULED and RETRYING, else 0 */
};

struct leat_ventilator_job {
    uint64_t attempt;      /* the attempt that runs or comes next, from 1 */
    uint64_t lost;         /* deliveries that ended with a lost worker */
    uint64_t delivery;     /* last delivery number that can never be valid again; a lease has + 1 */
    int64_t expires_at_ms; /* 0: never */
    int64_t accepted_us;
    int64_t ready_us;
    uint64_t body_bytes;
};

/* LEAT_ERR_NOT_FOUND: the id is unknown. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_find(struct leat_ventilator_store *store,
                                                       const struct leat_id *id,
                                                       struct leat_ventilator_place *ret_place);
/* The id of a new job will be looked for soon. */
void leat_ventilator_store_prefetch(const struct leat_ventilator_store *store,
                                    const struct leat_id *id);
/* A new job: row, place, body, expiry. */
void leat_ventilator_store_add(struct leat_ventilator_store *store, const struct leat_id *id,
                               const struct leat_ventilator_place *place,
                               const struct leat_ventilator_job *job, struct leat_bytes body);
/* The job at its place (one of the first three). With ret_body: the body too, copied into the
 * arena, or, from LEAT_STORE_LARGE_BYTES on, borrowed from the store until the job is written again
 * or deleted, or the store is sealed or advances. LEAT_ERR_MEMORY: the arena is full.
 * LEAT_ERR_NOT_FOUND or LEAT_ERR_CORRUPT: damaged. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_read(struct leat_ventilator_store *store,
                                                       const struct leat_id *id,
                                                       const struct leat_ventilator_place *place,
                                                       struct leat_ventilator_job *ret_job,
                                                       struct leat_arena *arena,
                                                       struct leat_bytes *ret_body);
/* Moves a job between the first three places (which may be the same one) and replaces its record
 * but for the body. Errors as for read, and then nothing is changed. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_move(struct leat_ventilator_store *store,
                                                       const struct leat_id *id,
                                                       const struct leat_ventilator_place *from,
                                                       const struct leat_ventilator_place *to,
                                                       const struct leat_ventilator_job *job);
/* Ends a job that is at `from`: its row becomes a final result in ENDING. `result` has everything
 * but the body and the headers; a body that cannot be read is left out. LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_end(struct leat_ventilator_store *store,
                                                      const struct leat_id *id,
                                                      const struct leat_ventilator_place *from,
                                                      int64_t expires_at_ms,
                                                      const struct leat_item_result *result);
/* Settles a job: everything of it goes, but its id stays known. One that was in READY, as nearly
 * all are, keeps its place: nothing has to be written that its row's not being there does not say.
 * For READY, SCHEDULED and RETRYING the caller gives what it knows of the job. */
void leat_ventilator_store_settle(struct leat_ventilator_store *store, const struct leat_id *id,
                                  const struct leat_ventilator_place *place, int64_t expires_at_ms,
                                  uint64_t body_bytes);

/* Visits the jobs of one lane in READY with seq >= from in order, until `visit` returns false.
 * `visit` must not call the store, but may read the row at hand. */
struct leat_ventilator_store_row;
typedef bool leat_ventilator_store_ready_fn(const struct leat_id *id, uint64_t seq,
                                            const struct leat_ventilator_store_row *row,
                                            void *context);
/* The row of the job that is being visited; the body borrows for the visit. LEAT_ERR_CORRUPT: the
 * record is damaged; LEAT_ERR_LIMIT: the body is large and lies apart. */
LEAT_MUST_USE enum leat_err
leat_ventilator_store_read_row(const struct leat_ventilator_store_row *row,
                               struct leat_ventilator_job *ret_job, struct leat_bytes *ret_body);
LEAT_MUST_USE enum leat_err leat_ventilator_store_each_ready(struct leat_ventilator_store *store,
                                                             uint32_t lane, uint64_t from,
                                                             leat_ventilator_store_ready_fn *visit,
                                                             void *context);

/* Visits every job of one of the first three places, in the order of keys. `job` is NULL when the
 * record is damaged. `visit` must not call the store. */
typedef bool leat_ventilator_store_job_fn(const struct leat_id *id,
                                          const struct leat_ventilator_place *place,
                                          const struct leat_ventilator_job *job, void *context);
LEAT_MUST_USE enum leat_err leat_ventilator_store_each_job(struct leat_ventilator_store *store,
                                                           enum leat_ventilator_where where,
                                                           leat_ventilator_store_job_fn *visit,
                                                           void *context);

/* Takes the row of a job out of its table, and nothing else that there may be of it. */
void leat_ventilator_store_drop_row(struct leat_ventilator_store *store, const struct leat_id *id,
                                    const struct leat_ventilator_place *place);
/* The first lane from `from` on that has a job in READY. LEAT_ERR_NOT_FOUND: none. Looks at one
 * row, however many there are. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_next_ready(struct leat_ventilator_store *store,
                                                             uint32_t from, uint32_t *ret_lane);

/* ---- what has a time ---- */

/* The job of SCHEDULED or RETRYING that is due first. LEAT_ERR_NOT_FOUND: none. */
LEAT_MUST_USE enum leat_err
leat_ventilator_store_first_due(struct leat_ventilator_store *store,
                                enum leat_ventilator_where where, struct leat_id *ret_id,
                                struct leat_ventilator_place *ret_place);
/* A place in EXPIRY; all zero is before its first row. */
struct leat_ventilator_expiry {
    int64_t expires_at_ms;
    struct leat_id id;
};

/* The first row after a place. LEAT_ERR_NOT_FOUND: none. */
LEAT_MUST_USE enum leat_err
leat_ventilator_store_next_expiry(struct leat_ventilator_store *store,
                                  const struct leat_ventilator_expiry *after,
                                  struct leat_ventilator_expiry *ret_next);
void leat_ventilator_store_del_expiry(struct leat_ventilator_store *store, const struct leat_id *id,
                                      int64_t expires_at_ms);

/* ---- results that the ventilator reports ---- */

/* The first ids in ENDING after `after` (all zero: from the beginning), at most `max`. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_endings(struct leat_ventilator_store *store,
                                                          const struct leat_id *after, size_t max,
                                                          struct leat_id *ret_ids,
                                                          size_t *ret_count);
/* The result, with body and headers, copied into the arena. LEAT_ERR_NOT_FOUND, LEAT_ERR_CORRUPT,
 * LEAT_ERR_MEMORY: the arena is full. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_ending(struct leat_ventilator_store *store,
                                                         const struct leat_id *id,
                                                         struct leat_arena *arena,
                                                         struct leat_item_result *ret_result);
/* The body bytes of an ending job, for the counts. Errors as above. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_ending_bytes(struct leat_ventilator_store *store,
                                                               const struct leat_id *id,
                                                               uint64_t *ret_body_bytes);

/* ---- settled ids ---- */

/* Remembers which ids were settled together, to forget them in that order. at_ms: steady clock. */
void leat_ventilator_store_remember(struct leat_ventilator_store *store, uint64_t number,
                                    int64_t at_ms, const struct leat_item_job_id *ids,
                                    size_t count);

struct leat_ventilator_settled {
    uint64_t number;
    int64_t at_ms;
    size_t count;
    bool damaged; /* its ids cannot be read */
};

/* Visits what is remembered, oldest first. `visit` must not call the store. */
typedef bool leat_ventilator_store_settled_fn(const struct leat_ventilator_settled *settled,
                                              void *context);
LEAT_MUST_USE enum leat_err
leat_ventilator_store_each_settled(struct leat_ventilator_store *store, uint64_t from,
                                   leat_ventilator_store_settled_fn *visit, void *context);
/* The greatest number among them. LEAT_ERR_NOT_FOUND: nothing is remembered. Looks at a few rows,
 * however many there are. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_last_settled(struct leat_ventilator_store *store,
                                                               uint64_t *ret_number);
/* Forgets the ids of one such row and the row. LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_forget(struct leat_ventilator_store *store,
                                                         uint64_t number);

/* ---- lanes, queues, producers ---- */

void leat_ventilator_store_put_lane(struct leat_ventilator_store *store, uint32_t lane,
                                    struct leat_str queue, struct leat_str type);
/* And what is counted of it. */
void leat_ventilator_store_del_lane(struct leat_ventilator_store *store, uint32_t lane);
/* `visit` must not call the store. LEAT_ERR_CORRUPT: a lane cannot be read, its jobs have no queue.
 */
typedef bool leat_ventilator_store_lane_fn(uint32_t lane, struct leat_str queue,
                                           struct leat_str type, void *context);
LEAT_MUST_USE enum leat_err leat_ventilator_store_each_lane(struct leat_ventilator_store *store,
                                                            leat_ventilator_store_lane_fn *visit,
                                                            void *context, struct leat_why *why);

struct leat_ventilator_lane_counts {
    uint64_t ready; /* leased ones too */
    uint64_t scheduled, retrying;
};

void leat_ventilator_store_put_counts(struct leat_ventilator_store *store, uint32_t lane,
                                      const struct leat_ventilator_lane_counts *counts);
/* LEAT_ERR_NOT_FOUND, LEAT_ERR_CORRUPT: it must be counted anew. */
LEAT_MUST_USE enum leat_err
leat_ventilator_store_counts(struct leat_ventilator_store *store, uint32_t lane,
                             struct leat_ventilator_lane_counts *ret_counts);

/* Paused queues have a row, others have none. */
void leat_ventilator_store_put_paused(struct leat_ventilator_store *store, struct leat_str queue,
                                      bool paused);
typedef bool leat_ventilator_store_queue_fn(struct leat_str queue, void *context);
LEAT_MUST_USE enum leat_err leat_ventilator_store_each_paused(struct leat_ventilator_store *store,
                                                              leat_ventilator_store_queue_fn *visit,
                                                              void *context);

struct leat_ventilator_producer {
    uint64_t batch;  /* last batch taken */
    int64_t seen_ms; /* when, by the steady clock */
};

/* LEAT_ERR_NOT_FOUND: never heard of, or forgotten. A damaged record counts as forgotten. */
LEAT_MUST_USE enum leat_err
leat_ventilator_store_producer(struct leat_ventilator_store *store, const struct leat_id *producer,
                               struct leat_ventilator_producer *ret_producer);
void leat_ventilator_store_put_producer(struct leat_ventilator_store *store,
                                        const struct leat_id *producer,
                                        const struct leat_ventilator_producer *record);
/* Looks at up to `max` producers after *cursor and forgets those last seen more than idle_ms from
 * now_ms, in either direction. *cursor moves on, and is all zero again at the end of the table. */
LEAT_MUST_USE enum leat_err
leat_ventilator_store_sweep_producers(struct leat_ventilator_store *store, int64_t now_ms,
                                      int64_t idle_ms, size_t max, struct leat_id *cursor,
                                      size_t *ret_forgotten);

/* A job's row under an id that nobody has: when the id differs in one byte from that of a job which
 * IDS has at this place, and the row is whole but for that byte, it is put under the right id.
 * LEAT_ERR_NOT_FOUND: it is not so, and nothing was changed; LEAT_ERR_IO. */
LEAT_MUST_USE enum leat_err leat_ventilator_store_mend_id(struct leat_ventilator_store *store,
                                                          const struct leat_id *id,
                                                          const struct leat_ventilator_place *place,
                                                          struct leat_id *ret_id);

/* Looks at every row for --check-store: whether it is as it was sealed, jobs are where IDS says and
 * ids have their rows, lanes and large bodies are there. LEAT_OK: what is wrong was told;
 * LEAT_ERR_IO. */
struct leat_examination;
LEAT_MUST_USE enum leat_err leat_ventilator_store_examine(struct leat_ventilator_store *store,
                                                          struct leat_examination *examination);
uint64_t leat_ventilator_store_count(struct leat_ventilator_store *store,
                                     enum leat_ventilator_table table);

#endif
