/* The answers of the metrics actor: from a request, the registry and the view of the store to a
 * tree. Single-threaded; blocks only as long as the view's reads do. */
#ifndef LEAT_SINK_STATS_H
#define LEAT_SINK_STATS_H

#include <jansson.h>

#include "broker/sink/metrics.h"
#include "broker/sink/request.h"
#include "broker/sink/store_view.h"
#include "core/policy.h"

struct leat_stats {
    const struct leat_principal *who;   /* who asks; NULL: keys are not in use */
    const struct leat_metrics *metrics; /* borrowed */
    const struct leat_sink_view *view;  /* borrowed */
    int64_t started_mono_us;
    uint64_t requests_total;
    uint64_t errors_total; /* of them, answered with an error */
};

/* The reply, an error reply included. New reference; NULL when memory is out. */
json_t *leat_stats_answer(const struct leat_stats *stats, const struct leat_request *request,
                          int64_t mono_us);

/* stats_store.c: answers that come from the store. */
json_t *leat_stats_job(const struct leat_sink_view *view, const struct leat_principal *who,
                       const struct leat_request *request);
json_t *leat_stats_failures(const struct leat_sink_view *view, const struct leat_request *request);

#endif
