/* The sink: the first final result of each job, kept for a while, and the stream of settled ids
 * that tells the ventilator which jobs it may forget. A pure core; core/step.h is the contract.
 *
 * What it takes (LEAT_LINK_PEERS): RESULTS, FOLLOW, GAUGES, QUERY, RERUN, CONTROL ping, QUIT.
 * What it sends: STORED, BUSY, SETTLED, ANSWERS, DONE, ERROR to peers; FINISHED and GAUGES on
 * LEAT_LINK_METRICS; FINISHED with jobs of one queue each on LEAT_LINK_EVENTS.
 *
 * The stream of settled ids: numbers 1, 2, 3... without gaps, each naming one job id.
 *
 *      trimmed        confirmed          sent              last
 *      ---|--------------|-----------------|----------------|
 *         | kept for the | with the        | to be sent     |
 *         | results' age | ventilator      |                |
 *
 * On the wire numbers count from `base`: a stream always begins with 1, so that a ventilator can
 * tell its beginning from a later part. A ventilator that follows another stream, or remembers
 * another past of this one, gets the same numbers under a new stream id, counted from what is
 * confirmed.
 *
 * Invariants (leat_sink_check):
 * - base <= confirmed; trimmed <= confirmed <= sent <= told <= last;
 * - sent - confirmed <= config.settled_window;
 * - the store's log holds exactly the numbers trimmed + 1 to last;
 * - each result has exactly one first number in the log, or a row of failures, and none of these is
 *   without its result; the counts equal the rows. */
#ifndef LEAT_SINK_SINK_H
#define LEAT_SINK_SINK_H

#include "broker/sink/sink_store.h"
#include "core/err.h"
#include "core/step.h"

/* The exit status of ACTION_EXIT when the store is broken, as in io/exit.h. */
#define LEAT_SINK_EXIT_STORE 74

struct leat_sink;

struct leat_sink_config {
    uint64_t seed;           /* for the stream's id; from the system's entropy, or the simulation */
    int64_t keep_results_ms; /* successes older than this are removed; at least 1 */
    int64_t keep_results_max; /* and the oldest above this number; at least 1 */
    int64_t keep_failures_ms; /* everything that did not succeed; at least 1 */
    uint64_t settled_window; /* ids sent to the ventilator and not confirmed, at most; at least 1 */
    bool events;             /* emit FINISHED on LEAT_LINK_EVENTS */
};

/* The defaults of core/limits.h; seed 0, events on. */
void leat_sink_config_init(struct leat_sink_config *config);

/* `store` is borrowed and must outlive the sink. Never NULL: out of memory ends the process. */
struct leat_sink *leat_sink_new(const struct leat_sink_config *config,
                                struct leat_sink_store *store);
/* Accepts NULL; leaves NULL. The store stays open. */
void leat_sink_destroy(struct leat_sink **sink);

/* Reads the store; once, before the first step. A fresh store gets its stream id. Appends
 * NOTE RECOVERED. LEAT_ERR_CORRUPT or LEAT_ERR_IO: the store must not be used; `why` says what. */
LEAT_MUST_USE enum leat_err leat_sink_recover(struct leat_sink *sink, struct leat_now now,
                                              struct leat_out *out, struct leat_why *why);

/* Takes one event. Never blocks; reads the store, writes into the batch being filled. After an
 * ACTION_EXIT was emitted every event but STOP is ignored. */
void leat_sink_step(struct leat_sink *sink, const struct leat_event *event, struct leat_out *out);

/* Whether FINISHED is emitted on LEAT_LINK_EVENTS from now on: only while somebody listens. */
void leat_sink_publish(struct leat_sink *sink, bool events);

/* Monotonic time of the next TICK: retention, repeating SETTLED. */
int64_t leat_sink_deadline_us(const struct leat_sink *sink);

/* ---- queries ---- */

struct leat_sink_info {
    struct leat_id stream;
    uint64_t base;                           /* what the ventilator calls 1 is base + 1 */
    uint64_t trimmed, confirmed, sent, last; /* numbers, see above */
    uint64_t told;                           /* numbers above it were never sent */
    bool followed;                           /* a ventilator follows the stream */
    struct leat_peer follower;
    uint64_t successes;       /* results kept */
    uint64_t failures;        /* kept, reruns included */
    uint64_t recorded_total;  /* first results since the store was made */
    uint64_t duplicate_total; /* later results, since start; as are the next ones */
    uint64_t removed_total;   /* by retention */
    uint64_t busy_total;
    uint64_t refused_total; /* messages answered with ERROR */
    bool store_full;
    bool ended; /* ACTION_EXIT was emitted */
};

struct leat_sink_info leat_sink_info(const struct leat_sink *sink);

/* Checks every invariant above against the whole store; walks all tables, for tests and the
 * simulation. LEAT_ERR_STATE and why: which one does not hold. */
LEAT_MUST_USE enum leat_err leat_sink_check(const struct leat_sink *sink, struct leat_why *why);

#endif
