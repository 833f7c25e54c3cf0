#include "broker/sink/metrics.h"

#include <assert.h>
#include <stdlib.h>

/* Open addressing over the pairs; twice as many places as pairs, so that probes stay short. */
#define PLACES (2 * LEAT_METRICS_PAIRS_MAX)

struct leat_metrics {
    struct leat_metrics_pair *pairs[LEAT_METRICS_PAIRS_MAX]; /* owned */
    size_t pair_count;                                       /* without the overflow pair */
    struct leat_metrics_pair *overflow;                      /* NULL until it is needed */
    struct leat_metrics_pair *places[PLACES];                /* borrowed from pairs */

    struct leat_metrics_queue *queues; /* owned */
    size_t queue_count;
    struct leat_metrics_worker *workers; /* owned */
    size_t worker_count;
    struct leat_metrics_ventilator ventilator;
    bool ventilator_known;
    int64_t ventilator_mono_us;
    struct leat_metrics_sink sink;
};

static void *must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

struct leat_metrics *leat_metrics_new(void)
{
    return must(calloc(1, sizeof(struct leat_metrics)));
}

static void free_pair(struct leat_metrics_pair *pair)
{
    if (pair != NULL) {
        for (size_t i = 0; i < LEAT_METRICS_HISTOGRAMS; i++) {
            free(pair->histograms[i]);
        }
        free(pair);
    }
}

void leat_metrics_destroy(struct leat_metrics **metrics)
{
    struct leat_metrics *self = *metrics;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->pair_count; i++) {
        free_pair(self->pairs[i]);
    }
    free_pair(self->overflow);
    free(self->queues);
    free(self->workers);
    free(self);
    *metrics = NULL;
}

/* Copies text into a terminated field, cut to its size. */
static void set_text(char *field, size_t size, struct leat_str text)
{
    size_t length = text.size < size ? text.size : size - 1;
    if (length > 0) {
        memcpy(field, text.data, length);
    }
    field[length] = '\0';
}

static struct leat_metrics_pair *new_pair(struct leat_str queue, struct leat_str type)
{
    struct leat_metrics_pair *pair = must(calloc(1, sizeof *pair));
    set_text(pair->queue, sizeof pair->queue, queue);
    set_text(pair->type, sizeof pair->type, type);
    for (size_t i = 0; i < LEAT_METRICS_HISTOGRAMS; i++) {
        pair->histograms[i] = must(calloc(1, sizeof(struct leat_histogram)));
    }
    return pair;
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
static uint64_t mix(uint64_t hash, struct leat_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        hash = (hash ^ (uint8_t)text.data[i]) * UINT64_C(0x100000001b3);
    }
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

static bool is_pair(const struct leat_metrics_pair *pair, struct leat_str queue,
                    struct leat_str type)
{
    return leat_str_equal(leat_str_of(pair->queue), queue) &&
           leat_str_equal(leat_str_of(pair->type), type);
}

static struct leat_metrics_pair *find(struct leat_metrics *metrics, struct leat_str queue,
                                      struct leat_str type)
{
    size_t place = (size_t)(mix(mix(UINT64_C(0xcbf29ce484222325), queue), type) % PLACES);
    while (metrics->places[place] != NULL) {
        if (is_pair(metrics->places[place], queue, type)) {
            return metrics->places[place];
        }
        place = (place + 1) % PLACES;
    }
    if (metrics->pair_count == LEAT_METRICS_PAIRS_MAX) {
        if (metrics->overflow == NULL) {
            metrics->overflow = new_pair(leat_str_of("*"), leat_str_of("*"));
        }
        return metrics->overflow;
    }
    struct leat_metrics_pair *pair = new_pair(queue, type);
    metrics->pairs[metrics->pair_count++] = pair;
    metrics->places[place] = pair;
    return pair;
}

static void count(struct leat_metrics_counters *counters, const struct leat_item_ended *job)
{
    switch (job->status) {
    case LEAT_STATE_SUCCEEDED:
        counters->succeeded++;
        break;
    case LEAT_STATE_EXPIRED:
        counters->expired++;
        break;
    case LEAT_STATE_CANCELLED:
        counters->cancelled++;
        break;
    default:
        counters->failed++;
        break;
    }
    counters->attempts += job->attempts;
    counters->retried += job->attempts > 1 ? job->attempts - 1 : 0;
    if (job->status != LEAT_STATE_SUCCEEDED) {
        counters->failed_by[job->failure < LEAT_METRICS_FAILURES ? job->failure : 0]++;
    }
}

void leat_metrics_finished(struct leat_metrics *metrics, const struct leat_msg_finished *finished)
{
    struct leat_metrics_pair *pair = NULL;
    for (size_t i = 0; i < finished->jobs.count; i++) {
        const struct leat_item_ended *job = &finished->jobs.items[i];
        if (pair == NULL || pair == metrics->overflow || !is_pair(pair, job->queue, job->type)) {
            pair = find(metrics, job->queue, job->type);
        }
        count(&pair->counters, job);
        if (job->attempts > 0) {
            /* A job that never ran waited and ran for no time; it would only blur the figures. */
            leat_histogram_record(pair->histograms[LEAT_METRICS_wait_us], job->wait_us);
            leat_histogram_record(pair->histograms[LEAT_METRICS_run_us], job->run_us);
        }
        leat_histogram_record(pair->histograms[LEAT_METRICS_total_us], job->total_us);
    }
}

static void set_queues(struct leat_metrics *metrics, const struct leat_msg_gauges *gauges)
{
    free(metrics->queues);
    metrics->queue_count = gauges->queues.count;
    metrics->queues = must(calloc(metrics->queue_count + 1, sizeof *metrics->queues));
    for (size_t i = 0; i < metrics->queue_count; i++) {
        const struct leat_item_queue_gauge *from = &gauges->queues.items[i];
        struct leat_metrics_queue *to = &metrics->queues[i];
        set_text(to->queue, sizeof to->queue, from->queue);
        to->ready = from->ready;
        to->scheduled = from->scheduled;
        to->leased = from->leased;
        to->oldest_ready_ms = from->oldest_ready_ms;
        to->paused = from->paused;
    }
}

static void set_workers(struct leat_metrics *metrics, const struct leat_msg_gauges *gauges)
{
    free(metrics->workers);
    metrics->worker_count = gauges->workers.count;
    metrics->workers = must(calloc(metrics->worker_count + 1, sizeof *metrics->workers));
    for (size_t i = 0; i < metrics->worker_count; i++) {
        const struct leat_item_worker_gauge *from = &gauges->workers.items[i];
        struct leat_metrics_worker *to = &metrics->workers[i];
        to->session = from->session;
        set_text(to->name, sizeof to->name, from->name);
        set_text(to->queues, sizeof to->queues, from->queues);
        to->slots = from->slots;
        to->busy = from->busy;
        to->leased = from->leased;
        to->outbox = from->outbox;
        to->silent_ms = from->silent_ms;
    }
}

void leat_metrics_gauges(struct leat_metrics *metrics, const struct leat_msg_gauges *gauges,
                         int64_t mono_us)
{
    set_queues(metrics, gauges);
    set_workers(metrics, gauges);
#define VENTILATOR(name, unit, help) metrics->ventilator.name = gauges->name;
#include "broker/sink/metrics.def"
    metrics->ventilator_known = true;
    metrics->ventilator_mono_us = mono_us;
}

void leat_metrics_set_sink(struct leat_metrics *metrics, const struct leat_metrics_sink *sink)
{
    metrics->sink = *sink;
}

size_t leat_metrics_pair_count(const struct leat_metrics *metrics)
{
    return metrics->pair_count + (metrics->overflow != NULL ? 1 : 0);
}

const struct leat_metrics_pair *leat_metrics_pair(const struct leat_metrics *metrics, size_t index)
{
    assert(index < leat_metrics_pair_count(metrics));
    return index < metrics->pair_count ? metrics->pairs[index] : metrics->overflow;
}

const struct leat_metrics_queue *leat_metrics_queues(const struct leat_metrics *metrics,
                                                     size_t *ret_count)
{
    *ret_count = metrics->queue_count;
    return metrics->queues;
}

const struct leat_metrics_worker *leat_metrics_workers(const struct leat_metrics *metrics,
                                                       size_t *ret_count)
{
    *ret_count = metrics->worker_count;
    return metrics->workers;
}

const struct leat_metrics_ventilator *leat_metrics_ventilator(const struct leat_metrics *metrics,
                                                              int64_t *ret_mono_us)
{
    if (!metrics->ventilator_known) {
        return NULL;
    }
    *ret_mono_us = metrics->ventilator_mono_us;
    return &metrics->ventilator;
}

const struct leat_metrics_sink *leat_metrics_sink(const struct leat_metrics *metrics)
{
    return &metrics->sink;
}

void leat_metrics_add_counters(struct leat_metrics_counters *to,
                               const struct leat_metrics_counters *from)
{
#define COUNTER(name, unit, help) to->name += from->name;
#include "broker/sink/metrics.def"
    for (size_t i = 0; i < LEAT_METRICS_FAILURES; i++) {
        to->failed_by[i] += from->failed_by[i];
    }
}
