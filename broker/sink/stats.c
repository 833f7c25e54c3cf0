#include "broker/sink/stats.h"

#include <stdlib.h>
#include <string.h>

#include "broker/sink/reply.h"

/* Counters are below 2^63 for any life that a process has. */
static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

static void set(json_t *object, const char *key, json_t *value)
{
    /* Takes the reference; out of memory shows as a missing key, and json_dump goes on. */
    (void)json_object_set_new(object, key, value);
}

static json_t *histogram(const struct leat_histogram *histogram)
{
    json_t *json = json_object();
    set(json, "count", number(histogram->count));
    set(json, "mean", number(leat_histogram_mean_us(histogram)));
    set(json, "p50", number(leat_histogram_quantile_us(histogram, 500)));
    set(json, "p90", number(leat_histogram_quantile_us(histogram, 900)));
    set(json, "p99", number(leat_histogram_quantile_us(histogram, 990)));
    set(json, "p999", number(leat_histogram_quantile_us(histogram, 999)));
    set(json, "max", number(histogram->max_us));
    return json;
}

static json_t *failed_by(const struct leat_metrics_counters *counters)
{
    json_t *json = json_object();
    for (unsigned i = 0; i < LEAT_METRICS_FAILURES; i++) {
        if (counters->failed_by[i] > 0) {
            set(json, leat_failure_name(i), number(counters->failed_by[i]));
        }
    }
    return json;
}

static void set_counters(json_t *json, const struct leat_metrics_counters *counters)
{
#define COUNTER(name, unit, help) set(json, #name, number(counters->name));
#include "broker/sink/metrics.def"
    set(json, "failed_by", failed_by(counters));
}

static json_t *pair_of(const struct leat_metrics_pair *pair)
{
    json_t *json = json_object();
    set(json, "queue", json_string(pair->queue));
    set(json, "type", json_string(pair->type));
    set_counters(json, &pair->counters);
#define HISTOGRAM(name, unit, help)                                                                \
    set(json, #name, histogram(pair->histograms[LEAT_METRICS_##name]));
#include "broker/sink/metrics.def"
    return json;
}

static bool matches(const char *filter, const char *name)
{
    return filter[0] == '\0' || strcmp(filter, name) == 0;
}

static json_t *ventilator(const struct leat_stats *stats, int64_t mono_us)
{
    int64_t told_us = 0;
    const struct leat_metrics_ventilator *gauges =
        leat_metrics_ventilator(stats->metrics, &told_us);
    if (gauges == NULL) {
        return json_null();
    }
    json_t *json = json_object();
    set(json, "age_ms", number((uint64_t)((mono_us - told_us) / LEAT_US_PER_MS)));
#define VENTILATOR(name, unit, help) set(json, #name, number(gauges->name));
#include "broker/sink/metrics.def"
    return json;
}

static json_t *sink(const struct leat_stats *stats)
{
    const struct leat_metrics_sink *gauges = leat_metrics_sink(stats->metrics);
    json_t *json = json_object();
#define SINK(name, unit, help) set(json, #name, number(gauges->name));
#include "broker/sink/metrics.def"
    set(json, "requests_total", number(stats->requests_total));
    set(json, "request_errors_total", number(stats->errors_total));
    return json;
}

static json_t *answer_stats(const struct leat_stats *stats, const struct leat_request *request,
                            int64_t mono_us)
{
    struct leat_metrics_pair *total = calloc(1, sizeof *total);
    struct leat_histogram *merged = calloc(LEAT_METRICS_HISTOGRAMS, sizeof *merged);
    if (total == NULL || merged == NULL) {
        free(total);
        free(merged);
        return NULL;
    }
    for (size_t h = 0; h < LEAT_METRICS_HISTOGRAMS; h++) {
        total->histograms[h] = &merged[h];
    }
    json_t *pairs = json_array();
    for (size_t i = 0; i < leat_metrics_pair_count(stats->metrics); i++) {
        const struct leat_metrics_pair *pair = leat_metrics_pair(stats->metrics, i);
        if (!matches(request->queue, pair->queue) || !matches(request->type, pair->type)) {
            continue;
        }
        (void)json_array_append_new(pairs, pair_of(pair));
        leat_metrics_add_counters(&total->counters, &pair->counters);
        for (size_t h = 0; h < LEAT_METRICS_HISTOGRAMS; h++) {
            leat_histogram_merge(&merged[h], pair->histograms[h]);
        }
    }
    json_t *totals = pair_of(total);
    (void)json_object_del(totals, "queue");
    (void)json_object_del(totals, "type");
    free(total);
    free(merged);
    return json_pack("{s:s,s:I,s:o,s:o,s:o,s:o}", "reply", "stats", "uptime_ms",
                     (json_int_t)((mono_us - stats->started_mono_us) / LEAT_US_PER_MS), "totals",
                     totals, "pairs", pairs, "ventilator", ventilator(stats, mono_us), "sink",
                     sink(stats));
}

/* What the ventilator told last, and how long ago: -1 when it told nothing yet. */
static json_t *told(const struct leat_stats *stats, const char *reply, json_t *items,
                    int64_t mono_us)
{
    int64_t told_us = 0;
    bool known = leat_metrics_ventilator(stats->metrics, &told_us) != NULL;
    json_int_t age_ms = known ? (json_int_t)((mono_us - told_us) / LEAT_US_PER_MS) : -1;
    return json_pack("{s:s,s:I,s:o}", "reply", reply, "age_ms", age_ms, reply, items);
}

static json_t *answer_queues(const struct leat_stats *stats, const struct leat_request *request,
                             int64_t mono_us)
{
    size_t count = 0;
    const struct leat_metrics_queue *queues = leat_metrics_queues(stats->metrics, &count);
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        if (!matches(request->queue, queues[i].queue)) {
            continue;
        }
        json_t *json = json_object();
        set(json, "queue", leat_reply_text(leat_str_of(queues[i].queue)));
        set(json, "ready", number(queues[i].ready));
        set(json, "scheduled", number(queues[i].scheduled));
        set(json, "leased", number(queues[i].leased));
        set(json, "oldest_ready_ms", number(queues[i].oldest_ready_ms));
        set(json, "paused", json_boolean(queues[i].paused));
        (void)json_array_append_new(items, json);
    }
    return told(stats, "queues", items, mono_us);
}

static json_t *answer_workers(const struct leat_stats *stats, int64_t mono_us)
{
    size_t count = 0;
    const struct leat_metrics_worker *workers = leat_metrics_workers(stats->metrics, &count);
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        char session[LEAT_ID_TEXT_BYTES];
        json_t *json = json_object();
        set(json, "session", json_string(leat_id_format(&workers[i].session, session)));
        set(json, "name", leat_reply_text(leat_str_of(workers[i].name)));
        set(json, "queues", leat_reply_text(leat_str_of(workers[i].queues)));
        set(json, "slots", number(workers[i].slots));
        set(json, "busy", number(workers[i].busy));
        set(json, "leased", number(workers[i].leased));
        set(json, "outbox", number(workers[i].outbox));
        set(json, "silent_ms", number(workers[i].silent_ms));
        (void)json_array_append_new(items, json);
    }
    return told(stats, "workers", items, mono_us);
}

json_t *leat_stats_answer(const struct leat_stats *stats, const struct leat_request *request,
                          int64_t mono_us)
{
    switch (request->verb) {
    case LEAT_REQUEST_PING:
        return json_pack("{s:s}", "reply", "ping");
    case LEAT_REQUEST_VERSION:
        return json_pack("{s:s,s:s,s:i}", "reply", "version", "version", LEAT_VERSION, "protocol",
                         LEAT_PROTOCOL_VERSION);
    case LEAT_REQUEST_STATS:
        return answer_stats(stats, request, mono_us);
    case LEAT_REQUEST_QUEUES:
        return answer_queues(stats, request, mono_us);
    case LEAT_REQUEST_WORKERS:
        return answer_workers(stats, mono_us);
    case LEAT_REQUEST_JOB:
        return leat_stats_job(stats->view, stats->who, request);
    case LEAT_REQUEST_FAILURES:
        break;
    }
    return leat_stats_failures(stats->view, request);
}
