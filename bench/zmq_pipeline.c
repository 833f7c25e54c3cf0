/* What ZeroMQ alone can do on this machine, with no reliability at all: PUSH to PULL over three
 * hops, each end a process of its own, as leat's producer, ventilator, worker and sink are.
 *
 *   bench_zmq role=producer to=ENDPOINT jobs=N batch=B       binds nothing; connects
 *   bench_zmq role=ventilator at=ENDPOINT to=ENDPOINT        forwards frames
 *   bench_zmq role=worker at=ENDPOINT to=ENDPOINT            looks at each job, answers with its
 * stamp bench_zmq role=sink at=ENDPOINT jobs=N                   counts
 *
 * `at` is bound, `to` is connected to. One frame holds up to B jobs, one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bench/peer.h"

static void *opened(void *context, int type, const char *bound, const char *connected)
{
    void *socket = zmq_socket(context, type);
    int rc = bound != NULL ? zmq_bind(socket, bound) : zmq_connect(socket, connected);
    if (rc != 0) {
        peer_stop("%s: %s", bound != NULL ? bound : connected, zmq_strerror(zmq_errno()));
    }
    return socket;
}

static void send_or_stop(zmq_msg_t *frame, void *socket)
{
    if (zmq_msg_send(frame, socket, 0) < 0) {
        peer_stop("zmq: send: %s", zmq_strerror(zmq_errno()));
    }
}

static void recv_or_stop(zmq_msg_t *frame, void *socket)
{
    if (zmq_msg_recv(frame, socket, 0) < 0) {
        peer_stop("zmq: recv: %s", zmq_strerror(zmq_errno()));
    }
}

static void produce(void *context, const struct peer_settings *settings)
{
    void *to = opened(context, ZMQ_PUSH, NULL, peer_setting(settings, "to"));
    uint64_t begin_ns = peer_now_ns();
    for (uint64_t sent = 0; sent < settings->jobs;) {
        uint64_t left = settings->jobs - sent;
        uint64_t count = left < settings->batch ? left : settings->batch;
        zmq_msg_t frame;
        zmq_msg_init_size(&frame, count * settings->bytes);
        uint8_t *bytes = zmq_msg_data(&frame);
        memset(bytes, 'x', count * settings->bytes);
        uint64_t now_ns = peer_now_ns();
        for (uint64_t i = 0; i < count; i++) {
            peer_stamp(bytes + i * settings->bytes, sent + i, now_ns);
        }
        send_or_stop(&frame, to);
        sent += count;
    }
    peer_print_producer(begin_ns, peer_now_ns());
    zmq_close(to);
}

static void forward(void *context, const struct peer_settings *settings)
{
    void *from = opened(context, ZMQ_PULL, settings->at, NULL);
    void *to = opened(context, ZMQ_PUSH, NULL, peer_setting(settings, "to"));
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (;;) {
        recv_or_stop(&frame, from);
        send_or_stop(&frame, to);
    }
}

static void work(void *context, const struct peer_settings *settings)
{
    void *from = opened(context, ZMQ_PULL, settings->at, NULL);
    void *to = opened(context, ZMQ_PUSH, NULL, peer_setting(settings, "to"));
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (;;) {
        recv_or_stop(&frame, from);
        size_t count = zmq_msg_size(&frame) / settings->bytes;
        const uint8_t *jobs = zmq_msg_data(&frame);
        zmq_msg_t results;
        zmq_msg_init_size(&results, count * PEER_STAMP_BYTES);
        uint8_t *bytes = zmq_msg_data(&results);
        for (size_t i = 0; i < count; i++) {
            memcpy(bytes + i * PEER_STAMP_BYTES, jobs + i * settings->bytes, PEER_STAMP_BYTES);
        }
        send_or_stop(&results, to);
    }
}

static void collect(void *context, const struct peer_settings *settings)
{
    void *from = opened(context, ZMQ_PULL, settings->at, NULL);
    struct peer_recorder recorder;
    peer_recorder_init(&recorder, settings);
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    while (!peer_recorder_is_done(&recorder)) {
        recv_or_stop(&frame, from);
        uint64_t now_ns = peer_now_ns();
        const uint8_t *results = zmq_msg_data(&frame);
        for (size_t at = 0; at + PEER_STAMP_BYTES <= zmq_msg_size(&frame); at += PEER_STAMP_BYTES) {
            uint64_t index;
            uint64_t due_ns;
            peer_unstamp(results + at, PEER_STAMP_BYTES, &index, &due_ns);
            peer_recorder_add(&recorder, index, due_ns, now_ns);
        }
    }
    peer_print_sink(&recorder);
    zmq_msg_close(&frame);
    zmq_close(from);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"to", NULL};
    struct peer_settings settings;
    peer_settings_read(&settings, argc, argv, names);
    void *context = zmq_ctx_new();
    if (strcmp(settings.role, "producer") == 0) {
        produce(context, &settings);
    } else if (strcmp(settings.role, "ventilator") == 0) {
        forward(context, &settings);
    } else if (strcmp(settings.role, "worker") == 0) {
        work(context, &settings);
    } else if (strcmp(settings.role, "sink") == 0) {
        collect(context, &settings);
    } else {
        peer_stop("role=%s: producer, ventilator, worker or sink", settings.role);
    }
    zmq_ctx_term(context);
    return 0;
}
