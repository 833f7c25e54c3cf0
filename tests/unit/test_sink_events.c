/* The event stream under a subscriber that does not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/signals.h"
#include "io/socket.h"

#define EVENTS 200

static void a_subscriber_that_falls_behind_is_counted_and_the_others_lose_nothing(void **state)
{
    struct leat_socket_config config;
    zsock_t *pub = NULL;
    unsigned lost = 0;
    (void)state;
    leat_socket_config_init(&config, ZMQ_XPUB);
    config.bind = "inproc://events";
    config.send_hwm = 5;
    assert_int_equal(leat_socket_open(&config, &pub, NULL, NULL), LEAT_OK);
    zsock_t *slow = zsock_new(ZMQ_SUB);
    zsock_t *quick = zsock_new(ZMQ_SUB);
    zsock_set_rcvhwm(slow, 5);
    zsock_set_rcvtimeo(quick, 20000);
    zsock_set_subscribe(slow, "");
    zsock_set_subscribe(quick, "mail");
    assert_int_equal(zsock_connect(slow, "inproc://events"), 0);
    assert_int_equal(zsock_connect(quick, "inproc://events"), 0);

    for (unsigned i = 0; i < EVENTS; i++) {
        zmq_msg_t frame;
        leat_socket_frame_copy(&frame, leat_bytes_of(&i, sizeof i));
        enum leat_sent sent = leat_socket_send(pub, NULL, leat_str_of("mail"), &frame);
        assert_true(sent == LEAT_SENT || sent == LEAT_SENT_IN_PART);
        lost += sent == LEAT_SENT_IN_PART;
        zmq_msg_close(&frame);
        zmsg_t *message = zmsg_recv(quick);
        assert_non_null(message);
        assert_int_equal(zmsg_size(message), 2);
        assert_memory_equal(zframe_data(zmsg_last(message)), &i, sizeof i);
        zmsg_destroy(&message);
    }
    assert_int_equal(lost, 1);
    unsigned received = 0;
    zsock_set_rcvtimeo(slow, 0);
    for (zmsg_t *message = zmsg_recv(slow); message != NULL; message = zmsg_recv(slow)) {
        received++;
        zmsg_destroy(&message);
    }
    assert_true(received > 0 && received < EVENTS);
    zsock_destroy(&slow);
    zsock_destroy(&quick);
    zsock_destroy(&pub);
}

int main(void)
{
    leat_signals_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscriber_that_falls_behind_is_counted_and_the_others_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
