#include "io/zap.h"

#include <string.h>

#define FRAMES_MAX 8

/* The frames of a request: version, request id, domain, address, routing id, mechanism, and for
 * CURVE the client's public key. */
enum { VERSION, ID, DOMAIN, ADDRESS, ROUTING_ID, MECHANISM, KEY, FRAMES };

/* As many frames as there are, at most FRAMES_MAX are kept; 0: nothing was there. */
static size_t receive_frames(void *raw, zmq_msg_t frames[FRAMES_MAX])
{
    size_t count = 0;
    bool more = true;
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, raw, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return count;
        }
        more = zmq_msg_more(&frame) != 0;
        if (count < FRAMES_MAX) {
            zmq_msg_init(&frames[count]);
            zmq_msg_move(&frames[count], &frame);
            count++;
        }
        zmq_msg_close(&frame);
    }
    return count;
}

static bool is_text(zmq_msg_t *frame, const char *text)
{
    return zmq_msg_size(frame) == strlen(text) &&
           memcmp(zmq_msg_data(frame), text, strlen(text)) == 0;
}

static void copy_text(char *to, size_t size, zmq_msg_t *frame)
{
    size_t length = zmq_msg_size(frame) < size ? zmq_msg_size(frame) : size - 1;
    memcpy(to, zmq_msg_data(frame), length);
    to[length] = '\0';
}

static bool parse(zmq_msg_t frames[FRAMES_MAX], size_t count, struct leat_zap_request *request)
{
    if (count <= ID) {
        return false;
    }
    size_t id_size = zmq_msg_size(&frames[ID]);
    request->id_size = id_size <= sizeof request->id ? id_size : 0;
    memcpy(request->id, zmq_msg_data(&frames[ID]), request->id_size);
    if (count < KEY || !is_text(&frames[VERSION], "1.0")) {
        return false;
    }
    copy_text(request->domain, sizeof request->domain, &frames[DOMAIN]);
    copy_text(request->address, sizeof request->address, &frames[ADDRESS]);
    request->is_curve = count == FRAMES && is_text(&frames[MECHANISM], "CURVE") &&
                        zmq_msg_size(&frames[KEY]) == LEAT_KEY_BYTES;
    if (request->is_curve) {
        memcpy(request->key.bytes, zmq_msg_data(&frames[KEY]), LEAT_KEY_BYTES);
    }
    return true;
}

bool leat_zap_receive(zsock_t *socket, struct leat_zap_request *ret_request)
{
    zmq_msg_t frames[FRAMES_MAX];
    size_t count = receive_frames(zsock_resolve(socket), frames);
    *ret_request = (struct leat_zap_request){.id_size = 0};
    bool good = parse(frames, count, ret_request);
    for (size_t i = 0; i < count; i++) {
        zmq_msg_close(&frames[i]);
    }
    if (count > 0 && !good) {
        leat_zap_answer(socket, ret_request, NULL);
    }
    return good;
}

void leat_zap_answer(zsock_t *socket, const struct leat_zap_request *request, const char *user_id)
{
    void *raw = zsock_resolve(socket);
    /* Not 400: libzmq would tell the peer, whose libzmq would give up this endpoint for good. One
     * that is cut off with 300 tries again, and gets in when its key is added. */
    const char *status = user_id != NULL ? "200" : "300";
    const char *text = user_id != NULL ? "OK" : "not known";
    user_id = user_id != NULL ? user_id : "";
    /* The other end is libzmq itself, in this process: what it does not take, it does not want. */
    if (zmq_send(raw, "1.0", 3, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        return;
    }
    (void)zmq_send(raw, request->id, request->id_size, ZMQ_DONTWAIT | ZMQ_SNDMORE);
    (void)zmq_send(raw, status, strlen(status), ZMQ_DONTWAIT | ZMQ_SNDMORE);
    (void)zmq_send(raw, text, strlen(text), ZMQ_DONTWAIT | ZMQ_SNDMORE);
    (void)zmq_send(raw, user_id, strlen(user_id), ZMQ_DONTWAIT | ZMQ_SNDMORE);
    (void)zmq_send(raw, "", 0, ZMQ_DONTWAIT);
}
