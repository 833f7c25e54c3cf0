/* What ZeroMQ alone can do on this machine, with no reliability at all: PUSH to PULL over some
 * hops, each end a process of its own, as leat's producer, ventilator, worker and sink are.
 *
 *   bench_zmq role=producer to=ENDPOINT jobs=N batch=B rate=R    binds nothing; connects
 *   bench_zmq role=forward at=ENDPOINT to=ENDPOINT sync=FILE     forwards frames
 *   bench_zmq role=worker at=ENDPOINT to=ENDPOINT child=1        answers a job with its stamp
 *   bench_zmq role=sink at=ENDPOINT jobs=N                       counts
 *
 * `at` is bound, `to` is connected to. One frame holds up to B jobs, one after the other; at a rate
 * those that are due. `sync`: 4 KiB of the file are written and flushed before each frame goes on,
 * which is the least that a step costs that must not be lost. `child`: a process of its own makes
 * the answers, at the other end of a pair of sockets. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "bench/peer.h"

#define CHILD_FRAME_MAX 65536

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
    peer_precise_timers();
    struct peer_schedule schedule = peer_schedule_begin(settings);
    for (uint64_t sent = 0; sent < settings->jobs;) {
        uint64_t left = peer_schedule_due(&schedule, peer_now_ns()) - sent;
        if (left == 0) {
            peer_sleep_until(peer_schedule_at_ns(&schedule, sent, 0));
            continue;
        }
        uint64_t count = left < settings->batch ? left : settings->batch;
        zmq_msg_t frame;
        zmq_msg_init_size(&frame, count * settings->bytes);
        uint8_t *bytes = zmq_msg_data(&frame);
        memset(bytes, 'x', count * settings->bytes);
        uint64_t now_ns = peer_now_ns();
        for (uint64_t i = 0; i < count; i++) {
            peer_stamp(bytes + i * settings->bytes, sent + i,
                       peer_schedule_at_ns(&schedule, sent + i, now_ns));
        }
        send_or_stop(&frame, to);
        sent += count;
    }
    peer_print_producer(schedule.begin_ns, peer_now_ns());
    zmq_close(to);
}

static int opened_file(const char *path)
{
    int fd = path == NULL ? -1 : open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (path != NULL && fd < 0) {
        peer_stop("%s: %s", path, strerror(errno));
    }
    return fd;
}

static void sync_or_stop(int fd)
{
    static const uint8_t page[4096];
    if (pwrite(fd, page, sizeof page, 0) != (ssize_t)sizeof page || fdatasync(fd) != 0) {
        peer_stop("sync: %s", strerror(errno));
    }
}

static void forward(void *context, const struct peer_settings *settings)
{
    int fd = opened_file(peer_setting(settings, "sync"));
    void *from = opened(context, ZMQ_PULL, settings->at, NULL);
    void *to = opened(context, ZMQ_PUSH, NULL, peer_setting(settings, "to"));
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (;;) {
        recv_or_stop(&frame, from);
        if (fd >= 0) {
            sync_or_stop(fd);
        }
        send_or_stop(&frame, to);
    }
}

static void answer(const uint8_t *jobs, size_t count, size_t job_bytes, uint8_t *ret_results)
{
    for (size_t i = 0; i < count; i++) {
        memcpy(ret_results + i * PEER_STAMP_BYTES, jobs + i * job_bytes, PEER_STAMP_BYTES);
    }
}

/* The worker's end of a pair of sockets; at the other one a process answers, a frame at a time,
 * until this one has ended. */
static int begin_child(size_t job_bytes)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        peer_stop("socketpair: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid < 0) {
        peer_stop("fork: %s", strerror(errno));
    }
    if (pid > 0) {
        close(ends[1]);
        return ends[0];
    }
    close(ends[0]);
    static uint8_t jobs[CHILD_FRAME_MAX];
    static uint8_t results[CHILD_FRAME_MAX];
    ssize_t size;
    while ((size = recv(ends[1], jobs, sizeof jobs, 0)) > 0) {
        size_t count = (size_t)size / job_bytes;
        answer(jobs, count, job_bytes, results);
        if (send(ends[1], results, count * PEER_STAMP_BYTES, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    _exit(0);
}

static void ask_child(int child, zmq_msg_t *jobs, zmq_msg_t *results)
{
    size_t size = zmq_msg_size(jobs);
    size_t expected = zmq_msg_size(results);
    if (size > CHILD_FRAME_MAX || send(child, zmq_msg_data(jobs), size, 0) < 0 ||
        recv(child, zmq_msg_data(results), expected, 0) != (ssize_t)expected) {
        peer_stop("child: %zu bytes of jobs: %s", size, strerror(errno));
    }
}

static void work(void *context, const struct peer_settings *settings, int child)
{
    void *from = opened(context, ZMQ_PULL, settings->at, NULL);
    void *to = opened(context, ZMQ_PUSH, NULL, peer_setting(settings, "to"));
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    for (;;) {
        recv_or_stop(&frame, from);
        size_t count = zmq_msg_size(&frame) / settings->bytes;
        zmq_msg_t results;
        zmq_msg_init_size(&results, count * PEER_STAMP_BYTES);
        if (child >= 0) {
            ask_child(child, &frame, &results);
        } else {
            answer(zmq_msg_data(&frame), count, settings->bytes, zmq_msg_data(&results));
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
    static const char *const names[] = {"to", "sync", "child", NULL};
    struct peer_settings settings;
    peer_settings_read(&settings, argc, argv, names);
    /* Before there is a context, which a forked process could not use. */
    int child = peer_setting(&settings, "child") != NULL ? begin_child(settings.bytes) : -1;
    void *context = zmq_ctx_new();
    if (strcmp(settings.role, "producer") == 0) {
        produce(context, &settings);
    } else if (strcmp(settings.role, "forward") == 0) {
        forward(context, &settings);
    } else if (strcmp(settings.role, "worker") == 0) {
        work(context, &settings, child);
    } else if (strcmp(settings.role, "sink") == 0) {
        collect(context, &settings);
    } else {
        peer_stop("role=%s: producer, forward, worker or sink", settings.role);
    }
    zmq_ctx_term(context);
    return 0;
}
