/* Traps of libzmq and czmq that others fell into, each with a test that it cannot bite leat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <czmq.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "io/clock.h"
#include "io/options.h"
#include "io/signals.h"
#include "io/socket.h"

#define WAIT_MS 5000

static const char *own_path;

static void wait_for(zsock_t *socket, short events)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(socket), .events = events};
    assert_int_equal(zmq_poll(&item, 1, WAIT_MS), 1);
}

static enum leat_sent send_text(zsock_t *socket, const struct leat_peer *peer, const char *text)
{
    zmq_msg_t frame;
    leat_socket_frame_copy(&frame, leat_bytes_of(text, strlen(text)));
    enum leat_sent sent = leat_socket_send(socket, peer, (struct leat_str){NULL, 0}, &frame);
    zmq_msg_close(&frame);
    return sent;
}

static enum leat_received recv_any(zsock_t *socket, struct leat_peer *ret_peer)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    enum leat_received received = leat_socket_recv(socket, ret_peer, &frame);
    zmq_msg_close(&frame);
    return received;
}

static zsock_t *router_on(const char *endpoint, char real[LEAT_ENDPOINT_BYTES_MAX], int hwm,
                          int64_t bytes_max)
{
    struct leat_socket_config config;
    leat_socket_config_init(&config, ZMQ_ROUTER);
    config.bind = endpoint;
    config.receive_hwm = hwm;
    config.message_bytes_max = bytes_max;
    zsock_t *router = NULL;
    assert_int_equal(leat_socket_open(&config, &router, real, NULL), LEAT_OK);
    return router;
}

static zsock_t *dealer_to(const char *endpoint)
{
    zsock_t *dealer = NULL;
    assert_int_equal(leat_socket_connect(ZMQ_DEALER, endpoint, &dealer, NULL), LEAT_OK);
    return dealer;
}

static void expect_that_a_new_peer_is_served(zsock_t *router, const char *endpoint)
{
    zsock_t *dealer = dealer_to(endpoint);
    wait_for(dealer, ZMQ_POLLOUT);
    assert_int_equal(send_text(dealer, NULL, "x"), LEAT_SENT);
    struct leat_peer peer;
    for (;;) {
        wait_for(router, ZMQ_POLLIN);
        if (recv_any(router, &peer) == LEAT_RECEIVED &&
            send_text(router, &peer, "y") == LEAT_SENT) {
            zmq_pollitem_t item = {.socket = zsock_resolve(dealer), .events = ZMQ_POLLIN};
            if (zmq_poll(&item, 1, 10) == 1) {
                break;
            }
        }
    }
    zsock_destroy(&dealer);
}

/* The peer of the next test: sends until it would block, says so on descriptor 1, and waits to die.
 */
static int flood(const char *endpoint)
{
    zsock_t *dealer = dealer_to(endpoint);
    zmq_pollitem_t item = {.socket = zsock_resolve(dealer), .events = ZMQ_POLLOUT};
    if (zmq_poll(&item, 1, WAIT_MS) != 1) {
        return 1;
    }
    char text[4096];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    /* would block for a while: all buffers between here and there are full */
    do {
        while (send_text(dealer, NULL, text) == LEAT_SENT) {
        }
    } while (zmq_poll(&item, 1, 200) == 1);
    if (write(STDOUT_FILENO, "f", 1) != 1) {
        return 1;
    }
    for (;;) {
        pause();
    }
}

static pid_t start_flood(const char *endpoint, int *ret_fd)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        execl(own_path, own_path, "flood", endpoint, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    *ret_fd = pipes[0];
    return pid;
}

static void a_reader_that_stalls_while_its_peer_dies_is_not_aborted(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = router_on("tcp://127.0.0.1:0", real, 10, LEAT_MESSAGE_BYTES_MAX);
    int fd = -1;
    pid_t pid = start_flood(real, &fd);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    /* with heartbeats the abort comes at the next ping: nothing to wait for but time */
    zmq_pollitem_t nothing = {.fd = -1};
    zmq_poll(&nothing, 0, 700);
    struct leat_peer peer;
    size_t count = 0;
    while (recv_any(router, &peer) == LEAT_RECEIVED) {
        count++;
    }
    assert_true(count >= 10);
    expect_that_a_new_peer_is_served(router, real);
    zsock_destroy(&router);
}

static void messages_sent_just_before_the_socket_closes_arrive(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = router_on("tcp://127.0.0.1:0", real, 1000, LEAT_MESSAGE_BYTES_MAX);
    struct leat_socket_config config;
    leat_socket_config_init(&config, ZMQ_DEALER);
    config.connect = real;
    config.linger_ms = WAIT_MS;
    zsock_t *dealer = NULL;
    assert_int_equal(leat_socket_open(&config, &dealer, NULL, NULL), LEAT_OK);
    wait_for(dealer, ZMQ_POLLOUT);
    enum { COUNT = 200, SIZE = 64 << 10 }; /* more than the system's buffers hold */
    for (int i = 0; i < COUNT; i++) {
        zmq_msg_t frame;
        leat_socket_frame_adopt(&frame, calloc(1, SIZE), SIZE);
        assert_int_equal(leat_socket_send(dealer, NULL, (struct leat_str){NULL, 0}, &frame),
                         LEAT_SENT);
    }
    zsock_destroy(&dealer);
    struct leat_peer peer;
    for (int i = 0; i < COUNT; i++) {
        wait_for(router, ZMQ_POLLIN);
        assert_int_equal(recv_any(router, &peer), LEAT_RECEIVED);
    }
    zsock_destroy(&router);
}

static zsock_t *dealer_named(const char *endpoint, const char *name)
{
    zsock_t *dealer = zsock_new(ZMQ_DEALER);
    zsock_set_identity(dealer, name);
    assert_int_equal(zmq_connect(zsock_resolve(dealer), endpoint), 0);
    return dealer;
}

static void nobody_can_take_over_the_identity_of_another_peer(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = router_on("tcp://127.0.0.1:0", real, 1000, LEAT_MESSAGE_BYTES_MAX);
    zsock_t *first = dealer_named(real, "same");
    assert_int_equal(send_text(first, NULL, "first"), LEAT_SENT);
    wait_for(router, ZMQ_POLLIN);
    struct leat_peer peer;
    assert_int_equal(recv_any(router, &peer), LEAT_RECEIVED);
    zsock_t *thief = dealer_named(real, "same");
    assert_int_equal(send_text(thief, NULL, "mine now"), LEAT_SENT);
    expect_that_a_new_peer_is_served(router, real); /* so the thief's handshake is over as well */
    assert_int_equal(send_text(router, &peer, "secret"), LEAT_SENT);
    wait_for(first, ZMQ_POLLIN);
    assert_int_equal(recv_any(first, &peer), LEAT_RECEIVED);
    assert_int_equal(recv_any(thief, &peer), LEAT_RECEIVED_NOTHING);
    zsock_destroy(&first);
    zsock_destroy(&thief);
    zsock_destroy(&router);
}

static void a_message_above_the_limit_cuts_off_its_sender_only(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = router_on("tcp://127.0.0.1:0", real, 1000, 1000);
    zsock_t *dealer = dealer_to(real);
    wait_for(dealer, ZMQ_POLLOUT);
    assert_int_equal(send_text(dealer, NULL, "small"), LEAT_SENT);
    wait_for(router, ZMQ_POLLIN);
    struct leat_peer peer;
    assert_int_equal(recv_any(router, &peer), LEAT_RECEIVED);
    zmq_msg_t frame;
    zmq_msg_init_size(&frame, 1001);
    memset(zmq_msg_data(&frame), 0, 1001);
    assert_int_equal(leat_socket_send(dealer, NULL, (struct leat_str){NULL, 0}, &frame), LEAT_SENT);
    struct leat_now start;
    struct leat_now now;
    leat_clock_now(&start);
    /* the connection goes; its routing id is then unknown */
    while (send_text(router, &peer, "still there?") == LEAT_SENT) {
        leat_clock_now(&now);
        assert_true(now.mono_us - start.mono_us < WAIT_MS * LEAT_US_PER_MS);
        zmq_pollitem_t nothing = {.fd = -1};
        zmq_poll(&nothing, 0, 1);
    }
    assert_int_equal(recv_any(router, &peer), LEAT_RECEIVED_NOTHING);
    expect_that_a_new_peer_is_served(router, real);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void bytes_that_are_not_zeromq_do_no_harm(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = router_on("tcp://127.0.0.1:0", real, 1000, LEAT_MESSAGE_BYTES_MAX);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(strrchr(real, ':') + 1)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *const openings[] = {"GET / HTTP/1.1\r\n\r\n",
                                    "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x01",
                                    "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03"};
    for (size_t i = 0; i < LEAT_COUNT_OF(openings); i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
        assert_true(write(fd, openings[i], strlen(openings[i])) > 0);
        close(fd);
    }
    expect_that_a_new_peer_is_served(router, real);
    zsock_destroy(&router);
}

static void czmq_leaves_the_signals_alone(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = router_on("inproc://signals", real, 1000, 1000);
    const int numbers[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        struct sigaction action;
        assert_int_equal(sigaction(numbers[i], NULL, &action), 0);
        assert_ptr_equal(action.sa_handler, SIG_DFL);
    }
    int fd = -1;
    assert_int_equal(leat_signals_open(&fd, NULL), LEAT_OK);
    assert_int_equal(leat_signals_read(fd), 0);
    kill(getpid(), SIGTERM);
    struct pollfd item = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&item, 1, WAIT_MS), 1);
    assert_int_equal(leat_signals_read(fd), SIGTERM);
    assert_int_equal(leat_signals_read(fd), 0);
    assert_false(zsys_interrupted); /* else czmq's actors would end */
    close(fd);
    zsock_destroy(&router);
}

int main(int argc, char **argv)
{
    leat_signals_start();
    if (argc == 3 && strcmp(argv[1], "flood") == 0) {
        return flood(argv[2]);
    }
    own_path = "/proc/self/exe";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_that_stalls_while_its_peer_dies_is_not_aborted),
        cmocka_unit_test(messages_sent_just_before_the_socket_closes_arrive),
        cmocka_unit_test(nobody_can_take_over_the_identity_of_another_peer),
        cmocka_unit_test(a_message_above_the_limit_cuts_off_its_sender_only),
        cmocka_unit_test(bytes_that_are_not_zeromq_do_no_harm),
        cmocka_unit_test(czmq_leaves_the_signals_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
