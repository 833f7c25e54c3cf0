/* The submitter: the producer's pure core. It numbers batches of jobs, keeps each until the
 * ventilator says that it is on disk, and sends again what was lost, so that a job is neither lost
 * nor doubled.
 *
 *      offer ──▶ queue ──▶ batches in flight (numbered) ──ACCEPTED──▶ forgotten
 *                              ▲        │ BUSY, RESEND, silence
 *                              └────────┘ sent again, in order
 *
 * Batches form by themselves: a batch leaves when it is full or when nothing is in flight, so that
 * a single job leaves at once and many jobs leave together.
 *
 * A producer id names one numbering 1, 2, 3... The submitter takes a new id and numbers what it
 * holds anew when the ventilator has lost its place (it expects batch 1 again) or has rejected a
 * batch. Job ids stay the same, so nothing is added twice.
 *
 * Invariants: batches in flight are numbered without gaps, oldest first; a job is in the queue, in
 * exactly one batch, or forgotten; jobs and bytes held never exceed the window.
 */
#ifndef LEAT_PRODUCER_SUBMITTER_H
#define LEAT_PRODUCER_SUBMITTER_H

#include "core/step.h"

struct leat_submitter_config {
    uint64_t seed;       /* of ids and of the jitter of repeats; random in a real process */
    size_t window_jobs;  /* most jobs held; 1 to LEAT_PRODUCER_WINDOW_JOBS */
    size_t window_bytes; /* most bytes of bodies held; a single job may be as large as it likes */
    size_t batch_jobs;   /* most jobs in a batch; 1 to LEAT_BATCH_ITEMS_MAX */
    int64_t repeat_us; /* silence after which what is in flight is sent again; doubles to 8 times */
};

struct leat_submitter;

/* A configuration with the defaults of core/limits.h. */
struct leat_submitter_config leat_submitter_defaults(uint64_t seed);

/* NULL when out of memory. The caller owns it. */
struct leat_submitter *leat_submitter_new(const struct leat_submitter_config *config);
void leat_submitter_destroy(struct leat_submitter **submitter);

/* Takes a copy of the job, which must be valid (core/job.h). An all-zero id is replaced by a new
 * one; the id that holds is given back. LEAT_ERR_BUSY: the window is full, nothing was taken;
 * LEAT_ERR_MEMORY. */
LEAT_MUST_USE enum leat_err leat_submitter_offer(struct leat_submitter *submitter,
                                                 const struct leat_item_submission *job,
                                                 struct leat_now now, struct leat_id *ret_id);
/* The same, but the job's body, which came from malloc, is not copied: from LEAT_OK on it is the
 * submitter's. NULL: it is copied. */
LEAT_MUST_USE enum leat_err leat_submitter_adopt(struct leat_submitter *submitter,
                                                 const struct leat_item_submission *job,
                                                 uint8_t *body, struct leat_now now,
                                                 struct leat_id *ret_id);

/* Contract: core/step.h. Link LEAT_LINK_VENTILATOR; ACCEPTED, BUSY, REJECTED, RESEND and ERROR come
 * in, SUBMIT goes out. An offered job leaves with the next step, whatever its event. */
void leat_submitter_step(struct leat_submitter *submitter, const struct leat_event *event,
                         struct leat_out *out);
int64_t leat_submitter_deadline_us(const struct leat_submitter *submitter);

/* Jobs held: offered and not yet acknowledged or rejected. */
size_t leat_submitter_pending(const struct leat_submitter *submitter);
/* Whether a step would send something now, without anything having happened. */
bool leat_submitter_has_to_send(const struct leat_submitter *submitter);

struct leat_submitter_counts {
    uint64_t accepted; /* jobs acknowledged as on disk */
    uint64_t known;    /* of these, jobs that the ventilator knew already */
    uint64_t rejected; /* jobs that can never be accepted */
    uint64_t busy;     /* BUSY answers */
    uint64_t repeated; /* batches sent more than once */
    uint64_t errors;   /* ERROR answers: what was sent is not understood, or not allowed */
};
struct leat_submitter_counts leat_submitter_counts(const struct leat_submitter *submitter);

/* The text of the last REJECTED or ERROR, "" when there was none; valid until the next step. */
const char *leat_submitter_last_error(const struct leat_submitter *submitter);

/* From now on `visit` is called during a step for each job that is acknowledged (accepted true) or
 * rejected (false), in the order of submission. `visit` must not call the submitter. NULL ends it.
 */
typedef void leat_submitter_visit_fn(const struct leat_id *id, bool accepted, void *context);
void leat_submitter_observe(struct leat_submitter *submitter, leat_submitter_visit_fn *visit,
                            void *context);

/* Checks every invariant; aborts when one does not hold. For tests. */
void leat_submitter_check(const struct leat_submitter *submitter);

#endif
