/* The fleet: sessions of workers, how they begin, are renewed, and end. */
#include <stdlib.h>

#include "broker/ventilator/inside.h"
#include "core/check.h"
#include "core/name.h"

#define LEASES_PER_TURN 1024 /* of lost workers, released by one step */

/* A peer as a key of a map. */
struct peer_key {
    uint8_t bytes[LEAT_PEER_BYTES_MAX + 1];
};

_Static_assert(sizeof(struct peer_key) == sizeof(struct leat_peer), "a peer is its own key");

static struct peer_key peer_key_of(struct leat_peer peer)
{
    struct peer_key key = {{0}};
    size_t size = peer.size < LEAT_PEER_BYTES_MAX ? peer.size : LEAT_PEER_BYTES_MAX;
    memcpy(key.bytes, peer.bytes, size);
    key.bytes[LEAT_PEER_BYTES_MAX] = (uint8_t)size;
    return key;
}

static struct leat_session *session_at(const struct leat_ventilator *v, struct leat_peer peer)
{
    struct peer_key key = peer_key_of(peer);
    return leat_map_get_pointer(&v->session_at, &key);
}

static void detach(struct leat_ventilator *v, struct leat_session *session)
{
    if (session->peer.size > 0) {
        struct peer_key key = peer_key_of(session->peer);
        (void)leat_map_erase_pointer(&v->session_at, &key);
        session->peer = (struct leat_peer){0};
    }
}

/* Whoever had this connection before no longer has it. */
static void attach(struct leat_ventilator *v, struct leat_session *session, struct leat_peer peer)
{
    struct leat_session *before = session_at(v, peer);
    if (before == session) {
        return;
    }
    if (before != NULL) {
        detach(v, before);
    }
    detach(v, session);
    session->peer = peer;
    struct peer_key key = peer_key_of(peer);
    leat_ventilator_must_ok(leat_map_put_pointer(&v->session_at, &key, session));
}

static void hear(struct leat_ventilator *v, struct leat_session *session)
{
    session->heard_us = v->now.mono_us;
    session->unreachable = false;
    leat_list_move_to_back(&v->heard, &session->heard_link);
    leat_session_line_up(session);
}

/* ---- sending ---- */

struct leat_msg *leat_session_send(struct leat_session *session, struct leat_out *out,
                                   enum leat_msg_type type)
{
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, session->peer, type);
    uint64_t number = ++session->number_out;
    switch ((int)type) {
    case LEAT_MSG_JOBS:
        msg->jobs.round = session->round;
        msg->jobs.number = number;
        break;
    case LEAT_MSG_PONG:
        msg->pong.round = session->round;
        msg->pong.number = number;
        break;
    case LEAT_MSG_GOODBYE:
        msg->goodbye.round = session->round;
        msg->goodbye.number = number;
        break;
    case LEAT_MSG_DRAIN:
        msg->drain.round = session->round;
        msg->drain.number = number;
        break;
    default:
        LEAT_UNREACHABLE("no other type is numbered");
    }
    return msg;
}

void leat_fleet_goodbye(struct leat_ventilator *v, const char *reason, struct leat_out *out)
{
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        struct leat_session *session = LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
        if (session->peer.size > 0) {
            leat_session_send(session, out, LEAT_MSG_GOODBYE)->goodbye.reason = leat_str_of(reason);
        }
    }
}

void leat_fleet_drain(struct leat_ventilator *v, struct leat_out *out)
{
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        struct leat_session *session = LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
        if (session->peer.size > 0) {
            (void)leat_session_send(session, out, LEAT_MSG_DRAIN);
        }
    }
}

/* ---- life of a session ---- */

static struct leat_session *add_session(struct leat_ventilator *v, const struct leat_id *id)
{
    struct leat_session *session = leat_ventilator_must(calloc(1, sizeof *session));
    session->id = *id;
    leat_list_init(&session->leases);
    leat_ventilator_must_ok(leat_map_put_pointer(&v->session_of, id, session));
    leat_list_push_back(&v->heard, &session->heard_link);
    leat_list_push_back(&v->sessions, &session->all_link);
    v->counts.sessions++;
    return session;
}

void leat_session_free(struct leat_session *session)
{
    free(session->name);
    free(session->queues);
    free(session->pushed_of);
    free(session);
}

/* From now on nobody finds it; its leases stay until they are released. */
static void unlist(struct leat_ventilator *v, struct leat_session *session)
{
    detach(v, session);
    leat_session_leave_lines(session);
    (void)leat_map_erase_pointer(&v->session_of, &session->id);
    leat_list_remove(&v->heard, &session->heard_link);
    leat_list_remove(&v->sessions, &session->all_link);
    v->counts.sessions--;
}

static void lose(struct leat_ventilator *v, struct leat_session *session, struct leat_out *out)
{
    leat_out_note(out, LEAT_NOTE_WORKER_LOST, &session->id,
                  (struct leat_str){session->name, session->name_size},
                  (int64_t)session->leases.count);
    v->counts.lost_total++;
    unlist(v, session);
    leat_list_push_back(&v->losing, &session->heard_link);
}

static void release_lost(struct leat_ventilator *v, struct leat_out *out)
{
    size_t left = LEASES_PER_TURN;
    struct leat_list_node *node;
    while ((node = leat_list_first(&v->losing)) != NULL && !v->broken) {
        struct leat_session *session = LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
        struct leat_list_node *first;
        while ((first = leat_list_first(&session->leases)) != NULL && !v->broken) {
            if (left == 0) {
                v->more = true;
                return;
            }
            left--;
            leat_lease_lose(v, leat_lease_of(first), out);
        }
        if (session->leases.count == 0) {
            leat_list_remove(&v->losing, &session->heard_link);
            leat_session_free(session);
        }
    }
}

static int64_t lost_at_us(const struct leat_ventilator *v, const struct leat_session *session)
{
    return leat_add_us(session->heard_us, v->config.lost_after_ms * LEAT_US_PER_MS);
}

static struct leat_session *heard_longest_ago(const struct leat_ventilator *v)
{
    struct leat_list_node *node = leat_list_first(&v->heard);
    return node == NULL ? NULL : LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
}

static void ask_for_new_rounds(struct leat_ventilator *v)
{
    struct leat_list_node *node, *after;
    v->renew_at_us = LEAT_NEVER_US;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        LEAT_CONTAINER_OF(node, struct leat_session, heard_link)->renew = true;
    }
}

void leat_fleet_tend(struct leat_ventilator *v, struct leat_out *out)
{
    if (v->now.mono_us >= v->renew_at_us) {
        ask_for_new_rounds(v);
    }
    struct leat_session *session;
    while ((session = heard_longest_ago(v)) != NULL && lost_at_us(v, session) <= v->now.mono_us) {
        lose(v, session, out);
    }
    release_lost(v, out);
}

int64_t leat_fleet_deadline_us(const struct leat_ventilator *v)
{
    const struct leat_session *session = heard_longest_ago(v);
    return leat_min_us(v->renew_at_us, session == NULL ? LEAT_NEVER_US : lost_at_us(v, session));
}

void leat_fleet_forgive(struct leat_ventilator *v, int64_t gap_us)
{
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        struct leat_session *session = LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
        session->heard_us = leat_min_us(session->heard_us + gap_us, v->now.mono_us);
    }
}

void leat_fleet_on_unreachable(struct leat_ventilator *v, struct leat_peer peer)
{
    struct leat_session *session = session_at(v, peer);
    if (session != NULL) {
        session->unreachable = true;
    }
}

void leat_fleet_learn_queue(struct leat_ventilator *v, struct leat_str name,
                            struct leat_queue *queue)
{
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        struct leat_session *session = LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
        for (size_t i = 0; i < session->queue_count; i++) {
            struct leat_session_queue *served = &session->queues[i];
            if (leat_str_equal((struct leat_str){served->name, served->name_size}, name)) {
                leat_session_learn_queue(session, served, queue);
            }
        }
    }
}

void leat_fleet_forget_type(struct leat_ventilator *v, uint32_t type_number)
{
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        struct leat_session *session = LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
        if (type_number < session->pushed_of_count) {
            session->pushed_of[type_number] = 0;
        }
    }
}

/* ---- rights ---- */

static bool serves_all(const struct leat_principal *who, const struct leat_session *session)
{
    for (size_t i = 0; i < session->queue_count; i++) {
        const struct leat_session_queue *served = &session->queues[i];
        if (!leat_policy_serves(who, (struct leat_str){served->name, served->name_size})) {
            return false;
        }
    }
    return true;
}

void leat_fleet_on_revoked(struct leat_ventilator *v, const struct leat_event *event,
                           struct leat_out *out)
{
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&v->heard, node, after)
    {
        struct leat_session *session = LEAT_CONTAINER_OF(node, struct leat_session, heard_link);
        if (!session->has_key || !leat_key_equal(&session->key, &event->who->key)) {
            continue;
        }
        bool may_stay = event->instead != NULL && event->instead->role == LEAT_ROLE_WORKER &&
                        serves_all(event->instead, session);
        if (!may_stay) {
            session->revoked = true;
            lose(v, session, out);
        }
    }
}

/* A session is its key's: whoever knows its id and has another key may not go on with it. */
static bool is_foreign(const struct leat_session *session, const struct leat_principal *who)
{
    return session->has_key != (who != NULL) ||
           (who != NULL && !leat_key_equal(&session->key, &who->key));
}

/* ---- HELLO ---- */

static bool is_refused(struct leat_ventilator *v, const struct leat_event *event,
                       struct leat_out *out)
{
    const struct leat_msg_hello *hello = &event->msg->hello;
    struct leat_why why = {"a session needs an id, a round and at least one queue"};
    bool bad = leat_id_is_zero(&hello->session) || hello->round == 0 || hello->queues.count == 0 ||
               event->peer.size == 0;
    for (size_t i = 0; i < hello->queues.count && !bad; i++) {
        bad = leat_name_check_queue(hello->queues.items[i].name, &why) != LEAT_OK;
    }
    if (bad) {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_INVALID, why.text, hello->round);
        return true;
    }
    if (v->counts.sessions >= LEAT_SESSIONS_MAX &&
        leat_map_get_pointer(&v->session_of, &hello->session) == NULL) {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_BUSY, "too many workers", hello->round);
        return true;
    }
    return false;
}

static void begin_round(struct leat_ventilator *v, struct leat_session *session,
                        const struct leat_msg_hello *hello)
{
    leat_session_leave_lines(session);
    session->round = hello->round;
    session->renew = false;
    session->number_in = 0;
    session->number_out = 0;
    session->credit = 0;
    session->pushed = 0;
    session->limit_count = 0;
    for (size_t i = 0; i < session->pushed_of_count; i++) {
        session->pushed_of[i] = 0;
    }
    session->slots = hello->slots;
    free(session->name);
    session->name_size = hello->name.size;
    session->name = leat_ventilator_must(malloc(hello->name.size + 1));
    memcpy(session->name, hello->name.size > 0 ? hello->name.data : "", hello->name.size);
    free(session->queues);
    session->queue_count = hello->queues.count;
    session->queues = leat_ventilator_must(calloc(hello->queues.count, sizeof *session->queues));
    for (size_t i = 0; i < hello->queues.count; i++) {
        struct leat_str name = hello->queues.items[i].name;
        struct leat_session_queue *served = &session->queues[i];
        memcpy(served->name, name.data, name.size);
        served->name_size = name.size;
        served->queue = leat_queue_find(v, name);
        served->session = session;
    }
}

/* Keeps the announced leases that are the session's or can become so; lists the others. */
static size_t take_announced(struct leat_ventilator *v, struct leat_session *session,
                             const struct leat_msg_hello *hello, struct leat_item_lease *refused,
                             struct leat_out *out)
{
    size_t refused_count = 0;
    for (size_t i = 0; i < hello->leases.count && !v->broken; i++) {
        const struct leat_item_lease *announced = &hello->leases.items[i];
        struct leat_held_lease *lease = leat_lease_find(v, &announced->id);
        bool is_taken = lease == NULL
                            ? leat_lease_adopt(v, session, announced)
                            : lease->session == session && lease->delivery == announced->delivery;
        if (is_taken) {
            leat_lease_find(v, &announced->id)->round = session->round;
        } else {
            refused[refused_count++] = *announced;
            leat_out_note(out, LEAT_NOTE_LEASE_REFUSED, &announced->id, hello->name,
                          (int64_t)announced->delivery);
        }
    }
    return refused_count;
}

/* What the session does not know of was lost on its way to it. */
static void release_unannounced(struct leat_ventilator *v, struct leat_session *session,
                                struct leat_out *out)
{
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&session->leases, node, after)
    {
        struct leat_held_lease *lease = leat_lease_of(node);
        if (lease->round != session->round) {
            leat_lease_return(v, lease, out);
        }
    }
}

static void welcome(struct leat_ventilator *v, struct leat_session *session,
                    struct leat_item_lease *refused, size_t refused_count, struct leat_out *out)
{
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, session->peer, LEAT_MSG_WELCOME);
    msg->welcome.session = session->id;
    msg->welcome.round = session->round;
    msg->welcome.ping_ms = (uint64_t)v->config.ping_ms;
    msg->welcome.lost_after_ms = (uint64_t)v->config.lost_after_ms;
    msg->welcome.refused.items = refused;
    msg->welcome.refused.count = refused_count;
    if (v->phase == LEAT_VENTILATOR_DRAINING || v->phase == LEAT_VENTILATOR_LAST) {
        (void)leat_session_send(session, out, LEAT_MSG_DRAIN);
    }
}

void leat_fleet_on_hello(struct leat_ventilator *v, const struct leat_event *event,
                         struct leat_out *out)
{
    const struct leat_msg_hello *hello = &event->msg->hello;
    if (is_refused(v, event, out)) {
        return;
    }
    struct leat_session *session = leat_map_get_pointer(&v->session_of, &hello->session);
    if (session != NULL && is_foreign(session, event->who)) {
        leat_ventilator_refuse(v, event, out, LEAT_ERR_FORBIDDEN,
                               "this session was opened with another key", hello->round);
        return;
    }
    if (session != NULL && hello->round <= session->round) {
        return; /* it comes late or twice */
    }
    struct leat_item_lease *refused =
        leat_arena_take(&out->arena, hello->leases.count * sizeof *refused);
    if (refused == NULL) {
        return; /* no room for the answer now; the worker will ask again */
    }
    bool is_new = session == NULL;
    if (is_new) {
        session = add_session(v, &hello->session);
        session->has_key = event->who != NULL;
        session->key = event->who != NULL ? event->who->key : (struct leat_key){{0}};
    }
    attach(v, session, event->peer);
    hear(v, session);
    begin_round(v, session, hello);
    size_t refused_count = take_announced(v, session, hello, refused, out);
    release_unannounced(v, session, out);
    leat_out_note(out, is_new ? LEAT_NOTE_WORKER_JOINED : LEAT_NOTE_WORKER_RESUMED, &session->id,
                  hello->name, (int64_t)(is_new ? session->slots : session->leases.count));
    welcome(v, session, refused, refused_count, out);
}

/* ---- messages of a round ---- */

static void answer_gap(const struct leat_event *event, struct leat_out *out, enum leat_err err,
                       uint64_t number)
{
    struct leat_msg *msg = leat_out_send(out, LEAT_LINK_PEERS, event->peer, LEAT_MSG_ERROR);
    msg->error.code = err;
    msg->error.text = leat_str_of(leat_err_text(err));
    msg->error.type = event->msg->type;
    msg->error.ref = number;
}

struct leat_session *leat_fleet_accept(struct leat_ventilator *v, const struct leat_event *event,
                                       uint64_t round, uint64_t number, struct leat_out *out)
{
    struct leat_session *session = session_at(v, event->peer);
    if (session == NULL) {
        answer_gap(event, out, LEAT_ERR_UNKNOWN_SESSION, number);
        return NULL;
    }
    hear(v, session);
    if (round < session->round || (round == session->round && number <= session->number_in)) {
        return NULL;
    }
    if (session->renew || round > session->round || number != session->number_in + 1) {
        answer_gap(event, out, LEAT_ERR_OUT_OF_ORDER, number);
        return NULL;
    }
    session->number_in = number;
    return session;
}

/* Taken even if something before it was lost: who says it will not say it again. */
void leat_fleet_on_goodbye(struct leat_ventilator *v, const struct leat_event *event,
                           struct leat_out *out)
{
    const struct leat_msg_goodbye *goodbye = &event->msg->goodbye;
    struct leat_session *session = session_at(v, event->peer);
    if (session == NULL || goodbye->round != session->round ||
        goodbye->number <= session->number_in) {
        return;
    }
    leat_out_note(out, LEAT_NOTE_WORKER_LEFT, &session->id,
                  (struct leat_str){session->name, session->name_size},
                  (int64_t)session->leases.count);
    unlist(v, session);
    struct leat_list_node *node, *after;
    LEAT_LIST_FOR_EACH(&session->leases, node, after)
    {
        leat_lease_return(v, leat_lease_of(node), out);
    }
    leat_session_free(session);
}
