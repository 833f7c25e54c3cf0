/* The session with the ventilator: rounds of numbered messages (core/messages.def). Whatever goes
 * wrong on the way (loss, silence, a restarted ventilator) has one cure: a new round, whose HELLO
 * names every lease that is held. */
#include "worker/inside.h"

/* However fast errors come back, HELLOs keep this distance. */
#define HELLO_SPACING_US (100 * LEAT_US_PER_MS)
/* What a WELCOME may ask for; outside, the nearest bound is used. */
#define PING_MS_MIN   10
#define PING_MS_MAX   (60 * LEAT_MS_PER_S)
#define SILENT_MS_MAX (3600 * LEAT_MS_PER_S)

struct leat_msg *leat_worker_to_ventilator(struct leat_out *out, enum leat_msg_type type)
{
    return leat_out_send(out, LEAT_LINK_VENTILATOR, (struct leat_peer){0}, type);
}

uint64_t leat_worker_next_number(struct leat_worker *w)
{
    LEAT_ASSERT(w->session.open);
    return ++w->session.sent_number;
}

void leat_worker_session_init(struct leat_worker *w)
{
    w->session = (struct leat_worker_session){
        .hello_us = 0, /* at the first step */
        .said_hello_us = LEAT_NEVER_US,
        .ping_period_us = LEAT_PING_MS * LEAT_US_PER_MS,
        .quiet_period_us = LEAT_PING_MS * LEAT_US_PER_MS,
        .lost_after_us = LEAT_LOST_AFTER_MS * LEAT_US_PER_MS,
    };
}

/* 1 s, growing to 5 s, of which the later half is chance so that workers do not come in step. */
static int64_t hello_wait_us(struct leat_worker *w)
{
    int64_t wait_ms = (int64_t)LEAT_RESEND_MS << (w->session.hellos < 3 ? w->session.hellos : 3);
    if (wait_ms > LEAT_RESEND_MS_MAX) {
        wait_ms = LEAT_RESEND_MS_MAX;
    }
    int64_t half_us = wait_ms * LEAT_US_PER_MS / 2;
    return half_us + (int64_t)leat_rng_below(&w->rng, (uint64_t)half_us + 1);
}

static void close_round(struct leat_worker *w)
{
    w->session.open = false;
}

void leat_worker_session_renew(struct leat_worker *w, int64_t now_us)
{
    close_round(w);
    w->session.hello_us = now_us;
    if (w->session.said_hello_us != LEAT_NEVER_US &&
        now_us < leat_add_us(w->session.said_hello_us, HELLO_SPACING_US)) {
        w->session.hello_us = w->session.said_hello_us + HELLO_SPACING_US;
    }
}

void leat_worker_session_renew_later(struct leat_worker *w, int64_t now_us)
{
    close_round(w);
    w->session.hello_us = now_us + hello_wait_us(w);
}

static void drop_returning(struct leat_worker *w)
{
    struct leat_worker_job *job;
    while ((job = leat_worker_job_of(leat_list_pop_front(&w->returning))) != NULL) {
        leat_worker_job_drop(&w->table, job);
    }
}

/* Every lease that is ours: what waits, runs, is to be repeated, or has a result not yet stored. */
static size_t list_leases(const struct leat_worker *w, struct leat_item_lease *leases)
{
    size_t count = 0;
    struct leat_list_node *node;
    struct leat_list_node *after;
    LEAT_LIST_FOR_EACH(&w->table.held, node, after)
    {
        const struct leat_worker_job *job = leat_worker_held_of(node);
        if (!job->refused) {
            leases[count++] = (struct leat_item_lease){job->id, job->delivery};
        }
    }
    return count;
}

/* Numbering starts anew; what was said in the old round and not confirmed is to be said again. */
static void begin_round(struct leat_worker *w)
{
    struct leat_worker_session *s = &w->session;
    s->round++;
    s->sent_number = 0;
    s->received_number = 0;
    s->pings = 0;
    s->pongs = 0;
    s->received = 0;
    s->granted = 0;
    for (size_t i = 0; i < w->lane_count; i++) {
        w->lanes[i].received = 0;
        w->lanes[i].granted = 0;
    }
    struct leat_list_node *node;
    while ((node = leat_list_last(&w->repeat_said)) != NULL) {
        leat_list_remove(&w->repeat_said, node);
        leat_list_push_front(&w->repeat_new, node);
    }
    drop_returning(w); /* not naming a lease gives it back */
}

static void say_hello(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    if (w->session.round == 0) {
        w->session.heard_us = now_us; /* silence is counted from here */
    }
    if (w->session.hellos > 0) {
        leat_out_note(out, LEAT_NOTE_VENTILATOR_SILENT, &w->session_id, leat_str_of(""),
                      (now_us - w->session.heard_us) / LEAT_US_PER_MS);
    }
    begin_round(w);
    size_t held = leat_worker_table_held(&w->table);
    struct leat_item_lease *leases =
        leat_worker_must(leat_arena_take(&out->arena, held * sizeof(*leases)));
    size_t count = list_leases(w, leases);
    struct leat_msg_hello *hello = &leat_worker_to_ventilator(out, LEAT_MSG_HELLO)->hello;
    hello->session = w->session_id;
    hello->round = w->session.round;
    hello->name = w->name;
    hello->queues.items = w->queues;
    hello->queues.count = w->queue_count;
    hello->slots = w->slots;
    hello->leases.items = leases;
    hello->leases.count = count;
    w->session.said_hello_us = now_us;
    w->session.hello_us = now_us + hello_wait_us(w);
    w->session.hellos++;
}

static void stop_lease(struct leat_worker *w, struct leat_worker_job *job, struct leat_out *out)
{
    leat_out_note(out, LEAT_NOTE_LEASE_STOPPED, &job->id, job->type, (int64_t)job->delivery);
    job->refused = true;
    switch (job->place) {
    case LEAT_WORKER_QUEUED:
        leat_worker_unqueue(w, job);
        leat_worker_job_drop(&w->table, job);
        break;
    case LEAT_WORKER_STARTED:
        if (!job->killed) {
            job->killed = true;
            struct leat_msg *msg =
                leat_out_send(out, LEAT_LINK_SPAWNER, (struct leat_peer){0}, LEAT_MSG_KILL);
            msg->kill.id = job->id;
            msg->kill.delivery = job->delivery;
        }
        break;
    case LEAT_WORKER_REPEATING: /* the round is new, so nothing has been said yet */
        leat_list_remove(&w->repeat_new, &job->link);
        leat_worker_job_drop(&w->table, job);
        break;
    case LEAT_WORKER_RETURNING:
        leat_list_remove(&w->returning, &job->link);
        leat_worker_job_drop(&w->table, job);
        break;
    case LEAT_WORKER_FINISHED: /* the attempt did run: its result is still good for the sink */
        break;
    case LEAT_WORKER_LIMBO:
    case LEAT_WORKER_PLACES:
    default:
        LEAT_UNREACHABLE("a job that is held is in one of the places above");
    }
}

static int64_t between_ms(uint64_t value_ms, int64_t low_ms, int64_t high_ms)
{
    return value_ms < (uint64_t)low_ms    ? low_ms
           : value_ms > (uint64_t)high_ms ? high_ms
                                          : (int64_t)value_ms;
}

/* Half as often is enough for who holds nothing, as long as one PING may still be lost before the
 * ventilator takes its silence for an end. No rarer: it is by their answers that a worker learns of
 * a ventilator that was restarted, or that jobs were lost on the way, and jobs wait meanwhile. */
static int64_t quiet_period_us(const struct leat_worker_session *s)
{
    int64_t longest_us = (s->lost_after_us - s->ping_period_us) / 2;
    int64_t period_us = leat_min_us(2 * s->ping_period_us, longest_us);
    return period_us > s->ping_period_us ? period_us : s->ping_period_us;
}

void leat_worker_session_welcome(struct leat_worker *w, const struct leat_msg_welcome *welcome,
                                 int64_t now_us, struct leat_out *out)
{
    struct leat_worker_session *s = &w->session;
    /* One that comes again, after the round was given up and before the next HELLO, opens nothing:
     * what was said since is not what it answers. */
    if (s->hellos == 0 || welcome->round != s->round ||
        !leat_id_equal(&welcome->session, &w->session_id)) {
        return;
    }
    s->open = true;
    s->hellos = 0;
    s->heard_us = now_us;
    int64_t ping_ms = between_ms(welcome->ping_ms, PING_MS_MIN, PING_MS_MAX);
    s->ping_period_us = ping_ms * LEAT_US_PER_MS;
    s->lost_after_us =
        between_ms(welcome->lost_after_ms, 2 * ping_ms, SILENT_MS_MAX) * LEAT_US_PER_MS;
    s->quiet_period_us = quiet_period_us(s);
    s->ping_us = now_us + s->ping_period_us;
    leat_out_note(out, LEAT_NOTE_SESSION_OPENED, &w->session_id, leat_str_of(""),
                  (int64_t)s->round);
    for (size_t i = 0; i < welcome->refused.count; i++) {
        const struct leat_item_lease *lease = &welcome->refused.items[i];
        struct leat_worker_job *job = leat_worker_job_find(&w->table, &lease->id, lease->delivery);
        if (job != NULL && !job->refused) {
            stop_lease(w, job, out);
        }
    }
}

bool leat_worker_session_accept(struct leat_worker *w, uint64_t round, uint64_t number,
                                int64_t now_us)
{
    struct leat_worker_session *s = &w->session;
    if (!s->open || round != s->round || number <= s->received_number) {
        return false;
    }
    if (number != s->received_number + 1) {
        leat_worker_session_renew(w, now_us);
        return false;
    }
    s->received_number = number;
    return true;
}

/* The ventilator answers each PING with one PONG, in order, after what came before the PING is on
 * its disk. So a PONG confirms every RETRY that went out before its PING. */
void leat_worker_session_pong(struct leat_worker *w)
{
    struct leat_worker_session *s = &w->session;
    if (s->pongs == s->pings) {
        return;
    }
    s->pongs++;
    struct leat_worker_job *job;
    while ((job = leat_worker_job_of(leat_list_first(&w->repeat_said))) != NULL &&
           job->pings_before < s->pongs) {
        leat_list_remove(&w->repeat_said, &job->link);
        leat_worker_job_drop(&w->table, job);
    }
}

void leat_worker_session_turn(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    struct leat_worker_session *s = &w->session;
    if (s->open && now_us >= leat_add_us(s->heard_us, s->lost_after_us)) {
        leat_out_note(out, LEAT_NOTE_VENTILATOR_SILENT, &w->session_id, leat_str_of(""),
                      (now_us - s->heard_us) / LEAT_US_PER_MS);
        leat_worker_session_renew(w, now_us);
    }
    if (!s->open && now_us >= s->hello_us) {
        say_hello(w, now_us, out);
    }
}

void leat_worker_session_busy(struct leat_worker *w, int64_t now_us)
{
    w->session.ping_us = leat_min_us(w->session.ping_us, now_us + w->session.ping_period_us);
}

/* Beside the regular PINGs, one at a time is sent for the sake of RETRYs that wait to be confirmed,
 * so that their number stays small. */
void leat_worker_session_ping(struct leat_worker *w, int64_t now_us, struct leat_out *out)
{
    struct leat_worker_session *s = &w->session;
    bool to_confirm = !leat_list_is_empty(&w->repeat_said) && s->pings == s->pongs;
    if (!s->open || (now_us < s->ping_us && !to_confirm)) {
        return;
    }
    size_t started = w->table.counts[LEAT_WORKER_STARTED];
    struct leat_msg_ping *ping = &leat_worker_to_ventilator(out, LEAT_MSG_PING)->ping;
    ping->round = s->round;
    ping->number = leat_worker_next_number(w);
    ping->busy = started < w->slots ? started : w->slots;
    ping->outbox = leat_worker_unstored(w);
    s->pings++;
    bool is_idle = leat_worker_table_held(&w->table) == 0;
    s->ping_us = now_us + (is_idle ? s->quiet_period_us : s->ping_period_us);
}
