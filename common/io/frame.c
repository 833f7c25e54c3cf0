#include "io/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_data(void *data, void *hint)
{
    (void)hint;
    free(data);
}

void leat_socket_frame_copy(zmq_msg_t *ret_frame, struct leat_bytes data)
{
    if (zmq_msg_init_size(ret_frame, data.size) != 0) {
        abort();
    }
    if (data.size > 0) {
        memcpy(zmq_msg_data(ret_frame), data.data, data.size);
    }
}

void leat_socket_frame_adopt(zmq_msg_t *ret_frame, uint8_t *data, size_t size)
{
    if (size <= LEAT_SOCKET_COPY_BYTES_MAX) {
        leat_socket_frame_copy(ret_frame, leat_bytes_of(data, size));
        free(data);
        return;
    }
    if (zmq_msg_init_data(ret_frame, data, size, free_data, NULL) != 0) {
        abort();
    }
}

/* ---- sending ---- */

static enum leat_sent sent_for(int error)
{
    return error == EAGAIN || error == EFSM ? LEAT_SENT_FULL : LEAT_SENT_UNREACHABLE;
}

/* A first frame; 0 or -1 and errno. */
static int send_head(void *raw, const void *data, size_t size)
{
    int rc;
    do {
        rc = zmq_send(raw, data, size, ZMQ_DONTWAIT | ZMQ_SNDMORE);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -1 : 0;
}

static enum leat_sent send_frame(void *raw, zmq_msg_t *frame)
{
    int rc;
    do {
        rc = zmq_msg_send(frame, raw, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? sent_for(errno) : LEAT_SENT;
}

/* A subscriber that is too slow loses messages, the others get them, and nobody waits. libzmq
 * leaves a full subscriber out until it has read, so that only the first loss can be seen. */
static enum leat_sent publish(void *raw, struct leat_str topic, zmq_msg_t *frame)
{
    const int off = 0;
    const int on = 1;
    bool slow = false;
    if (send_head(raw, topic.data, topic.size) != 0) {
        if (errno != EAGAIN) {
            return sent_for(errno);
        }
        slow = true;
        (void)zmq_setsockopt(raw, ZMQ_XPUB_NODROP, &off, sizeof off);
        if (send_head(raw, topic.data, topic.size) != 0) {
            return sent_for(errno);
        }
    }
    enum leat_sent sent = send_frame(raw, frame);
    if (slow) {
        (void)zmq_setsockopt(raw, ZMQ_XPUB_NODROP, &on, sizeof on);
    }
    return sent == LEAT_SENT && slow ? LEAT_SENT_IN_PART : sent;
}

enum leat_sent leat_socket_send(zsock_t *socket, const struct leat_peer *peer,
                                struct leat_str topic, zmq_msg_t *frame)
{
    void *raw = zsock_resolve(socket);
    int type = zsock_type(socket);
    if (type == ZMQ_ROUTER) {
        if (peer == NULL || peer->size == 0) {
            return LEAT_SENT_UNREACHABLE;
        }
        if (send_head(raw, peer->bytes, peer->size) != 0) {
            return sent_for(errno);
        }
    } else if (type == ZMQ_XPUB) {
        return publish(raw, topic, frame);
    }
    return send_frame(raw, frame);
}

/* ---- receiving ---- */

/* One frame into an initialised message; whether there was one. */
static bool recv_frame(void *raw, zmq_msg_t *frame)
{
    int rc;
    do {
        rc = zmq_msg_recv(frame, raw, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    return rc >= 0;
}

/* Reads the other frames of a message away. */
static void drain_message(void *raw, zmq_msg_t *frame)
{
    while (zmq_msg_more(frame) != 0 && recv_frame(raw, frame)) {
    }
}

/* Routing id or topic: the frame before the message. */
static enum leat_received recv_head(void *raw, bool is_router, struct leat_peer *ret_peer,
                                    zmq_msg_t *frame)
{
    if (!recv_frame(raw, frame)) {
        return LEAT_RECEIVED_NOTHING;
    }
    bool usable = zmq_msg_more(frame) != 0;
    if (is_router) {
        size_t size = zmq_msg_size(frame);
        if (size > 0 && size <= LEAT_PEER_BYTES_MAX) {
            ret_peer->size = (uint8_t)size;
            memcpy(ret_peer->bytes, zmq_msg_data(frame), size);
        } else {
            usable = false;
        }
    }
    if (!usable) {
        drain_message(raw, frame);
        return LEAT_RECEIVED_MALFORMED;
    }
    return LEAT_RECEIVED;
}

/* A subscription is one frame: 1 or 0 for come or gone, then the topic. libzmq tells the first and
 * the last of each topic. */
void leat_socket_count_topics(zsock_t *socket, size_t *count)
{
    void *raw = zsock_resolve(socket);
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (recv_frame(raw, &frame)) {
        const uint8_t *data = zmq_msg_data(&frame);
        if (zmq_msg_size(&frame) > 0 && data[0] == 1) {
            ++*count;
        } else if (zmq_msg_size(&frame) > 0 && data[0] == 0 && *count > 0) {
            --*count;
        }
        drain_message(raw, &frame);
    }
    zmq_msg_close(&frame);
}

enum leat_received leat_socket_recv(zsock_t *socket, struct leat_peer *ret_peer, zmq_msg_t *frame)
{
    void *raw = zsock_resolve(socket);
    int type = zsock_type(socket);
    memset(ret_peer, 0, sizeof *ret_peer);
    if (type == ZMQ_ROUTER || type == ZMQ_SUB) {
        enum leat_received head = recv_head(raw, type == ZMQ_ROUTER, ret_peer, frame);
        if (head != LEAT_RECEIVED) {
            return head;
        }
    }
    if (!recv_frame(raw, frame)) {
        return LEAT_RECEIVED_NOTHING;
    }
    if (zmq_msg_more(frame) != 0) {
        drain_message(raw, frame);
        return LEAT_RECEIVED_MALFORMED;
    }
    return LEAT_RECEIVED;
}
