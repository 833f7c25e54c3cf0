#include "worker/worker.h"

#include <stdlib.h>

#include "worker/inside.h"

/* ---- settings ---- */

static enum leat_err check_number(const char *name, size_t value, size_t low, size_t high,
                                  struct leat_why *why)
{
    return value >= low && value <= high
               ? LEAT_OK
               : leat_fail(why, LEAT_ERR_LIMIT, "%s is %zu, allowed are %zu to %zu", name, value,
                           low, high);
}

static size_t most_ahead(const struct leat_worker_config *config)
{
    return config->prefetch_max == 0 ? config->prefetch : config->prefetch_max;
}

static enum leat_err check_numbers(const struct leat_worker_config *config, struct leat_why *why)
{
    const struct {
        const char *name;
        size_t value;
        size_t low;
        size_t high;
    } numbers[] = {
        {"slots", config->slots, 1, LEAT_SLOTS_MAX},
        {"prefetch", config->prefetch, 0, LEAT_PREFETCH_MAX},
        {"greatest prefetch", most_ahead(config), config->prefetch, LEAT_PREFETCH_MAX},
        {"number of queues", config->queue_count, 1, LEAT_SESSION_QUEUES_MAX},
        {"number of handlers", config->handler_count, 1, LEAT_HANDLERS_MAX},
        {"number of rates", config->rate_count, 0, LEAT_SESSION_LIMITS_MAX + 1},
        {"length of the name", config->name.size, 0, LEAT_TEXT_BYTES_MAX},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        enum leat_err err =
            check_number(numbers[i].name, numbers[i].value, numbers[i].low, numbers[i].high, why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    if (config->outbox_results_max != 0) {
        return check_number("room of the outbox", config->outbox_results_max,
                            config->slots + most_ahead(config), LEAT_OUTBOX_RESULTS_MAX, why);
    }
    return LEAT_OK;
}

static enum leat_err check_names(const struct leat_worker_config *config, struct leat_why *why)
{
    for (size_t i = 0; i < config->queue_count; i++) {
        size_t size = config->queues[i].size;
        if (size == 0 || size > LEAT_QUEUE_BYTES_MAX) {
            return leat_fail(why, LEAT_ERR_LIMIT, "queue name is %zu bytes, allowed are 1 to %d",
                             size, LEAT_QUEUE_BYTES_MAX);
        }
    }
    for (size_t i = 0; i < config->handler_count; i++) {
        struct leat_str type = config->handlers[i].type;
        if (type.size == 0 || type.size > LEAT_TYPE_BYTES_MAX) {
            return leat_fail(why, LEAT_ERR_LIMIT, "type name is %zu bytes, allowed are 1 to %d",
                             type.size, LEAT_TYPE_BYTES_MAX);
        }
        for (size_t j = 0; j < i; j++) {
            if (leat_str_equal(type, config->handlers[j].type)) {
                return leat_fail(why, LEAT_ERR_INVALID, "type %.*s has two handlers",
                                 LEAT_STR_ARGS(type));
            }
        }
    }
    return LEAT_OK;
}

static enum leat_err check_config(const struct leat_worker_config *config, struct leat_why *why)
{
    if (leat_id_is_zero(&config->session)) {
        return leat_fail(why, LEAT_ERR_INVALID, "the session id is zero");
    }
    if (config->drain_ms < 0 || config->grace_ms < 0 || config->drain_ms > LEAT_TIMEOUT_MS_MAX ||
        config->grace_ms > LEAT_TIMEOUT_MS_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "drain or grace time is not 0 to %lld ms",
                         (long long)LEAT_TIMEOUT_MS_MAX);
    }
    enum leat_err err = check_numbers(config, why);
    return err != LEAT_OK ? err : check_names(config, why);
}

static enum leat_err set_rate(struct leat_worker *w, const struct leat_worker_rate *rate,
                              struct leat_why *why)
{
    struct leat_worker_limiter *limiter = rate->type.size == 0 ? &w->limiter : NULL;
    for (size_t i = 0; i < w->lane_count && limiter == NULL; i++) {
        struct leat_str type = {w->lanes[i].type, w->lanes[i].type_size};
        limiter = leat_str_equal(type, rate->type) ? &w->lanes[i].limiter : NULL;
    }
    if (limiter == NULL) {
        return leat_fail(why, LEAT_ERR_INVALID, "rate for type %.*s, which has no handler here",
                         LEAT_STR_ARGS(rate->type));
    }
    if (limiter->is_set) {
        return leat_fail(why, LEAT_ERR_INVALID, "two rates for %.*s%s", LEAT_STR_ARGS(rate->type),
                         rate->type.size == 0 ? "the worker" : "");
    }
    if (rate->rate.tokens < 1 || rate->rate.tokens > LEAT_RATE_TOKENS_MAX ||
        rate->rate.per_us < 1 || rate->rate.per_us > LEAT_RATE_PER_US_MAX || rate->burst < 1 ||
        rate->burst > LEAT_BURST_MAX) {
        return leat_fail(why, LEAT_ERR_LIMIT, "burst %llu is not 1 to %d, or a rate out of range",
                         (unsigned long long)rate->burst, LEAT_BURST_MAX);
    }
    *limiter =
        (struct leat_worker_limiter){.is_set = true, .rate = rate->rate, .burst = rate->burst};
    return LEAT_OK;
}

static enum leat_err set_rates(struct leat_worker *w, const struct leat_worker_config *config,
                               struct leat_why *why)
{
    for (size_t i = 0; i < config->rate_count; i++) {
        enum leat_err err = set_rate(w, &config->rates[i], why);
        if (err != LEAT_OK) {
            return err;
        }
    }
    return LEAT_OK;
}

/* ---- life ---- */

static struct leat_str keep_str(struct leat_str text)
{
    char *copy = leat_worker_must(malloc(text.size + 1));
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    return (struct leat_str){copy, text.size};
}

static void keep_names(struct leat_worker *w, const struct leat_worker_config *config)
{
    w->name = keep_str(config->name);
    w->queue_count = config->queue_count;
    w->queues = leat_worker_must(calloc(config->queue_count, sizeof(*w->queues)));
    for (size_t i = 0; i < config->queue_count; i++) {
        w->queues[i].name = keep_str(config->queues[i]);
    }
    w->lane_count = config->handler_count;
    w->lanes = leat_worker_must(calloc(config->handler_count, sizeof(*w->lanes)));
    for (size_t i = 0; i < config->handler_count; i++) {
        struct leat_str type = config->handlers[i].type;
        memcpy(w->lanes[i].type, type.data, type.size);
        w->lanes[i].type_size = type.size;
        w->lanes[i].kind = config->handlers[i].kind;
        leat_list_init(&w->lanes[i].queue);
    }
}

enum leat_err leat_worker_new(const struct leat_worker_config *config,
                              struct leat_worker **ret_worker, struct leat_why *why)
{
    enum leat_err err = check_config(config, why);
    if (err != LEAT_OK) {
        return err;
    }
    struct leat_worker *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return leat_fail(why, LEAT_ERR_MEMORY, "no memory for a worker");
    }
    w->session_id = config->session;
    w->slots = config->slots;
    leat_worker_ahead_init(&w->ahead, config->prefetch, most_ahead(config));
    w->results_max =
        config->outbox_results_max != 0 ? config->outbox_results_max : LEAT_OUTBOX_RESULTS_MAX;
    w->bytes_max =
        config->outbox_bytes_max != 0 ? config->outbox_bytes_max : (size_t)LEAT_OUTBOX_BYTES_MAX;
    w->drain_us = config->drain_ms * LEAT_US_PER_MS;
    w->grace_us = config->grace_ms * LEAT_US_PER_MS;
    leat_rng_init(&w->rng, config->seed);
    keep_names(w, config);
    leat_worker_table_init(&w->table, leat_rng_next(&w->rng));
    leat_list_init(&w->started);
    leat_list_init(&w->repeat_new);
    leat_list_init(&w->repeat_said);
    leat_list_init(&w->returning);
    leat_worker_session_init(w);
    leat_worker_outbox_init(&w->outbox);
    w->ending.farewell_us = LEAT_NEVER_US;
    w->token_us = LEAT_NEVER_US;
    err = set_rates(w, config, why);
    if (err != LEAT_OK) {
        leat_worker_destroy(&w);
        return err;
    }
    *ret_worker = w;
    return LEAT_OK;
}

static void free_str(struct leat_str text)
{
    free((void *)(uintptr_t)text.data); /* made by keep_str */
}

void leat_worker_destroy(struct leat_worker **worker)
{
    struct leat_worker *w = *worker;
    if (w == NULL) {
        return;
    }
    leat_worker_table_fini(&w->table);
    for (size_t i = 0; i < w->queue_count; i++) {
        free_str(w->queues[i].name);
    }
    free(w->queues);
    free(w->lanes);
    free_str(w->name);
    free(w);
    *worker = NULL;
}

/* ---- steps ---- */

static void take_event(struct leat_worker *w, const struct leat_event *event, struct leat_out *out)
{
    int64_t now_us = event->now.mono_us;
    switch (event->kind) {
    case LEAT_EVENT_MESSAGE:
        leat_worker_receive(w, event, out);
        break;
    case LEAT_EVENT_MALFORMED: /* what was lost with it shows as a gap, or is asked for again */
        leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, leat_str_of(event->why),
                      (int64_t)event->error);
        break;
    case LEAT_EVENT_UNREACHABLE: /* to the sink: batches are sent again anyway */
        if (event->link == LEAT_LINK_VENTILATOR && w->session.open) {
            leat_worker_session_renew_later(w, now_us);
        }
        break;
    case LEAT_EVENT_STOP:
        leat_worker_stop(w, now_us, out);
        break;
    case LEAT_EVENT_TICK:
    case LEAT_EVENT_SPACE:
    case LEAT_EVENT_FORBIDDEN: /* of brokers only */
    case LEAT_EVENT_REVOKED:
    default:
        break;
    }
}

/* Everything that time and state ask for, in the order in which it must leave. */
static void turn(struct leat_worker *w, struct leat_now now, struct leat_out *out)
{
    int64_t now_us = now.mono_us;
    w->token_us = LEAT_NEVER_US;
    leat_worker_session_turn(w, now_us, out);
    leat_worker_outbox_judge(w, out);
    leat_worker_start_jobs(w, now, out);
    if (w->session.open) {
        leat_worker_say_repeats(w, now_us, out);
        leat_worker_say_returns(w, out);
    }
    leat_worker_outbox_turn(w, now_us, out);
    leat_worker_ahead_turn(w, now_us);
    leat_worker_credit_turn(w, now_us, out);
    leat_worker_session_ping(w, now_us, out);
    leat_worker_drain_turn(w, now_us, out);
}

void leat_worker_step(struct leat_worker *w, const struct leat_event *event, struct leat_out *out)
{
    if (w->ending.ended) {
        return;
    }
    if (out->count == 0) {
        leat_worker_table_sweep(&w->table);
    }
    w->queued_trail.count = 0;
    w->finished_trail.count = 0;
    leat_worker_limiter_begin(&w->limiter, event->now.mono_us);
    for (size_t i = 0; i < w->lane_count; i++) {
        leat_worker_limiter_begin(&w->lanes[i].limiter, event->now.mono_us);
    }
    take_event(w, event, out);
    turn(w, event->now, out);
}

int64_t leat_worker_deadline_us(const struct leat_worker *w)
{
    if (w->ending.ended) {
        return LEAT_NEVER_US;
    }
    const struct leat_worker_session *s = &w->session;
    int64_t deadline_us =
        s->open ? leat_min_us(s->ping_us, leat_add_us(s->heard_us, s->lost_after_us)) : s->hello_us;
    deadline_us = leat_min_us(deadline_us, w->token_us);
    deadline_us = leat_min_us(deadline_us, leat_worker_outbox_deadline_us(w));
    deadline_us = leat_min_us(deadline_us, leat_worker_ahead_deadline_us(w));
    return leat_min_us(deadline_us, leat_worker_drain_deadline_us(w));
}

/* ---- queries ---- */

struct leat_worker_counts leat_worker_counts(const struct leat_worker *w)
{
    struct leat_worker_counts counts = w->totals;
    counts.queued = w->table.counts[LEAT_WORKER_QUEUED];
    counts.started = w->table.counts[LEAT_WORKER_STARTED];
    counts.repeating = w->table.counts[LEAT_WORKER_REPEATING];
    counts.returning = w->table.counts[LEAT_WORKER_RETURNING];
    counts.finished = w->table.counts[LEAT_WORKER_FINISHED];
    counts.finished_bytes = w->outbox.bytes;
    return counts;
}

uint64_t leat_worker_round(const struct leat_worker *w)
{
    return w->session.round;
}

bool leat_worker_is_open(const struct leat_worker *w)
{
    return w->session.open;
}

bool leat_worker_is_draining(const struct leat_worker *w)
{
    return w->ending.draining;
}

bool leat_worker_is_ended(const struct leat_worker *w)
{
    return w->ending.ended;
}

bool leat_worker_holds(const struct leat_worker *w, const struct leat_id *id, uint64_t delivery)
{
    return leat_worker_job_find(&w->table, id, delivery) != NULL;
}
