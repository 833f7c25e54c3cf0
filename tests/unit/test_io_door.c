/* Doors: how many connections a socket has, and when it takes no more. */
#include <arpa/inet.h>
#include <czmq.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "io/door.h"
#include "io/options.h"
#include "io/signals.h"

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
    assert_true(leat_door_event(&door, ZMQ_EVENT_LISTENING, (uint32_t)listening, "tcp://x:1"));
    int inside = try_connect(port);
    int accepted = accept(listening, NULL, NULL);
    assert_true(inside >= 0 && accepted >= 0);
    for (uint32_t fd = 100; fd < 104; fd++) {
        leat_door_tend(&door, false);
        assert_false(door.closed);
        leat_door_event(&door, ZMQ_EVENT_ACCEPTED, fd, "");
    }
    leat_door_tend(&door, false);
    assert_true(door.closed);
    assert_int_equal(try_connect(port), -1);
    char byte = 0; /* who is inside stays inside */
    assert_int_equal(write(inside, "y", 1), 1);
    assert_int_equal(read(accepted, &byte, 1), 1);
    assert_int_equal(byte, 'y');
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 100, "");
    leat_door_tend(&door, false);
    assert_true(door.closed); /* not at once again */
    leat_door_event(&door, ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 101, "");
    assert_int_equal(door.half_open, 2);
    assert_int_equal(door.inside, 1);
    leat_door_tend(&door, true);
    assert_true(door.closed); /* the process is full */
    leat_door_tend(&door, false);
    assert_false(door.closed);
    int late = try_connect(port);
    assert_true(late >= 0);
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 101, "");
    leat_door_event(&door, ZMQ_EVENT_DISCONNECTED, 4711, ""); /* never heard of */
    assert_int_equal(door.inside, 0);
    leat_door_event(&door, ZMQ_EVENT_CLOSED, (uint32_t)listening, "");
    assert_int_equal(door.listening, -1);
    assert_false(leat_door_event(&door, ZMQ_EVENT_MONITOR_STOPPED, 0, ""));
    leat_door_fini(&door);
    close(late);
    close(inside);
    close(accepted);
    close(listening);
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
        cmocka_unit_test(doors_leave_descriptors_for_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
