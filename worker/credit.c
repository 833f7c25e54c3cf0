/* Credit: how many jobs the ventilator may push in this round, in all. Room is what slots, prefetch
 * and outbox leave; of that, only as much is granted as there are tokens, less one for each job
 * that waits here for its own. So a job that is granted can start as soon as there is a slot, and
 * what the rate does not allow stays with the ventilator, for other workers. */
#include "worker/inside.h"

/* While tokens alone hold credit back, grants come in steps of at least this, not one by one. */
#define TOKEN_STEP_US LEAT_US_PER_MS

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t room(const struct leat_worker *w)
{
    size_t active = leat_worker_active(w);
    size_t held = leat_worker_table_held(&w->table);
    size_t window = w->slots + w->ahead.jobs;
    if (w->ending.draining || w->outbox.full || active >= window ||
        active + leat_worker_unstored(w) >= w->results_max || held >= LEAT_SESSION_LEASES_MAX) {
        return 0;
    }
    size_t by_outbox = w->results_max - active - leat_worker_unstored(w);
    return smaller(smaller(window - active, by_outbox), LEAT_SESSION_LEASES_MAX - held);
}

/* Tokens that no queued job waits for. */
static uint64_t spare_tokens(const struct leat_worker_limiter *limiter, size_t queued,
                             int64_t now_us)
{
    uint64_t tokens = leat_worker_limiter_tokens(limiter, now_us);
    return tokens > queued ? tokens - queued : 0;
}

static void await_token(struct leat_worker *w, const struct leat_worker_limiter *limiter,
                        int64_t now_us)
{
    int64_t next_us = leat_worker_limiter_next_us(limiter, now_us);
    if (next_us != LEAT_NEVER_US && next_us < now_us + TOKEN_STEP_US) {
        next_us = now_us + TOKEN_STEP_US;
    }
    w->token_us = leat_min_us(w->token_us, next_us);
}

static uint64_t lane_total(const struct leat_worker *w, const struct leat_worker_lane *lane,
                           int64_t now_us)
{
    return w->ending.draining
               ? lane->received
               : lane->received + spare_tokens(&lane->limiter, lane->queue.count, now_us);
}

/* Two totals that both leave nothing to be pushed are the same. */
static bool limits_changed(const struct leat_worker *w, int64_t now_us)
{
    for (size_t i = 0; i < w->lane_count; i++) {
        const struct leat_worker_lane *lane = &w->lanes[i];
        uint64_t total = lane_total(w, lane, now_us);
        if (lane->limiter.is_set && total != lane->granted &&
            (total > lane->received || lane->granted > lane->received)) {
            return true;
        }
    }
    return false;
}

static void say_credit(struct leat_worker *w, uint64_t total, int64_t now_us, struct leat_out *out)
{
    struct leat_item_type_limit *limits =
        leat_worker_must(leat_arena_take(&out->arena, w->lane_count * sizeof(*limits)));
    size_t count = 0;
    for (size_t i = 0; i < w->lane_count; i++) {
        struct leat_worker_lane *lane = &w->lanes[i];
        if (lane->limiter.is_set) {
            lane->granted = lane_total(w, lane, now_us);
            limits[count++] =
                (struct leat_item_type_limit){{lane->type, lane->type_size}, lane->granted};
        }
    }
    w->session.granted = total;
    struct leat_msg_credit *credit = &leat_worker_to_ventilator(out, LEAT_MSG_CREDIT)->credit;
    credit->round = w->session.round;
    credit->number = leat_worker_next_number(w);
    credit->total = total;
    credit->limits.items = limits;
    credit->limits.count = count;
}

/* More credit is worth a message when it is half of the prefetch, or when the ventilator could not
 * fill the slots with what it has: so a busy worker asks for jobs in batches. Less credit is told
 * at once. */
static bool is_worth_saying(const struct leat_worker *w, uint64_t total, bool by_tokens)
{
    uint64_t granted = w->session.granted;
    if (total <= granted) {
        return total < granted;
    }
    uint64_t unused = granted > w->session.received ? granted - w->session.received : 0;
    size_t step = w->ahead.jobs / 2 > 0 ? w->ahead.jobs / 2 : 1;
    return by_tokens || total - granted >= step || leat_worker_active(w) + unused < w->slots;
}

void leat_worker_credit_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    if (!w->session.open) {
        return;
    }
    uint64_t grant = room(w);
    uint64_t spare = spare_tokens(&w->limiter, w->table.counts[LEAT_WORKER_QUEUED], now_us);
    bool by_tokens = spare < grant;
    if (by_tokens) {
        grant = spare;
        await_token(w, &w->limiter, now_us);
    }
    for (size_t i = 0; i < w->lane_count && !w->ending.draining; i++) {
        if (w->lanes[i].limiter.is_set) {
            await_token(w, &w->lanes[i].limiter, now_us);
        }
    }
    uint64_t total = w->session.received + grant;
    if (is_worth_saying(w, total, by_tokens) || limits_changed(w, now_us)) {
        say_credit(w, total, now_us, out);
    }
}
