/* What a worker says within its round. */
#include <stdlib.h>

#include "broker/ventilator/inside.h"

/* ---- credit ---- */

void leat_session_on_credit(struct leat_ventilator *v, const struct leat_event *event,
                            struct leat_out *out)
{
    const struct leat_msg_credit *credit = &event->msg->credit;
    struct leat_session *session = leat_fleet_accept(v, event, credit->round, credit->number, out);
    if (session == NULL) {
        return;
    }
    session->credit = credit->total;
    session->limit_count = 0;
    for (size_t i = 0; i < credit->limits.count; i++) {
        const struct leat_item_type_limit *item = &credit->limits.items[i];
        if (item->type.size == 0 || item->type.size > LEAT_TYPE_BYTES_MAX) {
            continue; /* no job has such a type */
        }
        struct leat_session_limit *limit = &session->limits[session->limit_count++];
        memcpy(limit->type, item->type.data, item->type.size);
        limit->type_size = item->type.size;
        limit->total = item->total;
    }
    leat_session_line_up(session);
}

bool leat_session_is_hungry(const struct leat_session *session)
{
    return session->pushed < session->credit && session->peer.size > 0 && !session->unreachable &&
           session->leases.count < LEAT_SESSION_LEASES_MAX;
}

bool leat_session_may_take(const struct leat_session *session, const struct leat_lane *lane)
{
    for (size_t i = 0; i < session->limit_count; i++) {
        const struct leat_session_limit *limit = &session->limits[i];
        if (limit->type_size == lane->type_size &&
            memcmp(limit->type, lane->type, lane->type_size) == 0) {
            uint64_t pushed = lane->type_number < session->pushed_of_count
                                  ? session->pushed_of[lane->type_number]
                                  : 0;
            return pushed < limit->total;
        }
    }
    return true;
}

void leat_session_count_push(struct leat_session *session, const struct leat_lane *lane)
{
    size_t needed = (size_t)lane->type_number + 1;
    if (session->pushed_of_count < needed) {
        size_t count = needed + 8;
        session->pushed_of =
            leat_ventilator_must(realloc(session->pushed_of, count * sizeof *session->pushed_of));
        memset(session->pushed_of + session->pushed_of_count, 0,
               (count - session->pushed_of_count) * sizeof *session->pushed_of);
        session->pushed_of_count = count;
    }
    session->pushed_of[lane->type_number]++;
    session->pushed++;
}

void leat_session_uncount_push(struct leat_session *session, const struct leat_lane *lane)
{
    session->pushed_of[lane->type_number]--;
    session->pushed--;
}

/* ---- leases that end ---- */

/* The lease, if it is this session's; else it is noted that somebody else's was named. That does no
 * harm: a worker that was thought lost and was not will name leases which others have by now. */
static struct leat_held_lease *find_lease(struct leat_ventilator *v,
                                          const struct leat_session *session,
                                          const struct leat_id *id, uint64_t delivery,
                                          struct leat_out *out)
{
    struct leat_held_lease *lease = leat_lease_find(v, id);
    if (lease != NULL && lease->session == session && lease->delivery == delivery) {
        return lease;
    }
    leat_out_note(out, LEAT_NOTE_LEASE_REFUSED, id,
                  (struct leat_str){session->name, session->name_size}, (int64_t)delivery);
    return NULL;
}

void leat_session_on_retry(struct leat_ventilator *v, const struct leat_event *event,
                           struct leat_out *out)
{
    const struct leat_msg_retry *retry = &event->msg->retry;
    struct leat_session *session = leat_fleet_accept(v, event, retry->round, retry->number, out);
    for (size_t i = 0; session != NULL && i < retry->jobs.count && !v->broken; i++) {
        const struct leat_item_repeat *repeat = &retry->jobs.items[i];
        struct leat_held_lease *lease = find_lease(v, session, &repeat->id, repeat->delivery, out);
        if (lease != NULL) {
            leat_lease_retry(v, lease, repeat, out);
        }
    }
    if (session != NULL && retry->jobs.count > 0) {
        leat_ventilator_save_meta(
            v); /* due times are meant by the steady clock, so it must go on */
    }
}

void leat_session_on_return(struct leat_ventilator *v, const struct leat_event *event,
                            struct leat_out *out)
{
    const struct leat_msg_handback *handback = &event->msg->handback;
    struct leat_session *session =
        leat_fleet_accept(v, event, handback->round, handback->number, out);
    for (size_t i = 0; session != NULL && i < handback->jobs.count && !v->broken; i++) {
        const struct leat_item_lease *item = &handback->jobs.items[i];
        struct leat_held_lease *lease = find_lease(v, session, &item->id, item->delivery, out);
        if (lease != NULL) {
            leat_lease_return(v, lease, out);
        }
    }
}

/* ---- life ---- */

/* A lease that grows old may be one that its worker no longer knows: a sink said STORED of its
 * result and was then restored from an older copy, and nobody would ever end that job. A new round,
 * in which the worker names what it holds, finds it out. */
static void audit(const struct leat_ventilator *v, struct leat_session *session)
{
    struct leat_list_node *first = leat_list_first(&session->leases);
    const struct leat_held_lease *oldest = first == NULL ? NULL : leat_lease_of(first);
    uint64_t delivery = oldest == NULL ? 0 : oldest->delivery;
    bool is_same = delivery == session->oldest_delivery &&
                   (oldest == NULL || leat_id_equal(&oldest->id, &session->oldest_lease));
    if (is_same && v->now.mono_us < session->audit_at_us) {
        return;
    }
    session->renew = session->renew || (is_same && oldest != NULL);
    session->oldest_lease = oldest == NULL ? (struct leat_id){0} : oldest->id;
    session->oldest_delivery = delivery;
    session->audit_at_us = leat_add_us(v->now.mono_us, v->config.audit_ms * LEAT_US_PER_MS);
}

/* Each PING brings one PONG, and PONG waits for the disk like every message: it tells the worker
 * that all it said before is kept. */
void leat_session_on_ping(struct leat_ventilator *v, const struct leat_event *event,
                          struct leat_out *out)
{
    const struct leat_msg_ping *ping = &event->msg->ping;
    struct leat_session *session = leat_fleet_accept(v, event, ping->round, ping->number, out);
    if (session == NULL) {
        return;
    }
    session->busy = ping->busy;
    session->outbox = ping->outbox;
    (void)leat_session_send(session, out, LEAT_MSG_PONG);
    audit(v, session);
}
