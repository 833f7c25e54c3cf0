#include "worker/spawner_link.h"

#include "io/log.h"

/* More than LEAT_STARTED_BYTES_MAX of RUNs with all that is around a payload, so that the core's
 * own bound is met first and a RUN is never refused here. */
#define QUEUE_BYTES_MAX (2 * (size_t)LEAT_MESSAGE_BYTES_MAX)

/* As many large payloads as a RUN has at most. */
#define APART_MAX (LEAT_BATCH_BYTES_TARGET / LEAT_BODIES_LARGE_BYTES + 1)
_Static_assert(APART_MAX >= LEAT_BATCH_FEW_ITEMS, "so many are closed at fewer bytes");

void leat_spawner_link_init(struct leat_spawner_link *link, struct leat_spawner *spawner)
{
    *link = (struct leat_spawner_link){.bodies = &spawner->bodies};
    leat_frames_init(&link->frames, spawner->fd, QUEUE_BYTES_MAX);
}

void leat_spawner_link_fini(struct leat_spawner_link *link)
{
    leat_frames_fini(&link->frames);
}

static void close_link(struct leat_spawner_link *link, enum leat_err err)
{
    if (!link->is_closed) {
        link->is_closed = true;
        leat_log_reason(LEAT_LOG_ERROR, "spawner_gone", "%s",
                        err == LEAT_ERR_CLOSED ? "the spawner has ended; jobs will be redelivered"
                                               : leat_err_text((unsigned)err));
    }
}

static int link_poll(void *context, short *ret_events)
{
    struct leat_spawner_link *link = context;
    *ret_events =
        (short)(ZMQ_POLLIN | (leat_frames_queued_bytes(&link->frames) > 0 ? ZMQ_POLLOUT : 0));
    return link->frames.fd;
}

static void link_ready(void *context, short revents)
{
    struct leat_spawner_link *link = context;
    (void)revents;
    if (!link->is_closed && leat_frames_queued_bytes(&link->frames) > 0) {
        enum leat_err err = leat_frames_flush(&link->frames);
        /* What it has said before can still be read; recv finds the end. */
        if (err != LEAT_OK && err != LEAT_ERR_CLOSED) {
            close_link(link, err);
        }
    }
}

static enum leat_received link_recv(void *context, struct leat_bytes *ret_frame)
{
    struct leat_spawner_link *link = context;
    while (!link->is_closed) {
        enum leat_err err = leat_frames_next(&link->frames, ret_frame);
        if (err == LEAT_OK) {
            return LEAT_RECEIVED;
        }
        if (err == LEAT_ERR_NOT_FOUND) {
            err = leat_frames_fill(&link->frames);
            if (err == LEAT_ERR_NOT_FOUND) {
                return LEAT_RECEIVED_NOTHING;
            }
        }
        if (err != LEAT_OK) {
            close_link(link, err);
        }
    }
    return LEAT_RECEIVED_CLOSED;
}

/* Payloads of a RUN that are all large, as one large job comes alone (attempt.c), go by shared
 * memory; when there is no room for one of them, all go over the socket. */
static void link_prepare(void *context, struct leat_msg *msg)
{
    struct leat_spawner_link *link = context;
    size_t count = msg->type == LEAT_MSG_RUN ? msg->run.attempts.count : 0;
    struct leat_bytes places[APART_MAX];
    if (count == 0 || count > APART_MAX) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (msg->run.attempts.items[i].payload.size < LEAT_BODIES_LARGE_BYTES) {
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!leat_bodies_put(link->bodies, msg->run.attempts.items[i].payload, &places[i])) {
            leat_bodies_drop(link->bodies, places, i);
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        msg->run.attempts.items[i].payload = places[i];
    }
    msg->run.apart = true;
}

static enum leat_sent link_send(void *context, struct leat_bytes frame)
{
    struct leat_spawner_link *link = context;
    if (link->is_closed) {
        return LEAT_SENT; /* the runner ends when it reads */
    }
    enum leat_err err = leat_frames_send(&link->frames, frame, (struct leat_bytes){NULL, 0});
    if (err != LEAT_OK) { /* the core relies on this link: a lost RUN would be lost for ever */
        close_link(link, err);
    }
    return LEAT_SENT;
}

const struct leat_link_ops leat_spawner_link_ops = {
    .poll = link_poll,
    .ready = link_ready,
    .recv = link_recv,
    .prepare = link_prepare,
    .send = link_send,
};
