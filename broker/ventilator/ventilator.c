/* Life, step and deadline. */
#include "broker/ventilator/ventilator.h"

#include <stdlib.h>

#include "broker/ventilator/inside.h"
#include "core/check.h"

/* Memory that is kept when there are no leases, and as much when no window has a row. */
#define KEEP_BYTES ((size_t)1 << 20)

void leat_ventilator_config_init(struct leat_ventilator_config *config)
{
    *config = (struct leat_ventilator_config){
        .jobs_max = LEAT_JOBS_DEFAULT,
        .bytes_max = LEAT_STORE_BYTES_DEFAULT,
        .payload_bytes_max = LEAT_PAYLOAD_BYTES_DEFAULT,
        .filling_bytes_max = LEAT_FILLING_BYTES_MAX,
        .lost_after_ms = LEAT_LOST_AFTER_MS,
        .ping_ms = LEAT_PING_MS,
        .recovery_grace_ms = LEAT_RECOVERY_GRACE_MS,
        .audit_ms = LEAT_AUDIT_MS,
        .dedupe_ms = LEAT_DEDUPE_MS,
        .dedupe_max = LEAT_DEDUPE_IDS_MAX,
        .deliveries_max = LEAT_DELIVERIES_DEFAULT,
        .batch_items_max = LEAT_BATCH_ITEMS_MAX,
    };
}

void *leat_ventilator_must(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

void leat_ventilator_must_ok(enum leat_err err)
{
    if (err != LEAT_OK) {
        abort();
    }
}

bool leat_ventilator_broke(struct leat_ventilator *v, enum leat_err err)
{
    if (err == LEAT_ERR_IO) {
        v->broken = true;
    }
    return err == LEAT_ERR_IO;
}

int64_t leat_ventilator_steady_ms(const struct leat_ventilator *v)
{
    return v->steady_base_ms + v->now.mono_us / LEAT_US_PER_MS;
}

int64_t leat_ventilator_wall_ms(const struct leat_ventilator *v)
{
    return v->now.wall.us / LEAT_US_PER_MS;
}

struct leat_ventilator *leat_ventilator_new(const struct leat_ventilator_config *config,
                                            struct leat_ventilator_store *store)
{
    LEAT_ASSERT(config->jobs_max >= LEAT_BATCH_ITEMS_MAX && config->deliveries_max >= 1);
    LEAT_ASSERT(config->payload_bytes_max <= LEAT_PAYLOAD_BYTES_CEILING);
    LEAT_ASSERT(config->bytes_max >= 2 * config->payload_bytes_max);
    LEAT_ASSERT(config->batch_items_max >= 1 && config->batch_items_max <= LEAT_BATCH_ITEMS_MAX);
    LEAT_ASSERT(config->ping_ms > 0 && config->lost_after_ms > config->ping_ms);
    LEAT_ASSERT(!leat_id_is_zero(&config->sender));
    struct leat_ventilator *v = leat_ventilator_must(calloc(1, sizeof *v));
    v->config = *config;
    v->store = store;
    leat_map_init(&v->lane_of, LEAT_QUEUE_BYTES_MAX + LEAT_TYPE_BYTES_MAX, config->seed);
    leat_map_init(&v->queue_of, LEAT_QUEUE_BYTES_MAX, config->seed + 1);
    leat_map_init(&v->session_of, LEAT_ID_BYTES, config->seed + 2);
    leat_map_init(&v->session_at, sizeof(struct leat_peer), config->seed + 3);
    leat_map_init(&v->lease_of, LEAT_ID_BYTES, config->seed + 4);
    leat_slab_init(&v->leases, KEEP_BYTES);
    leat_slab_init(&v->rows, KEEP_BYTES);
    leat_list_init(&v->heard);
    leat_list_init(&v->losing);
    leat_list_init(&v->sessions);
    leat_list_init(&v->work);
    leat_list_init(&v->served);
    leat_list_init(&v->changed);
    v->push_again_us = LEAT_NEVER_US;
    v->renew_at_us = LEAT_NEVER_US;
    v->due_ms = INT64_MAX;
    v->retry_ms = INT64_MAX;
    v->expiry_ms = INT64_MAX;
    v->sink_heard_us = LEAT_NEVER_US;
    v->report.at_us = LEAT_NEVER_US;
    v->remembered_first = 1;
    v->remembered_next = 1;
    v->forget_at_ms = INT64_MAX;
    return v;
}

static void free_sessions(struct leat_list *list)
{
    struct leat_list_node *node;
    while ((node = leat_list_pop_front(list)) != NULL) {
        leat_session_free(LEAT_CONTAINER_OF(node, struct leat_session, heard_link));
    }
}

void leat_ventilator_destroy(struct leat_ventilator **ventilator)
{
    struct leat_ventilator *v = *ventilator;
    if (v == NULL) {
        return;
    }
    free_sessions(&v->heard);
    free_sessions(&v->losing);
    leat_lanes_free(v);
    leat_slab_fini(&v->leases);
    leat_slab_fini(&v->rows);
    leat_map_fini(&v->session_of);
    leat_map_fini(&v->session_at);
    leat_map_fini(&v->lease_of);
    free(v->picks);
    free(v);
    *ventilator = NULL;
}

/* ---- events ---- */

void leat_ventilator_refuse(struct leat_ventilator *v, const struct leat_event *event,
                            struct leat_out *out, enum leat_err err, const char *text, uint64_t ref)
{
    v->counts.malformed_total++;
    v->counts.forbidden_total += err == LEAT_ERR_FORBIDDEN ? 1 : 0;
    struct leat_str copy = leat_arena_copy_str(&out->arena, leat_str_of(text));
    if (copy.data == NULL) {
        copy.size = 0;
    }
    leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, copy, err);
    if (event->link != LEAT_LINK_PEERS) {
        return; /* the sink is told nothing: it could only answer in kind */
    }
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_ERROR);
    msg->error.code = err;
    msg->error.text = copy;
    msg->error.type = event->msg != NULL ? event->msg->type : 0;
    msg->error.ref = ref;
}

/* A forbidden SUBMIT gets REJECTED, which says whose batch it was: an ERROR could be taken for one
 * about another batch of the same number. */
static void on_forbidden(struct leat_ventilator *v, const struct leat_event *event,
                         struct leat_out *out)
{
    if (event->msg->type != LEAT_MSG_SUBMIT) {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_FORBIDDEN, event->why,
                               leat_policy_ref(event->msg));
        return;
    }
    const struct leat_msg_submit *submit = &event->msg->submit;
    struct leat_str text = leat_arena_copy_str(&out->arena, leat_str_of(event->why));
    v->counts.malformed_total++;
    v->counts.forbidden_total++;
    leat_out_note(out, LEAT_NOTE_SUBMIT_REFUSED, &submit->producer, text, (int64_t)submit->batch);
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_REJECTED);
    msg->rejected.producer = submit->producer;
    msg->rejected.batch = submit->batch;
    msg->rejected.code = LEAT_ERR_FORBIDDEN;
    msg->rejected.text = text.data == NULL ? leat_str_of("") : text;
}

static void on_peer(struct leat_ventilator *v, const struct leat_event *event, struct leat_out *out)
{
    switch ((int)event->msg->type) {
    case LEAT_MSG_SUBMIT:
        leat_ventilator_on_submit(v, event, out);
        break;
    case LEAT_MSG_HELLO:
        leat_fleet_on_hello(v, event, out);
        break;
    case LEAT_MSG_CREDIT:
        leat_session_on_credit(v, event, out);
        break;
    case LEAT_MSG_RETRY:
        leat_session_on_retry(v, event, out);
        break;
    case LEAT_MSG_RETURN:
        leat_session_on_return(v, event, out);
        break;
    case LEAT_MSG_PING:
        leat_session_on_ping(v, event, out);
        break;
    case LEAT_MSG_GOODBYE:
        leat_fleet_on_goodbye(v, event, out);
        break;
    case LEAT_MSG_CONTROL:
        leat_ventilator_on_control(v, event, out);
        break;
    case LEAT_MSG_LOOKUP:
        leat_ventilator_on_lookup(v, event, out);
        break;
    case LEAT_MSG_ERROR: /* answering errors with errors would never end */
        v->counts.malformed_total++;
        leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, event->msg->error.text,
                      (int64_t)event->msg->error.code);
        break;
    default:
        leat_ventilator_refuse(v, event, out, LEAT_ERR_STATE, "not a message for the ventilator",
                               0);
    }
}

static void on_sink(struct leat_ventilator *v, const struct leat_event *event, struct leat_out *out)
{
    switch ((int)event->msg->type) {
    case LEAT_MSG_SETTLED:
        leat_ventilator_on_settled(v, &event->msg->settled, out);
        break;
    case LEAT_MSG_STORED:
        leat_ventilator_on_stored(v, &event->msg->stored);
        break;
    case LEAT_MSG_BUSY:
        leat_ventilator_on_sink_busy(v, &event->msg->busy);
        break;
    case LEAT_MSG_ERROR:
        v->counts.malformed_total++;
        leat_out_note(out, LEAT_NOTE_MESSAGE_REFUSED, NULL, event->msg->error.text,
                      (int64_t)event->msg->error.code);
        break;
    default:
        leat_ventilator_refuse(v, event, out, LEAT_ERR_STATE, "not a message from a sink", 0);
    }
}

static void on_space(struct leat_ventilator *v, bool full, struct leat_out *out)
{
    if (v->store_full != full) {
        v->store_full = full;
        leat_out_note(out, full ? LEAT_NOTE_STORE_FULL : LEAT_NOTE_STORE_ROOM, NULL,
                      leat_str_of("disk or store size"), 0);
    }
}

static void on_event(struct leat_ventilator *v, const struct leat_event *event,
                     struct leat_out *out)
{
    switch (event->kind) {
    case LEAT_EVENT_TICK:
        break;
    case LEAT_EVENT_MESSAGE:
        if (event->link == LEAT_LINK_PEERS) {
            on_peer(v, event, out);
        } else if (event->link == LEAT_LINK_SINK) {
            on_sink(v, event, out);
        }
        break;
    case LEAT_EVENT_MALFORMED:
        leat_ventilator_refuse(v, event, out, event->error, event->why, 0);
        break;
    case LEAT_EVENT_UNREACHABLE:
        if (event->link == LEAT_LINK_PEERS) {
            leat_fleet_on_unreachable(v, event->peer);
        }
        break;
    case LEAT_EVENT_STOP:
        leat_ventilator_stop(v, out);
        break;
    case LEAT_EVENT_SPACE:
        on_space(v, event->store_full, out);
        break;
    case LEAT_EVENT_FORBIDDEN:
        on_forbidden(v, event, out);
        break;
    case LEAT_EVENT_REVOKED:
        leat_fleet_on_revoked(v, event, out);
        break;
    }
}

/* Work that no single event asks for. */
static void tend(struct leat_ventilator *v, struct leat_out *out)
{
    leat_fleet_tend(v, out);
    leat_ventilator_tend_due(v, out);
    leat_ventilator_tend_memory(v);
    leat_ventilator_sweep_producers(v);
    leat_ventilator_dispatch(v, out);
    leat_ventilator_tend_report(v, out);
    leat_ventilator_tend_sink(v, out);
    leat_ventilator_tend_gauges(v, out);
    leat_ventilator_tend_shutdown(v, out);
}

static int64_t next_deadline_us(const struct leat_ventilator *v)
{
    if (v->phase == LEAT_VENTILATOR_ENDED) {
        return LEAT_NEVER_US;
    }
    if (v->more) {
        return v->now.mono_us;
    }
    int64_t deadline_us = leat_min_us(v->follow_at_us, v->gauges_at_us);
    deadline_us = leat_min_us(deadline_us, v->sweep_at_us);
    deadline_us = leat_min_us(deadline_us, v->report.at_us);
    deadline_us = leat_min_us(deadline_us, v->push_again_us);
    if (v->now.mono_us < v->push_from_us) {
        deadline_us = leat_min_us(deadline_us, v->push_from_us);
    }
    deadline_us = leat_min_us(deadline_us, leat_fleet_deadline_us(v));
    deadline_us = leat_min_us(deadline_us, leat_ventilator_due_deadline_us(v));
    deadline_us = leat_min_us(deadline_us, leat_ventilator_memory_deadline_us(v));
    return leat_min_us(deadline_us, leat_ventilator_shutdown_deadline_us(v));
}

/* When the process was stopped or starved, messages of workers wait unread while the clock went on:
 * that must not look like their silence. */
static void notice_lateness(struct leat_ventilator *v, int64_t mono_us)
{
    int64_t late_us = v->deadline_us == LEAT_NEVER_US ? 0 : mono_us - v->deadline_us;
    if (late_us > v->config.ping_ms * LEAT_US_PER_MS / 4) {
        v->now.mono_us = mono_us;
        leat_fleet_forgive(v, late_us);
    }
}

void leat_ventilator_step(struct leat_ventilator *v, const struct leat_event *event,
                          struct leat_out *out)
{
    if (v->phase == LEAT_VENTILATOR_ENDED) {
        if (event->kind == LEAT_EVENT_STOP && !v->broken) {
            leat_ventilator_stop(v, out);
        }
        return;
    }
    LEAT_ASSERT(event->now.mono_us >= v->now.mono_us);
    notice_lateness(v, event->now.mono_us);
    v->now = event->now;
    v->more = false;
    on_event(v, event, out);
    if (v->phase != LEAT_VENTILATOR_ENDED && !v->broken) {
        tend(v, out);
    }
    leat_ventilator_save_counts(v, out);
    if (v->broken) {
        v->phase = LEAT_VENTILATOR_ENDED;
        leat_out_exit(out, LEAT_VENTILATOR_EXIT_STORE);
    }
    v->deadline_us = next_deadline_us(v);
}

int64_t leat_ventilator_deadline_us(const struct leat_ventilator *v)
{
    return v->deadline_us;
}

/* ---- queries ---- */

struct leat_ventilator_counts leat_ventilator_counts(const struct leat_ventilator *v)
{
    struct leat_ventilator_counts counts = v->counts;
    counts.jobs = leat_ventilator_jobs(v);
    return counts;
}

bool leat_ventilator_holds_lease(const struct leat_ventilator *v, const struct leat_id *id,
                                 uint64_t delivery, const struct leat_id *session)
{
    const struct leat_held_lease *lease = leat_lease_find(v, id);
    return lease != NULL && lease->delivery == delivery &&
           leat_id_equal(&lease->session->id, session);
}

bool leat_ventilator_is_ended(const struct leat_ventilator *v)
{
    return v->phase == LEAT_VENTILATOR_ENDED;
}
