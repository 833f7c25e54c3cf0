/* One job as a worker holds it, from its JOBS message until nobody needs to hear of it any more,
 * and the table of all of them. A lease is (job id, delivery): two deliveries of one job are two
 * leases. The table is a hash table whose links lie in the jobs: to find a job touches nothing that
 * would not be touched next.
 *
 * Every job is in exactly one place, and in exactly one list: the lane of its handler (QUEUED), one
 * of the lists of the table, or a batch of results on its way (FINISHED). LIMBO holds what has left
 * the table but whose bytes a message that is not yet sent may still borrow. */
#ifndef LEAT_WORKER_JOB_H
#define LEAT_WORKER_JOB_H

#include "core/container.h"
#include "core/hash.h"
#include "core/instant.h"
#include "core/list.h"
#include "core/messages.h"

enum leat_worker_place {
    LEAT_WORKER_QUEUED = 0,
    LEAT_WORKER_STARTED = 1,
    LEAT_WORKER_REPEATING = 2,
    LEAT_WORKER_RETURNING = 3,
    LEAT_WORKER_FINISHED = 4,
    LEAT_WORKER_LIMBO = 5,
    LEAT_WORKER_PLACES = 6,
};

/* How the job ended; the texts are in the job. */
struct leat_worker_outcome {
    enum leat_state status;
    enum leat_failure failure;
    int64_t code;
    uint64_t attempts;
    bool truncated;
    int64_t finished_us; /* wall */
    uint64_t wait_us;
    uint64_t run_us;
};

/* Of a body and an output. */
#define LEAT_WORKER_JOB_ROOM 256

/* What each move of a job looks at comes first: with thousands of jobs, memory is what a move
 * costs. Two cache lines are all that its leaving looks at. */
struct leat_worker_job {
    _Alignas(64) struct leat_list_node link;
    struct leat_list_node held;   /* of the table */
    struct leat_worker_job *next; /* of those with the same place in the index */
    struct leat_id id;
    uint64_t delivery;

    enum leat_worker_place place;
    uint32_t hash;
    uint16_t lane; /* index of its handler; meaningless for a job that never had one */
    bool refused;  /* the lease is not ours any more: not announced, not retried */
    bool killed;   /* KILL was sent for it */
    bool owning;   /* names, headers, bytes, output or error are memory of their own */
    struct leat_worker_job *later; /* see leat_worker_trail; only ever fetched, may be gone */
    uint64_t sequence;             /* order of arrival in this process */
    size_t counted_bytes;          /* FINISHED: what it counts for in the outbox */
    uint8_t *bytes; /* the body as it came, in room or owned; NULL when no longer needed */
    size_t bytes_size;
    int64_t expires_at_ms; /* wall; 0: never */

    uint64_t attempt;
    struct leat_wall begun; /* STARTED: when RUN was emitted */
    int64_t ready_us;       /* wall */
    int64_t accepted_us;    /* wall */
    struct leat_str queue;  /* borrowed from the worker, or from names */
    struct leat_str type;
    struct leat_worker_outcome outcome; /* of the last attempt that ended; FINISHED: of the job */
    uint8_t *output;                    /* in room or owned; FINISHED, may be NULL */
    size_t output_size;
    char *error; /* owned; FINISHED, may be NULL */
    size_t error_size;

    struct leat_item_body body; /* borrows from bytes; its header list is owned: keep_body */
    char *names;                /* owned; NULL for those that the worker knows */
    int64_t due_us;             /* REPEATING: monotonic time of the next attempt */
    uint64_t pings_before; /* REPEATING, said: PINGs of the round that went out before its RETRY */

    /* For a small body and a small output, so that most jobs need no more memory than this. */
    uint8_t room[LEAT_WORKER_JOB_ROOM];
};

struct leat_worker_table {
    struct leat_list held;          /* owned: every job, in the order in which they were added */
    struct leat_worker_job **index; /* owned; chains by the lease's hash */
    size_t index_size;              /* a power of two, at least twice what is held; or 0 */
    struct leat_hash_words_key hash_key;
    size_t counts[LEAT_WORKER_PLACES];
    struct leat_list limbo;
    struct leat_worker_job **spare; /* owned: memory of former jobs, for the next ones */
    size_t spare_count;
    size_t spare_room; /* of the array */
};

/* Ends the process when memory is out: see worker.h. Returns `memory`. */
void *leat_worker_must(void *memory);

/* The table may not be moved in memory afterwards. */
void leat_worker_table_init(struct leat_worker_table *table, uint64_t seed);
/* Frees every job, the table and limbo. */
void leat_worker_table_fini(struct leat_worker_table *table);

/* Of a lease: made once for all that is done with it. */
uint32_t leat_worker_table_hash(const struct leat_worker_table *table, const struct leat_id *id,
                                uint64_t delivery);
/* A new job in the table with a copy of everything that `delivery` holds but its names, in `place`
 * and not yet in a list. Owned by the table. `hash` is the lease's, which must not be in the table.
 */
struct leat_worker_job *leat_worker_job_add(struct leat_worker_table *table, uint32_t hash,
                                            const struct leat_item_delivery *delivery,
                                            enum leat_worker_place place);
/* NULL when the lease is not held. */
struct leat_worker_job *leat_worker_job_find(const struct leat_worker_table *table,
                                             const struct leat_id *id, uint64_t delivery);
struct leat_worker_job *leat_worker_job_find_hashed(const struct leat_worker_table *table,
                                                    uint32_t hash, const struct leat_id *id,
                                                    uint64_t delivery);
/* Takes over the body that was read from the job's bytes, its header list included. */
void leat_worker_job_keep_body(struct leat_worker_job *job, struct leat_item_body body);
/* Takes over an error's text, which is malloced. */
void leat_worker_job_keep_error(struct leat_worker_job *job, char *error, size_t size);
/* Names the job by copies. */
void leat_worker_job_keep_names(struct leat_worker_job *job, struct leat_str queue,
                                struct leat_str type);
/* The body is needed no more. */
void leat_worker_job_forget_body(struct leat_worker_job *job);
/* Copies the output, which the job has not got yet. */
void leat_worker_job_keep_output(struct leat_worker_job *job, struct leat_bytes output);
/* Changes place and the counts; lists are the caller's. */
void leat_worker_job_move(struct leat_worker_table *table, struct leat_worker_job *job,
                          enum leat_worker_place place);
/* Takes the job, which must be in no list, out of the table and puts it into limbo. */
void leat_worker_job_drop(struct leat_worker_table *table, struct leat_worker_job *job);
/* Frees what is in limbo. Nothing may borrow from it any more. */
void leat_worker_table_sweep(struct leat_worker_table *table);

/* Leases that are held, in whatever place. */
static inline size_t leat_worker_table_held(const struct leat_worker_table *table)
{
    return table->held.count;
}

/* The job of a node of the list `held`. */
static inline struct leat_worker_job *leat_worker_held_of(struct leat_list_node *node)
{
    return LEAT_CONTAINER_OF(node, struct leat_worker_job, held);
}

/* The job of a list's node; NULL for NULL. */
static inline struct leat_worker_job *leat_worker_job_of(struct leat_list_node *node)
{
    return node == NULL ? NULL : LEAT_CONTAINER_OF(node, struct leat_worker_job, link);
}

/* ---- only for speed: with thousands of jobs, waiting for memory is what a job costs ---- */

/* Calls for the first cache lines of what will be looked at soon, so that they are there by then.
 */
static inline void leat_worker_job_fetch(const struct leat_worker_job *job, size_t lines)
{
    for (size_t i = 0; i < lines; i++) {
        __builtin_prefetch((const char *)job + 64 * i, 1);
    }
}

/* In a walk over a list that is filled by pushing to its end. */
static inline void leat_worker_job_fetch_later(const struct leat_worker_job *job, size_t lines)
{
    if (job->later != NULL) {
        leat_worker_job_fetch(job->later, lines);
    }
}

/* The jobs that a step put at the end of a list last: each leads to the one that follows it after
 * some others, so that a walk need not wait for one to learn where the next ones are. Begun anew in
 * each step, for jobs are freed between steps. */
#define LEAT_WORKER_TRAIL_JOBS 4

struct leat_worker_trail {
    struct leat_worker_job *last[LEAT_WORKER_TRAIL_JOBS];
    size_t count;
};

static inline void leat_worker_trail_add(struct leat_worker_trail *trail,
                                         struct leat_worker_job *job)
{
    struct leat_worker_job **place = &trail->last[trail->count % LEAT_WORKER_TRAIL_JOBS];
    if (trail->count >= LEAT_WORKER_TRAIL_JOBS) {
        (*place)->later = job;
    }
    *place = job;
    job->later = NULL;
    trail->count++;
}

/* Before a search: its place in the index, and when that has come, the job that it leads to. */
void leat_worker_table_fetch_place(const struct leat_worker_table *table, uint32_t hash);
void leat_worker_table_fetch_job(const struct leat_worker_table *table, uint32_t hash);

/* Bytes of memory that the job stands for. */
size_t leat_worker_job_bytes(const struct leat_worker_job *job);

#endif
