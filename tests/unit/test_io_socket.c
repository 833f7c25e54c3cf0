#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <czmq.h>

#include "io/exit.h"
#include "io/options.h"
#include "io/signals.h"
#include "io/socket.h"
#include "io_capture.h"

#define WAIT_MS 5000

static zsock_t *open_bound(int type, const char *endpoint, char real[LEAT_ENDPOINT_BYTES_MAX])
{
    zsock_t *socket = NULL;
    struct leat_why why = {.text = ""};
    if (leat_socket_bind(type, endpoint, false, &socket, real, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    return socket;
}

static zsock_t *open_connected(int type, const char *endpoint)
{
    zsock_t *socket = NULL;
    struct leat_why why = {.text = ""};
    if (leat_socket_connect(type, endpoint, &socket, &why) != LEAT_OK) {
        fail_msg("%s", why.text);
    }
    return socket;
}

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

static enum leat_received recv_text(zsock_t *socket, struct leat_peer *ret_peer, char *text)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    enum leat_received received = leat_socket_recv(socket, ret_peer, &frame);
    memcpy(text, zmq_msg_data(&frame), zmq_msg_size(&frame));
    text[zmq_msg_size(&frame)] = '\0';
    zmq_msg_close(&frame);
    return received;
}

/* ---- endpoints ---- */

struct endpoint_case {
    const char *endpoint;
    bool valid;
    bool local;
};

static const struct endpoint_case endpoints[] = {
    {"tcp://127.0.0.1:5170", true, true},
    {"tcp://127.1.2.3:1", true, true},
    {"tcp://localhost:0", true, true},
    {"tcp://[::1]:5170", true, true},
    {"tcp://[::]:5170", true, false},
    {"tcp://[::ffff:127.0.0.1]:5170", true, false},
    {"tcp://*:5170", true, false},
    {"tcp://0.0.0.0:*", true, false},
    {"tcp://eth0:5170", true, false},
    {"tcp://ventilator:5170", true, false},
    {"tcp://127.0.0.1.example.com:5170", true, false},
    {"tcp://localhost.example.com:5170", true, false},
    {"tcp://127.0.0.1", false, false},
    {"tcp://127.0.0.1:", false, false},
    {"tcp://127.0.0.1:65536", false, false},
    {"tcp://127.0.0.1:5x", false, false},
    {"tcp://127.0.0.1:-1", false, false},
    {"tcp://:5170", false, false},
    {"tcp://::1:5170", false, false},
    {"tcp://127.0.0.1:1;127.0.0.1:2", false, false},
    {"tcp://127.0.0.1 :1", false, false},
    {"ipc:///tmp/x", true, true},
    {"ipc://", false, true},
    {"inproc://x", true, true},
    {"inproc://", false, true},
    {"udp://127.0.0.1:1", false, false},
    {"pgm://127.0.0.1:1", false, false},
    {"ws://127.0.0.1:1", false, false},
    {"127.0.0.1:5170", false, false},
    {"", false, false},
};

static void only_tcp_ipc_and_inproc_endpoints_are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEAT_COUNT_OF(endpoints); i++) {
        struct leat_why why = {.text = ""};
        enum leat_err err = leat_endpoint_check(endpoints[i].endpoint, &why);
        if ((err == LEAT_OK) != endpoints[i].valid ||
            leat_endpoint_is_local(endpoints[i].endpoint) != endpoints[i].local) {
            fail_msg("%s", endpoints[i].endpoint);
        }
        assert_int_equal(why.text[0] == '\0', endpoints[i].valid);
    }
    char longest[2 * LEAT_ENDPOINT_BYTES_MAX];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "ipc://", 6);
    longest[LEAT_ENDPOINT_BYTES_MAX] = '\0';
    assert_int_equal(leat_endpoint_check(longest, NULL), LEAT_ERR_INVALID);
}

static void a_bind_beyond_loopback_is_refused_and_the_error_names_the_fix(void **state)
{
    (void)state;
    const char *const open[] = {"tcp://*:0", "tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://eth0:0"};
    for (size_t i = 0; i < LEAT_COUNT_OF(open); i++) {
        zsock_t *socket = NULL;
        struct leat_why why = {.text = ""};
        enum leat_err err = leat_socket_bind(ZMQ_ROUTER, open[i], false, &socket, NULL, &why);
        assert_int_equal(err, LEAT_ERR_REFUSED);
        assert_null(socket);
        assert_non_null(strstr(why.text, "--allow-unauthenticated-network"));
        assert_non_null(strstr(why.text, open[i]));
        assert_int_equal(leat_exit_for(err), LEAT_EXIT_USAGE);
    }
}

static void with_the_flag_it_binds_and_warns(void **state)
{
    (void)state;
    zsock_t *socket = NULL;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    struct io_capture capture;
    io_capture_start(&capture, STDERR_FILENO);
    enum leat_err err = leat_socket_bind(ZMQ_ROUTER, "tcp://*:0", true, &socket, real, NULL);
    const char *text = io_capture_end(&capture);
    assert_int_equal(err, LEAT_OK);
    assert_memory_equal(real, "tcp://0.0.0.0:", 14);
    assert_non_null(strstr(text, "level=warn"));
    assert_non_null(strstr(text, "event=unauthenticated_network"));
    assert_non_null(strstr(text, real));
    zsock_destroy(&socket);
}

static void the_real_endpoint_is_given_back(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *socket = open_bound(ZMQ_ROUTER, "tcp://localhost:0", real);
    assert_memory_equal(real, "tcp://127.0.0.1:", 16);
    assert_true(atoi(real + 16) > 0);
    zsock_destroy(&socket);
    socket = open_bound(ZMQ_REP, "tcp://127.0.0.1:*", real);
    assert_true(atoi(real + 16) > 0);
    zsock_destroy(&socket);
    socket = open_bound(ZMQ_ROUTER, "inproc://here", real);
    assert_string_equal(real, "inproc://here");
    zsock_destroy(&socket);
}

static void an_address_in_use_is_told_in_one_line(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    char ipc[64];
    snprintf(ipc, sizeof ipc, "ipc:///tmp/leat-test-%ld", (long)getpid());
    const char *const wanted[] = {"tcp://127.0.0.1:0", ipc, "inproc://twice"};
    for (size_t i = 0; i < LEAT_COUNT_OF(wanted); i++) {
        zsock_t *first = open_bound(ZMQ_ROUTER, wanted[i], real);
        zsock_t *second = NULL;
        struct leat_why why = {.text = ""};
        enum leat_err err = leat_socket_bind(ZMQ_ROUTER, real, false, &second, NULL, &why);
        assert_int_equal(err, LEAT_ERR_LOCKED);
        assert_int_equal(leat_exit_for(err), LEAT_EXIT_UNAVAILABLE);
        assert_null(second);
        assert_non_null(strstr(why.text, "address in use"));
        assert_non_null(strstr(why.text, real));
        /* and the first one still works */
        zsock_t *peer = open_connected(ZMQ_DEALER, real);
        wait_for(peer, ZMQ_POLLOUT);
        assert_int_equal(send_text(peer, NULL, "x"), LEAT_SENT);
        wait_for(first, ZMQ_POLLIN);
        zsock_destroy(&peer);
        zsock_destroy(&first);
    }
    unlink(ipc + strlen("ipc://"));
}

static void an_ipc_socket_that_a_dead_process_left_is_replaced(void **state)
{
    (void)state;
    char ipc[64];
    snprintf(ipc, sizeof ipc, "ipc:///tmp/leat-test-stale-%ld", (long)getpid());
    char real[LEAT_ENDPOINT_BYTES_MAX];
    /* as kill -9 leaves it: a path where nobody answers */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", ipc + strlen("ipc://"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    zsock_t *second = open_bound(ZMQ_ROUTER, ipc, real);
    zsock_destroy(&second);
    unlink(ipc + strlen("ipc://"));
}

static void an_address_that_this_host_does_not_have_is_told(void **state)
{
    (void)state;
    zsock_t *socket = NULL;
    struct leat_why why = {.text = ""};
    enum leat_err err =
        leat_socket_bind(ZMQ_ROUTER, "tcp://192.0.2.1:5170", true, &socket, NULL, &why);
    assert_int_equal(err, LEAT_ERR_UNREACHABLE);
    assert_non_null(strstr(why.text, "no such address on this host"));
}

/* ---- options ---- */

static int get_int(zsock_t *socket, int option)
{
    int value = -12345;
    size_t size = sizeof value;
    assert_int_equal(zmq_getsockopt(zsock_resolve(socket), option, &value, &size), 0);
    return value;
}

static int64_t get_int64(zsock_t *socket, int option)
{
    int64_t value = -12345;
    size_t size = sizeof value;
    assert_int_equal(zmq_getsockopt(zsock_resolve(socket), option, &value, &size), 0);
    return value;
}

static void every_socket_gets_every_option(void **state)
{
    (void)state;
    const int types[] = {ZMQ_ROUTER, ZMQ_DEALER, ZMQ_REP, ZMQ_REQ, ZMQ_XPUB, ZMQ_SUB, ZMQ_PAIR};
    for (size_t i = 0; i < LEAT_COUNT_OF(types); i++) {
        char real[LEAT_ENDPOINT_BYTES_MAX];
        zsock_t *socket = open_bound(types[i], "tcp://127.0.0.1:0", real);
        int64_t size = types[i] == ZMQ_REP ? LEAT_REQUEST_BYTES_MAX : LEAT_MESSAGE_BYTES_MAX;
        assert_int_equal(get_int64(socket, ZMQ_MAXMSGSIZE), size);
        assert_int_equal(get_int(socket, ZMQ_SNDHWM), types[i] == ZMQ_XPUB ? 10000 : 1000);
        assert_int_equal(get_int(socket, ZMQ_RCVHWM), 1000);
        assert_int_equal(get_int(socket, ZMQ_LINGER), 500);
        assert_int_equal(get_int(socket, ZMQ_HANDSHAKE_IVL), 5000);
        assert_int_equal(get_int(socket, ZMQ_BACKLOG), 1024);
        assert_int_equal(get_int(socket, ZMQ_IPV6), 0);
        assert_int_equal(get_int(socket, ZMQ_TCP_KEEPALIVE), 1);
        assert_int_equal(get_int(socket, ZMQ_TCP_KEEPALIVE_IDLE), 30);
        assert_int_equal(get_int(socket, ZMQ_TCP_KEEPALIVE_INTVL), 10);
        assert_int_equal(get_int(socket, ZMQ_TCP_KEEPALIVE_CNT), 3);
        assert_int_equal(get_int(socket, ZMQ_TCP_MAXRT), 15000);
        assert_in_range(get_int(socket, ZMQ_RECONNECT_IVL), 100, 500);
        assert_int_equal(get_int(socket, ZMQ_RECONNECT_IVL_MAX), 4000);
        assert_int_equal(get_int(socket, ZMQ_CONNECT_TIMEOUT), 3000);
        assert_int_equal(get_int(socket, ZMQ_IMMEDIATE), types[i] == ZMQ_DEALER);
        /* set, libzmq 4.3.4 aborts when a reader stalls and the peer dies */
        assert_int_equal(get_int(socket, ZMQ_HEARTBEAT_IVL), 0);
        assert_int_equal(get_int(socket, ZMQ_HEARTBEAT_TTL), 0);
        assert_int_equal(get_int(socket, ZMQ_HEARTBEAT_TIMEOUT), -1);
        zsock_destroy(&socket);
    }
}

static void reconnect_intervals_differ_between_sockets(void **state)
{
    (void)state;
    int first = -1;
    bool differs = false;
    for (int i = 0; i < 16; i++) {
        zsock_t *socket = open_connected(ZMQ_DEALER, "tcp://127.0.0.1:9");
        int interval = get_int(socket, ZMQ_RECONNECT_IVL);
        differs = differs || (first >= 0 && interval != first);
        first = interval;
        zsock_destroy(&socket);
    }
    assert_true(differs);
}

static void czmq_settings_from_the_environment_change_nothing(void **state)
{
    (void)state;
    setenv("ZSYS_LINGER", "12345", 1);
    setenv("ZSYS_SNDHWM", "1", 1);
    setenv("ZSYSTEM", "kept", 1);
    leat_signals_start();
    assert_null(getenv("ZSYS_LINGER"));
    assert_null(getenv("ZSYS_SNDHWM"));
    assert_string_equal(getenv("ZSYSTEM"), "kept");
}

/* ---- sending and receiving ---- */

static void router_and_dealer_exchange_single_frames(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    char text[64];
    zsock_t *router = open_bound(ZMQ_ROUTER, "tcp://127.0.0.1:0", real);
    zsock_t *dealer = open_connected(ZMQ_DEALER, real);
    wait_for(dealer, ZMQ_POLLOUT);
    struct leat_peer peer;
    assert_int_equal(recv_text(router, &peer, text), LEAT_RECEIVED_NOTHING);
    assert_int_equal(send_text(dealer, NULL, "one"), LEAT_SENT);
    wait_for(router, ZMQ_POLLIN);
    assert_int_equal(recv_text(router, &peer, text), LEAT_RECEIVED);
    assert_string_equal(text, "one");
    assert_int_equal(peer.size, 5);
    assert_int_equal(send_text(router, &peer, "two"), LEAT_SENT);
    wait_for(dealer, ZMQ_POLLIN);
    assert_int_equal(recv_text(dealer, &peer, text), LEAT_RECEIVED);
    assert_int_equal(peer.size, 0);
    assert_string_equal(text, "two");
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void big_frames_travel_without_a_copy(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = open_bound(ZMQ_ROUTER, "tcp://127.0.0.1:0", real);
    zsock_t *dealer = open_connected(ZMQ_DEALER, real);
    wait_for(dealer, ZMQ_POLLOUT);
    size_t sizes[] = {0, 1, LEAT_SOCKET_COPY_BYTES_MAX, LEAT_SOCKET_COPY_BYTES_MAX + 1, 1 << 20};
    for (size_t i = 0; i < LEAT_COUNT_OF(sizes); i++) {
        uint8_t *data = malloc(sizes[i] + 1);
        memset(data, (int)i + 1, sizes[i] + 1);
        zmq_msg_t frame;
        leat_socket_frame_adopt(&frame, data, sizes[i]);
        if (sizes[i] > LEAT_SOCKET_COPY_BYTES_MAX) {
            assert_ptr_equal(zmq_msg_data(&frame), data);
        }
        assert_int_equal(leat_socket_send(dealer, NULL, (struct leat_str){NULL, 0}, &frame),
                         LEAT_SENT);
        wait_for(router, ZMQ_POLLIN);
        struct leat_peer peer;
        zmq_msg_t got;
        zmq_msg_init(&got);
        assert_int_equal(leat_socket_recv(router, &peer, &got), LEAT_RECEIVED);
        assert_int_equal(zmq_msg_size(&got), sizes[i]);
        if (sizes[i] > 0) {
            assert_int_equal(((uint8_t *)zmq_msg_data(&got))[sizes[i] - 1], i + 1);
        }
        zmq_msg_close(&got);
    }
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void a_router_says_that_a_peer_is_unreachable(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    zsock_t *router = open_bound(ZMQ_ROUTER, "tcp://127.0.0.1:0", real);
    struct leat_peer peer = {.size = 5, .bytes = {0, 1, 2, 3, 4}};
    assert_int_equal(send_text(router, &peer, "x"), LEAT_SENT_UNREACHABLE);
    peer.size = 0;
    assert_int_equal(send_text(router, &peer, "x"), LEAT_SENT_UNREACHABLE);
    assert_int_equal(send_text(router, NULL, "x"), LEAT_SENT_UNREACHABLE);
    zsock_destroy(&router);
}

static void a_full_peer_and_a_missing_peer_never_block_the_sender(void **state)
{
    (void)state;
    zsock_t *lonely = open_connected(ZMQ_DEALER, "tcp://127.0.0.1:9");
    assert_int_equal(send_text(lonely, NULL, "x"), LEAT_SENT_FULL);
    zsock_destroy(&lonely);

    char real[LEAT_ENDPOINT_BYTES_MAX];
    char text[64];
    zsock_t *router = open_bound(ZMQ_ROUTER, "inproc://full", real);
    zsock_t *dealer = open_connected(ZMQ_DEALER, real);
    struct leat_peer peer;
    assert_int_equal(send_text(dealer, NULL, "x"), LEAT_SENT);
    wait_for(router, ZMQ_POLLIN);
    assert_int_equal(recv_text(router, &peer, text), LEAT_RECEIVED);
    int sent = 0;
    while (send_text(router, &peer, "fill") == LEAT_SENT) {
        sent++;
        assert_true(sent < 10000);
    }
    assert_int_equal(send_text(router, &peer, "fill"), LEAT_SENT_FULL);
    assert_int_equal(sent, 2000); /* inproc: both high-water marks */
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void send_frames(zsock_t *socket, const char *const *frames, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int more = i + 1 < count ? ZMQ_SNDMORE : 0;
        assert_true(zmq_send(zsock_resolve(socket), frames[i], strlen(frames[i]), more) >= 0);
    }
}

static void a_wrong_number_of_frames_is_read_to_its_end_and_reported(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    char text[64];
    zsock_t *router = open_bound(ZMQ_ROUTER, "tcp://127.0.0.1:0", real);
    zsock_t *dealer = open_connected(ZMQ_DEALER, real);
    wait_for(dealer, ZMQ_POLLOUT);
    const char *const frames[] = {"", "a", "b", "c"};
    send_frames(dealer, frames, 4);
    send_frames(dealer, frames, 2);
    send_frames(dealer, frames + 1, 1);
    struct leat_peer peer;
    const enum leat_received wanted[] = {LEAT_RECEIVED_MALFORMED, LEAT_RECEIVED_MALFORMED,
                                         LEAT_RECEIVED};
    for (size_t i = 0; i < LEAT_COUNT_OF(wanted); i++) {
        wait_for(router, ZMQ_POLLIN);
        assert_int_equal(recv_text(router, &peer, text), wanted[i]);
        assert_int_equal(peer.size, 5);
    }
    assert_string_equal(text, "a");
    assert_int_equal(recv_text(router, &peer, text), LEAT_RECEIVED_NOTHING);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void a_peer_that_names_itself_too_long_is_malformed(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    char text[64];
    zsock_t *router = open_bound(ZMQ_ROUTER, "tcp://127.0.0.1:0", real);
    zsock_t *dealer = zsock_new(ZMQ_DEALER);
    zsock_set_identity(dealer, "a-name-of-its-own");
    assert_int_equal(zmq_connect(zsock_resolve(dealer), real), 0);
    const char *const frames[] = {"x"};
    send_frames(dealer, frames, 1);
    wait_for(router, ZMQ_POLLIN);
    struct leat_peer peer;
    assert_int_equal(recv_text(router, &peer, text), LEAT_RECEIVED_MALFORMED);
    assert_int_equal(peer.size, 0);
    assert_int_equal(recv_text(router, &peer, text), LEAT_RECEIVED_NOTHING);
    zsock_destroy(&dealer);
    zsock_destroy(&router);
}

static void a_subscriber_gets_the_message_behind_its_topic(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    char text[64];
    zsock_t *pub = open_bound(ZMQ_XPUB, "inproc://events", real);
    zsock_t *sub = open_connected(ZMQ_SUB, real);
    zsock_set_subscribe(sub, "mail");
    zmq_msg_t frame;
    struct leat_peer peer;
    const char *const topics[] = {"other", "mail"};
    for (size_t i = 0; i < 2; i++) {
        leat_socket_frame_copy(&frame, leat_bytes_of("done", 4));
        assert_int_equal(leat_socket_send(pub, NULL, leat_str_of(topics[i]), &frame), LEAT_SENT);
    }
    wait_for(sub, ZMQ_POLLIN);
    assert_int_equal(recv_text(sub, &peer, text), LEAT_RECEIVED);
    assert_string_equal(text, "done");
    assert_int_equal(recv_text(sub, &peer, text), LEAT_RECEIVED_NOTHING);
    zsock_destroy(&sub);
    zsock_destroy(&pub);
}

static void subscribed_topics_are_counted_as_they_come_and_go(void **state)
{
    (void)state;
    char real[LEAT_ENDPOINT_BYTES_MAX];
    size_t count = 0;
    zsock_t *pub = open_bound(ZMQ_XPUB, "inproc://topics", real);
    leat_socket_count_topics(pub, &count);
    assert_int_equal(count, 0);
    zsock_t *one = open_connected(ZMQ_SUB, real);
    zsock_t *two = open_connected(ZMQ_SUB, real);
    zsock_set_subscribe(one, "mail");
    zsock_set_subscribe(two, "");
    while (count < 2) {
        wait_for(pub, ZMQ_POLLIN);
        leat_socket_count_topics(pub, &count);
    }
    zsock_set_unsubscribe(one, "mail");
    zsock_destroy(&two);
    while (count > 0) {
        wait_for(pub, ZMQ_POLLIN);
        leat_socket_count_topics(pub, &count);
    }
    zsock_destroy(&one);
    zsock_destroy(&pub);
}

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_tcp_ipc_and_inproc_endpoints_are_taken),
        cmocka_unit_test(a_bind_beyond_loopback_is_refused_and_the_error_names_the_fix),
        cmocka_unit_test(with_the_flag_it_binds_and_warns),
        cmocka_unit_test(the_real_endpoint_is_given_back),
        cmocka_unit_test(an_address_in_use_is_told_in_one_line),
        cmocka_unit_test(an_ipc_socket_that_a_dead_process_left_is_replaced),
        cmocka_unit_test(an_address_that_this_host_does_not_have_is_told),
        cmocka_unit_test(every_socket_gets_every_option),
        cmocka_unit_test(reconnect_intervals_differ_between_sockets),
        cmocka_unit_test(czmq_settings_from_the_environment_change_nothing),
        cmocka_unit_test(router_and_dealer_exchange_single_frames),
        cmocka_unit_test(big_frames_travel_without_a_copy),
        cmocka_unit_test(a_router_says_that_a_peer_is_unreachable),
        cmocka_unit_test(a_full_peer_and_a_missing_peer_never_block_the_sender),
        cmocka_unit_test(a_wrong_number_of_frames_is_read_to_its_end_and_reported),
        cmocka_unit_test(a_peer_that_names_itself_too_long_is_malformed),
        cmocka_unit_test(a_subscriber_gets_the_message_behind_its_topic),
        cmocka_unit_test(subscribed_topics_are_counted_as_they_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
