/* The registry of the metrics actor: counters and histograms per queue and type, and the gauges
 * that the ventilator and the sink told last. One owner, one thread; pure.
 *
 * At most LEAT_METRICS_PAIRS_MAX pairs are told apart; what comes later is counted in one further
 * pair, named "*" twice, which no queue can be called. So names from outside cannot make it grow
 * without bound, and the totals stay right. */
#ifndef LEAT_SINK_METRICS_H
#define LEAT_SINK_METRICS_H

#include "core/err.h"
#include "core/histogram.h"
#include "core/instant.h"
#include "core/messages.h"

#define LEAT_METRICS_PAIRS_MAX           512
#define LEAT_METRICS_FAILURES            32 /* numbers of failures that are told apart */
#define LEAT_METRICS_WORKER_NAME_BYTES   255
#define LEAT_METRICS_WORKER_QUEUES_BYTES 511

enum leat_metrics_histogram {
#define HISTOGRAM(name, unit, help) LEAT_METRICS_##name,
#include "broker/sink/metrics.def"
    LEAT_METRICS_HISTOGRAMS
};

struct leat_metrics_counters {
#define COUNTER(name, unit, help) uint64_t name;
#include "broker/sink/metrics.def"
    uint64_t failed_by[LEAT_METRICS_FAILURES]; /* by number of the failure, of every status */
};

struct leat_metrics_pair {
    char queue[LEAT_QUEUE_BYTES_MAX + 1];
    char type[LEAT_TYPE_BYTES_MAX + 1];
    struct leat_metrics_counters counters;
    struct leat_histogram *histograms[LEAT_METRICS_HISTOGRAMS]; /* owned by the registry */
};

struct leat_metrics_queue {
    char queue[LEAT_QUEUE_BYTES_MAX + 1];
    uint64_t ready, scheduled, leased, oldest_ready_ms;
    bool paused;
};

struct leat_metrics_worker {
    struct leat_id session;
    char name[LEAT_METRICS_WORKER_NAME_BYTES + 1];     /* cut when longer */
    char queues[LEAT_METRICS_WORKER_QUEUES_BYTES + 1]; /* cut when longer */
    uint64_t slots, busy, leased, outbox, silent_ms;
};

struct leat_metrics_ventilator {
#define VENTILATOR(name, unit, help) uint64_t name;
#include "broker/sink/metrics.def"
};

struct leat_metrics_sink {
#define SINK(name, unit, help) uint64_t name;
#include "broker/sink/metrics.def"
};

struct leat_metrics;

/* Never NULL. */
struct leat_metrics *leat_metrics_new(void);
/* Accepts NULL; leaves NULL. */
void leat_metrics_destroy(struct leat_metrics **metrics);

/* ---- what it is told ---- */

void leat_metrics_finished(struct leat_metrics *metrics, const struct leat_msg_finished *finished);
/* Replaces the gauges before. */
void leat_metrics_gauges(struct leat_metrics *metrics, const struct leat_msg_gauges *gauges,
                         int64_t mono_us);
void leat_metrics_set_sink(struct leat_metrics *metrics, const struct leat_metrics_sink *sink);

/* ---- what it knows; borrowed until the next call that changes it ---- */

/* In the order in which they were first seen; the overflow pair last, when there is one. */
size_t leat_metrics_pair_count(const struct leat_metrics *metrics);
const struct leat_metrics_pair *leat_metrics_pair(const struct leat_metrics *metrics, size_t index);

const struct leat_metrics_queue *leat_metrics_queues(const struct leat_metrics *metrics,
                                                     size_t *ret_count);
const struct leat_metrics_worker *leat_metrics_workers(const struct leat_metrics *metrics,
                                                       size_t *ret_count);
/* NULL when no GAUGES came yet; *ret_mono_us: when the last did. */
const struct leat_metrics_ventilator *leat_metrics_ventilator(const struct leat_metrics *metrics,
                                                              int64_t *ret_mono_us);
const struct leat_metrics_sink *leat_metrics_sink(const struct leat_metrics *metrics);

/* Adds the counters of `from` to `to`. */
void leat_metrics_add_counters(struct leat_metrics_counters *to,
                               const struct leat_metrics_counters *from);

#endif
