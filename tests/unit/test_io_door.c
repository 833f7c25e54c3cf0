/* Doors: how many connections a socket has, and when it takes no more. */
#include <arpa/inet.h>
#include <czmq.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "core/instant.h"
#include "io/door.h"
#include "io/options.h"
#include "io/signals.h"
#include "io/socket.h"

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = address.sin_port;
    return fd;
}

/* A connection, or -1 when there is none within 300 ms. */
static int try_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    zmq_pollitem_t item = {.fd = fd, .events = ZMQ_POLLOUT};
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 &&
        zmq_poll(&item, 1, 300) != 1) {
        close(fd);
        return -1;
    }
    return fd;
}

static void a_door_closes_on_half_open_connections_and_opens_again(void **state)
{
    (void)state;
    struct leat_door door;
    uint16_t port;
    int listening = listen_somewhere(&port);
    leat_door_init(&door, 4);
    assert_true(leat_door_event(&door, ZMQ_EVENT_LISTENING, (uint32_t)listening, "tcp://x:1", 0));
    int inside = try_connect(port);
    int accepted = accept(listening, NULL, NULL);
    assert_true(inside >= 0 && accepted >= 0);
    for (uint32_t fd = 100; fd < 104; fd++) {
        leat_door_tend(&door, false, 0);
        assert_false(door.closed);
        leat_door_event(&door, ZMQ_EVENT_ACCEPTED, fd, "", 0);
    }
    leat_door_tend(&door, false, 0);
    assert_true(door.closed);
    assert_int_equal(try_connect(port), -1);
    char byte = 0; /* who is inside stays inside */
    assert_int_equal(write(inside, "y", 1), 1);
    assert_int_equal(read(accepted, &byte, 1), 1);
    assert_int_equal(byte, 'y');
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 100, "", 0);
    leat_door_tend(&door, false, 0);
    assert_true(door.closed); /* not at once again */
    leat_door_event(&door, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0, "", 0);
    assert_int_equal(door.half_open, 2);
    assert_int_equal(door.inside, 1);
    leat_door_tend(&door, true, 0);
    assert_true(door.closed); /* the process is full */
    leat_door_tend(&door, false, 0);
    assert_false(door.closed);
    int late = try_connect(port);
    assert_true(late >= 0);
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 101, "", 0);
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 4711, "", 0); /* never heard of */
    assert_int_equal(door.inside, 0);
    leat_door_event(&door, ZMQ_EVENT_CLOSED, (uint32_t)listening, "", 0);
    assert_int_equal(door.listening, -1);
    assert_false(leat_door_event(&door, ZMQ_EVENT_MONITOR_STOPPED, 0, "", 0));
    leat_door_fini(&door);
    close(late);
    close(inside);
    close(accepted);
    close(listening);
}

/* Which of them is through nobody says, so the oldest is taken for it; in time each is right. */
static void
who_waited_longest_counts_as_inside_and_so_does_who_is_too_old_to_be_half_open(void **state)
{
    (void)state;
    const int64_t late_us = (LEAT_SOCKET_HANDSHAKE_MS + 1001) * LEAT_US_PER_MS;
    struct leat_door door;
    leat_door_init(&door, 4);
    leat_door_event(&door, ZMQ_EVENT_ACCEPTED, 10, "", 0); /* never says a word */
    leat_door_event(&door, ZMQ_EVENT_ACCEPTED, 11, "", 1);
    leat_door_event(&door, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0, "", 2); /* it was 11 */
    assert_int_equal(door.half_open, 1);
    assert_int_equal(door.inside, 1);
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 10, "", late_us - 5);
    assert_int_equal(door.half_open, 1);
    assert_int_equal(door.inside, 0);
    leat_door_event(&door, ZMQ_EVENT_ACCEPTED, 10, "", late_us); /* another one */
    leat_door_tend(&door, false, late_us + 1);
    assert_int_equal(door.half_open, 1);
    assert_int_equal(door.inside, 1);
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 10, "", late_us + 2);
    leat_door_event(&door, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0, "", late_us + 3); /* of nobody */
    assert_int_equal(door.half_open, 0);
    assert_int_equal(door.inside, 1);
    for (uint32_t round = 0; round < 1000; round++) { /* arrivals are forgotten */
        leat_door_event(&door, ZMQ_EVENT_ACCEPTED, 20 + round % 7, "", late_us + 4);
        leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 20 + round % 7, "", late_us + 4);
        leat_door_tend(&door, false, late_us + 4);
    }
    assert_true(door.arrivals_size <= 128);
    leat_door_fini(&door);
}

/* What libzmq really tells. */
static void connections_of_real_sockets_are_counted_as_inside(void **state)
{
    enum { PEERS = 20 };
    struct leat_door door;
    zsock_t *router = zsock_new_router("tcp://127.0.0.1:*");
    zsock_t *peers[PEERS];
    (void)state;
    leat_door_init(&door, 4);
    assert_int_equal(zmq_socket_monitor(zsock_resolve(router), "inproc://door", LEAT_DOOR_EVENTS),
                     0);
    zsock_t *monitor = zsock_new_pair(">inproc://door");
    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = zsock_new_dealer(zsock_endpoint(router));
    }
    for (int phase = 0; phase < 2; phase++) {
        const size_t expected = phase == 0 ? PEERS : 0;
        zsock_set_rcvtimeo(monitor, 20000);
        while (door.inside != expected || door.half_open != 0) {
            zmsg_t *event = zmsg_recv(monitor);
            assert_non_null(event);
            uint16_t kind;
            uint32_t value;
            memcpy(&kind, zframe_data(zmsg_first(event)), sizeof kind);
            memcpy(&value, zframe_data(zmsg_first(event)) + sizeof kind, sizeof value);
            leat_door_event(&door, kind, value, "", 0);
            zmsg_destroy(&event);
        }
        for (size_t i = 0; phase == 0 && i < PEERS; i++) {
            zsock_destroy(&peers[i]);
        }
    }
    zmq_socket_monitor(zsock_resolve(router), NULL, 0);
    zsock_destroy(&monitor);
    zsock_destroy(&router);
    leat_door_fini(&door);
}

static void doors_leave_descriptors_for_the_process(void **state)
{
    (void)state;
    static const size_t limits[] = {64, 256, 1024, 4096, 20000, 65536};
    for (size_t i = 0; i < LEAT_COUNT_OF(limits); i++) {
        for (size_t doors = 1; doors <= 3; doors++) {
            size_t connections = 0;
            size_t half_open = 0;
            leat_door_limits(limits[i], doors, &connections, &half_open);
            assert_true(half_open >= 1 && half_open <= LEAT_DOOR_HALF_OPEN_MAX);
            assert_true(connections >= 1 && connections < limits[i]);
            if (limits[i] >= 1024) { /* and room for what the backlogs still let in */
                assert_true(connections + 2 * doors * half_open + 100 <= limits[i]);
            }
        }
    }
}

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_door_closes_on_half_open_connections_and_opens_again),
        cmocka_unit_test(
            who_waited_longest_counts_as_inside_and_so_does_who_is_too_old_to_be_half_open),
        cmocka_unit_test(connections_of_real_sockets_are_counted_as_inside),
        cmocka_unit_test(doors_leave_descriptors_for_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
